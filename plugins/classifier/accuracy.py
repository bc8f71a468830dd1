"""The evaluator ``accuracy``: how often the class of an image is right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from toolkit.config import Settings
from toolkit.errors import InvalidDataError
from toolkit.evaluation.base import Evaluator
from toolkit.evaluation.bootstrap import Resampling
from toolkit.evaluation.calibration import Bins
from toolkit.evaluation.report import Curve, Matrix, Report
from toolkit.types import Prediction, Sample

from .labels import probabilities_of, top

Floats = NDArray[np.float64]

TOP = 5
"""Of so many guesses one must be right for the top-5 accuracy."""

MOST_CLASSES = 255
"""With more, the confusion matrix is left out of the report: it would have a million counts for ImageNet."""

TRUE, PREDICTED, RANK, SCORE = range(4)
"""Columns of what is kept of an image: its true and its predicted class, how many classes are more probable
than the true one, and the probability of the predicted class.
"""


class AccuracySettings(Settings):
    """Settings of the evaluator ``accuracy``."""

    calibration_bins: int = Field(10, gt=0)
    """Into how many bins of scores images are put, for the calibration."""


class Accuracy(Evaluator, Resampling):
    """Accuracy of the class of an image, and what is confused with what.

    - ``top1``: the part of the images whose most probable class is the true one;
    - ``top5``, where there are more than 5 classes: whose true class is among the 5 most probable ones;
    - ``mean_class_accuracy``: the mean of ``accuracy``, the part of the images of a class that are predicted
      as it (its recall), over the classes in the truth;
    - ``mean_f1``: the mean of ``f1``, the harmonic mean of recall and ``precision``, over the classes in the
      truth or in predictions;
    - ``ECE``: the expected calibration error of the scores (Guo et al. 2017).

    Of classes that are equally probable, the first counts as the more probable one. Where the truth is shared
    by several classes, its most probable one counts.

    Args:
        settings: see ``AccuracySettings``.
        classes: one name per probability.
    """

    def __init__(self, settings: AccuracySettings, classes: Sequence[str]) -> None:
        if not classes:
            raise InvalidDataError("the evaluator accuracy needs at least one class")
        self.settings = settings
        self.classes = tuple(classes)
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._ids: list[str] = []
        self._rows: list[Floats] = []

    def _update(self, sample: Sample, prediction: Prediction) -> None:
        label, _ = top(probabilities_of(sample, len(self.classes)))
        found = probabilities_of(prediction, len(self.classes))
        predicted, score = top(found)
        self._ids.append(sample.id)
        self._rows.append(np.array([[label, predicted, _rank(found, label), min(score, 1.0)]]))

    def state(self) -> dict[str, Any]:
        """Four numbers for each image, float64 ``[N, 4]``, and the ids."""
        return {"ids": list(self._ids), "rows": _joined(self._rows)}

    def merge(self, states: Sequence[dict[str, Any]]) -> None:
        """Replace what was added with that of ``states``."""
        self.merge_repeated(states, [1] * len(states))

    def merge_repeated(self, states: Sequence[dict[str, Any]], times: Sequence[int]) -> None:
        """Replace what was added with that of ``states``, each counted so many times."""
        self.reset()
        for state, count in zip(states, times, strict=True):
            self._ids += state["ids"] * count
            self._rows += [state["rows"]] * count

    def report(self) -> Report:
        """The metrics so far."""
        rows = _joined(self._rows)
        matrix = _confusion(rows, len(self.classes))
        hits, true, predicted = np.diag(matrix).astype(float), matrix.sum(1), matrix.sum(0)
        with np.errstate(invalid="ignore"):
            recall, precision = hits / true, hits / predicted
            f1 = 2 * hits / (true + predicted)
        right = rows[:, RANK] == 0
        bins = Bins.of(rows[:, SCORE], right, self.settings.calibration_bins)
        metrics = {"top1": _mean(right)}
        if len(self.classes) > TOP:
            metrics[f"top{TOP}"] = _mean(rows[:, RANK] < TOP)
        metrics |= {"mean_class_accuracy": _mean(recall), "mean_f1": _mean(f1), "ECE": bins.error}
        order = sorted(range(len(self._ids)), key=self._ids.__getitem__)
        return Report(
            "accuracy",
            metrics,
            {"accuracy": recall.tolist(), "precision": precision.tolist(), "f1": f1.tolist()},
            self.classes,
            self._notes(true, predicted),
            self._curves(bins),
            lower_is_better=("ECE",),
            matrices=self._matrices(matrix),
            images=tuple(self._ids[i] for i in order),
            per_image={"right": right[order].astype(float).tolist()},
        )

    def _curves(self, bins: Bins) -> dict[str, Curve]:
        return {"reliability": bins.curve("images")} if self._ids else {}

    def _matrices(self, matrix: NDArray[np.int64]) -> dict[str, Matrix]:
        if len(self.classes) > MOST_CLASSES:
            return {}
        names = list(self.classes)
        return {"confusion": Matrix("true class", "predicted class", names, names, matrix.tolist())}

    def _notes(self, true: NDArray[np.int64], predicted: NDArray[np.int64]) -> tuple[str, ...]:
        if not self._ids:
            return ("No samples were evaluated, so all metrics are undefined.",)
        notes = []
        absent = [name for name, count in zip(self.classes, true, strict=True) if not count]
        if absent:
            verb = "is" if len(absent) == 1 else "are"
            shown = ", ".join(absent[:10]) + (", …" if len(absent) > 10 else "")
            notes.append(
                f"{len(absent)} of {len(self.classes)} classes ({shown}) {verb} absent from the truth and"
                " left out of mean_class_accuracy."
            )
        if len(self.classes) > MOST_CLASSES:
            notes.append(f"The confusion matrix of more than {MOST_CLASSES} classes is left out.")
        return tuple(notes)


def build(settings: AccuracySettings, classes: Sequence[str]) -> Accuracy:
    """Build the evaluator; named in its manifest."""
    return Accuracy(settings, classes)


def _rank(probabilities: Tensor, label: int) -> int:
    """How many classes are more probable than this one; of equal ones, those before it."""
    own = probabilities[label]
    return int((probabilities > own).sum()) + int((probabilities[:label] == own).sum())


def _joined(rows: Sequence[Floats]) -> Floats:
    return np.concatenate(rows) if rows else np.zeros((0, 4))


def _confusion(rows: Floats, classes: int) -> NDArray[np.int64]:
    """Images of each true class (row) by predicted class, int64 ``[C, C]``."""
    pairs = rows[:, TRUE].astype(np.int64) * classes + rows[:, PREDICTED].astype(np.int64)
    return np.bincount(pairs, minlength=classes * classes).astype(np.int64).reshape(classes, classes)


def _mean(values: NDArray[Any]) -> float:
    """The mean of the defined values; NaN without any."""
    values = values.astype(float)
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")
