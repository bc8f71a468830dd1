"""The messages at the beginning and at the end of a run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lightning_fabric import Fabric

from toolkit.config import RunSettings, Scale
from toolkit.models.contract import Model
from toolkit.models.freezing import count_frozen
from toolkit.models.parts import parts_table
from toolkit.models.start_weights import StartWeights
from toolkit.registry.manifests import PluginManifest, TaskManifest
from toolkit.training.optimizer import warmup_steps
from toolkit.training.splits import Splits
from toolkit.training.state import Progress
from toolkit.wording import counted, in_words


def opening_lines(
    settings: RunSettings,
    plugin: PluginManifest,
    splits: Splits,
    model: Model,
    groups: Sequence[Mapping[str, Any]],
    start_weights: StartWeights | None,
    fabric: Fabric,
    steps: int,
    done: int = 0,
) -> Iterator[str]:
    """The lines: the model, the data, the start weights, the length, and the settings that were adapted to
    the run.

    Args:
        settings: the settings of the run.
        plugin: the plugin that it trains.
        splits: the data.
        model: the model, with the initially frozen parts frozen.
        groups: the optimizer's groups.
        start_weights: what the model starts from; None if it was passed in with its weights.
        fabric: devices and processes.
        steps: total number of optimizer steps.
        done: number of steps done before.
    """
    options, images = settings.train, len(splits.train)
    held_out = counted(len(splits.val), "validation image") if splits.val else "no validation images"
    yield f"{plugin.name} on {settings.data.name}: {counted(images, 'training image')}, {held_out}"
    if splits.conversion:
        yield f"Labels converted: {splits.conversion}"
    count = sum(p.numel() for p in model.parameters())
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    processes = counted(fabric.world_size, "process", "processes")
    yield f"{count:,} parameters, {trainable:,} of them trainable; {processes} on {fabric.device.type}"
    yield parts_table(model, groups, options.unfreeze_at)
    yield f"Resuming after step {done} of {steps}" if done else start_line(start_weights)
    yield (
        f"Augmentation: {', '.join(each.in_words() for each in settings.augment)}"
        if settings.augment
        else ("No augmentation")
    )
    epochs = steps * options.images_per_step / max(1, images)
    number = f"{epochs:.0f}" if epochs >= 10 else f"{epochs:.2g}"
    length = f"{number} {'epoch' if number == '1' else 'epochs'}"
    yield f"{counted(steps, 'step')} of {counted(options.images_per_step, 'image')}: {length}"
    if settings.weights == "none" and (frozen := count_frozen(model)):
        yield f"{frozen:,} parameters are frozen at random values: set weights=… or 'train.freeze=[]'"
    if options.scaled_lr() != options.lr:
        yield (
            f"Learning rate scaled from {options.lr:g} (batch {options.lr_batch_size}) to"
            f" {options.scaled_lr():g} (batch {options.batch_size}); train.lr_scaling=none turns this off"
        )
    if (warmup := warmup_steps(options, steps)) < options.warmup_steps:
        yield f"Warm-up shortened from {options.warmup_steps} steps to {warmup}, half of the run"


def warning_lines(
    task: TaskManifest, classes: Sequence[str], start_weights: StartWeights, scale: Scale | None
) -> Iterator[str]:
    """Warnings about a task from which nothing can be learned, and about start weights that know images of
    another brightness.

    Args:
        task: the task of the plugin.
        classes: the classes of the model.
        start_weights: what the model starts from.
        scale: how the values of the training images become 8 bits.
    """
    before = start_weights.scale
    if before is not None and (scale is None or before.limits != scale.limits or before.range != scale.range):
        words = scale.in_words() if scale is not None else "none"
        rule = before.model_dump(mode="json", exclude_none=True, exclude={"bit_depth"})
        hint = str(rule).replace("'", "")
        yield (
            f"the images that weights={start_weights.name} were trained on have the scale"
            f" {before.in_words()}; these have {words}, so they look different. Hint: for images of the same"
            f" kind, set 'data.options.scale={hint}'"
        )
    if "label_map" in task.predicts and len(classes) == 1:
        yield (
            f"there is only one class ({classes[0]}), so every prediction is correct: the loss is 0 and the"
            " IoU 1. Hint: make the rest of the image a class, such as background, instead of void (for"
            " label images, leave out data.options.void)"
        )


def start_line(start_weights: StartWeights | None) -> str:
    """A line about what a model starts from."""
    if start_weights is None:
        return "Starts from the weights of the model that was passed in"
    if start_weights.report is not None:
        license = f"(license: {start_weights.license})"
        return f"Starts from weights={start_weights.name} {license}: {start_weights.report}"
    if start_weights.reason:
        return f"Starts from random weights; {start_weights.reason}"
    return "Starts from random weights"


def closing_line(
    progress: Progress, steps: int, *, finished: bool, seconds: float, metric: str, measured_on: str
) -> str:
    """The result of a run, in a line or two.

    Args:
        progress: the progress of the run.
        steps: the planned number of steps.
        finished: whether it reached its end, possibly by early stopping.
        seconds: its duration; NaN for a resumed run.
        metric: the metric that selected the best checkpoint.
        measured_on: a description of what it was measured on.
    """
    done = counted(progress.step, "step")
    if not finished:
        return f"Stopped after {progress.step:,} of {counted(steps, 'step')}; the state is saved"
    line = f"Trained {done} in {in_words(seconds)}." if math.isfinite(seconds) else f"Trained {done}."
    if math.isnan(progress.best):
        return line
    return f"{line} Best {metric}: {progress.best:.4f} at step {progress.best_step:,}, on {measured_on}."
