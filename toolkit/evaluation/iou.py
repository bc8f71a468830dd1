"""The evaluator ``iou``: how well label maps agree, from one confusion matrix over all pixels of all
samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from toolkit.config import Settings
from toolkit.data.painting import instances_to_label_map
from toolkit.errors import InvalidDataError
from toolkit.evaluation.base import Evaluator
from toolkit.evaluation.confusion import confusion_matrix
from toolkit.evaluation.report import Matrix, Report
from toolkit.types import VOID, Prediction, Sample

Floats = NDArray[np.float64]

NO_CLASS = "no class"
"""In a confusion matrix, the row of false positives outside all classes, and the column of void predictions.
"""


class IoUSettings(Settings):
    """Settings of the evaluator ``iou``."""

    void: Literal["ignore", "false_positive"] = "ignore"
    """How to count a class predicted on a pixel that is void in the true label map: not at all, or as a false
    positive of that class.
    """

    score_threshold: float = 0.5
    """Minimum score of predicted instances to be painted when a prediction has instances but no label map.
    """


class IoU(Evaluator):
    """Intersection over union and its relatives, as PASCAL VOC and Cityscapes count them: pixels are summed
    over the whole set.

    With TP, FP and FN the true positive, false positive and false negative pixels of a class:

    - ``iou`` = TP / (TP + FP + FN), ``dice`` = 2 TP / (2 TP + FP + FN), also called F1, ``accuracy`` = TP /
      (TP + FN);
    - ``mean_iou``, ``mean_dice``, ``mean_class_accuracy``: their means over the classes for which they are
      defined;
    - ``pixel_accuracy``: correct pixels among those with a true class;
    - ``frequency_weighted_iou``: mean of ``iou`` weighted by the true pixels of each class.

    Void (``VOID``) in a prediction means "no class": a false negative of the true class, and not a false
    positive of any class. Void in a true label map means "unknown" and is handled according to the setting
    ``void``.

    **Instances.** For a sample or prediction without a label map, its instances are painted into one by
    ``toolkit.data.painting.instances_to_label_map``. So instance models and semantic models can be compared
    on either kind of dataset. Pixels outside all instances belong to the class named ``background`` if the
    dataset has one. If it has none, as is usual in instance datasets, they have no class, but this is
    *known*: unlike on void in a label map, a class predicted there is always a false positive; void predicted
    there is correct and, like every pixel without a true class, does not enter any metric. A semantic model
    for such a dataset therefore predicts void where it sees none of the classes. Crowd regions are left out.

    Args:
        settings: see ``IoUSettings``.
        classes: the names that the values in label maps and the labels of instances stand for, at most 255.
    """

    def __init__(self, settings: IoUSettings, classes: Sequence[str]) -> None:
        if not 1 <= len(classes) <= VOID:
            raise InvalidDataError(f"the evaluator iou takes 1 … {VOID} classes, not {len(classes)}")
        self.settings = settings
        self.classes = tuple(classes)
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        c = len(self.classes)
        self._matrix = np.zeros(
            (c + 1, c + 1), dtype=np.int64
        )  # truth x prediction; the last row holds only false positives
        self._samples = 0

    def _update(self, sample: Sample, prediction: Prediction) -> None:
        try:
            counts = self._count(sample, prediction)
        except InvalidDataError as error:
            where = f" ({sample.path})" if sample.path else ""
            raise InvalidDataError(f"sample {sample.id!r}{where}: {error}") from error
        self._matrix += counts
        self._samples += 1

    def _count(self, sample: Sample, prediction: Prediction) -> NDArray[np.int64]:
        guess = self._predicted(prediction)
        if sample.label_map is not None:
            counts = confusion_matrix(sample.label_map, guess, len(self.classes))
            if self.settings.void == "ignore":
                counts[-1] = 0
            return counts
        if sample.instances is None:
            raise InvalidDataError("it has neither a label map nor instances to compare a prediction with")
        truth = instances_to_label_map(sample.instances, self.classes)
        crowd = sample.instances.is_crowd
        if crowd is not None and sample.instances.masks is not None and bool(crowd.any()):
            hidden = sample.instances.masks[crowd].dense().any(dim=0) & (truth == VOID)
            guess = guess.masked_fill(hidden, VOID)
        return confusion_matrix(truth, guess, len(self.classes))

    def _predicted(self, prediction: Prediction) -> Tensor:
        if prediction.label_map is not None:
            return prediction.label_map
        instances = prediction.instances
        if instances is None:  # a Prediction has one or the other
            raise InvalidDataError("the prediction has neither a label map nor instances")
        if instances.scores is not None:
            instances = instances[instances.scores >= self.settings.score_threshold]
        return instances_to_label_map(instances, self.classes)

    def state(self) -> dict[str, Any]:
        """The confusion matrix and the number of samples."""
        return {"matrix": self._matrix.copy(), "samples": self._samples}

    def merge(self, states: Sequence[dict[str, Any]]) -> None:
        """Replace the counts with the sum of ``states``."""
        self.reset()
        for state in states:
            self._matrix += state["matrix"]
            self._samples += state["samples"]

    def report(self) -> Report:
        """The metrics so far."""
        matrix = self._matrix[:, :-1]
        correct = matrix.diagonal().astype(np.float64)  # TP
        true = self._matrix[:-1].sum(1).astype(np.float64)  # TP + FN
        predicted = matrix.sum(0).astype(np.float64)  # TP + FP
        iou = _divide(correct, true + predicted - correct)
        dice = _divide(2 * correct, true + predicted)
        accuracy = _divide(correct, true)
        share = _divide(true, true.sum())
        metrics = {
            "mean_iou": _mean(iou),
            "mean_dice": _mean(dice),
            "pixel_accuracy": float(_divide(correct.sum(), true.sum())),
            "mean_class_accuracy": _mean(accuracy),
            "frequency_weighted_iou": (
                float(np.sum(share[true > 0] * iou[true > 0])) if true.any() else float("nan")
            ),
        }
        per_class = {"iou": iou.tolist(), "dice": dice.tolist(), "accuracy": accuracy.tolist()}
        return Report(
            "iou",
            metrics,
            per_class,
            self.classes,
            self._notes(absent=np.isnan(iou), missing=np.isnan(accuracy)),
            matrices={"confusion": self._confusion()},
        )

    def _confusion(self) -> Matrix:
        names = [*self.classes, NO_CLASS]
        return Matrix("true class", "predicted class", names, names, self._matrix.tolist())

    def _notes(self, absent: NDArray[np.bool_], missing: NDArray[np.bool_]) -> tuple[str, ...]:
        if not self._samples:
            return ("No samples were evaluated, so all metrics are undefined.",)
        notes = []
        if len(self.classes) == 1:
            notes.append(
                f"There is only one class ({self.classes[0]}), so every pixel with a class is correct by"
                " definition."
            )
        if absent.any():
            notes.append(f"{self._some(absent)} absent from truth and prediction and left out of the means.")
        if (missing & ~absent).any():
            notes.append(
                f"{self._some(missing & ~absent)} absent from the truth but predicted, and left out of"
                " mean_class_accuracy."
            )
        if self.settings.void == "false_positive":
            notes.append("Classes predicted on void pixels count as false positives.")
        return tuple(notes)

    def _some(self, chosen: NDArray[np.bool_]) -> str:
        names = [name for name, yes in zip(self.classes, chosen, strict=True) if yes]
        return (
            f"{len(names)} of {len(self.classes)} classes ({', '.join(names)})"
            f" {'is' if len(names) == 1 else 'are'}"
        )


def build(settings: IoUSettings, classes: Sequence[str]) -> IoU:
    """Build the evaluator; named in its manifest."""
    return IoU(settings, classes)


def _divide(numerator: Floats | np.float64, denominator: Floats | np.float64) -> Floats:
    """Elementwise quotients, with NaN for 0 / 0."""
    with np.errstate(invalid="ignore"):
        return np.asarray(numerator / denominator)


def _mean(values: Floats) -> float:
    """The mean of the defined values."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")
