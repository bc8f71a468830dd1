"""Predicting a photo with DeepLabv3 on ResNet-50, against torchvision's network with the same weights,
interpolation and arg-max.

Both start from a uint8 photo and end in a uint8 label map. Logits are first checked to agree within 1e-5 of
the largest.
"""

from __future__ import annotations

import sys

import torch
from _timing import compare, report
from torch import Tensor
from torchvision.models.segmentation import deeplabv3_resnet50
from torchvision.transforms.functional import normalize

from toolkit import registry
from toolkit.types import Sample

CLASSES = tuple(f"class {i}" for i in range(21))
SIZES = [(512, 512), (375, 500)]


def main() -> int:
    torch.manual_seed(0)
    plugin = registry.plugins().get("deeplabv3")
    model = plugin.resolve(plugin.build)(plugin.resolve(plugin.settings)(encoder="resnet50"), CLASSES).eval()
    network = deeplabv3_resnet50(weights=None, weights_backbone=None, num_classes=len(CLASSES)).eval()
    network.load_state_dict(model.export_state())
    results = []
    for height, width in SIZES:
        sample = Sample("photo", torch.randint(0, 256, (3, height, width), dtype=torch.uint8))

        def logits(image: Tensor = sample.image) -> Tensor:
            batch = normalize(image[None] / 255, list(model.mean), list(model.std))
            out: Tensor = network(batch)["out"]
            return out

        def ours(sample: Sample = sample) -> Tensor:
            label_map = model.predict([sample])[0].label_map
            assert label_map is not None
            return label_map

        with torch.no_grad():
            expected = logits()
            difference = float(
                (expected - model.logits(sample.image[None])).abs().max() / expected.abs().max()
            )
        if difference > 1e-5:
            raise SystemExit(f"{height}×{width}: the logits differ by {difference:.1e} of the largest")

        def peer(logits: object = logits) -> Tensor:
            with torch.no_grad():
                return logits().argmax(1)[0].to(torch.uint8)  # type: ignore[operator]

        results.append(compare(f"{height}×{width}", ("toolkit", ours), ("torchvision", peer), target=1.0))
    return report("DeepLabv3 on ResNet-50, a photo to its label map, logits equal to 1e-5", results)


if __name__ == "__main__":
    sys.exit(main())
