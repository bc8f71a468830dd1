"""The evaluator ``iou``: how well label maps agree, from one confusion matrix over all pixels of all
samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from toolkit.data.painting import instances_to_label_map
from toolkit.errors import InvalidDataError
from toolkit.evaluation.base import Evaluator
from toolkit.evaluation.boundary_f import TOLERANCE, boundary_f
from toolkit.evaluation.calibration import Bins
from toolkit.evaluation.confusion import confusion_matrix
from toolkit.evaluation.report import Matrix, Report
from toolkit.evaluation.slices import Slices, SliceSettings, slices_in_words
from toolkit.types import CONFIDENCE, VOID, PixelMap, Prediction, Sample
from toolkit.wording import counted

Floats = NDArray[np.float64]

NO_CLASS = "no class"
"""In a confusion matrix, the row of false positives outside all classes, and the column of void predictions.
"""


class IoUSettings(SliceSettings):
    """Settings of the evaluator ``iou``."""

    void: Literal["ignore", "false_positive"] = "ignore"
    """How to count a class predicted on a pixel that is void in the true label map: not at all, or as a false
    positive of that class.
    """

    score_threshold: float = 0.5
    """Minimum score of predicted instances to be painted when a prediction has instances but no label map."""

    boundary: bool = False
    """Whether to also compare the outlines of classes (boundary F, Csurka et al. 2013); takes a few
    milliseconds per class and megapixel.
    """

    boundary_tolerance: float = Field(TOLERANCE, gt=0)
    """The distance within which outlines agree, relative to the image's diagonal."""

    calibration: bool = False
    """Whether to also measure how well the class probabilities are calibrated, for models that provide
    them; predicting takes longer then.
    """

    calibration_bins: int = Field(10, gt=0)
    """Number of bins of probabilities."""


