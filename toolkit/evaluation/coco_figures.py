"""From objects and detections to COCO metrics: hotcoco does the matching, this module names the results.

The protocol is that of Lin et al., "Microsoft COCO: Common Objects in Context" (ECCV 2014), as pycocotools
implements it. hotcoco gives the same precision and recall arrays as pycocotools, a hundred times faster;
see ``benchmarks/coco_evaluator.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import hotcoco
import numpy as np
from numpy.typing import NDArray

from toolkit.evaluation.coco_accumulation import accumulate
from toolkit.evaluation.coco_tables import ImageTable
from toolkit.evaluation.report import Curve, Matrix, Report

Floats = NDArray[np.float64]
IoUType = Literal["bbox", "segm", "keypoints"]

KEYPOINT_DETECTIONS = (20,)
"""Detections per image that count for keypoints, as in COCO."""


@dataclass(frozen=True)
class Figures:
    """Results for one kind of overlap; see ``Report`` for the fields."""

    metrics: Mapping[str, float]
    per_class: Mapping[str, list[float]]
    curves: Mapping[str, Curve]
    matrices: Mapping[str, Matrix] = field(default_factory=dict)
    per_image: Mapping[str, list[float]] = field(default_factory=dict)
    lower_is_better: tuple[str, ...] = ()
    details: tuple[str, ...] = ()
    summary: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def figures(
    truth: hotcoco.COCO,
    detections: hotcoco.COCO,
    kind: IoUType,
    categories: Sequence[tuple[int, str]],
    *,
    max_detections: Sequence[int],
    sigmas: Sequence[float] | None = None,
    image_ids: Sequence[int] | None = None,
) -> Figures:
    """COCO metrics for one kind of overlap.

    Args:
        truth: all images and objects.
        detections: of the same images.
        kind: what overlaps: boxes, masks or keypoints (OKS).
        categories: id and name of each class; ``per_class`` is in this order.
        max_detections: how many detections per image count, in ascending order; AP uses the last.
        sigmas: the standard deviation of each keypoint; those of COCO's 17 when None.
        image_ids: the images that count; all when None.
    """
    evaluation = hotcoco.COCOeval(truth, detections, kind)
    parameters = evaluation.params
    parameters.max_dets = list(KEYPOINT_DETECTIONS if kind == "keypoints" else max_detections)
    if image_ids is not None:
        parameters.img_ids = list(image_ids)
    if sigmas is not None and kind == "keypoints":
        parameters.kpt_oks_sigmas = list(sigmas)
    evaluation.evaluate()
    evaluation.accumulate()
    found = evaluation.eval
    assert found is not None  # accumulate has just been called
    return _figures(kind, found, parameters, categories)


def sliced(part: Figures, group: str) -> Figures:
    """The metrics of a group of images, named after it; AP is the one that tables show."""
    chosen = {f"{name}[{group}]": value for name, value in part.metrics.items()}
    details = tuple(name for name in chosen if f"/AP[{group}]" not in name)
    return Figures(chosen, {}, {}, details=details)


def overlap_parameters(max_detections: Sequence[int]) -> hotcoco.Params:
    """COCO's thresholds, ranges of areas and limits for boxes and masks."""
    parameters = hotcoco.Params("segm")
    parameters.max_dets = list(max_detections)
    return parameters


def table_figures(
    kind: str,
    table: ImageTable,
    categories: Sequence[tuple[int, str]],
    *,
    max_detections: Sequence[int],
    only_metrics: bool = False,
) -> Figures:
    """The same metrics from the matches of each image: for masks compared along their boundaries (see
    ``toolkit.evaluation.coco_boundary``), and for images that are matched once and counted often.

    Args:
        kind: what overlaps.
        table: of ``toolkit.evaluation.coco_accumulation.match_table``.
        categories: id and name of each class.
        max_detections: as for ``figures``.
        only_metrics: whether to leave out everything else.
    """
    parameters = overlap_parameters(max_detections)
    parameters.cat_ids = [category for category, _ in categories]
    found = accumulate(table, len(categories), parameters)
    return _figures(kind, found, parameters, categories, only_metrics=only_metrics)


def coco_report(
    parts: Sequence[Figures],
    classes: tuple[str, ...],
    images: Sequence[str],
    notes: Sequence[str],
    groups: Mapping[str, int],
) -> Report:
    """The results for all kinds of overlap together.

    Args:
        parts: in the order of the report.
        classes: the names of the classes.
        images: the ids of the samples that ``Figures.per_image`` is about.
        notes: that apply to all.
        groups: how many images each group has.
    """

    def joined(name: str) -> dict[str, Any]:
        return {key: value for part in parts for key, value in getattr(part, name).items()}

    def listed(name: str) -> tuple[str, ...]:
        return tuple(each for part in parts for each in getattr(part, name))

    per_image = joined("per_image")
    return Report(
        "coco",
        joined("metrics"),
        joined("per_class"),
        classes,
        (*notes, *listed("notes")),
        joined("curves"),
        listed("lower_is_better"),
        joined("matrices"),
        listed("summary"),
        listed("details"),
        tuple(images) if per_image else (),
        per_image,
        groups,
    )


