"""The report as one JSON document: what ``report.json`` holds, and all that a page is made of beside
pictures.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

import toolkit
from toolkit.reporting.findings import Findings, Reference
from toolkit.reporting.gallery import Gallery
from toolkit.reporting.groups import grouped
from toolkit.reporting.image_values import distributions
from toolkit.reporting.near_copies import NearCopies
from toolkit.reporting.observer import Observer, image_sizes
from toolkit.reporting.score_curves import score_curves
from toolkit.reporting.words import errors_in_words
from toolkit.types import Size

FORMAT = 1
PACKAGES = ("torch", "torchvision", "numpy", "opencv-python-headless", "hotcoco")
"""Those whose versions figures may depend on."""

MOST_POINTS = 400
"""Points of a curve of the training; of more, some are left out evenly."""


def build_document(findings: Findings) -> tuple[dict[str, Any], Mapping[str, str]]:
    """The document, and the pictures that it names by key, as URIs."""
    gallery, observer, copies = Gallery(findings), findings.observer, findings.copies
    matched = list(gallery.matched.values())
    reports = [report.to_dict() for report in findings.reports]
    sizes_of_objects = object_sizes(observer)
    document = {
        "format": FORMAT,
        "name": findings.name,
        "data": _data(findings, sizes_of_objects),
        "reports": reports,
        "intervals": {
            name: [_number(low), _number(high)] for name, (low, high) in findings.intervals.items()
        },
        "reference": None if findings.reference is None else _reference(findings.reference),
        "notes": [*([] if copies is None else copies.leaks()), *findings.notes],
        "threshold": findings.threshold,
        "by_score": score_curves(matched, observer.classes) if matched else None,
        "errors": {
            "counts": gallery.counts,
            "says": errors_in_words(gallery.counts, findings.threshold),
            "most_telling": gallery.errors(),
        },
        "groups": grouped(reports, sizes_of_objects, {image.id: image.size for image in observer.images}),
        "per_image": distributions(reports),
        "worst_images": gallery.worst(),
        "best_images": gallery.best(),
        "suspects": gallery.suspects(),
        "explanations": list(findings.explanations.entries),
        "training": training_curves(findings.figures),
        "model": dict(findings.model),
        "settings": dict(findings.settings),
        "versions": _versions(),
    }
    pictures = {**gallery.draw(), **findings.explanations.pictures}
    return document, pictures | ({} if copies is None else copies.pictures())


def _data(findings: Findings, sizes_of_objects: Mapping[str, int] | None) -> dict[str, Any]:
    observer, dataset = findings.observer, findings.dataset
    sizes = image_sizes(observer.images)
    names = ("smallest", "median", "largest")
    return {
        "name": findings.data,
        "split": findings.split,
        "images": len(observer.images),
        "fingerprint": dataset.fingerprint(),
        "sizes": None if sizes is None else dict(zip(names, map(_size, sizes), strict=True)),
        "classes": [_class_counts(observer, index) for index in range(len(observer.classes))],
        "object_sizes": sizes_of_objects,
        "copies": None if findings.copies is None else _copies(findings.copies),
    }


def _copies(copies: NearCopies) -> dict[str, Any]:
    return {
        "says": copies.says(),
        "counts": copies.counts(),
        "compared": {name: [count, len(copies.others[name])] for name, count in copies.seen.items()},
        "pairs": copies.entries(),
    }


def _size(size: Size) -> list[int]:
    return [size[1], size[0]]


def _class_counts(observer: Observer, index: int) -> dict[str, Any]:
    counts = observer.counts
    entry: dict[str, Any] = {"name": observer.classes[index], "images": int(counts.images[index])}
    if counts.of_images:
        return entry
    if counts.pixels.any():
        return entry | {"pixels": int(counts.pixels[index])}
    return entry | {"objects": int(counts.objects[index])}


def object_sizes(observer: Observer) -> dict[str, int] | None:
    """How many objects are small, medium and large, as COCO has it: below 32², up to 96², above; None without
    objects. Crowds are left out, and areas are those of the annotations where they give them.
    """
    counts = {"small": 0, "medium": 0, "large": 0}
    for image in observer.images:
        if image.truth is None or not len(image.truth):
            continue
        truth = image.truth if image.truth.is_crowd is None else image.truth[~image.truth.is_crowd]
        boxes = truth.boxes_xyxy
        areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        if truth.masks is not None:
            areas = truth.masks.areas()
        if truth.areas is not None:
            areas = truth.areas
        small, large = int((areas < 32**2).sum()), int((areas > 96**2).sum())
        counts["small"] += small
        counts["large"] += large
        counts["medium"] += len(areas) - small - large
    return counts if any(counts.values()) else None


def _reference(reference: Reference) -> dict[str, Any]:
    return {
        "name": reference.name,
        "metrics": {name: _number(value) for name, value in reference.metrics.items()},
        "differences": {
            name: {"value": _number(each.value), "low": _number(each.low), "high": _number(each.high)}
            for name, each in reference.differences.items()
        },
    }


def training_curves(figures: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Loss, learning rate and the metrics of validations over the steps, as far as there are any.

    Args:
        figures: lines of a metrics.jsonl.

    Returns:
        One ``{"title", "lines": {name: {"steps", "values"}}}`` per chart.
    """
    curves: dict[str, tuple[list[int], list[float]]] = {}
    for line in figures:
        for name, value in line.items():
            if name != "step" and value is not None and math.isfinite(value):
                steps, values = curves.setdefault(name, ([], []))
                steps.append(int(line["step"]))
                values.append(float(value))
    metrics = [name for name in curves if name.startswith("val/") and not name.startswith("val/loss")]
    groups = {
        "loss": {"loss": "training", "val/loss": "validation"},
        "learning rate": {"lr": "learning rate"},
        "validation": {name: name.removeprefix("val/") for name in metrics[:3]},
    }
    charts = []
    for title, names in groups.items():
        lines = {
            label: {"steps": _thinned(curves[name][0]), "values": _thinned(curves[name][1])}
            for name, label in names.items()
            if name in curves
        }
        if lines:
            charts.append({"title": title, "lines": lines})
    return charts


def _thinned(values: list[Any]) -> list[Any]:
    return values[:: math.ceil(len(values) / MOST_POINTS)] if values else []


def _versions() -> dict[str, str]:
    versions = {"toolkit": toolkit.__version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
