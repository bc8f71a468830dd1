"""What a run says when it begins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lightning_fabric import Fabric

from toolkit.config import RunSettings
from toolkit.models.contract import Model
from toolkit.models.freezing import count_frozen
from toolkit.models.parts import parts_table
from toolkit.models.start_weights import StartWeights
from toolkit.training.optimizer import warmup_steps
from toolkit.training.splits import Splits


def opening_lines(
    settings: RunSettings,
    plugin: str,
    splits: Splits,
    model: Model,
    groups: Sequence[Mapping[str, Any]],
    start_weights: StartWeights,
    fabric: Fabric,
    steps: int,
) -> Iterator[str]:
    """The lines: what learns from what, and which settings were adapted to the run.

    Args:
        settings: of the run.
        plugin: its name.
        splits: the data.
        model: with what is frozen at the start.
        groups: of the optimizer.
        start_weights: what the model starts from.
        fabric: devices and processes.
        steps: optimizer steps in all.
    """
    options = settings.train
    held_out = _count(len(splits.val), "validation image") if splits.val else "no validation images"
    yield f"{plugin} on {settings.data.name}: {_count(len(splits.train), 'training image')}, {held_out}"
    if splits.conversion:
        yield f"Labels converted: {splits.conversion}"
    count = sum(p.numel() for p in model.parameters())
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    processes = _count(fabric.world_size, "process", "processes")
    yield f"{count:,} parameters, {trainable:,} of them trainable; {processes} on {fabric.device.type}"
    yield parts_table(model, groups, options.unfreeze_at)
    if start_weights.report is not None:
        yield f"weights={start_weights.name} (license: {start_weights.license}): {start_weights.report}"
    if settings.weights == "none" and (frozen := count_frozen(model)):
        yield f"{frozen:,} parameters are frozen at random values: set weights=… or train.freeze=[]"
    if options.scaled_lr() != options.lr:
        yield (
            f"Learning rate scaled from {options.lr:g} (batch {options.lr_batch_size}) to"
            f" {options.scaled_lr():g} (batch {options.batch_size}); train.lr_scaling=none turns this off"
        )
    if (warmup := warmup_steps(options, steps)) < options.warmup_steps:
        yield f"Warm-up shortened from {options.warmup_steps} steps to {warmup}, half of the run"


def _count(number: int, singular: str, plural: str = "") -> str:
    return f"{number} {singular if number == 1 else plural or singular + 's'}"
