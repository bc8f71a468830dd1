"""Measures a run, or predictions on disk, on a dataset: what ``toolkit eval`` does."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from toolkit import registry
from toolkit.config.tree import merge
from toolkit.data.dataset import Dataset, open_dataset, open_for_task
from toolkit.errors import DataError, UsageError
from toolkit.evaluation.alignment import alignment_for
from toolkit.evaluation.base import DocumentEvaluator, Evaluator
from toolkit.evaluation.driver import PredictedBatch, Subject, evaluate, measuring
from toolkit.evaluation.protocols import plan_measurements
from toolkit.evaluation.report import Report
from toolkit.evaluation.selection import build_evaluators
from toolkit.formats.coco_numbers import CocoNumbers, coco_numbers
from toolkit.formats.coco_results import check_mask_sizes
from toolkit.formats.predictions import PredictionFiles
from toolkit.models.building import load_model
from toolkit.models.prompted import prompted
from toolkit.models.recorded import RecordedModel
from toolkit.models.simulated_prompts import AUTO
from toolkit.registry.manifests import TaskManifest
from toolkit.runtime.devices import make_fabric
from toolkit.runtime.files import atomic_write
from toolkit.runtime.progress import counted

logger = logging.getLogger("toolkit")

SECTIONS = ("data", "evaluators")


def evaluate_run(
    run: str | Path,
    *,
    data: str,
    data_dir: str | None = None,
    split: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    batch_size: int = 4,
    workers: int = 0,
    devices: int = 1,
    accelerator: str = "auto",
    precision: str = "fp32",
    prompts: str | None = None,
    on_batch: Callable[[PredictedBatch], None] | None = None,
    show_progress: bool = False,
) -> list[Report] | None:
    """Measure a trained model on a split.

    Args:
        run: a run's folder or a checkpoint file.
        data: name of the dataset.
        data_dir: its folder; that of the run's own settings when the dataset is the same, else
            ``data/<name>``.
        split: the dataset's validation split when None.
        overrides: settings of the sections ``model``, ``data`` and ``evaluators``, nested; they are laid over
            the run's.
        prompts: for a promptable model: who prompts it, as for ``toolkit.load``; its answers are then
            measured as detections, by the evaluator ``coco`` unless ``overrides`` name others. None measures
            it by its prompt protocols.
        batch_size, workers, devices, accelerator, precision: how to go about it; they do not change what is
            measured.
        on_batch: called with the predictions of each batch.
        show_progress: show on standard error how far it is.

    Returns:
        One report per evaluator, also written to ``eval-<data>-<split>.json`` in the run's folder; None in
        the processes of a distributed run other than the first.

    Raises:
        UsageError: when an evaluator cannot measure the model.
        DataError: when the classes of model and dataset differ in more than their order or a background.
    """
    fabric = make_fabric(accelerator=accelerator, devices=devices, precision=precision)
    fabric.launch()
    rest = dict(overrides or {})
    model, manifest = load_model(run, rest.pop("model", {}))
    task = registry.tasks().get(manifest.task)
    wanted = known_sections(rest)
    saved = manifest.config.get("data", {})
    saved = saved if saved.get("name") == registry.stable_name(data) else {}
    options = merge(saved.get("options") or {}, wanted["data"].get("options", {}))
    dataset, split = open_split(data, data_dir or saved.get("dir"), split, options, task)
    chosen = merge(dict(manifest.config.get("evaluators") or {}), wanted["evaluators"])
    if prompts is not None:
        if prompts == AUTO:
            raise UsageError(
                "--prompts auto: objects that nobody prompted have no classes. Hint: leave --prompts out,"
                " and the protocol auto measures them"
            )
        model = prompted(model, prompts, classes=dataset.classes)
        model.expect_images(dataset.ids)
        chosen = wanted["evaluators"] or {"coco": {}}
    alignment = alignment_for(model, dataset, f"the model in {run}")
    evaluators = build_evaluators(chosen, dataset.classes, task=task, owner=str(run))
    with measuring(dataset, on_batch, show=show_progress) as watch:
        evaluation = evaluate(
            Subject(model.to(fabric.device), alignment, fabric.autocast()),
            dataset,
            plan_measurements(model, evaluators),
            batch_size=batch_size,
            workers=workers,
            on_batch=watch,
        )
    if not fabric.is_global_zero:
        return None
    reports = list(evaluation.reports)
    measured = f"Measured on {counted(len(dataset), 'image')} of split {split}"
    if Path(run).is_dir():
        how = "" if prompts is None else "-prompted"
        path = Path(run) / f"eval-{Path(data).stem}-{split}{how}.json"
        with atomic_write(path, "w") as file:
            json.dump([report.to_dict() for report in reports], file, indent=2)
        measured += f"; the figures are in {path}"
    logger.info(measured)
    return reports


def evaluate_predictions(
    path: Path,
    *,
    data: str,
    data_dir: str | None = None,
    split: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    show_progress: bool = False,
) -> list[Report]:
    """Measure predictions that anyone has made, see ``toolkit.formats.predictions``; arguments as in
    ``evaluate_run``.

    A list of COCO results for a dataset that comes from a COCO file is compared with that file alone, in the
    files' own precision.

    Raises:
        DataError: when a label image is missing, or a prediction is of another size, an unknown image or an
            unknown class.
    """
    wanted = known_sections(overrides)
    dataset, split = open_split(data, data_dir, split, wanted["data"].get("options", {}))
    numbers = coco_numbers(dataset)
    files = PredictionFiles(
        path, dataset.classes, image_ids=numbers.image_ids, category_ids=numbers.category_ids
    )
    files.require(dataset.ids)
    tasks = registry.named(registry.datasets(), data).tasks
    evaluators = build_evaluators(wanted["evaluators"] or _usual(tasks, files), dataset.classes)
    reports = _from_documents(evaluators, files, numbers)
    if reports is None:
        model = RecordedModel(files)
        with measuring(dataset, show=show_progress) as watch:
            measurements = plan_measurements(model, evaluators)
            evaluation = evaluate(Subject(model), dataset, measurements, batch_size=1, on_batch=watch)
        reports = list(evaluation.reports)
    logger.info("Measured on %s of split %s", counted(len(dataset), "image"), split)
    return reports


def _usual(tasks: Sequence[str], files: PredictionFiles) -> dict[str, Any]:
    """The usual evaluators of a dataset's tasks, less those that these predictions are not meant for."""
    known = [task for task in registry.tasks() if task.name in tasks]
    in_files = [task for task in known if task.predicts in (("label_map",), ("instances",))]
    found = "instances" if files.has_instances else "label_map"
    meant = [task for task in in_files if found in task.predicts]
    return {name: {} for task in meant or in_files for name in task.evaluators}


