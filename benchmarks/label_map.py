"""Logits of 21×128×256 to a label map of 1024×2048, against interpolating all classes and taking the argmax
in torch.

Every case is first checked to be equal in every pixel.
"""

from __future__ import annotations

import sys

import torch
from _timing import compare, report
from torch import Tensor
from torch.nn import functional as F

from toolkit.models.label_maps import logits_to_label_map

CLASSES, SOURCE, SIZE = 21, (128, 256), (1024, 2048)


def segmentation(spacing: int, noise: float = 0.3) -> Tensor:
    """Logits with areas about ``spacing`` source pixels across, plus some fine noise."""
    coarse = torch.randn(1, CLASSES, SOURCE[0] // spacing, SOURCE[1] // spacing) * 6
    fine = torch.randn(1, CLASSES, SOURCE[0] // 2, SOURCE[1] // 2) * noise
    return (F.interpolate(coarse, SOURCE, mode="bicubic") + F.interpolate(fine, SOURCE, mode="bilinear"))[0]


def interpolate(logits: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(logits[None], size, mode="bilinear", align_corners=False)[0]


def main() -> int:
    torch.manual_seed(0)
    cases: list[tuple[str, Tensor, tuple[int, int], float | None]] = [
        ("large areas (32 source pixels)", segmentation(32), SIZE, 5),
        ("areas of 16", segmentation(16), SIZE, 5),
        ("areas of 16, bfloat16 logits", segmentation(16).bfloat16().float(), SIZE, 5),
        ("areas of 8", segmentation(8), SIZE, 5),
        ("areas of 16, to 1000×1900", segmentation(16), (1000, 1900), 5),
        ("pure noise", torch.randn(CLASSES, *SOURCE), SIZE, None),
        ("all equal", torch.zeros(CLASSES, *SOURCE), SIZE, None),
        ("no resizing", interpolate(segmentation(16), SIZE), SIZE, None),
    ]
    results = []
    for case, logits, size, target in cases:
        ours = ("toolkit", lambda logits=logits, size=size: logits_to_label_map(logits, size))
        peers = [
            (
                "interpolate + argmax",
                lambda logits=logits, size=size: interpolate(logits, size).argmax(0).to(torch.uint8),
                target,
            ),
            (
                "interpolate + max",
                lambda logits=logits, size=size: interpolate(logits, size).max(0).indices.to(torch.uint8),
                None,
            ),
        ]
        for name, peer, wanted in peers:
            if not torch.equal(ours[1](), peer()):
                raise SystemExit(f"{case}: differs from {name}")
            results.append(compare(case, ours, (name, peer), target=wanted))
    return report("Label map of 1024×2048 from 21×128×256 logits, equal in every pixel", results)


if __name__ == "__main__":
    sys.exit(main())
