"""Measures a run, or predictions on disk, on a dataset: what ``toolkit eval`` does."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from toolkit import registry
from toolkit.config import settings_class, validate
from toolkit.config.tree import merge
from toolkit.data.dataset import Dataset, open_dataset
from toolkit.errors import DataError, UsageError
from toolkit.evaluation.base import Evaluator
from toolkit.evaluation.coco import Coco
from toolkit.evaluation.driver import evaluate
from toolkit.evaluation.protocols import by_protocol
from toolkit.evaluation.report import Report
from toolkit.formats.coco_results import check_mask_sizes
from toolkit.formats.predictions import PredictionFiles
from toolkit.models.building import load_model
from toolkit.models.contract import Model, PromptableModel
from toolkit.models.prompted import prompted
from toolkit.models.simulated_prompts import AUTO
from toolkit.runtime.devices import make_fabric
from toolkit.runtime.files import atomic_write

SECTIONS = ("data", "evaluators")
TASK_EVALUATORS = {"semantic": "iou", "instance": "coco"}


def measure_run(
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
) -> list[Report] | None:
    """Evaluate a trained model on a split.

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

    Returns:
        One report an evaluator, also written to ``eval-<data>-<split>.json`` in the run's folder; None in the
        processes of a distributed run other than the first.

    Raises:
        DataError: when the classes of model and dataset differ.
    """
    fabric = make_fabric(accelerator=accelerator, devices=devices, precision=precision)
    fabric.launch()
    rest, model_settings = _without_model(overrides)
    model, manifest = load_model(run, model_settings)
    wanted = known_sections(rest)
    config: Mapping[str, Any] = manifest.config
    saved_data = (
        config.get("data", {}) if config.get("data", {}).get("name") == registry.stable_name(data) else {}
    )
    options = merge(saved_data.get("options") or {}, wanted["data"].get("options", {}))
    split = split or registry.named(registry.datasets(), data).val_split
    dataset = open_split(data, data_dir or saved_data.get("dir"), split, options)
    chosen = merge(dict(config.get("evaluators") or {}), wanted["evaluators"])
    if prompts is not None:
        model = _prompted(model, prompts, dataset)
        chosen = wanted["evaluators"] or {"coco": {}}
    if tuple(dataset.classes) != model.classes and not isinstance(
        model, PromptableModel
    ):  # whose classes are the prompts'
        raise DataError(
            f"the model in {run} knows the classes {', '.join(manifest.classes)}, but dataset {data!r} has"
            f" {', '.join(dataset.classes)}. Repair: choose the dataset or options that it was trained with"
        )
    evaluators = by_protocol(chosen_evaluators(chosen, dataset), model)
    model.to(fabric.device)
    validation = evaluate(
        model, dataset, evaluators, batch_size=batch_size, workers=workers, autocast=fabric.autocast()
    )
    if not fabric.is_global_zero:
        return None
    reports = list(validation.reports)
    if Path(run).is_dir():
        how = "" if prompts is None else "-prompted"
        with atomic_write(Path(run) / f"eval-{Path(data).stem}-{split}{how}.json", "w") as file:
            json.dump([report.to_dict() for report in reports], file, indent=2)
    return reports


def _prompted(model: Model, prompts: str, dataset: Dataset) -> Model:
    """The model with its source of prompts, for the images and classes of a dataset."""
    if prompts == AUTO:
        raise UsageError(
            "--prompts auto: objects that nobody prompted have no classes. Repair: leave --prompts out, and"
            " the protocol auto measures them"
        )
    model = prompted(model, prompts, classes=dataset.classes)
    model.assign(dataset.ids)
    return model


def measure_predictions(
    path: Path,
    *,
    data: str,
    data_dir: str | None = None,
    split: str | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> list[Report]:
    """Evaluate predictions that anyone has made, see ``toolkit.formats.predictions``; arguments as in
    ``measure_run``.

    A list of COCO results for a dataset that comes from a COCO file is compared with that file alone, in the
    files' own precision.

    Raises:
        DataError: when a label image is missing, or a prediction is of another size, an unknown image or an
            unknown class.
    """
    wanted = known_sections(overrides)
    dataset = open_split(data, data_dir, split, wanted["data"].get("options", {}))
    image_ids = dataset.coco_image_ids or {
        sample_id: number for number, sample_id in enumerate(dataset.ids, start=1)
    }
    predictions = PredictionFiles(
        path, dataset.classes, image_ids=image_ids, category_ids=dataset.coco_category_ids
    )
    predictions.require(dataset.ids)
    tasks = registry.named(registry.datasets(), data).tasks
    evaluators = chosen_evaluators(wanted["evaluators"] or _fitting(tasks, predictions), dataset)
    exact = _from_documents(evaluators, predictions, dataset)
    if exact is not None:
        return exact
    for evaluator in evaluators:
        evaluator.reset()
        evaluator.prepare(dataset)
    for index in range(len(dataset)):
        sample = dataset[index]
        prediction = predictions.read(sample.id, sample.size)
        for evaluator in evaluators:
            evaluator.update([sample], [prediction])
    return [evaluator.report() for evaluator in evaluators]


def _fitting(tasks: Sequence[str], predictions: PredictionFiles) -> dict[str, Any]:
    """The usual evaluators of a dataset's tasks, less those that these predictions are not meant for."""
    possible = [task for task in tasks if task in TASK_EVALUATORS]
    meant = [task for task in possible if (task == "instance") == predictions.has_instances]
    return {TASK_EVALUATORS[task]: {} for task in meant or possible}