def _figures(
    kind: str,
    found: Mapping[str, Any],
    parameters: hotcoco.Params,
    categories: Sequence[tuple[int, str]],
    *,
    only_metrics: bool = False,
) -> Figures:
    row = {category: i for i, category in enumerate(parameters.cat_ids)}
    order = [row[category] for category, _ in categories]
    precision = _defined(found["precision"][..., -1])[:, :, order]  # threshold x recall x class x area
    recall = _defined(found["recall"])[:, order]  # threshold x class x area x detections
    areas = {label: i for i, label in enumerate(parameters.area_rng_lbl)}
    thresholds = np.asarray(parameters.iou_thrs)
    values = _metrics(precision, recall, thresholds, areas, parameters.max_dets)
    metrics = {f"{kind}/{name}": value for name, value in values.items()}
    if only_metrics:
        return Figures(metrics, {}, {})
    names = [name for _, name in categories]
    return Figures(
        metrics,
        {
            f"{kind}/{name}": values
            for name, values in _per_class(precision, recall, thresholds, parameters.max_dets).items()
        },
        {
            f"{kind}/{name}": curve
            for name, curve in _curves(precision, thresholds, parameters.rec_thrs, names).items()
        },
    )


def _metrics(
    precision: Floats, recall: Floats, thresholds: Floats, areas: Mapping[str, int], detections: Sequence[int]
) -> dict[str, float]:
    """COCO's twelve metrics, or ten for keypoints, which have no small objects."""
    sizes = {label[0]: i for label, i in areas.items() if label != "all"}
    everything = areas["all"]
    metrics = {"AP": _mean(precision[..., everything])}
    for percent in (50, 75):
        metrics[f"AP{percent}"] = _mean(precision[np.isclose(thresholds, percent / 100)][..., everything])
    metrics |= {f"AP{letter}": _mean(precision[..., i]) for letter, i in sizes.items()}
    metrics |= {f"AR{count}": _mean(recall[:, :, everything, m]) for m, count in enumerate(detections)}
    return metrics | {f"AR{letter}": _mean(recall[:, :, i, -1]) for letter, i in sizes.items()}


def _per_class(
    precision: Floats, recall: Floats, thresholds: Floats, detections: Sequence[int]
) -> dict[str, list[float]]:
    everything = precision[..., 0]  # threshold x recall x class
    values = {"AP": _means(everything, (0, 1)).tolist()}
    for percent in (50, 75):
        values[f"AP{percent}"] = _means(everything[np.isclose(thresholds, percent / 100)], (0, 1)).tolist()
    return values | {f"AR{detections[-1]}": _means(recall[:, :, 0, -1], (0,)).tolist()}


def _curves(
    precision: Floats, thresholds: Floats, recalls: Sequence[float], names: Sequence[str]
) -> dict[str, Curve]:
    """Precision-recall curves, averaged over the classes for every threshold and per class at IoU 0.5; and AP
    over the threshold.
    """
    everything = precision[..., 0]  # threshold x recall x class
    by_threshold = {
        f"IoU {t:.2f}": line for t, line in zip(thresholds, _means(everything, (2,)).tolist(), strict=True)
    }
    at_half = everything[np.isclose(thresholds, 0.5)][0]
    by_class = {name: at_half[:, k].tolist() for k, name in enumerate(names)}
    ap = {"all classes": _means(everything, (1, 2)).tolist()}
    ap |= {name: line for name, line in zip(names, _means(everything, (1,)).T.tolist(), strict=True)}
    return {
        "PR": Curve("recall", "precision", list(recalls), by_threshold),
        "PR50": Curve("recall", "precision at IoU 0.5", list(recalls), by_class),
        "AP by IoU": Curve("IoU threshold", "AP", thresholds.tolist(), ap),
    }


def _defined(values: Floats) -> Floats:
    """Replace COCO's -1 with NaN."""
    return np.where(values < 0, np.nan, values)


def _mean(values: Floats) -> float:
    """The mean of the defined values."""
    return float(_means(values, tuple(range(values.ndim))))


def _means(values: Floats, axes: tuple[int, ...]) -> Floats:
    """The means of the defined values over some axes; NaN where there are none."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, values, 0).sum(axes) / known.sum(axes))
