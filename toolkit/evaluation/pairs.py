"""Measures a semantic and an instance run together: what ``toolkit panoptic`` does without images."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit import registry
from toolkit.checkpoints import CheckpointManifest, RunLike, path_of_run
from toolkit.config import validate
from toolkit.config.tree import as_tree, merge
from toolkit.data.dataset import Dataset
from toolkit.data.segments import PANOPTIC, thing_classes_of
from toolkit.errors import UsageError
from toolkit.evaluation.alignment import alignment_for
from toolkit.evaluation.driver import Subject, evaluate, measuring
from toolkit.evaluation.opening import data_of_run, known_sections, name_of_data, open_split
from toolkit.evaluation.protocols import plan_measurements
from toolkit.evaluation.report import Report, Reports
from toolkit.evaluation.selection import build_evaluators
from toolkit.models.building import manifest_of_run
from toolkit.models.panoptic import PanopticSettings, pair_of_runs
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
    progress: bool = True,
) -> Reports:
    """Measure a semantic run, an instance run, and the segments that they make together, on the same images::

        toolkit.evaluate_panoptic("runs/unet-shapes", "runs/maskrcnn-shapes").metrics["pq"]

    Each image is predicted once by each.

    Args:
        stuff, things: as for ``toolkit.load_panoptic``.
        data: the dataset, by name or as an open ``Dataset`` whose samples have segments; that of the runs
            when None, if they have the same.
        data_dir: its folder; that of the first run where the dataset is the same, else ``data/<name>``.
        split: the dataset's validation split when None.
        settings: of the pair (``model``), ``data.options`` and ``evaluators``. Without evaluators, ``pq``,
            and ``iou`` and ``coco`` where the dataset has label maps and objects.
        batch_size, workers, device, precision, progress: as for ``toolkit.evaluate``.

    Raises:
        UsageError: when the runs make no pair, or do not say which dataset to take.
        DataError: when the classes of the pair and of the dataset differ in more than their order or a
            background.
    """
    fabric = make_fabric(accelerator=device, devices=1, precision=precision)
    fabric.launch()
    paths = path_of_run(stuff), path_of_run(things)
    if isinstance(data, str):
        registry.named(registry.datasets(), data, by_user=True)
    data = _common_data(paths) if data is None else data
    wanted = known_sections(as_tree(settings), data, model=PanopticSettings)
    chosen = validate(PanopticSettings, wanted["model"], source="settings of the pair")
    saved = _saved(manifest_of_run(paths[0]), data)
    options = merge(saved.get("options") or {}, wanted["data"].get("options", {}))
    folder = saved.get("dir") if data_dir is None else os.fspath(data_dir)
    dataset, _ = open_split(data, folder, split, options, registry.tasks().get(PANOPTIC))
    model, *_ = pair_of_runs(*paths, chosen, thing_classes=sorted(thing_classes_of(dataset)))
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


def _common_data(paths: Sequence[Path]) -> str:
    names = [data_of_run(path) for path in paths]
    if len(set(names)) > 1:
        raise UsageError(
            f"the runs were trained on different data, {' and '.join(names)}. Hint: name some with --data"
        )
    return names[0]


def _saved(manifest: CheckpointManifest, data: str | Dataset) -> Mapping[str, Any]:
    """What the settings of a run say of this dataset."""
    saved: Mapping[str, Any] = manifest.config.get("data", {})
    return saved if saved.get("name") == name_of_data(data) else {}


def _usual(dataset: Dataset) -> dict[str, Any]:
    """The evaluator of segments, and those of what the samples also have."""
    sample = dataset[0]
    beside = {"iou": sample.label_map is not None, "coco": sample.instances is not None}
    usual: dict[str, Any] = {"iou": {}, "coco": {"iou_types": ["segm"]}}
    return {"pq": {}} | {name: usual[name] for name, has in beside.items() if has}


def side_by_side(reports: Sequence[Report]) -> Table:
    """The first figures of several reports in one table: a row for the whole, and one for each class.

    Args:
        reports: of the same classes.
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
    """A figure as tables show it; a dash for what is undefined."""
    return "–" if value != value else f"{value:.4f}"
