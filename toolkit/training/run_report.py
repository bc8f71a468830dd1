"""The report that a run writes at its end, about the best validation."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from toolkit import registry
from toolkit.config import RunSettings
from toolkit.data.dataset import Dataset
from toolkit.evaluation.driver import PredictedBatch
from toolkit.evaluation.report import Report
from toolkit.reading.figures import METRICS_FILE, read_figures
from toolkit.reporting import PAGE
from toolkit.reporting.findings import Findings
from toolkit.reporting.observer import Observer
from toolkit.training.log import RunLog

SHORTEST = 30.0
"""Shortest duration of a run, in seconds, for a report that was not requested; for a shorter run it would
take more than a tenth of the time.
"""
NOTE = (
    "Of the best validation of the training, without intervals and without a search for"
    " near-duplicates; `toolkit report` with the run's folder adds both."
)


class RunReport:
    """Observes validations, and writes the report of the best one. If it cannot be written, this is only a
    warning.

    Args:
        folder: the folder of the run; None writes nothing, as in a process other than the first.
        log: the log of the run.
        settings: the settings of the run; ``train.report`` says whether a report is wanted.
        dataset: the validation split; None if there is none.
        threshold: minimum score of objects to show.
        model: facts about the model, for the page.
        clock: returns the time in seconds.
    """

    def __init__(
        self,
        folder: Path | None,
        log: RunLog,
        settings: RunSettings,
        dataset: Dataset | None,
        threshold: float,
        model: Mapping[str, Any],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        is_wanted = settings.train.report is not False
        self.folder = folder if is_wanted else None
        self.dataset = dataset if self.folder is not None else None
        self.log, self.settings, self.threshold, self.model = log, settings, threshold, dict(model)
        self.clock, self.began = clock, clock()
        self.observer: Observer | None = None
        self.best: tuple[Observer, Sequence[Report], int] | None = None

    def begin_validation(self) -> None:
        """Discard the observations of the last validation."""
        self.observer = None if self.dataset is None else Observer(tuple(self.dataset.classes))

    def add(self, batch: PredictedBatch) -> None:
        """Observe the predictions of a batch."""
        if self.observer is not None:
            self.observer.add(batch)

    def improved(self, reports: Sequence[Report], step: int) -> None:
        """Record that the validation that has just ended is the best so far."""
        if self.observer is not None:
            self.best = (self.observer, reports, step)

    def write(self) -> None:
        """Write the report, if it was requested or takes little time compared with the run."""
        is_long = self.clock() - self.began >= SHORTEST
        if self.folder is None or self.best is None or not (self.settings.train.report or is_long):
            return
        page = self.folder / PAGE
        try:
            # imported only now, because the code for charts takes a second to import
            from toolkit.reporting.written import write_report

            write_report(self._findings(self.folder, *self.best), page)
        except Exception as error:  # a third-party dataset reads its images again, which may raise anything
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            self.log.warn(f"{PAGE} cannot be written: {reason}. Training has ended without it")
        else:
            self.log.say(f"The report of the best validation is {page}")

    def _findings(self, folder: Path, observer: Observer, reports: Sequence[Report], step: int) -> Findings:
        assert self.dataset is not None  # otherwise nothing was observed
        data = self.settings.data
        return Findings(
            folder.resolve().name,
            Path(data.name).stem if registry.is_path(data.name) else data.name,
            data.val_split,
            self.dataset,
            reports,
            observer,
            self.threshold,
            notes=(NOTE,),
            model={**self.model, "step": step},
            settings=self.settings.model_dump(mode="json"),
            figures=read_figures(folder / METRICS_FILE),
        )
