"""Measures a run, or predictions on disk, for a report: what ``toolkit report`` does."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from toolkit import registry
from toolkit.checkpoints import CheckpointManifest, RunLike, path_of_run
from toolkit.data.dataset import Dataset
from toolkit.data.loader import EvaluationLoader
from toolkit.errors import ToolkitError
from toolkit.evaluation.alignment import alignment_for
from toolkit.evaluation.driver import Subject, measured_by, measuring, predict_batches
from toolkit.evaluation.image_states import ImageStates
from toolkit.evaluation.protocols import plan_measurements
from toolkit.evaluation.runs import name_of_data, open_run, predictions_on
from toolkit.evaluation.selection import build_evaluators
from toolkit.models.building import load_model
from toolkit.models.recorded import RecordedModel
from toolkit.reading.figures import METRICS_FILE, read_figures
from toolkit.reading.files import expanded
from toolkit.reporting import PAGE
from toolkit.reporting.findings import Findings
from toolkit.reporting.intervals import (
    FEWEST_DRAWS,
    SECONDS,
    all_metrics,
    compared_with,
    interval_notes,
    intervals,
)
from toolkit.reporting.observer import Observer
from toolkit.reporting.written import WrittenReport, page_path, write_report
from toolkit.runtime.fabric import make_fabric
from toolkit.visualization.drawing import DRAW_ABOVE


@dataclass
class Measured:
    """A model that is measured, and what was seen of it.

    Attributes:
        name: what it is called.
        subject: the model.
        states: of its evaluators.
        observer: looks at single images; None where nobody asks.
        manifest: of its checkpoint; None for predictions on disk.
    """

    name: str
    subject: Subject
    states: ImageStates
    observer: Observer | None = None
    manifest: CheckpointManifest | None = None


def report_run(
    run: RunLike,
    *,
    data: str | Dataset | None = None,
    data_dir: str | None = None,
    split: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    compare: RunLike | None = None,
    out: str | os.PathLike[str] | None = None,
    batch_size: int = 4,
    workers: int = 0,
    accelerator: str = "auto",
    precision: str = "fp32",
    resamples: int | None = None,
    seed: int = 0,
    show_progress: bool = False,
) -> WrittenReport:
    """Measure a run on a split, and write its report.

    Args:
        run: a run's folder, a checkpoint file, or what training returned.
        data: the dataset, by name or as it is; that of the run when None.
        data_dir, split, overrides: as for ``toolkit.evaluation.runs.evaluate_run``.
        compare: another run, that is measured on the same images and that the run is compared with.
        out: the page to write; ``report.html`` in the run's folder, or beside a checkpoint file, when None.
        batch_size, workers, accelerator, precision: as for ``evaluate_run``.
        resamples: bootstrap draws for the intervals; as many as suit each evaluator and take no longer than
            ``SECONDS`` when None.
        seed: fixes the draws.
        show_progress: show on standard error how far it is.

    Raises:
        UsageError: when ``out`` is no page, or an evaluator cannot measure the model.
        DataError: when the classes of a model and the dataset differ in more than their order or a
            background.
    """
    path = path_of_run(run)
    page = page_path(out or (path if path.is_dir() else path.parent) / PAGE)
    fabric = make_fabric(accelerator=accelerator, devices=1, precision=precision)
    fabric.launch()
    opened = open_run(path, data=data, data_dir=data_dir, split=split, overrides=overrides)
    dataset, model, manifest = opened.dataset, opened.model, opened.manifest
    paths = [path] if compare is None else [path, path_of_run(compare)]
    measured: list[Measured] = []
    for each in paths:
        if each is not path:
            model, manifest = load_model(each)
        evaluators = build_evaluators(opened.evaluators, dataset.classes, task=opened.task, owner=str(each))
        measurements = plan_measurements(model, evaluators, manifest.start_weights)
        alignment = alignment_for(model, dataset, f"the model in {each}")
        subject = Subject(model.to(fabric.device), alignment, fabric.autocast())
        subject = measured_by(subject, measurements)
        states = ImageStates(measurements, dataset)
        observer = Observer(tuple(dataset.classes)) if not measured else None
        measured.append(Measured(_short_name(each, paths), subject, states, observer, manifest))
    findings = _measure(
        measured,
        dataset,
        _title_of(opened.data),
        opened.split,
        batch_size=batch_size,
        workers=workers,
        resamples=resamples,
        seed=seed,
        show_progress=show_progress,
        figures=_figures_of(path),
    )
    return write_report(findings, page)


def report_predictions(
    predictions: Path,
    *,
    data: str,
    data_dir: str | None = None,
    split: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    label_values: Literal["index", "dataset"] = "index",
    out: str | os.PathLike[str] | None = None,
    workers: int = 0,
    resamples: int | None = None,
    seed: int = 0,
    show_progress: bool = False,
) -> WrittenReport:
    """Measure predictions that anyone has made, and write their report.

    Args:
        predictions, data, data_dir, split, overrides, label_values: as for
            ``toolkit.evaluation.runs.evaluate_predictions``.
        out: the page to write; ``report.html`` here when None.
        workers, resamples, seed, show_progress: as for ``report_run``.

    Raises:
        UsageError: when ``out`` is no page.
        DataError: when the images are not there, or predictions do not fit the dataset.
    """
    page = page_path(out or PAGE)
    files, dataset, split, evaluators = predictions_on(
        predictions,
        data=data,
        data_dir=data_dir,
        split=split,
        overrides=overrides,
        label_values=label_values,
    )
    dataset.require_images()
    model = RecordedModel(files)
    states = ImageStates(plan_measurements(model, evaluators), dataset)
    measured = Measured(predictions.name, Subject(model), states, Observer(tuple(dataset.classes)))
    findings = _measure(
        [measured],
        dataset,
        _title_of(data),
        split,
        batch_size=1,
        workers=workers,
        resamples=resamples,
        seed=seed,
        show_progress=show_progress,
    )
    return write_report(findings, page)


def _measure(
    measured: Sequence[Measured],
    dataset: Dataset,
    data: str,
    split: str,
    *,
    batch_size: int,
    workers: int,
    resamples: int | None,
    seed: int,
    show_progress: bool,
    figures: Sequence[Mapping[str, Any]] = (),
) -> Findings:
    """Send every batch through the models; the first one is what the report is about, the second one what it
    is compared with.
    """
    loader = EvaluationLoader(dataset, batch_size=batch_size, workers=workers)
    with measuring(dataset, subjects=len(measured), show=show_progress) as watch:
        for batch in predict_batches([each.subject for each in measured], loader):
            each = measured[batch.subject]
            each.states.add(batch)
            if each.observer is not None:
                each.observer.add(batch)
            watch(batch)
    subject = measured[0]
    assert subject.observer is not None
    seconds = SECONDS if resamples is None else None
    reports = [each.states.reports() for each in measured]
    spreads = [
        each.states.spreads(resamples, seed, seconds=seconds, fewest=FEWEST_DRAWS) for each in measured
    ]
    reference = None
    if len(measured) > 1:
        reference = compared_with(measured[1].name, reports, spreads)
    recorded = subject.manifest is None
    return Findings(
        subject.name,
        data,
        split,
        dataset,
        reports[0],
        subject.observer,
        DRAW_ABOVE if recorded else subject.subject.model.draw_above,
        intervals=intervals(all_metrics(reports[0]), spreads[0]),
        reference=reference,
        notes=interval_notes(spreads[0], len(dataset), subject.name, reference),
        model={} if subject.manifest is None else model_facts(subject.manifest),
        settings={} if subject.manifest is None else subject.manifest.config,
        figures=figures,
    )


def _title_of(data: str | Dataset) -> str:
    """What a dataset is called on a page that others may see: without the folder of its file."""
    name = name_of_data(data)
    return Path(name).stem if registry.is_path(name) else name


def model_facts(manifest: CheckpointManifest) -> dict[str, Any]:
    """What a checkpoint says of its model, for people."""
    facts: dict[str, Any] = {"plugin": manifest.plugin, "task": manifest.task, "step": manifest.step}
    if manifest.start_weights.get("name"):
        facts["start weights"] = manifest.start_weights["name"]
    for key, value in manifest.dataset.items():
        facts[f"training data: {key}"] = value
    return facts


def _figures_of(path: Path) -> list[dict[str, Any]]:
    """The figures of the training of a run; nothing where they are not there, as for a checkpoint alone."""
    file = (path if path.is_dir() else path.parent) / METRICS_FILE
    try:
        return read_figures(file) if file.is_file() else []
    except ToolkitError:  # a report of a damaged run is still one of its predictions
        return []


def _short_name(path: Path, paths: Sequence[Path]) -> str:
    """The last part of a path, or all of it where that does not tell it from another."""
    names = [expanded(each).resolve().name for each in paths]
    name = expanded(path).resolve().name
    return name if names.count(name) == 1 else str(path)
