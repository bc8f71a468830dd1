"""Measures runs on the same images, and their differences, for ``toolkit compare``."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.checkpoints import CheckpointManifest, RunLike, path_of_run
from toolkit.data.dataset import Dataset
from toolkit.data.loader import EvaluationLoader
from toolkit.errors import UsageError
from toolkit.evaluation.alignment import alignment_for
from toolkit.evaluation.bootstrap import Difference, difference, draws, resamples_of
from toolkit.evaluation.driver import PredictedBatch, Subject, measured_by, measuring, predict_batches
from toolkit.evaluation.image_states import ImageStates
from toolkit.evaluation.memory import predicting_memory
from toolkit.evaluation.opening import evaluators_of, name_of_data, open_data, tiled
from toolkit.evaluation.protocols import Measurement, plan_measurements
from toolkit.evaluation.requests import DataChoice
from toolkit.evaluation.run_figures import MEMORY, PARAMETERS, SPEED, Comparison, RunFigures
from toolkit.evaluation.selection import build_evaluators
from toolkit.models.building import load_model, manifest_of_run
from toolkit.models.capabilities import Promptable
from toolkit.models.contract import parameter_count
from toolkit.models.graphs import accelerator_for
from toolkit.models.sliding_window import Tiling
from toolkit.reading.files import expanded
from toolkit.runtime.fabric import make_fabric
from toolkit.types import Prediction, Sample
from toolkit.visualization.drawing import confident
from toolkit.visualization.palettes import class_palette
from toolkit.visualization.sheets import Cell, grid_sheet

SHEET_ROWS = 8
SPEED_DRAWS = 1000
FEW = 30
"""With fewer images than this, percentiles of the bootstrap are too narrow (Efron and Tibshirani 1993,
chapter 13).
"""


def compare_runs(
    runs: Sequence[RunLike],
    *,
    data: str | Dataset | None = None,
    data_dir: str | None = None,
    split: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    batch_size: int = 4,
    workers: int = 0,
    accelerator: str = "auto",
    precision: str = "fp32",
    tiling: Tiling | None = None,
    resamples: int | None = None,
    seed: int = 0,
    memory: bool = True,
    sheet: str | os.PathLike[str] | None = None,
    show_progress: bool = False,
) -> Comparison:
    """Measure runs on the same images, and their differences.

    Every batch goes through all models in turn, so that disturbances of the machine affect all of them.

    Args:
        runs: folders of runs, checkpoint files, or what training returned, two or more; the others are
            compared with the first.
        data: the dataset, by name or as an object; that of the runs when None, if they have the same.
        data_dir: its folder; when None, that of the first run that was trained on this dataset, else
            ``data/<name>``.
        split: the dataset's validation split when None.
        overrides: settings of the sections ``data.options`` and ``evaluators`` by full or bare keys. Without
            evaluators, those with which all runs were measured during training, with the first run's
            settings; if they have none in common, ``iou``.
        batch_size: number of images per batch.
        workers: number of processes that read images.
        accelerator, precision: as for training.
        tiling: when images are predicted window by window, by all runs.
        resamples: number of bootstrap draws for the intervals; a suitable number for each evaluator when
            None.
        seed: seed of the draws.
        memory: whether to measure memory, each model in its own process.
        sheet: a picture to write, with images, their truth, and the predictions of each run.
        show_progress: show progress on standard error.

    Raises:
        UsageError: when there are fewer than two runs, they do not determine the dataset, no metric is
            common to them, or one cannot use the window.
        DataError: when the classes of a run are not those of the dataset.
    """
    if len(runs) < 2:
        raise UsageError(
            f"a comparison needs two runs or more, not {len(runs)}. Hint: list all of their folders"
        )
    paths = [path_of_run(run) for run in runs]
    manifests = [manifest_of_run(path) for path in paths]
    found = open_data(paths, manifests, DataChoice(data, data_dir, split, overrides))
    dataset, chosen = found.opened.dataset, found.wanted["evaluators"] or _common_evaluators(manifests)
    models = [load_model(path)[0] for path in paths]
    accelerator = accelerator_for(models, accelerator)
    fabric = make_fabric(accelerator=accelerator, devices=1, precision=precision)
    fabric.launch()
    compared = []
    for name, model, manifest in zip(_short_names(paths), models, manifests, strict=True):
        alignment, used = alignment_for(model, dataset, name), tiled(model, tiling)
        subject = Subject(used.to(fabric.device), alignment, fabric.autocast())
        evaluators = build_evaluators(chosen, dataset.classes)
        measurements = plan_measurements(model, evaluators, manifest.start_weights)
        subject = measured_by(subject, measurements)
        compared.append(_ComparedModel(name, subject, measurements, dataset))

    shown = set(_spread(len(dataset), SHEET_ROWS)) if sheet else set()
    loader = EvaluationLoader(dataset, batch_size=batch_size, workers=workers)
    largest: list[Sample] = []
    with measuring(dataset, subjects=len(compared), show=show_progress) as watch:
        for batch in predict_batches([each.subject for each in compared], loader, warm_up=True):
            compared[batch.subject].add(batch, shown)
            largest = max(
                largest, batch.samples, key=lambda samples: sum(s.image[0].numel() for s in samples)
            )
            watch(batch)
    sizes = [
        (
            predicting_memory(run, largest, accelerator=accelerator, precision=precision, tiling=tiling)
            if memory
            else None
        )
        for run in paths
    ]
    values = [each.figures(size) for each, size in zip(compared, sizes, strict=True)]
    spreads = [each.spreads(resamples, seed) for each in compared]
    if sheet:
        _write_sheet(sheet, compared, dataset, sorted(shown))
    results = _side_by_side(compared, manifests, values, spreads)
    notes = tuple(_notes(compared, len(dataset), resamples, batch_size, found.options_differ))
    return Comparison(
        name_of_data(found.opened.data),
        found.opened.split,
        len(dataset),
        results,
        notes,
        _lower_is_better(compared),
    )


@dataclass
class _ComparedModel:
    """A model in the comparison, and what was recorded about it."""

    name: str
    subject: Subject
    measurements: Sequence[Measurement]
    dataset: Dataset
    states: ImageStates = field(init=False)
    seconds: list[float] = field(default_factory=list)
    images: list[int] = field(default_factory=list)
    shown: dict[int, Prediction] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.states = ImageStates(self.measurements, self.dataset)

    def add(self, batch: PredictedBatch, shown: set[int]) -> None:
        """Keep a state of each evaluator for each image, and the predictions to be shown."""
        self.seconds.append(batch.seconds)
        self.images.append(len(batch.samples))
        self.states.add(batch)
        for place, prediction in enumerate(next(iter(batch.predictions.values())), start=batch.first):
            if place in shown:
                self.shown[place] = prediction

    def figures(self, memory: int | None) -> dict[str, float]:
        """The metrics on all images, speed and size; keeps the notes of the reports."""
        metrics: dict[str, float] = {}
        for report in self.states.reports():
            metrics |= report.metrics
            self.notes += report.notes
        parameters = float(parameter_count(self.subject.model))
        costs = {SPEED: sum(self.images) / sum(self.seconds), PARAMETERS: parameters}
        return metrics | costs | {MEMORY: math.nan if memory is None else float(memory)}

    def spreads(self, resamples: int | None, seed: int) -> dict[str, NDArray[np.float64]]:
        """Each metric in each draw of images, and the speed in each draw of batches; the draws are the same
        for all models.
        """
        values = self.states.spreads(resamples, seed)
        if len(self.seconds) > 1:
            times = draws(len(self.seconds), SPEED_DRAWS, seed)
            values[SPEED] = (times @ np.array(self.images)) / (times @ np.array(self.seconds))
        return values


def _lower_is_better(compared: Sequence[_ComparedModel]) -> tuple[str, ...]:
    reports = [measurement.report() for each in compared for measurement in each.measurements]
    return tuple(dict.fromkeys(name for report in reports for name in report.lower_is_better))


def _side_by_side(
    compared: Sequence[_ComparedModel],
    manifests: Sequence[CheckpointManifest],
    values: Sequence[Mapping[str, float]],
    spreads: Sequence[Mapping[str, NDArray[np.float64]]],
) -> tuple[RunFigures, ...]:
    """The figures that all runs have, with differences from the first."""
    common = [name for name in values[0] if all(name in figures for figures in values)]
    if not set(common) - {SPEED, PARAMETERS, MEMORY}:
        raise UsageError(
            "these runs have no metric in common. Hint: choose an evaluator that works for all of them,"
            " such as evaluators.iou={}"
        )
    results = []
    for i, (each, manifest) in enumerate(zip(compared, manifests, strict=True)):
        differences: dict[str, Difference] = {}
        for name in common if i else ():
            none = np.zeros(0)
            both = (
                (spreads[i][name], spreads[0][name])
                if name in spreads[i] and name in spreads[0]
                else (none, none)
            )
            differences[name] = difference(values[i][name], values[0][name], *both)
        figures = {name: values[i][name] for name in common}
        results.append(RunFigures(each.name, manifest.plugin, manifest.step, figures, differences))
    return tuple(results)


def _notes(
    compared: Sequence[_ComparedModel],
    images: int,
    resamples: int | None,
    batch_size: int,
    options_differ: bool,
) -> Iterable[str]:
    counts = sorted(
        {
            resamples or resamples_of(measurement.evaluator)
            for each in compared
            for measurement in each.measurements
        }
    )
    yield (
        f"Intervals are from {' and '.join(map(str, counts))} bootstrap draws of images, the same for all"
        f" runs; for the speed, batches of {batch_size} are drawn, each predicted by all runs in turn."
    )
    yield (f"Memory is the size of the weights plus what predicting the {batch_size} largest images takes.")
    if images < FEW:
        yield f"{images} images are too few for reliable intervals: these are too narrow."
    if options_differ:
        yield "The runs were trained with different data.options; the options of the first run are used here."
    if any(isinstance(each.subject.model, Promptable) for each in compared):
        yield "The speed of a promptable model includes all of its prompt protocols."
    for note in dict.fromkeys(note for each in compared for note in each.notes):
        owners = [each.name for each in compared if note in each.notes]
        yield note if len(owners) == len(compared) else f"{', '.join(owners)}: {note}"


def _common_evaluators(manifests: Sequence[CheckpointManifest]) -> dict[str, Any]:
    first, *others = map(evaluators_of, manifests)
    return {name: values for name, values in first.items() if all(name in other for other in others)} or {
        "iou": {}
    }


def _short_names(runs: Sequence[str | Path]) -> list[str]:
    """The last part of each path, or as many parts as distinguish them."""
    parts = [expanded(run).resolve().parts for run in runs]
    for length in range(1, max(map(len, parts)) + 1):
        names = [os.path.join(*each[-length:]) for each in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{Path(run).name} ({i})" for i, run in enumerate(runs, start=1)]


def _spread(length: int, count: int) -> list[int]:
    """Indexes spread over the dataset."""
    count = min(length, count)
    return [i * length // count for i in range(count)]


def _write_sheet(
    path: str | os.PathLike[str], compared: Sequence[_ComparedModel], dataset: Dataset, indexes: Sequence[int]
) -> None:
    rows: list[list[Cell | None]] = []
    for index in indexes:
        sample = dataset[index]
        predictions = [confident(each.shown[index], each.subject.model.draw_above) for each in compared]
        if (
            all(prediction.instances is None for prediction in predictions) and sample.label_map is not None
        ):  # objects should not be compared with label maps
            sample = sample.with_(instances=None)
        elif all(prediction.label_map is None for prediction in predictions) and sample.instances is not None:
            sample = sample.with_(label_map=None)
        cells: list[Cell | None] = [(sample.image, None), (sample.image, sample)]
        rows.append(cells + [(sample.image, prediction) for prediction in predictions])
    palette = dataset.palette or class_palette(dataset.classes)
    columns = ["image", "truth", *(each.name for each in compared)]
    grid_sheet(
        columns,
        rows,
        path,
        classes=dataset.classes,
        palette=palette,
        titles=[dataset.ids[index] for index in indexes],
    )
