"""The pictures of a run: its curves, its first batch, and its predictions."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from toolkit.data.dataset import Dataset
from toolkit.evaluation.class_pictures import draw_class_curves, draw_confusions
from toolkit.evaluation.driver import PredictedBatch
from toolkit.evaluation.report import Report
from toolkit.training.history import RESULTS_FILE, History
from toolkit.training.log import RunLog
from toolkit.types import FIELDS, Sample
from toolkit.visualization.curves import Panel, curve_plots
from toolkit.visualization.drawing import confident
from toolkit.visualization.palettes import class_palette
from toolkit.visualization.plots import draw_plots
from toolkit.visualization.sheets import Cell, Row, contact_sheet, grid_sheet

CURVES, FIRST_BATCH, PREDICTIONS = "curves.png", "train-batch.jpg", "val-predictions.jpg"
CONFUSION, CLASS_CURVES = "val-confusion.png", "val-class-curves.png"
PICTURES = (CURVES, FIRST_BATCH, PREDICTIONS, CONFUSION, CLASS_CURVES)

ROWS = 6
"""Number of validation images that are shown."""
BATCH_IMAGES = 8
"""Number of images of the first batch that are shown, two per row."""
CELL = 224
"""Width of an image in pixels."""
SHARE = 0.02
"""Fraction of the time that drawing may take; the first and the last validation are always drawn."""
IN_TENSORBOARD = 10
"""Approximate number of sheets of predictions that a run writes to TensorBoard."""


class RunPictures:
    """Draws while a run trains, in its first process. If a picture cannot be written, this is only a warning.

    Args:
        folder: the folder of the run; None draws nothing.
        log: the log of the run.
        dataset: its training split, with the classes and their colors.
        learns: the fields of a sample that the model learns from; only these are drawn.
        clock: returns the time in seconds.
        metrics: names of the metrics that get a curve, as in metrics.jsonl.
    """

    def __init__(
        self,
        folder: Path | None,
        log: RunLog,
        dataset: Dataset,
        learns: Sequence[str] = FIELDS,
        clock: Callable[[], float] = time.perf_counter,
        *,
        metrics: Sequence[str] = (),
    ) -> None:
        self.folder, self.log, self.clock = folder, log, clock
        self.learns = tuple(learns)
        self.classes = tuple(dataset.classes)
        self.palette = dataset.palette or class_palette(self.classes)
        self.drawn_at, self.cost = -float("inf"), 0.0
        self.shown_at: int | None = None
        self.failed: set[str] = set()
        self.metrics = tuple(metrics)
        self.is_behind = True
        self.best: tuple[Sequence[Report], str] | None = None

    def first_batch(self, samples: Sequence[Sample]) -> None:
        """Draw the images of the first batch, augmented, with their labels."""
        others = {name: None for name in FIELDS if name not in self.learns}
        shown = [sample.with_(**others) for sample in samples[:BATCH_IMAGES]]
        cells: list[Cell | None] = [
            cell for sample in shown for cell in ((sample.image, None), (sample.image, sample))
        ]
        columns = ["image", "truth"] * (2 if len(shown) > 1 else 1)
        cells += [None] * (-len(cells) % len(columns))
        rows = [cells[i : i + len(columns)] for i in range(0, len(cells), len(columns))]

        def draw(folder: Path) -> None:
            path, colors = folder / FIRST_BATCH, self.palette
            picture = grid_sheet(columns, rows, path, classes=self.classes, palette=colors, cell=CELL)
            self.log.show("train/batch", picture, 1)

        self._write(FIRST_BATCH, draw)

    def improved(self, reports: Sequence[Report], step: int) -> None:
        """Remember the reports of the best validation so far; they are drawn with the next pictures."""
        self.best = (reports, f"step {step}")

    def validation(self, shown: ShownPredictions, *, last: bool) -> None:
        """Draw the predictions and the curves so far, and write the table of validations; before the last
        validation, only if that takes little of the time.

        Args:
            shown: images with truth and prediction.
            last: whether no other validation follows.
        """
        began = self.clock()
        self.is_behind = not (last or self.cost <= SHARE * (began - self.drawn_at))
        if self.folder is None or self.is_behind:
            return
        if shown.rows:
            self._write(PREDICTIONS, lambda folder: self._draw_predictions(folder, shown, last=last))
        self._write_figures()
        self.drawn_at = self.clock()
        self.cost = self.drawn_at - began

    def finish(self) -> None:
        """Update curves and table when the run ends."""
        if self.is_behind:
            self._write_figures()

    def _write_figures(self) -> None:
        history = self.log.history
        if plots := curve_plots(panels_of(history, self.metrics)):
            self._write(CURVES, lambda folder: draw_plots(plots, folder / CURVES))
        if history.validations:
            self._write(RESULTS_FILE, history.write_results)
        if self.best is not None:
            reports, when = self.best
            self._write(CONFUSION, lambda folder: draw_confusions(reports, folder / CONFUSION, when))
            self._write(CLASS_CURVES, lambda folder: draw_class_curves(reports, folder / CLASS_CURVES, when))
            self.best = None

    def _draw_predictions(self, folder: Path, shown: ShownPredictions, *, last: bool) -> None:
        path, look = folder / PREDICTIONS, self.palette
        picture = contact_sheet(
            shown.rows, path, classes=self.classes, palette=look, titles=shown.titles, cell=CELL
        )
        step = int(self.log.history.validations[-1]["step"])
        if last or self.shown_at is None or step - self.shown_at >= self.log.steps / IN_TENSORBOARD:
            self.log.show("val/predictions", picture, step)
            self.shown_at = step

    def _write(self, name: str, write: Callable[[Path], object]) -> None:
        if self.folder is None or name in self.failed:
            return
        try:
            write(self.folder)
        except Exception as error:  # a third-party task draws with its own code, which may raise anything
            self.failed.add(name)
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            self.log.warn(f"{name} cannot be written: {reason}. Training continues without it")


class ShownPredictions:
    """Keeps the predictions of a few validation images, spread over the split.

    Args:
        count: number of images that this process measures.
        score: minimum score of objects to show.

    Attributes:
        rows: image, truth and prediction of each.
        titles: their ids.
        folder: the folder of the first of them; None if they do not come from files.
    """

    def __init__(self, count: int, score: float) -> None:
        shown = min(count, ROWS)
        self.places = {i * count // shown for i in range(shown)}
        self.score = score
        self.rows: list[Row] = []
        self.titles: list[str] = []
        self.folder: Path | None = None

    def add(self, batch: PredictedBatch) -> None:
        """Keep the images of a batch that are to be shown; for a promptable model, the answers for its first
        protocol.
        """
        predictions = next(iter(batch.predictions.values()))
        for place, (sample, prediction) in enumerate(
            zip(batch.samples, predictions, strict=True), start=batch.first
        ):
            if place in self.places:
                self.rows.append((sample.image, sample, confident(prediction, self.score)))
                self.titles.append(sample.id)
                if sample.path and self.folder is None:
                    self.folder = Path(sample.path).parent


def panels_of(history: History, metrics: Sequence[str]) -> list[Panel]:
    """Loss, learning rate and metrics over the steps, as far as there are any values."""
    groups = {
        "loss": {"loss": "training", "val/loss": "validation"},
        "learning rate": {"lr": "lr"},
        "validation": {name: name.removeprefix("val/") for name in metrics},
    }
    panels = []
    for title, names in groups.items():
        curves = {label: history.curves[name] for name, label in names.items() if name in history.curves}
        panels.append(Panel(title, curves))
    return panels
