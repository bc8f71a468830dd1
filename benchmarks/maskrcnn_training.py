"""A training step of Mask R-CNN R50-FPN, against Detectron2 itself on a CPU with the same weights.

``PYTHONPATH=. python benchmarks/maskrcnn_training.py [--json]``, in an environment that has Detectron2 and
what the toolkit needs.

One image of 800 × 1066 with 12 objects, 512 regions: losses, gradients and a step of SGD with momentum, the
stem and res2 frozen, as in Detectron2's own configuration. Detectron2 runs as it is, in fp32. That the losses
are the same is checked in the same run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from _maskrcnn import inputs, ours, peer, require_detectron2, sample
from _timing import Comparison, compare, report
from torch import Tensor, nn

from toolkit.types import Sample

TARGETS = {"fp32": 1.3, "bf16": 2.3}


def peer_losses(model: nn.Module, image: Sample) -> Callable[[], dict[str, Tensor]]:
    """Detectron2's losses of the image, with its masks as bit masks."""
    from detectron2.structures import BitMasks, Boxes, Instances
    from detectron2.utils.events import EventStorage

    objects = image.instances
    assert objects is not None
    assert objects.masks is not None
    truth = Instances(
        image.size,
        gt_boxes=Boxes(objects.boxes_xyxy),
        gt_classes=objects.labels,
        gt_masks=BitMasks(objects.masks.dense()),
    )
    batch = [{**inputs(image)[0], "instances": truth}]

    def losses() -> dict[str, Tensor]:
        with EventStorage():
            return dict(model(batch))

    return losses


def step(
    model: nn.Module, losses: Callable[[], Mapping[str, Tensor]], *, low_precision: bool = False
) -> Callable[[], dict[str, float]]:
    """A function that makes one step and returns the losses."""
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1e-6, momentum=0.9)

    def run() -> dict[str, float]:
        torch.manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16, enabled=low_precision):
            values = losses()
        optimizer.zero_grad()
        torch.stack(list(values.values())).sum().backward()
        optimizer.step()
        return {name: float(value.detach()) for name, value in values.items()}

    return run


def furthest(mine: Mapping[str, float], theirs: Mapping[str, float]) -> float:
    """The largest relative difference of a loss."""
    return max(abs(mine[name] - value) / abs(value) for name, value in theirs.items())


def measure() -> list[Comparison]:
    image = sample()
    theirs = peer(**{"INPUT.MASK_FORMAT": "bitmask"}).train()
    model = ours(theirs).train()
    their_step = step(theirs, peer_losses(theirs, image))
    comparisons = []
    for name, target in TARGETS.items():
        our_step = step(model, lambda: model.losses([image], [image.size]), low_precision=name == "bf16")
        difference = furthest(our_step(), their_step())
        if (
            name == "fp32" and difference > 0.02
        ):  # rounding can swap two proposals, and then other regions are drawn
            raise SystemExit(f"a loss differs from Detectron2's by {difference:.1%}: not the same step")
        case = f"{name}: losses within {difference:.2%}"
        comparisons.append(
            compare(case, ("toolkit", our_step), ("Detectron2, fp32", their_step), rounds=4, target=target)
        )
    return comparisons


if __name__ == "__main__":
    require_detectron2()
    raise SystemExit(report("Mask R-CNN R50-FPN, training step, 800 × 1066", measure()))