class IoU(Evaluator):
    """Intersection over union and related metrics, as in PASCAL VOC and Cityscapes: pixels are summed
    over the whole dataset.

    With TP, FP and FN the true positive, false positive and false negative pixels of a class:

    - ``iou`` = TP / (TP + FP + FN), ``dice`` = 2 TP / (2 TP + FP + FN), also called F1, ``accuracy`` = TP /
      (TP + FN);
    - ``mean_iou``, ``mean_dice``, ``mean_class_accuracy``: their means over the classes for which they are
      defined;
    - ``pixel_accuracy``: correct pixels among those with a true class;
    - ``frequency_weighted_iou``: mean of ``iou`` weighted by the true pixels of each class;
    - ``image_mean_iou``: the mean over the images of each image's mean IoU, over the classes that
      are in its truth or prediction; so small images and objects count as much as large ones;
    - ``boundary_f``, with the setting ``boundary``: see ``toolkit.evaluation.boundary_f``; the mean over the
      images of each class, then over the classes;
    - ``ECE``, with ``calibration``: the expected calibration error of the probabilities of the predicted
      classes, over the pixels that have a true and a predicted class (Guo et al. 2017).

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
        self._slices = Slices(settings)
        self.reset()

    def reset(self) -> None:
        """Reset the state."""
        c = len(self.classes)
        self._matrix = np.zeros(
            (c + 1, c + 1), dtype=np.int64
        )  # truth x prediction; the last row holds only false positives
        self._images: list[tuple[str, float]] = []  # with the mean IoU of each
        self._groups: dict[str, tuple[NDArray[np.int64], int]] = {}  # counts and number of images
        self._outlines = np.zeros((2, c))  # for each class, the sum of F and the number of images
        self._bins = Bins.empty(self.settings.calibration_bins)
        self._without_confidence = 0

    @property
    def wants_confidence(self) -> bool:
        """Whether predictions should have ``CONFIDENCE``."""
        return self.settings.calibration

    def _update(self, sample: Sample, prediction: Prediction) -> None:
        try:
            truth, guess = self._label_maps(sample, prediction)
            counts = confusion_matrix(truth, guess, len(self.classes))
            groups = self._slices.of(sample.id)
        except InvalidDataError as error:
            where = f" ({sample.path})" if sample.path else ""
            raise InvalidDataError(f"sample {sample.id!r}{where}: {error}") from error
        if sample.label_map is not None and self.settings.void == "ignore":
            counts[-1] = 0
        self._matrix += counts
        self._add_groups({group: (counts, 1) for group in groups})
        self._images.append((sample.id, _mean(_ious(counts))))
        if self.settings.boundary:
            unknown = (
                truth == VOID if sample.label_map is not None else torch.zeros_like(truth, dtype=torch.bool)
            )
            values = boundary_f(
                truth.numpy(),
                guess.numpy(),
                len(self.classes),
                unknown=unknown.numpy(),
                tolerance=self.settings.boundary_tolerance,
            )
            self._outlines += np.stack([np.nan_to_num(values), ~np.isnan(values)])
        if self.settings.calibration:
            self._calibrate(truth, guess, prediction.extras.get(CONFIDENCE))

    def _add_groups(self, groups: Mapping[str, tuple[NDArray[np.int64], int]]) -> None:
        for group, (counts, images) in groups.items():
            so_far, number = self._groups.get(group, (0, 0))
            self._groups[group] = (so_far + counts, number + images)

    def _calibrate(self, truth: Tensor, guess: Tensor, confidence: PixelMap | None) -> None:
        if confidence is None:
            self._without_confidence += 1
            return
        chosen = (truth != VOID) & (guess != VOID) & ~torch.isnan(confidence.values)
        scores, correct = confidence.values[chosen].numpy(), (truth == guess)[chosen].numpy()
        self._bins += Bins.of(scores, correct, self.settings.calibration_bins)

    def _label_maps(self, sample: Sample, prediction: Prediction) -> tuple[Tensor, Tensor]:
        guess = self._predicted(prediction)
        if sample.label_map is not None:
            return sample.label_map, guess
        if sample.instances is None:
            raise InvalidDataError("it has neither a label map nor instances to compare a prediction with")
        truth = instances_to_label_map(sample.instances, self.classes)
        crowd = sample.instances.is_crowd
        if crowd is not None and sample.instances.masks is not None and bool(crowd.any()):
            hidden = sample.instances.masks[crowd].dense().any(dim=0) & (truth == VOID)
            guess = guess.masked_fill(hidden, VOID)
        return truth, guess

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
        """The confusion matrix, the mean IoU of each image, and the sums of all other measurements."""
        return {
            "matrix": self._matrix.copy(),
            "images": list(self._images),
            "groups": dict(self._groups),
            "outlines": self._outlines.copy(),
            "bins": self._bins,
            "without_confidence": self._without_confidence,
        }

    def merge(self, states: Sequence[dict[str, Any]]) -> None:
        """Replace the counts with the sum of ``states``."""
        self.reset()
        for state in states:
            self._matrix += state["matrix"]
            self._images += state["images"]
            self._add_groups(state["groups"])
            self._outlines += state["outlines"]
            self._bins += state["bins"]
            self._without_confidence += state["without_confidence"]

    def report(self) -> Report:
        """The metrics so far."""
        matrix = self._matrix[:, :-1]
        correct = matrix.diagonal().astype(np.float64)  # TP
        true = self._matrix[:-1].sum(1).astype(np.float64)  # TP + FN
        predicted = matrix.sum(0).astype(np.float64)  # TP + FP
        iou = _ious(self._matrix)
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
        images = sorted(self._images)
        metrics["image_mean_iou"] = _mean(np.array([value for _, value in images]))
        curves = {}
        if self.settings.boundary:
            outlines = _divide(self._outlines[0], self._outlines[1])
            metrics["boundary_f"] = _mean(outlines)
            per_class["boundary_f"] = outlines.tolist()
        if self.settings.calibration:
            metrics["ECE"] = self._bins.error
            curves["reliability"] = self._bins.curve("pixels")
        groups = dict(sorted(self._groups.items()))
        for group, (counts, _) in groups.items():
            metrics[f"mean_iou[{group}]"] = _mean(_ious(counts))
        return Report(
            "iou",
            metrics,
            per_class,
            self.classes,
            self._notes(absent=np.isnan(iou), missing=np.isnan(accuracy)),
            curves,
            lower_is_better=("ECE",) if self.settings.calibration else (),
            matrices={"confusion": self._confusion()},
            images=tuple(name for name, _ in images),
            per_image={"mean_iou": [value for _, value in images]},
            groups={group: number for group, (_, number) in groups.items()},
        )

    def _confusion(self) -> Matrix:
        names = [*self.classes, NO_CLASS]
        return Matrix("true class", "predicted class", names, names, self._matrix.tolist())

    def _notes(self, absent: NDArray[np.bool_], missing: NDArray[np.bool_]) -> tuple[str, ...]:
        if not self._images:
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
        notes += slices_in_words({group: number for group, (_, number) in sorted(self._groups.items())})
        if self._without_confidence:
            notes.append(
                f"{counted(self._without_confidence, 'prediction')} without probabilities left out of ECE;"
                " only models with the capability Probabilistic give them."
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


def _ious(counts: NDArray[np.int64]) -> Floats:
    """IoU of each class from a confusion matrix with ``VOID`` at the end; NaN if a class is absent."""
    correct = counts.diagonal()[:-1].astype(np.float64)
    return _divide(correct, counts[:-1].sum(1) + counts[:, :-1].sum(0) - correct)


def _divide(numerator: Floats | np.float64, denominator: Floats | np.float64) -> Floats:
    """Elementwise quotients, with NaN for 0 / 0."""
    with np.errstate(invalid="ignore"):
        return np.asarray(numerator / denominator)


def _mean(values: Floats) -> float:
    """The mean of the defined values."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")
