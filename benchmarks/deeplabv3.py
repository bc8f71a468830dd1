"""Predicting a photo with DeepLabv3 on ResNet-50, against torchvision's network with the same weights,
interpolation and arg-max.

``python benchmarks/deeplabv3.py [--device auto|cpu|cuda] [--json]``

Both go from a uint8 photo to a uint8 label map. Logits are first checked to agree within 1e-5 of
the largest. On a GPU the photo comes from the CPU's memory and the label map goes back there, and each
precision is compared with the same one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import torch
from _timing import compare, parse, report
from torch import Tensor
from torchvision.models.segmentation import deeplabv3_resnet50
from torchvision.transforms.functional import normalize

from toolkit import registry
from toolkit.types import Sample

CLASSES = tuple(f"class {i}" for i in range(21))
SIZES = [(512, 512), (375, 500)]


TITLE = "DeepLabv3 on ResNet-50, a photo to its label map, logits equal to 1e-5 of the largest"
AGREE = {"cpu": 1e-5, "cuda": 1e-4}
"""Tolerance for the logits, relative to the largest: cuDNN chooses among algorithms that round
differently."""


def main() -> int:
    options = parse(TITLE, with_device=True)
    device = options.device
    torch.manual_seed(0)
    plugin = registry.plugins().get("deeplabv3")
    model = plugin.resolve(plugin.build)(plugin.resolve(plugin.settings)(encoder="resnet50"), CLASSES)
    model = model.to(device).eval()
    network = deeplabv3_resnet50(weights=None, weights_backbone=None, num_classes=len(CLASSES)).eval()
    network = network.to(device)
    network.load_state_dict(model.export_state())
    results = []
    for height, width in SIZES:
        sample = Sample("photo", torch.randint(0, 256, (3, height, width), dtype=torch.uint8))

        def logits(image: Tensor = sample.image) -> Tensor:
            batch = normalize(image[None].to(device) / 255, list(model.mean), list(model.std))
            out: Tensor = network(batch)["out"]
            return out

        with torch.no_grad():
            expected = logits()
            difference = float(
                (expected - model.logits(sample.image[None])).abs().max() / expected.abs().max()
            )
        if difference > AGREE[device]:
            raise SystemExit(f"{height}×{width}: the logits differ by {difference:.1e} of the largest")

        for precision in ("fp32",) if device == "cpu" else ("fp32", "tf32", "bf16", "fp16"):

            def ours(sample: Sample = sample, precision: str = precision) -> Tensor:
                with options.autocast(precision):
                    label_map = model.predict([sample])[0].label_map
                assert label_map is not None
                return label_map

            def peer(logits: Callable[[], Tensor] = logits, precision: str = precision) -> Tensor:
                with torch.no_grad(), options.autocast(precision):
                    return logits().argmax(1)[0].to(torch.uint8).cpu()

            case = f"{height}×{width}" if device == "cpu" else f"{height}×{width}, {precision}"
            target = 1.0 if device == "cpu" else None
            results.append(
                compare(case, ("toolkit", ours), ("torchvision", peer), target=target, device=device)
            )
    return report(TITLE, results, options)


if __name__ == "__main__":
    sys.exit(main())
