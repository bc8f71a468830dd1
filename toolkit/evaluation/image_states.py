"""The states of evaluators for each single image, which are combined for the total and for every bootstrap
draw.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.data.dataset import Dataset
from toolkit.evaluation.bootstrap import draws, resampled_metrics, resamples_of
from toolkit.evaluation.driver import PredictedBatch
from toolkit.evaluation.protocols import Measurement
from toolkit.evaluation.report import Report

PATIENCE = 4
"""How many times longer than planned draws may take if there would otherwise be too few."""


class ImageStates:
    """A state of each evaluator for each image.

    Args:
        measurements: the measurements; they are reset and prepared.
        dataset: the dataset that the images come from.
    """

    def __init__(self, measurements: Sequence[Measurement], dataset: Dataset) -> None:
        self.measurements = list(measurements)
        self._states: list[list[Any]] = [[] for _ in self.measurements]
        for measurement in self.measurements:
            measurement.evaluator.reset()
            measurement.evaluator.prepare(dataset)

    def add(self, batch: PredictedBatch) -> None:
        """Measure each image of a batch separately."""
        for measurement, states in zip(self.measurements, self._states, strict=True):
            for i, sample in enumerate(batch.samples):
                measurement.evaluator.reset()
                one = {protocol: [values[i]] for protocol, values in batch.predictions.items()}
                measurement.update([sample], one)
                states.append(measurement.evaluator.state())

    def reports(self) -> list[Report]:
        """The figures of all images together, one report per measurement."""
        reports = []
        for measurement, states in zip(self.measurements, self._states, strict=True):
            measurement.evaluator.merge(states)
            reports.append(measurement.report())
        return reports

    def spreads(
        self,
        resamples: int | None = None,
        seed: int = 0,
        *,
        seconds: float | None = None,
        fewest: int = 1,
    ) -> dict[str, NDArray[np.float64]]:
        """Each metric in each bootstrap draw of images, float64 ``[draws]``; empty for fewer than two
        images. The draws are the same for all models with the same seed and number of images.

        Args:
            resamples: number of draws; a suitable number for each evaluator when None.
            seed: determines the draws.
            seconds: approximate time limit, for which the number of draws is reduced; no limit when None.
            fewest: number of draws that are made even if they take up to ``PATIENCE`` times as long.
        """
        values: dict[str, NDArray[np.float64]] = {}
        for measurement, states in zip(self.measurements, self._states, strict=True):
            if len(states) < 2:
                continue
            wanted = resamples or resamples_of(measurement.evaluator)
            times = draws(len(states), wanted, seed)
            evaluator, report = measurement.evaluator, measurement.report
            # with the first draw, an evaluator may find out what it needs for all
            parts = [resampled_metrics(evaluator, states, times[:1], report)]
            began = time.perf_counter()
            parts.append(resampled_metrics(evaluator, states, times[1:2], report))
            if seconds is not None:
                one = max(time.perf_counter() - began, 1e-6)
                count = int(seconds / len(self.measurements) / one)
                if count < fewest and fewest * one <= PATIENCE * seconds:
                    count = fewest
                times = times[: max(2, count)]
            parts.append(resampled_metrics(evaluator, states, times[2:], report))
            nothing = np.zeros(0)
            values |= {name: np.concatenate([part.get(name, nothing) for part in parts]) for name in parts[0]}
        return values
