"""The evaluator ``pq``: panoptic quality.

Kirillov, He, Girshick, Rother and Dollár, Panoptic Segmentation (CVPR 2019); the figures are those of
COCO's ``panopticapi``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.config import Settings
from toolkit.data.segments import PANOPTIC
from toolkit.errors import InvalidDataError
from toolkit.evaluation.base import Evaluator
from toolkit.evaluation.bootstrap import Resampling
from toolkit.evaluation.report import Report
from toolkit.types import PanopticMap, Prediction, Sample

Floats = NDArray[np.float64]

TP, FP, FN, IOU, THING, STUFF = range(6)
"""Columns of the sums: matches, false positives, false negatives, the sum of the IoUs of matches, and how
often the truth or a prediction says that the class is a thing class, or a stuff class.
"""

TRUTH_WEIGHT = 1 << 20
"""The weight of the truth relative to predictions in deciding between things and stuff."""


class PanopticQuality(Evaluator, Resampling):
    """Panoptic, segmentation and recognition quality of segments, summed over the whole dataset.

    A predicted and a true segment of the same class match when their IoU is above 0.5, so that each has one
    match at most. The union leaves out the pixels of the prediction that are void in the truth. With TP, FP
    and FN the matches and the predicted and true segments without one, for each class:

    - ``sq`` = sum of the IoUs of matches / TP, and 0 where nothing matches, as in ``panopticapi``;
    - ``rq`` = TP / (TP + FP / 2 + FN / 2), which is F1;
    - ``pq`` = ``sq`` · ``rq``.

    ``pq``, ``sq`` and ``rq`` are means over the classes that are in the truth or in predictions;
    ``pq_things``, ``pq_stuff`` and so on over those of one kind, as determined by the truth.

    Crowds do not have to be found: a prediction without a match does not count as a false
    positive when more than half of it is void in the truth or in a crowd of its class. If there are several
    crowds of one class in an image, the last one counts, as in ``panopticapi``; COCO has at most one.

    Args:
        settings: none.
        classes: the names that the labels of segments stand for.
    """

    def __init__(self, settings: Settings, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)
        self.reset()

    def reset(self) -> None:
        """Reset the state."""
        self._sums = np.zeros((len(self.classes), 6))
        self._samples = 0
        self._images: dict[str, float] = {}

    def _update(self, sample: Sample, prediction: Prediction) -> None:
        truth, found = sample.get(PANOPTIC), prediction.get(PANOPTIC)
        for owner, value in (("", truth), ("its prediction ", found)):
            if not isinstance(value, PanopticMap):
                raise InvalidDataError(
                    f"sample {sample.id!r}: {owner or 'it '}has no segments to compare. Hint: the evaluator"
                    " pq is for panoptic segmentation, such as by `toolkit panoptic`"
                )
            beyond = [segment.label for segment in value.segments if segment.label >= len(self.classes)]
            if beyond:
                raise InvalidDataError(
                    f"sample {sample.id!r}: {owner or 'it '}has a segment of class {beyond[0]}, but there are"
                    f" {len(self.classes)} classes: 0 … {len(self.classes) - 1}"
                )
        sums = _count(truth, found, len(self.classes))
        self._images[sample.id] = _mean(_qualities(sums)["pq"])
        self._sums += sums
        self._samples += 1

    def state(self) -> dict[str, Any]:
        """The sums of each class, the number of samples, and the quality of each."""
        return {"sums": self._sums.copy(), "samples": self._samples, "images": dict(self._images)}

    def merge(self, states: Sequence[dict[str, Any]]) -> None:
        """Replace the sums with those of ``states``."""
        self.merge_repeated(states, [1] * len(states))

    def merge_repeated(self, states: Sequence[dict[str, Any]], times: Sequence[int]) -> None:
        """Replace the sums with those of ``states``, each counted the given number of times."""
        self.reset()
        for state, count in zip(states, times, strict=True):
            if count:
                self._sums += count * state["sums"]
                self._samples += count * state["samples"]
                self._images |= state["images"]

    def report(self) -> Report:
        """The metrics so far."""
        sums = self._sums
        counted = sums[:, TP] + sums[:, FP] + sums[:, FN] > 0
        figures = _qualities(sums)
        is_thing = sums[:, THING] > sums[:, STUFF]
        kinds = {"": counted, "_things": counted & is_thing, "_stuff": counted & ~is_thing}
        metrics = {
            f"{name}{kind}": float(values[chosen].mean()) if chosen.any() else float("nan")
            for kind, chosen in kinds.items()
            for name, values in figures.items()
        }
        per_class = {name: values.tolist() for name, values in figures.items()}
        names = sorted(self._images)
        return Report(
            "pq",
            metrics,
            per_class,
            self.classes,
            self._notes(counted),
            images=tuple(names),
            per_image={"pq": [self._images[name] for name in names]},
        )

    def _notes(self, counted: NDArray[np.bool_]) -> tuple[str, ...]:
        if not self._samples:
            return ("No samples were evaluated, so all metrics are undefined.",)
        absent = [name for name, yes in zip(self.classes, counted, strict=True) if not yes]
        if not absent:
            return ()
        verb = "is" if len(absent) == 1 else "are"
        return (
            f"{len(absent)} of {len(self.classes)} classes ({', '.join(absent)}) {verb} absent from truth and"
            " prediction and left out of the means.",
        )


def build(settings: Settings, classes: Sequence[str]) -> PanopticQuality:
    """Build the evaluator; named in its manifest."""
    return PanopticQuality(settings, classes)


def _mean(values: Floats) -> float:
    """The mean of the defined values; NaN without any."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")


