"""Measures a run, or predictions on disk, for a report: what ``toolkit report`` does."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
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
from toolkit.evaluation.opening import OpenedRun, name_of_data, open_run, prompted_on, tiled
from toolkit.evaluation.protocols import plan_measurements
from toolkit.evaluation.requests import Computing, DataChoice, OpenedSplit, Prompting
from toolkit.evaluation.runs import open_predictions
from toolkit.evaluation.selection import build_evaluators
from toolkit.models.building import load_model
from toolkit.models.capabilities import Promptable
from toolkit.models.graphs import accelerator_for
from toolkit.models.recorded import RecordedModel
from toolkit.models.sliding_window import Tiling
from toolkit.reading.figures import METRICS_FILE, read_figures
from toolkit.reading.files import expanded
from toolkit.reporting import PAGE
from toolkit.reporting.explanations import read_explanations
from toolkit.reporting.findings import Findings
from toolkit.reporting.intervals import (
    FEWEST_DRAWS,
    SECONDS,
    all_metrics,
    compared_with,
    interval_notes,
    intervals,
)
from toolkit.reporting.near_copies import NearCopies, find_copies, other_splits
from toolkit.reporting.observer import Observer
from toolkit.reporting.written import WrittenReport, page_path, write_report
from toolkit.runtime.fabric import make_fabric
from toolkit.visualization.drawing import DRAW_ABOVE

MOST_NUMBERS = 200_000_000
"""Pixels of an image, times classes, up to which its probabilities are asked for: 0.8 GB."""


@dataclass(frozen=True)
class ReportOptions:
    """What a report is to hold, and where it goes.

    Attributes:
        out: the page to write; ``report.html`` in the run's folder, or beside a checkpoint file, when None;
            for predictions, here.
        compare: another run, that is measured on the same images and that the run is compared with.
        resamples: bootstrap draws for the intervals; as many as suit each evaluator and take no longer than
            ``SECONDS`` when None.
        seed: fixes the draws.
        copies: whether to look for near-duplicates, also in the other splits of the dataset.
        explanations: folders that ``toolkit explain`` wrote, to show what it found out.
    """

    out: str | os.PathLike[str] | None = None
    compare: RunLike | None = None
    resamples: int | None = None
    seed: int = 0
    copies: bool = True
    explanations: Sequence[str | os.PathLike[str]] = ()


@dataclass
class Measured:
    """A model that is measured, and what was seen of it.

    Attributes:
        name: what it is called.
        subject: the model.
        states: of its evaluators.
        threshold: the score that an object needs to be shown.
        observer: looks at single images; None where nobody asks.
        manifest: of its checkpoint; None for predictions on disk.
    """

    name: str
    subject: Subject
    states: ImageStates
    threshold: float
    observer: Observer | None = None
    manifest: CheckpointManifest | None = None


def report_run(
    run: RunLike,
    choice: DataChoice | None = None,
    computing: Computing | None = None,
    prompting: Prompting | None = None,
    options: ReportOptions | None = None,
    tiling: Tiling | None = None,
) -> WrittenReport:
    """Measure a run on a split, and write its report.

    Args:
        run: a run's folder, a checkpoint file, or what training returned.
        choice, computing, prompting: as for ``toolkit.evaluation.runs.evaluate_run``. With prompts, the run
            that it is compared with gets the same, if it takes any.
        options: what the report is to hold.
        tiling: when images are predicted window by window, by both runs.

    Raises:
        UsageError: when ``out`` is no page, an evaluator cannot measure a model, or it cannot use the window.
        DataError: when the classes of a model and the dataset differ in more than their order or a
            background.
    """
    computing, prompting = computing or Computing(), prompting or Prompting()
    options = options or ReportOptions()
    path = path_of_run(run)
    page = page_path(options.out or (path if path.is_dir() else path.parent) / PAGE)
    found = open_run(path, choice or DataChoice(), prompting)
    runs = [found]
    if options.compare is not None:
        runs.append(_other_run(found, path_of_run(options.compare), prompting))
    accelerator = accelerator_for([each.model for each in runs], computing.accelerator)
    fabric = make_fabric(accelerator=accelerator, devices=1, precision=computing.precision)
    fabric.launch()
    paths = [each.path for each in runs]
    dataset = found.opened.dataset
    measured = []
    for each in runs:
        evaluators = build_evaluators(
            found.evaluators, dataset.classes, task=found.task, owner=str(each.path)
        )
        measurements = plan_measurements(each.model, evaluators, each.manifest.start_weights)
        alignment = alignment_for(each.model, dataset, f"the model in {each.path}")
        used = tiled(each.model, tiling).to(fabric.device)
        subject = Subject(used, alignment, fabric.autocast())
        subject = measured_by(subject, measurements)
        if each is found and not subject.with_confidence:
            # the page says how sure the model is of what it sees, where it can
            subject = replace(subject, with_confidence=True, confidence_limit=MOST_NUMBERS)
        observer = Observer(tuple(dataset.classes), with_looks=options.copies) if each is found else None
        name = _short_name(each.path, paths)
        states = ImageStates(measurements, dataset)
        measured.append(Measured(name, subject, states, each.threshold, observer, each.manifest))
    findings = _measure(measured, found.opened, computing, options)
    return write_report(replace(findings, figures=_figures_of(path)), page)


def _other_run(run: OpenedRun, path: Path, prompting: Prompting) -> OpenedRun:
    """Another run that is measured like the first one."""
    model, manifest = load_model(path)
    threshold = model.draw_above
    if prompting.prompts is not None and model.capability(Promptable) is not None:
        model, threshold = prompted_on(run.opened.dataset, model, manifest, prompting), run.threshold
    return replace(run, path=path, model=model, manifest=manifest, threshold=threshold)


def report_predictions(
    predictions: Path,
    choice: DataChoice,
    *,
    label_values: Literal["index", "dataset"] = "index",
    computing: Computing | None = None,
    options: ReportOptions | None = None,
) -> WrittenReport:
    """Measure predictions that anyone has made, and write their report.

    Args:
        predictions, label_values: as for ``toolkit.evaluation.runs.evaluate_predictions``.
        choice: what they are of; the dataset by name.
        computing: how to go about it; images are read one at a time.
        options: what the report is to hold.

    Raises:
        UsageError: when ``out`` is no page.
        DataError: when the images are not there, or predictions do not fit the dataset.
    """
    computing, options = replace(computing or Computing(), batch_size=1), options or ReportOptions()
    page = page_path(options.out or PAGE)
    found = open_predictions(predictions, choice, label_values)
    dataset = found.opened.dataset
    dataset.require_images()
    model = RecordedModel(found.files)
    states = ImageStates(plan_measurements(model, found.evaluators), dataset)
    observer = Observer(tuple(dataset.classes), with_looks=options.copies)
    measured = Measured(predictions.name, Subject(model), states, DRAW_ABOVE, observer)
    return write_report(_measure([measured], found.opened, computing, options), page)


def _measure(
    measured: Sequence[Measured], opened: OpenedSplit, computing: Computing, options: ReportOptions
) -> Findings:
    """Send every batch through the models; the first one is what the report is about, the second one what it
    is compared with.
    """
    dataset, explanations = opened.dataset, read_explanations(options.explanations)
    loader = EvaluationLoader(dataset, batch_size=computing.batch_size, workers=computing.workers)
    with measuring(dataset, subjects=len(measured), show=computing.show_progress) as watch:
        for batch in predict_batches([each.subject for each in measured], loader):
            each = measured[batch.subject]
            each.states.add(batch)
            if each.observer is not None:
                each.observer.add(batch)
            watch(batch)
    subject = measured[0]
    assert subject.observer is not None
    resamples, seed = options.resamples, options.seed
    seconds = SECONDS if resamples is None else None
    reports = [each.states.reports() for each in measured]
    spreads = [
        each.states.spreads(resamples, seed, seconds=seconds, fewest=FEWEST_DRAWS) for each in measured
    ]
    reference = None
    if len(measured) > 1:
        reference = compared_with(measured[1].name, reports, spreads)
    return Findings(
        subject.name,
        _title_of(opened.data),
        opened.split,
        dataset,
        reports[0],
        subject.observer,
        subject.threshold,
        intervals=intervals(all_metrics(reports[0]), spreads[0]),
        reference=reference,
        notes=interval_notes(spreads[0], len(dataset), subject.name, reference),
        model={} if subject.manifest is None else model_facts(subject.manifest),
        settings={} if subject.manifest is None else subject.manifest.config,
        copies=_copies(subject.observer, opened) if options.copies else None,
        explanations=explanations,
    )


def _copies(observer: Observer, opened: OpenedSplit) -> NearCopies:
    return find_copies(opened.split, opened.dataset, observer.looks, other_splits(opened))


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
    """The last parts of a path, as many as tell it from the others: a page that others may see does not name
    all folders.
    """
    parts = [expanded(each).resolve().parts for each in paths]
    own = expanded(path).resolve().parts
    for count in range(1, len(own) + 1):
        if sum(each[-count:] == own[-count:] for each in parts) == 1:
            return str(Path(*own[-count:]))
    return own[-1]
