"""What came of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from toolkit.training.log import RunLog
from toolkit.training.messages import closing_line
from toolkit.training.run_parts import RunParts
from toolkit.wording import counted


@dataclass(frozen=True)
class TrainResult:
    """What came of a run.

    Attributes:
        run: its folder.
        steps: optimizer steps done.
        finished: False when it was interrupted and can be resumed.
        best_metric, best: the metric that chose the best checkpoint, and its value (NaN without validation).
        best_step: the step at which it had that value.
        summary: what came of the run, for people.
        photos: the folder that the validation images come from; None where they come from no file.
        is_first_process: whether this process of a distributed run is the one that writes files and logs.
        warnings: what was said about gradients that explode or vanish.
    """

    run: Path
    steps: int
    finished: bool
    best_metric: str
    best: float
    is_first_process: bool = True
    warnings: tuple[str, ...] = ()
    best_step: int = 0
    summary: str = ""
    photos: Path | None = None


def conclude(
    parts: RunParts, log: RunLog, seconds: float, *, notes: Sequence[str], photos: Path | None
) -> TrainResult:
    """Say what came of a run, and return it.

    Args:
        parts: of the run.
        log: of the run.
        seconds: that it took; NaN for a run that was resumed.
        notes: what its best validation had to say.
        photos: the folder that the validation images come from; None where they come from no file.

    Raises:
        NonFiniteLossError: when the loss of the last step was not finite.
    """
    parts.guard.settle()
    progress, split = parts.progress, parts.settings.data.val_split
    if parts.is_stale:
        log.say(
            f"stopped early: {parts.validation.best_metric} has not improved in {progress.stale}"
            f" validations; the best was at step {progress.best_step}"
        )
    elif not parts.is_finished:
        log.say(
            f"interrupted after step {progress.step} of {parts.steps}; the state is saved; --resume"
            " continues from here"
        )
    for note in notes:
        log.say(f"Best validation: {note}")
    warnings = parts.diagnosis.warnings
    if warnings:  # once more where it is not overlooked
        log.warn(f"{' and '.join(warnings)}, see above")
    summary = closing_line(
        progress,
        parts.steps,
        finished=parts.is_finished,
        seconds=seconds,
        metric=parts.validation.best_metric,
        measured_on=f"{counted(len(parts.splits.val or ()), 'image')} of split {split}",
    )
    log.note(summary)
    return TrainResult(
        parts.run,
        progress.step,
        parts.is_finished,
        parts.validation.best_metric,
        progress.best,
        parts.fabric.is_global_zero,
        tuple(warnings.values()),
        best_step=progress.best_step,
        summary=summary,
        photos=photos,
    )
