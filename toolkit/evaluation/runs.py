"""Measures a run, or predictions on disk, on a dataset: what ``toolkit eval`` does."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from toolkit import registry
from toolkit.checkpoints import RunLike
from toolkit.data.dataset import Dataset
from toolkit.data.label_values import LabelValues
from toolkit.data.segments import PANOPTIC
from toolkit.errors import UsageError
from toolkit.evaluation.base import DocumentEvaluator, Evaluator
from toolkit.evaluation.class_pictures import draw_all
from toolkit.evaluation.driver import Subject, evaluate, measuring
from toolkit.evaluation.opening import known_sections, open_split
from toolkit.evaluation.protocols import plan_measurements
from toolkit.evaluation.report import Report
from toolkit.evaluation.requests import Computing, DataChoice, OpenedSplit, Prompting
from toolkit.evaluation.selection import build_evaluators
from toolkit.evaluation.shares import MeasuredRun, ShareEngine
from toolkit.evaluation.validated_windows import other_windows
from toolkit.formats.coco_numbers import CocoNumbers, coco_numbers
from toolkit.formats.coco_results import fitted_results
from toolkit.formats.predictions import PredictionFiles
from toolkit.models.recorded import RecordedModel
from toolkit.models.sliding_window import Tiling
from toolkit.runtime.files import atomic_write
from toolkit.runtime.progress import counting
from toolkit.wording import counted

logger = logging.getLogger("toolkit")


def evaluate_run(
    run: RunLike,
    choice: DataChoice | None = None,
    computing: Computing | None = None,
    prompting: Prompting | None = None,
    tiling: Tiling | None = None,
    engine: ShareEngine | None = None,
) -> list[Report] | None:
    """Measure a trained model on a split.

    Args:
        run: a run's folder, a checkpoint file, or what training returned.
        choice: what to measure on; all as it was trained on when None.
        computing: how to go about it.
        prompting: for a promptable model; by its prompt protocols when None.
        tiling: when images are predicted window by window; as for ``toolkit.load``.
        engine: other processes that measure; this one, or those of ``computing``, when None.

    Returns:
        One report per evaluator, also written to ``eval-<data>-<split>.json`` in the run's folder, with
        pictures, unless the dataset has no name; None in the processes of a distributed run other than the
        first.

    Raises:
        UsageError: when an evaluator cannot measure the model, or it cannot use the window.
        DataError: when the classes of model and dataset differ in more than their order or a background.
    """
    choice, computing, prompting = choice or DataChoice(), computing or Computing(), prompting or Prompting()
    # With other processes, this one only puts together what they have found.
    here = computing if engine is None else Computing(accelerator="cpu")
    measured_run = MeasuredRun(run, choice, here, prompting, tiling)
    path, dataset = measured_run.opened.path, measured_run.dataset
    data, split = measured_run.opened.opened.data, measured_run.opened.opened.split
    if note := other_windows(measured_run.opened.manifest, tiling, path):
        logger.info(note)
    if engine is not None:
        reports = _by_others(engine, measured_run, choice, computing, prompting, tiling)
    else:
        with measuring(dataset, show=computing.show_progress) as watch:
            evaluation = evaluate(
                measured_run.subject,
                dataset,
                measured_run.measurements,
                batch_size=computing.batch_size,
                workers=computing.workers,
                on_batch=watch,
            )
        if not measured_run.fabric.is_global_zero:
            return None
        reports = list(evaluation.reports)
    measured = f"Evaluated {counted(len(dataset), 'image')}"
    if path.is_dir() and not isinstance(data, Dataset):
        how = "" if prompting.prompts is None else "-prompted"
        how += f"-window{tiling.window}" if tiling is not None and tiling.window is not None else ""
        file_path = path / f"eval-{Path(data).stem}-{split}{how}.json"
        with atomic_write(file_path, "w") as file:
            json.dump([report.to_dict() for report in reports], file, indent=2)
        pictures = draw_all(reports, file_path, f"{Path(data).stem}, split {split}")
        measured += f"; results: {file_path}" + (
            f" and, next to it, {', '.join(picture.name for picture in pictures)}" if pictures else ""
        )
    logger.info(measured)
    return reports


def _by_others(
    engine: ShareEngine,
    run: MeasuredRun,
    choice: DataChoice,
    computing: Computing,
    prompting: Prompting,
    tiling: Tiling | None,
) -> list[Report]:
    if isinstance(choice.data, Dataset):
        raise UsageError(
            "a dataset that is open cannot be sent to other processes. Hint: name it, as in --data msrc"
        )
    images = len(run.dataset)
    with counting("measuring", images, show=computing.show_progress) as advance:
        states = engine.states(run.opened.path, choice, computing, prompting, tiling, images, advance)
    return run.merged(states)


def evaluate_predictions(
    path: Path,
    *,
    data: str,
    data_dir: str | None = None,
    split: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    label_values: Literal["index", "dataset"] = "index",
    show_progress: bool = False,
) -> list[Report]:
    """Measure predictions that anyone has made, see ``toolkit.formats.predictions``.

    Args:
        path: the predictions.
        data, data_dir, split, overrides: as in ``DataChoice``.
        label_values: what a folder of label images without a ``classes.csv`` holds: the indexes of classes
            and 255 for none, or the values that the dataset's own label images have.
        show_progress: show progress on standard error.

    A list of COCO results for a dataset that comes from a COCO file is compared with that file alone, in the
    files' own precision.

    Raises:
        DataError: when a label image is missing, or a prediction is of another size, an unknown image or an
            unknown class.
    """
    found = open_predictions(path, DataChoice(data, data_dir, split, overrides), label_values)
    dataset = found.opened.dataset
    reports = _from_documents(found.evaluators, found.files, coco_numbers(dataset))
    if reports is None:
        dataset.require_images()
        model = RecordedModel(found.files)
        with measuring(dataset, show=show_progress) as watch:
            measurements = plan_measurements(model, found.evaluators)
            evaluation = evaluate(Subject(model), dataset, measurements, batch_size=1, on_batch=watch)
        reports = list(evaluation.reports)
    logger.info("Evaluated %s", counted(len(dataset), "image"))
    return reports


@dataclass(frozen=True)
class OpenedPredictions:
    """Predictions on disk with the data that they are measured on.

    Attributes:
        files: the predictions.
        opened: what they are of.
        evaluators: that measure them.
    """

    files: PredictionFiles
    opened: OpenedSplit
    evaluators: list[Evaluator]


def open_predictions(
    path: Path, choice: DataChoice, label_values: Literal["index", "dataset"]
) -> OpenedPredictions:
    """Find predictions on disk, and open what they are of; arguments and errors as for
    ``evaluate_predictions``.
    """
    data = choice.data
    assert isinstance(data, str), "predictions are of a dataset with a name"
    registry.named(registry.datasets(), data, by_user=True)
    wanted = known_sections(choice.overrides, data)
    options = wanted["data"].get("options", {})
    dataset, split = open_split(data, choice.data_dir, choice.split, options, need_images=False)
    numbers = coco_numbers(dataset)
    files = PredictionFiles(
        path,
        dataset.classes,
        image_ids=numbers.image_ids,
        category_ids=numbers.category_ids,
        label_values=_own_values(dataset, data) if label_values == "dataset" else None,
    )
    files.require(dataset.ids)
    tasks = registry.named(registry.datasets(), data).tasks
    evaluators = build_evaluators(wanted["evaluators"] or _usual(tasks, files), dataset.classes)
    opened = OpenedSplit(dataset, data, split, choice.data_dir, options)
    return OpenedPredictions(files, opened, evaluators)


def _own_values(dataset: Dataset, name: str) -> LabelValues:
    if dataset.label_values is None:
        raise UsageError(
            f"the label images of dataset {name!r} are in color, or there are none, so it has no label"
            " values. Hint: leave out --label-values, and write class indexes, or a classes.csv next to"
            " the label images"
        )
    return dataset.label_values


def _usual(tasks: Sequence[str], files: PredictionFiles) -> dict[str, Any]:
    """The usual evaluators of a dataset's tasks, less those that these predictions are not meant for."""
    known = [task for task in registry.tasks() if task.name in tasks]
    in_files = [task for task in known if task.predicts in (("label_map",), ("instances",), (PANOPTIC,))]
    found = {"instances" if files.has_instances else "label_map"}
    if files.panoptic is not None:
        has = {PANOPTIC: True, "label_map": bool(files.label_files), "instances": files.has_instances}
        found = {name for name, is_there in has.items() if is_there}
    meant = [task for task in in_files if found & set(task.predicts)]
    return {name: {} for task in meant or in_files for name in task.evaluators}


def _from_documents(
    evaluators: Sequence[Evaluator], files: PredictionFiles, numbers: CocoNumbers
) -> list[Report] | None:
    """The reports from two COCO files alone; None where there are none, or an evaluator needs the images."""
    chosen = [evaluator for evaluator in evaluators if isinstance(evaluator, DocumentEvaluator)]
    if files.results is None or numbers.document is None or len(chosen) < len(evaluators):
        return None
    document = numbers.document()
    if document is None:  # sizes are missing, so the images are read
        return None
    sizes = {image["id"]: (image["height"], image["width"]) for image in document["images"]}
    results = fitted_results(files.results, files.path, sizes)
    return [evaluator.report_document(document, results, numbers.category_ids) for evaluator in chosen]