def _from_documents(
    evaluators: Sequence[Evaluator], predictions: PredictionFiles, dataset: Dataset
) -> list[Report] | None:
    """The reports from two COCO files alone; None where there are none, or an evaluator needs the images."""
    chosen = [evaluator for evaluator in evaluators if isinstance(evaluator, Coco)]
    if predictions.results is None or dataset.coco_image_ids is None or len(chosen) < len(evaluators):
        return None
    document = dataset.coco_document()
    if document is None:
        return None
    sizes = {
        image["id"]: (image["height"], image["width"])
        for image in document["images"]
        if {"height", "width"} <= image.keys()
    }
    check_mask_sizes(predictions.results, predictions.path, sizes)
    category_ids = dataset.coco_category_ids or range(1, len(dataset.classes) + 1)
    return [evaluator.report_document(document, predictions.results, category_ids) for evaluator in chosen]


def _without_model(overrides: Mapping[str, Any] | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """The overrides without the section ``model``, and that section."""
    rest = dict(overrides or {})
    return rest, rest.pop("model", {})


def known_sections(overrides: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """The overrides by section.

    Raises:
        UsageError: when there are others than ``data.options`` and ``evaluators``.
    """
    sections: dict[str, dict[str, Any]] = {name: {} for name in SECTIONS} | dict(overrides or {})
    unknown = [name for name in sections if name not in SECTIONS] + [
        f"data.{key}" for key in sections["data"] if key != "options"
    ]
    if unknown:
        raise UsageError(
            f"settings of {', '.join(unknown)} have no effect here. Repair: use data.options.… or"
            " evaluators.…"
        )
    return sections


def open_split(data: str, data_dir: str | None, split: str | None, options: Mapping[str, Any]) -> Dataset:
    """A split to measure on, by default that for validation.

    Raises:
        DataError: when it is empty.
    """
    manifest = registry.named(registry.datasets(), data)
    dataset = open_dataset(manifest, data_dir, split or manifest.val_split, options)
    if not len(dataset):
        raise DataError(f"dataset {data!r}: the split {split or manifest.val_split!r} has no images")
    return dataset


def chosen_evaluators(settings: Mapping[str, Any], dataset: Dataset) -> list[Evaluator]:
    """The evaluators that settings name, for the classes of a dataset.

    Raises:
        UsageError: when they name none.
        ConfigError: when a setting of theirs is wrong.
    """
    evaluators = []
    for name, values in settings.items():
        manifest = registry.evaluators().get(name)
        checked = validate(settings_class(manifest), values or {}, source=f"evaluators.{name}")
        evaluators.append(manifest.resolve(manifest.build)(checked, dataset.classes))
    if not evaluators:
        raise UsageError("no evaluator is chosen. Repair: name one, such as evaluators.iou={}")
    return evaluators
