"""The evaluator ``objects``: how well each prompted object was segmented."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from toolkit.config import Settings
from toolkit.errors import InvalidDataError
from toolkit.evaluation.base import AnswerEvaluator
from toolkit.evaluation.coco_boundary import boundary
from toolkit.evaluation.report import Report
from toolkit.types import Masks, Prediction, Sample

FIGURES = ("iou", "dice", "boundary_iou")


class ObjectsSettings(Settings):
    """Settings of the evaluator ``objects``."""

    boundary: bool = True
    """Whether to also compare masks along their boundaries (Boundary IoU, Cheng et al. 2021)."""


class Objects(AnswerEvaluator):
    """The overlap of each true mask with the predicted mask at the same position, which is how promptable
    models answer.

    - ``iou``: intersection over union; ``dice``: 2 · intersection / (sum of the areas); ``boundary_iou``: the
      IoU of the pixels within 2 % of the image's diagonal from the outlines (Cheng et al., Boundary IoU, CVPR
      2021).
    - ``mean_iou`` and so on are means over all objects, as in the SAM papers; in ``per_class``, over the
      objects of a class. ``class_mean_iou`` is the mean of the latter, so rare classes count as much as
      frequent ones.

    Crowd regions and objects without pixels cannot be prompted and are left out of all metrics.

    Args:
        settings: see ``ObjectsSettings``.
        classes: the names that the labels of the true instances stand for.
    """

    def __init__(self, settings: ObjectsSettings, classes: Sequence[str]) -> None:
        self.settings = settings
        self.classes = tuple(classes)
        self.reset()

    def reset(self) -> None:
        """Reset the state."""
        self._sums = np.zeros((len(self.classes), len(FIGURES)))
        self._counts = np.zeros(len(self.classes), dtype=np.int64)
        self._images: dict[str, float] = {}

    def _update(self, sample: Sample, prediction: Prediction) -> None:
        truth, found = sample.instances, prediction.instances
        if truth is None or truth.masks is None:
            raise InvalidDataError(f"sample {sample.id!r} has no object masks to compare a prediction with")
        if found is None or found.masks is None or len(found) != len(truth):
            count = "no masks" if found is None or found.masks is None else f"{len(found)} masks"
            raise InvalidDataError(
                f"the prediction for sample {sample.id!r} has {count} for {len(truth)} objects; the evaluator"
                " objects compares answers to prompts: one per object, in the same order. Hint: use the"
                " evaluator coco for detections"
            )
        beyond = [int(label) for label in truth.labels if label >= len(self.classes)]
        if beyond:
            raise InvalidDataError(
                f"sample {sample.id!r} has the label {beyond[0]}, but there are {len(self.classes)} classes"
            )
        counted = truth.masks.areas() > 0
        if truth.is_crowd is not None:
            counted &= ~truth.is_crowd
        ious = []
        for index in counted.nonzero()[:, 0].tolist():
            label = int(truth.labels[index])
            values = self._compare(truth.masks[[index]], found.masks[[index]])
            self._sums[label] += values
            self._counts[label] += 1
            ious.append(float(values[0]))
        self._images[sample.id] = float(np.mean(ious)) if ious else float("nan")

    def _compare(self, truth: Masks, found: Masks) -> NDArray[np.float64]:
        iou = _iou(truth.to_coco()[0], found.to_coco()[0])
        edges = (
            _iou(boundary(truth.to_coco()[0]), boundary(found.to_coco()[0]))
            if self.settings.boundary
            else np.nan
        )
        return np.array([iou, 2 * iou / (1 + iou), edges])

    def state(self) -> dict[str, Any]:
        """The sums of the metrics and the number of objects, per class, and the mean IoU of each image."""
        return {"sums": self._sums.copy(), "counts": self._counts.copy(), "images": dict(self._images)}

    def merge(self, states: Sequence[dict[str, Any]]) -> None:
        """Replace the counts with the sum of ``states``."""
        self.reset()
        for state in states:
            self._sums += state["sums"]
            self._counts += state["counts"]
            self._images |= state["images"]

    def report(self) -> Report:
        """The metrics so far."""
        with np.errstate(invalid="ignore"):
            per_class = self._sums / self._counts[:, None]
            means = self._sums.sum(0) / self._counts.sum()
        figures = FIGURES if self.settings.boundary else FIGURES[:2]
        seen = per_class[self._counts > 0, 0]
        metrics = {f"mean_{name}": float(means[i]) for i, name in enumerate(figures)}
        metrics["class_mean_iou"] = float(seen.mean()) if len(seen) else float("nan")
        notes = () if self._counts.any() else ("No objects were evaluated, so all metrics are undefined.",)
        return Report(
            "objects",
            metrics,
            {name: per_class[:, i].tolist() for i, name in enumerate(figures)},
            self.classes,
            notes,
            images=tuple(sorted(self._images)),
            per_image={"mean_iou": [self._images[name] for name in sorted(self._images)]},
        )


def _iou(truth: dict[str, Any], found: dict[str, Any]) -> float:
    return float(coco_mask.iou([found], [truth], [0])[0, 0])


def build(settings: ObjectsSettings, classes: Sequence[str]) -> Objects:
    """Build the evaluator; named in its manifest."""
    return Objects(settings, classes)
