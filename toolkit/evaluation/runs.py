"""Measures a run, or predictions on disk, on a dataset: what ``toolkit eval`` does."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from toolkit import registry
from toolkit.checkpoints import RunLike
from toolkit.data.dataset import Dataset
from toolkit.data.label_values import LabelValues
from toolkit.data.segments import PANOPTIC
from toolkit.errors import UsageError
from toolkit.evaluation.alignment import alignment_for
from toolkit.evaluation.base import DocumentEvaluator, Evaluator
from toolkit.evaluation.class_pictures import draw_all
from toolkit.evaluation.driver import Subject, evaluate, measuring
from toolkit.evaluation.opening import known_sections, open_split
from toolkit.evaluation.opening import name_of_data as name_of_data
from toolkit.evaluation.opening import open_run as open_run
from toolkit.evaluation.protocols import plan_measurements
from toolkit.evaluation.report import Report
from toolkit.evaluation.selection import build_evaluators
from toolkit.formats.coco_numbers import CocoNumbers, coco_numbers
from toolkit.formats.coco_results import fitted_results
from toolkit.formats.predictions import PredictionFiles
from toolkit.models.prompted import prompted
from toolkit.models.recorded import RecordedModel
from toolkit.models.simulated_prompts import AUTO
from toolkit.runtime.fabric import make_fabric
from toolkit.runtime.files import atomic_write
from toolkit.wording import counted

logger = logging.getLogger("toolkit")


def evaluate_run(
    run: RunLike,
    *,
    data: str | Dataset | None = None,
    data_dir: str | None = None,
    split: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    batch_size: int = 4,
    workers: int = 0,
    devices: int = 1,
    accelerator: str = "auto",
    precision: str = "fp32",
    prompts: str | None = None,
    prompts_above: float | None = None,
    show_progress: bool = False,
) -> list[Report] | None:
    """Measure a trained model on a split.

    Args:
        run: a run's folder, a checkpoint file, or what training returned.
        data: the dataset, by name or as it is; that of the run when None.
        data_dir: its folder; that of the run's own settings when the dataset is the same, else
            ``data/<name>``.
        split: the dataset's validation split when None.
        overrides: settings of the sections ``model``, ``data.options`` and ``evaluators`` by full or bare
            keys; they are laid over the run's.
        prompts: for a promptable model: the source of its prompts, as for ``toolkit.load``; its answers are
            then evaluated as detections, by the evaluator ``coco`` unless ``overrides`` name others. None
            measures it by its prompt protocols.
        prompts_above: the score that a detection needs to become a prompt, as for ``toolkit.load``.
        batch_size, workers, devices, accelerator, precision: how to go about it; they do not change what is
            measured.
        show_progress: show progress on standard error.

    Returns:
        One report per evaluator, also written to ``eval-<data>-<split>.json`` in the run's folder, with
        pictures, unless the dataset has no name; None in the processes of a distributed run other than the
        first.

    Raises:
        UsageError: when an evaluator cannot measure the model.
        DataError: when the classes of model and dataset differ in more than their order or a background.
    """
    fabric = make_fabric(accelerator=accelerator, devices=devices, precision=precision)
    fabric.launch()
    opened = open_run(run, data=data, data_dir=data_dir, split=split, overrides=overrides)
    run, data, dataset, split = opened.path, opened.data, opened.dataset, opened.split
    model, manifest, chosen = opened.model, opened.manifest, opened.evaluators
    if prompts is None and prompts_above is not None:
        raise UsageError(
            "--prompts-above is for prompts that are another run's detections. Hint: add --prompts from:RUN"
        )
    if prompts is not None:
        if prompts == AUTO:
            raise UsageError(
                "--prompts auto: objects found without prompts have no classes. Hint: leave --prompts out"
                " to measure the model by its prompt protocols, or give from:RUN or a file"
            )
        model = prompted(
            model,
            prompts,
            classes=dataset.classes,
            prompts_above=prompts_above,
            start_weights=manifest.start_weights,
        )
        model.expect_images(dataset.ids)
        chosen = opened.wanted_evaluators or {"coco": {}}
    alignment = alignment_for(model, dataset, f"the model in {run}")
    evaluators = build_evaluators(chosen, dataset.classes, task=opened.task, owner=str(run))
    with measuring(dataset, show=show_progress) as watch:
        evaluation = evaluate(
            Subject(model.to(fabric.device), alignment, fabric.autocast()),
            dataset,
            plan_measurements(model, evaluators, manifest.start_weights),
            batch_size=batch_size,
            workers=workers,
            on_batch=watch,
        )
    if not fabric.is_global_zero:
        return None
    reports = list(evaluation.reports)
    measured = f"Evaluated {counted(len(dataset), 'image')}"
    if run.is_dir() and not isinstance(data, Dataset):
        how = "" if prompts is None else "-prompted"
        path = run / f"eval-{Path(data).stem}-{split}{how}.json"
        with atomic_write(path, "w") as file:
            json.dump([report.to_dict() for report in reports], file, indent=2)
        pictures = draw_all(reports, path, f"{Path(data).stem}, split {split}")
        measured += f"; results: {path}" + (
            f" and, beside it, {', '.join(picture.name for picture in pictures)}" if pictures else ""
        )
    logger.info(measured)
    return reports


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
    """Measure predictions that anyone has made, see ``toolkit.formats.predictions``; arguments as in
    ``evaluate_run``.

    Args:
        path: the predictions.
        label_values: what a folder of label images without a ``classes.csv`` holds: the indexes of classes
            and 255 for none, or the values that the dataset's own label images have.

    A list of COCO results for a dataset that comes from a COCO file is compared with that file alone, in the
    files' own precision.

    Raises:
        DataError: when a label image is missing, or a prediction is of another size, an unknown image or an
            unknown class.
    """
    files, dataset, _, evaluators = predictions_on(
        path, data=data, data_dir=data_dir, split=split, overrides=overrides, label_values=label_values
    )
    reports = _from_documents(evaluators, files, coco_numbers(dataset))
    if reports is None:
        dataset.require_images()
        model = RecordedModel(files)
        with measuring(dataset, show=show_progress) as watch:
            measurements = plan_measurements(model, evaluators)
            evaluation = evaluate(Subject(model), dataset, measurements, batch_size=1, on_batch=watch)
        reports = list(evaluation.reports)
    logger.info("Evaluated %s", counted(len(dataset), "image"))
    return reports


def predictions_on(
    path: Path,
    *,
    data: str,
    data_dir: str | None,
    split: str | None,
    overrides: Mapping[str, Any] | None,
    label_values: Literal["index", "dataset"],
) -> tuple[PredictionFiles, Dataset, str, list[Evaluator]]:
    """Predictions on disk with the split that they are of, its name, and the evaluators that measure them;
    arguments and errors as for ``evaluate_predictions``.
    """
    registry.named(registry.datasets(), data, by_user=True)
    wanted = known_sections(overrides, data)
    options = wanted["data"].get("options", {})
    dataset, split = open_split(data, data_dir, split, options, need_images=False)
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
    return files, dataset, split, evaluators


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