def _qualities(sums: Floats) -> dict[str, Floats]:
    """``pq``, ``sq`` and ``rq`` of each class, NaN where it has no segment."""
    all_segments = sums[:, TP] + (sums[:, FP] + sums[:, FN]) / 2
    with np.errstate(invalid="ignore"):
        sq = np.where(all_segments > 0, sums[:, IOU] / np.maximum(sums[:, TP], 1), np.nan)
        return {"pq": sums[:, IOU] / all_segments, "sq": sq, "rq": sums[:, TP] / all_segments}


def _count(truth: PanopticMap, found: PanopticMap, num_classes: int) -> Floats:
    """The contribution of one image to the sums, float64 ``[C, 6]``."""
    sums = np.zeros((num_classes, 6))
    overlaps = _overlaps(truth, found)
    true_labels, found_labels = (
        np.array([segment.label for segment in each.segments], np.int64) for each in (truth, found)
    )
    is_crowd = np.array([segment.is_crowd for segment in truth.segments], bool)
    true_areas, found_areas = overlaps.sum(1)[1:], overlaps.sum(0)[1:]
    inside, void = overlaps[1:, 1:], overlaps[0, 1:]
    unions = true_areas[:, None] + (found_areas - void)[None] - inside
    may_match = (true_labels[:, None] == found_labels[None]) & ~is_crowd[:, None]
    # in integers, equivalent to IoU > 0.5
    matches = may_match & (2 * inside > unions)
    rows, columns = np.nonzero(matches)
    ious = inside[rows, columns] / unions[rows, columns]
    missed = ~is_crowd & ~matches.any(1)
    sums[:, TP] = np.bincount(true_labels[rows], minlength=num_classes)
    sums[:, IOU] = np.bincount(true_labels[rows], ious, num_classes)
    sums[:, FN] = np.bincount(true_labels[missed], minlength=num_classes)
    excused = void.copy()
    crowd_of = {int(true_labels[row]): row for row in np.flatnonzero(is_crowd)}
    for column, label in enumerate(found_labels.tolist()):
        if label in crowd_of:
            excused[column] += inside[crowd_of[label], column]
    invented = ~matches.any(0) & (2 * excused <= found_areas)
    sums[:, FP] = np.bincount(found_labels[invented], minlength=num_classes)
    for each, weight in ((truth, TRUTH_WEIGHT), (found, 1)):
        for segment in each.segments:
            sums[segment.label, THING if segment.is_thing else STUFF] += weight
    return sums


def _overlaps(truth: PanopticMap, found: PanopticMap) -> NDArray[np.int64]:
    """The number of common pixels of each true (row) and predicted (column) segment; the first of both is
    void.
    """
    shape = len(truth.segments) + 1, len(found.segments) + 1
    pairs = truth.numbers.numpy().astype(np.int64) * shape[1] + found.numbers.numpy()
    counts = np.bincount(pairs.ravel(), minlength=shape[0] * shape[1])
    return counts.astype(np.int64).reshape(shape)
