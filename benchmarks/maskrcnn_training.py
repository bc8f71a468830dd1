"""A training step of Mask R-CNN R50-FPN, against Detectron2 itself on the same device with the same weights.

``PYTHONPATH=. python benchmarks/maskrcnn_training.py [--device auto|cpu|cuda] [--json]``, in an environment
with Detectron2 and the toolkit's requirements.

One image of 800 × 1066 with 12 objects, 512 regions: losses, gradients and a step of SGD with momentum, the
stem and res2 frozen, as in Detectron2's own configuration. On a CPU Detectron2 runs as it is, in fp32; on a
GPU in the same precision as ours, under autocast, both with a GradScaler in fp16. The same run checks that
the losses are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from unittest import mock

import torch
from _maskrcnn import inputs, ours, peer, require_detectron2, sample
from _timing import Comparison, Options, compare, parse, report
from torch import Tensor, nn

from toolkit.types import Sample

TITLE = "Mask R-CNN R50-FPN, training step, 800 × 1066"
TARGETS: dict[str, dict[str, float | None]] = {
    "cpu": {"fp32": 1.3, "bf16": 2.3},
    "cuda": {"fp32": None, "tf32": None, "bf16": None, "fp16": None},  # not measured yet
}


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
    model: nn.Module, losses: Callable[[], Mapping[str, Tensor]], options: Options, precision: str
) -> Callable[[], dict[str, float]]:
    """A function that makes one step and returns the losses."""
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1e-6, momentum=0.9)
    scaler = torch.amp.GradScaler(options.device, enabled=precision == "fp16")

    def run() -> dict[str, float]:
        torch.manual_seed(0)
        with options.autocast(precision):
            values = losses()
        optimizer.zero_grad()
        scaler.scale(torch.stack([value.float() for value in values.values()]).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
        return {name: float(value.detach()) for name, value in values.items()}

    return run


def furthest(mine: Mapping[str, float], theirs: Mapping[str, float]) -> float:
    """The largest relative difference of a loss."""
    return max(abs(mine[name] - value) / abs(value) for name, value in theirs.items())


@contextmanager
def same_draws() -> Iterator[None]:
    """Let both draw regions from the CPU's generator: Detectron2 draws where its tensors are."""
    draw = torch.randperm

    def on_cpu(n: int, *, device: torch.device | str = "cpu") -> Tensor:
        return draw(n).to(device)

    with mock.patch.object(torch, "randperm", on_cpu):
        yield


def measure(options: Options) -> list[Comparison]:
    image, device = sample(), options.device
    theirs = peer(device, **{"INPUT.MASK_FORMAT": "bitmask"}).train()
    model = ours(theirs).train()
    comparisons = []
    for name, target in TARGETS[device].items():
        peer_precision = "fp32" if device == "cpu" else name
        their_step = step(theirs, peer_losses(theirs, image), options, peer_precision)
        our_step = step(model, lambda: model.losses([image], [image.size]), options, name)
        with same_draws():
            difference = furthest(our_step(), their_step())
        if (
            name == "fp32" and difference > 0.02
        ):  # rounding can swap two proposals, and then other regions are drawn
            raise SystemExit(f"a loss differs from Detectron2's by {difference:.1%}: not the same step")
        case = f"{name}: losses within {difference:.2%}"
        comparisons.append(
            compare(
                case,
                ("toolkit", our_step),
                (f"Detectron2, {peer_precision}", their_step),
                rounds=4,
                target=target,
                device=device,
            )
        )
    return comparisons


if __name__ == "__main__":
    chosen = parse(TITLE, with_device=True)
    require_detectron2()
    raise SystemExit(report(TITLE, measure(chosen), chosen))
