"""Base class of promptable models."""

from __future__ import annotations

from collections.abc import Sequence

from toolkit.models.capabilities import Promptable
from toolkit.models.contract import TrainableModel
from toolkit.types import Prediction, Sample


class PromptableModel(TrainableModel, Promptable):
    """A trainable model that predicts the objects given by a sample's prompts."""

    draw_above = 0.0  # each object was requested by a prompt

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        """The answers to each sample's ``prompts``, or everything in the image if there are none."""
        predictions = []
        for sample, encoded in zip(samples, self.encode(samples), strict=True):
            found = self.find_all(encoded) if sample.prompts is None else self.answer(encoded, sample.prompts)
            predictions.append(Prediction(sample.id, sample.size, instances=found))
        return predictions
