"""The validations of a run: when they are due, and what is logged, drawn and kept of them."""

from __future__ import annotations

from pathlib import Path

from toolkit.checkpoints import BEST
from toolkit.data.dataset import Dataset
from toolkit.evaluation.driver import PredictedBatch
from toolkit.runtime.processes import failing_together, share_buffers
from toolkit.training.log import RunLog
from toolkit.training.optimizer import averaged_weights
from toolkit.training.pictures import RunPictures, ShownPredictions
from toolkit.training.run_parts import RunParts
from toolkit.training.run_report import RunReport


class RunValidation:
    """Validates a run while it trains.

    Args:
        parts: of the run, connected.
        log: of the run.
        pictures, report: get what is shown of the predictions.

    Attributes:
        notes: what the best validation of this process had to say.
        photos: the folder that the validation images come from; None where they come from no file.
    """

    def __init__(self, parts: RunParts, log: RunLog, pictures: RunPictures, report: RunReport) -> None:
        self.parts, self.log, self.pictures, self.report = parts, log, pictures, report
        self.notes: list[str] = []
        self.photos: Path | None = None

    def begin(self) -> None:
        """Before the first step: the validation that is due then, or which a kill has prevented; else a try
        on a few images, so that what is wrong with it is known before there is anything to lose.
        """
        parts, progress = self.parts, self.parts.progress
        if parts.forgot_best:
            self.log.say("The metrics have changed, so the best checkpoint is selected again")
        if parts.splits.val is None:
            return
        if progress.step and self.is_due():
            self.validate()
            parts.save()
        elif parts.settings.train.eval_first and not progress.step:
            self.validate()
        elif not parts.is_finished:
            with failing_together(parts.fabric):
                parts.validation.try_out(parts.model)

    def is_due(self) -> bool:
        """Whether it is time for a validation, and there was none after this step."""
        parts, progress = self.parts, self.parts.progress
        is_time = progress.step % parts.eval_every == 0 or progress.step >= parts.steps
        return parts.splits.val is not None and is_time and progress.validated < progress.step

    def validate(self) -> None:
        """Measure, log, draw, and keep the best.

        Raises:
            NonFiniteLossError: when the loss of the last step was not finite; nothing is measured then.
        """
        parts = self.parts
        if parts.splits.val is None:
            return
        parts.guard.settle()
        share_buffers(parts.model, parts.fabric)  # so that what is measured is what is kept
        with self.log.pace.validating():
            self._measure(parts.splits.val)

    def _measure(self, val_set: Dataset) -> None:
        parts, log, report, progress = self.parts, self.log, self.report, self.parts.progress
        own = len(range(parts.fabric.global_rank, len(val_set), parts.fabric.world_size))
        shown = ShownPredictions(own, parts.model.draw_above)
        report.begin_validation()

        def look(batch: PredictedBatch) -> None:
            shown.add(batch)
            report.add(batch)

        with averaged_weights(parts.model, parts.ema), log.validating(val_set, look) as watch:
            figures = parts.validation.measure(parts.model, watch)
            improved = parts.validation.note_if_best(figures, progress)
            if improved:
                parts.keeper.checkpoint(BEST, figures.metrics)
                self.pictures.improved(figures.reports, progress.step)
                self.notes = [note for report in figures.reports for note in report.notes]
                report.improved(figures.reports, progress.step)
        progress.validated = progress.step
        log.write(progress.step, figures.for_log())
        if not progress.step:
            progress.untrained = figures.metrics
        log.say(figures.line(progress, improved=improved))
        self.photos = shown.folder
        self.pictures.validation(shown, last=parts.is_finished)
