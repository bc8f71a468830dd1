"""mynet: an evaluator that counts how many of an image's classes are found at all. Replace it with your own
metric.

toolkit eval RUN --data shapes --plugin mynet.py evaluators.mynet.min_pixels=50
toolkit plugins check mynet.py
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from toolkit import Evaluator, EvaluatorManifest, Prediction, Report, Sample, Settings
from toolkit.errors import InvalidDataError

EVALUATOR = EvaluatorManifest(
    name="mynet",
    summary="the fraction of an image's classes that are found anywhere in it",
    build=":build",
    settings=":MyNetSettings",
)


class MyNetSettings(Settings):
    """Settings of the evaluator; the docstring of each field is its documentation."""

    min_pixels: int = Field(20, ge=1)
    """Minimum number of pixels for a class to count as present, or as found."""


class MyNet(Evaluator):
    """The F1 score of the classes present in an image, counted over all images."""

    def __init__(self, settings: MyNetSettings, classes: Sequence[str]) -> None:
        self.min_pixels, self.classes = settings.min_pixels, tuple(classes)
        self.reset()

    def reset(self) -> None:
        """Reset all counts."""
        # True positives, false negatives and false positives per class.
        self.counts = torch.zeros(3, len(self.classes))

    def _update(self, sample: Sample, prediction: Prediction) -> None:
        if sample.label_map is None or prediction.label_map is None:
            raise InvalidDataError(
                f"sample {sample.id!r}: a label map is missing in the sample or in the prediction"
            )
        truth, guess = self._shown(sample.label_map), self._shown(prediction.label_map)
        self.counts += torch.stack([truth & guess, truth & ~guess, guess & ~truth])

    def _shown(self, label_map: Tensor) -> Tensor:
        """Whether each class is present, bool ``[C]``."""
        return torch.bincount(label_map.flatten(), minlength=256)[: len(self.classes)] >= self.min_pixels

    def state(self) -> Tensor:
        """The counts of this process."""
        return self.counts.clone()

    def merge(self, states: Sequence[Any]) -> None:
        """Replace the counts with the sum over all processes."""
        self.counts = torch.stack(list(states)).sum(0)

    def report(self) -> Report:
        """The metrics so far; 0 / 0 is NaN, as undefined metrics should be."""
        found, missed, invented = self.counts
        per_class = 2 * found / (2 * found + missed + invented)
        total = self.counts.sum(1)
        overall = 2 * total[0] / (2 * total[0] + total[1] + total[2])
        return Report(
            "mynet", {"presence_f1": float(overall)}, {"presence_f1": per_class.tolist()}, self.classes
        )


def build(settings: MyNetSettings, classes: Sequence[str]) -> MyNet:
    """Build the evaluator; named in its manifest."""
    return MyNet(settings, classes)
