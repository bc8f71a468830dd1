"""Validates models on large images as they are predicted: window by window."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from toolkit.models.contract import TrainableModel
from toolkit.models.sliding_window import WINDOWS_AT_ONCE, Tiling, Windowed
from toolkit.models.window_grid import grid
from toolkit.types import Prediction, Sample


class WindowedLearner(Windowed, TrainableModel):
    """A trainable model that predicts large images window by window, and computes their losses so.

    Args:
        model: the model.
        tiling: when images are predicted window by window.
    """

    model: TrainableModel

    def __init__(self, model: TrainableModel, tiling: Tiling) -> None:
        super().__init__(model, tiling)

    def loss(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
        """Those of the model, of whole images: training has crops."""
        return self.model.loss(samples)

    def validate(self, samples: Sequence[Sample]) -> tuple[list[Prediction], dict[str, Tensor]]:
        """Predictions, and losses as means over the samples. The loss of an image that is predicted window by
        window is the mean over windows side by side (they overlap only as far as the image's size demands),
        with the truth cut at their edges, as that of a crop in training.
        """
        windows = [self.window_for(sample.size) for sample in samples]
        whole = [sample for sample, window in zip(samples, windows, strict=True) if window is None]
        if len(whole) == len(samples):
            return self.model.validate(samples)
        found: list[Prediction] = []
        parts = []
        if whole:
            found, losses = self.model.validate(whole)
            parts.append((losses, len(whole)))
        rest = iter(found)
        predictions = []
        for sample, window in zip(samples, windows, strict=True):
            if window is None:
                predictions.append(next(rest))
                continue
            predictions.append(self._in_windows(sample, window))
            parts.append((self._loss_in_windows(sample, window), 1))
        return predictions, _mean(parts)

    def _loss_in_windows(self, sample: Sample, window: int) -> dict[str, Tensor]:
        from toolkit.data.transforms import (
            cut_sample,
        )  # loads torchvision, which evaluation alone does not need

        places = [each.place for row in grid(sample.size, window, 0) for each in row]
        parts = []
        for first in range(0, len(places), WINDOWS_AT_ONCE):
            batch = [cut_sample(sample, place) for place in places[first : first + WINDOWS_AT_ONCE]]
            # not loss: models may draw random numbers there, and a validation must not
            parts.append((self.model.validate(batch)[1], len(batch)))
        return _mean(parts)


def _mean(parts: Sequence[tuple[dict[str, Tensor], int]]) -> dict[str, Tensor]:
    """The mean of losses by name, each weighted by a number of samples."""
    count = sum(number for _, number in parts)
    names = dict.fromkeys(name for losses, _ in parts for name in losses)
    return {
        name: torch.stack(
            [losses[name] * (number / count) for losses, number in parts if name in losses]
        ).sum()
        for name in names
    }
