"""Evaluates a semantic and an instance run together: what ``toolkit panoptic`` does without images."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from toolkit import registry
from toolkit.checkpoints import RunLike, path_of_run
from toolkit.config import validate
from toolkit.config.tree import as_tree
from toolkit.data.dataset import Dataset
from toolkit.data.segments import PANOPTIC, thing_classes_of
from toolkit.evaluation.alignment import alignment_for
from toolkit.evaluation.driver import Subject, evaluate, measuring
from toolkit.evaluation.opening import open_data, tiled
from toolkit.evaluation.protocols import plan_measurements
from toolkit.evaluation.report import Report, Reports
from toolkit.evaluation.requests import DataChoice
from toolkit.evaluation.selection import build_evaluators
from toolkit.models.building import manifest_of_run
from toolkit.models.graphs import accelerator_for
from toolkit.models.panoptic import PanopticSettings, pair_of_runs
from toolkit.models.sliding_window import Tiling
from toolkit.runtime.fabric import make_fabric

if TYPE_CHECKING:
    from rich.table import Table


def evaluate_panoptic(
    stuff: RunLike,
    things: RunLike,
    *,
    data: str | Dataset | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    split: str | None = None,
    settings: Mapping[str, Any] | Sequence[str] = (),
    batch_size: int = 4,
    workers: int = 0,
    device: str = "auto",
    precision: str = "fp32",
    tiling: Tiling | None = None,
    progress: bool = True,
) -> Reports:
    """Evaluate a semantic run, an instance run, and their merged segments on the same images::

        toolkit.evaluate_panoptic("runs/unet-shapes", "runs/maskrcnn-shapes").metrics["pq"]

    Each run predicts each image once.

    Args:
        stuff, things: as for ``toolkit.load_panoptic``.
        data: the dataset, by name or as an open ``Dataset`` whose samples have segments; that of the runs
            when None, if they have the same.
        data_dir: its folder; by default that of the first run if the dataset is the same, else
            ``data/<name>``.
        split: the dataset's validation split when None.
        settings: settings of the pair (``model``), ``data.options`` and ``evaluators``. Without evaluators,
            ``pq``, and ``iou`` and ``coco`` if the dataset has label maps and objects.
        batch_size, workers, device, precision, tiling, progress: as for ``toolkit.evaluate``.

    Raises:
        UsageError: when the runs do not form a pair, do not determine the dataset, or one cannot use
            the window.
        DataError: when the classes of the pair and of the dataset differ in more than their order or a
            background.
    """
    paths = path_of_run(stuff), path_of_run(things)
    found = open_data(
        paths,
        [manifest_of_run(path) for path in paths],
        DataChoice(data, None if data_dir is None else os.fspath(data_dir), split, as_tree(settings)),
        task=registry.tasks().get(PANOPTIC),
        model=PanopticSettings,
    )
    dataset, wanted = found.opened.dataset, found.wanted
    chosen = validate(PanopticSettings, wanted["model"], source="settings of the pair")
    model, *_ = pair_of_runs(*paths, chosen, thing_classes=sorted(thing_classes_of(dataset)))
    fabric = make_fabric(accelerator=accelerator_for([model], device), devices=1, precision=precision)
    fabric.launch()
    model.semantic, model.instance = (tiled(each, tiling) for each in (model.semantic, model.instance))
    evaluators = build_evaluators(wanted["evaluators"] or _usual(dataset), dataset.classes)
    alignment = alignment_for(model, dataset, f"the pair of {paths[0]} and {paths[1]}")
    with measuring(dataset, show=progress) as watch:
        evaluation = evaluate(
            Subject(model.to(fabric.device), alignment, fabric.autocast()),
            dataset,
            plan_measurements(model, evaluators),
            batch_size=batch_size,
            workers=workers,
            on_batch=watch,
        )
    return Reports(evaluation.reports)


def _usual(dataset: Dataset) -> dict[str, Any]:
    """The evaluator of segments, and those for the other labels of the samples."""
    sample = dataset[0]
    beside = {"iou": sample.label_map is not None, "coco": sample.instances is not None}
    usual: dict[str, Any] = {"iou": {}, "coco": {"iou_types": ["segm"]}}
    return {"pq": {}} | {name: usual[name] for name, has in beside.items() if has}


def side_by_side(reports: Sequence[Report]) -> Table:
    """The first figures of several reports in one table: a row for the whole, and one for each class.

    Args:
        reports: reports with the same classes.
    """
    from rich.table import Table
    from rich.text import Text

    from toolkit.runtime.text import printable

    table = Table("class")
    columns = []
    for report in reports:
        name = next(iter(report.per_class), None)
        if name is not None:
            table.add_column(Text(name), justify="right")
            columns.append((next(iter(report.metrics.values())), report.per_class[name]))
    table.add_row("all", *(figure(whole) for whole, _ in columns), end_section=True)
    for index, name in enumerate(reports[0].classes):
        table.add_row(Text(printable(name)), *(figure(values[index]) for _, values in columns))
    return table


def figure(value: float) -> str:
    """A figure as shown in tables; a dash if it is undefined."""
    return "–" if value != value else f"{value:.4f}"