def _from_documents(
    evaluators: Sequence[Evaluator], files: PredictionFiles, numbers: CocoNumbers
) -> list[Report] | None:
    """The reports from two COCO files alone; None where there are none, or an evaluator needs the images."""
    chosen = [evaluator for evaluator in evaluators if isinstance(evaluator, DocumentEvaluator)]
    if files.results is None or numbers.document is None or len(chosen) < len(evaluators):
        return None
    document = numbers.document()
    sizes = {
        image["id"]: (image["height"], image["width"])
        for image in document["images"]
        if {"height", "width"} <= image.keys()
    }
    check_mask_sizes(files.results, files.path, sizes)
    return [evaluator.report_document(document, files.results, numbers.category_ids) for evaluator in chosen]


def known_sections(overrides: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """The overrides by section.

    Raises:
        UsageError: when there are others than ``data.options`` and ``evaluators``.
    """
    sections: dict[str, dict[str, Any]] = {name: {} for name in SECTIONS} | dict(overrides or {})
    unknown = [name for name in sections if name not in SECTIONS]
    unknown += [f"data.{key}" for key in sections["data"] if key != "options"]
    if unknown:
        raise UsageError(
            f"settings of {', '.join(unknown)} have no effect here. Hint: use data.options.… or evaluators.…"
        )
    return sections


def open_split(
    data: str,
    data_dir: str | None,
    split: str | None,
    options: Mapping[str, Any],
    task: TaskManifest | None = None,
) -> tuple[Dataset, str]:
    """A split to measure on, by default that for validation, and its name.

    Args:
        data, data_dir, split, options: which; as for ``open_dataset``.
        task: of the model, to whose labels a dataset of another task is converted; None leaves them as they
            are.

    Raises:
        DataError: when it is empty.
    """
    manifest = registry.named(registry.datasets(), data)
    split = split or manifest.val_split
    if task is None:
        dataset = open_dataset(manifest, data_dir, split, options)
    else:
        dataset, _ = open_for_task(manifest, task, data_dir, split, options)
    if not len(dataset):
        raise DataError(f"dataset {data!r}: the split {split!r} has no images")
    return dataset, split
