"""Figures of some of the images or objects: by the size of objects, by the columns of a table about the
images, and by the size of the images.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from toolkit.reporting.image_values import main_values
from toolkit.types import Size

FEWEST_IMAGES = 8
"""With fewer images than this, they are not grouped by their size."""
SMALL = 0.1
"""Megapixels below which sizes are given in pixels."""
MOST_SIZES = 6
"""Different sizes of images up to which each is a group; more are divided into quarters."""

SIZES = {"small": ("s", "small, below 32²"), "medium": ("m", "medium"), "large": ("l", "large, above 96²")}
"""Of objects in pixels: the letter in the names of COCO's metrics, and what they are called."""

_OF_SIZE = re.compile(r"(?P<kind>.*)AP(?P<letter>[sml])")

Table = dict[str, Any]
"""``{"report", "by", "unit", "rows"}``; a row is ``{"name", "count", "metrics"}``, where ``metrics`` are
``name -> {"value", "metric"}`` and ``metric`` is the name under which the report has the value, None where it
has not. The first row is all together.
"""


def grouped(
    reports: Sequence[Mapping[str, Any]],
    object_sizes: Mapping[str, int] | None,
    image_sizes: Mapping[str, Size],
) -> list[Table]:
    """All tables of groups, those of each report together.

    Args:
        reports: of evaluators, as ``Report.to_dict`` gives them.
        object_sizes: how many objects are ``small``, ``medium`` and ``large``.
        image_sizes: height and width by the id of the sample.
    """
    tables: list[Table] = []
    for report in reports:
        tables += [*by_object_size(report, object_sizes or {}), *by_column(report)]
        tables += by_image_size(report, image_sizes)
    return tables


def by_object_size(report: Mapping[str, Any], counts: Mapping[str, int]) -> Iterator[Table]:
    """COCO's AP and AR of small, medium and large objects, where a report has them."""
    metrics = report["metrics"]
    found = [_OF_SIZE.fullmatch(name) for name in metrics]
    kinds = list(dict.fromkeys(match["kind"] for match in found if match))
    if not kinds:
        return
    rows = [_row("all objects", sum(counts.values()) if counts else None, {})]
    for kind in kinds:
        rows[0]["metrics"] |= {f"{kind}{name}": _value(report, f"{kind}{name}") for name in ("AP",)}
        rows[0]["metrics"][f"{kind}AR"] = _value(report, _most_detections(metrics, f"{kind}AR"))
    for size, (letter, title) in SIZES.items():
        row = _row(title, counts.get(size), {})
        for kind in kinds:
            row["metrics"] |= {
                f"{kind}{name}": _value(report, f"{kind}{name}{letter}") for name in ("AP", "AR")
            }
        rows.append(row)
    yield _table(report, "size of the objects", "objects", rows)


def _most_detections(metrics: Mapping[str, Any], start: str) -> str:
    """The name of AR with the most detections per image."""
    numbers = [name.removeprefix(start) for name in metrics if name.startswith(start)]
    limits = [int(number) for number in numbers if number.isdecimal()]
    return f"{start}{max(limits)}" if limits else start


def by_column(report: Mapping[str, Any]) -> Iterator[Table]:
    """The metrics of the groups that a table about the images makes; one table for each of its columns.
    Those that tables of metrics leave out are left out.
    """
    counts: Mapping[str, int] = report.get("groups", {})
    hidden = set(report.get("details", ()))
    columns: dict[str, list[str]] = {}
    for group in counts:
        columns.setdefault(group.partition("=")[0], []).append(group)
    for column, groups in columns.items():
        names = list(
            dict.fromkeys(
                name.removesuffix(f"[{group}]")
                for group in groups
                for name in report["metrics"]
                if name.endswith(f"[{group}]") and name not in hidden
            )
        )
        rows = [_row("all images", _images_of(report), {name: _value(report, name) for name in names})]
        for group in groups:
            values = {name: _value(report, f"{name}[{group}]") for name in names}
            rows.append(_row(group.partition("=")[2], counts[group], values))
        yield _table(report, column, "images", rows)


def _images_of(report: Mapping[str, Any]) -> int | None:
    return len(report["images"]) if "images" in report else None


def names_of_groups(report: Mapping[str, Any]) -> set[str]:
    """The metrics of a report that are about groups from a table of images."""
    ends = tuple(f"[{group}]" for group in report.get("groups", ()))
    return {name for name in report["metrics"] if ends and name.endswith(ends)}


def by_image_size(report: Mapping[str, Any], sizes: Mapping[str, Size]) -> Iterator[Table]:
    """The mean of the main figure of single images over images of about one size."""
    name, values = main_values(report)
    known = {key: value for key, value in values.items() if key in sizes}
    different = sorted({sizes[key] for key in known}, key=lambda size: (size[0] * size[1], size))
    if len(known) < FEWEST_IMAGES or len(different) < 2:
        return
    if len(different) <= MOST_SIZES:
        groups = {
            f"{width} × {height}": [key for key in known if sizes[key] == (height, width)]
            for height, width in different
        }
    else:
        groups = _quarters({key: math.prod(sizes[key]) / 1e6 for key in known})
    column = f"{name}, mean of the images"
    rows = [_row("all images", len(known), {column: _mean(list(known.values()))})]
    rows += [
        _row(group, len(keys), {column: _mean([known[key] for key in keys])})
        for group, keys in groups.items()
    ]
    yield _table(report, "size of the images", "images", rows)


def _quarters(megapixels: Mapping[str, float]) -> dict[str, list[str]]:
    """The keys in quarters, smallest first; fewer groups where many are equal."""
    numbers = np.array(list(megapixels.values()))
    bounds = np.quantile(numbers, [0, 0.25, 0.5, 0.75, 1])
    places = np.searchsorted(bounds[1:-1], numbers, side="left").tolist()
    names = [f"{low:.3g} … {high:.3g} megapixels" for low, high in pairwise(bounds.tolist())]
    if bounds[-1] < SMALL:
        names = [f"{1e6 * low:,.0f} … {1e6 * high:,.0f} pixels" for low, high in pairwise(bounds.tolist())]
    groups: dict[str, list[str]] = {name: [] for name in names}
    for key, place in zip(megapixels, places, strict=True):
        groups[names[place]].append(key)
    return {name: keys for name, keys in groups.items() if keys}


def _mean(values: Sequence[float | None]) -> dict[str, Any]:
    defined = [value for value in values if value is not None]
    return {"value": float(np.mean(defined)) if defined else None, "metric": None}


def _value(report: Mapping[str, Any], metric: str) -> dict[str, Any]:
    return {"value": report["metrics"].get(metric), "metric": metric if metric in report["metrics"] else None}


def _row(name: str, count: int | None, metrics: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "count": count, "metrics": metrics}


def _table(report: Mapping[str, Any], by: str, unit: str, rows: list[dict[str, Any]]) -> Table:
    return {"report": report["name"], "by": by, "unit": unit, "rows": rows}
