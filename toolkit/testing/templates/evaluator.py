"""mynet: an evaluator that counts how many classes of an image are seen at all. Put in its place what you
want to know.

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
    summary="the share of the classes in an image that are found anywhere in it",
    build=":build",
    settings=":MyNetSettings",
)


class MyNetSettings(Settings):
    """What can be set; the sentence under each field is its documentation."""

    min_pixels: int = Field(20, ge=1)
    """A class counts as shown, or as found, from this many pixels on."""


class MyNet(Evaluator):
    """The F1 score of the classes that an image shows, with all images counted together."""

    def __init__(self, settings: MyNetSettings, classes: Sequence[str]) -> None:
        self.min_pixels, self.classes = settings.min_pixels, tuple(classes)
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.counts = torch.zeros(3, len(self.classes))  # found, missed and invented, a class

    def _update(self, sample: Sample, prediction: Prediction) -> None:
        if sample.label_map is None or prediction.label_map is None:
            raise InvalidDataError(
                f"sample {sample.id!r}: a label map is missing in the sample or in the prediction"
            )
        truth, guess = self._shown(sample.label_map), self._shown(prediction.label_map)
        self.counts += torch.stack([truth & guess, truth & ~guess, guess & ~truth])

    def _shown(self, label_map: Tensor) -> Tensor:
        """Whether each class is shown, bool ``[C]``."""
        return torch.bincount(label_map.flatten(), minlength=256)[: len(self.classes)] >= self.min_pixels

    def state(self) -> Tensor:
        """The counts of this process."""
        return self.counts.clone()

    def merge(self, states: Sequence[Any]) -> None:
        """Replace the counts by the sum of those of all processes."""
        self.counts = torch.stack(list(states)).sum(0)

    def report(self) -> Report:
        """The figures so far; 0 / 0 is NaN, as what is undefined should be."""
        found, missed, invented = self.counts
        per_class = 2 * found / (2 * found + missed + invented)
        total = self.counts.sum(1)
        overall = 2 * total[0] / (2 * total[0] + total[1] + total[2])
        return Report(
            "mynet", {"presence_f1": float(overall)}, {"presence_f1": per_class.tolist()}, self.classes
        )


def build(settings: MyNetSettings, classes: Sequence[str]) -> MyNet:
    """The evaluator, as its manifest names it."""
    return MyNet(settings, classes)
