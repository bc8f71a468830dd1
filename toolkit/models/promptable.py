"""Base class of promptable models."""

from __future__ import annotations

from collections.abc import Sequence

from toolkit.errors import UsageError
from toolkit.models.capabilities import MaskPromptable, Promptable
from toolkit.models.contract import TrainableModel
from toolkit.types import Prediction, Sample


class PromptableModel(TrainableModel, Promptable):
    """A trainable model that predicts the objects given by a sample's prompts."""

    draw_above = 0.0  # each object was requested by a prompt

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        """The answers to each sample's ``prompts``, or everything in the image if there are none.

        Raises:
            UsageError: when prompts have masks, and the model does not support masks.
        """
        for sample in samples:
            if sample.prompts is not None and sample.prompts.has_masks:
                self._check_takes_masks(sample)
        predictions = []
        for sample, encoded in zip(samples, self.encode(samples), strict=True):
            found = self.find_all(encoded) if sample.prompts is None else self.answer(encoded, sample.prompts)
            predictions.append(Prediction(sample.id, sample.size, instances=found))
        return predictions

    def _check_takes_masks(self, sample: Sample) -> None:
        if self.capability(MaskPromptable) is None:
            raise UsageError(
                f"the prompts of sample {sample.id!r} have masks or logits, which this model"
                " does not take. Hint: use points and boxes"
            )
