"""The contract that every evaluator meets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, final

from toolkit.errors import InvalidDataError
from toolkit.evaluation.report import Report

if TYPE_CHECKING:  # so that this package imports no torch
    from toolkit.data.dataset import Dataset
    from toolkit.types import Prediction, Sample


class Evaluator(ABC):
    """Compares predictions with samples, batch by batch, in memory that does not grow with the pixels seen.

    In several processes each updates its own evaluator; then one of them gets the states of all, merges and
    reports.

    Attributes:
        aligned: whether it compares the instances of a prediction with the true ones place by place, as
            answers to prompts are to be.
        protocol: of a promptable model, the protocol whose predictions it gets; empty for other models.
        resamples: how often a comparison asks for a report of resampled images; fewer where a report takes
            long.
    """

    aligned: ClassVar[bool] = False
    protocol: str = ""
    resamples: int = 1000

    @abstractmethod
    def reset(self) -> None:
        """Forget everything."""

    def prepare(self, dataset: Dataset) -> None:  # noqa: B027 - most evaluators need nothing
        """Learn which dataset the samples will come from; called after ``reset``, in every process, before
        the first update.

        For an evaluator whose figures depend on the order of the samples; most need not know.
        """

    @final
    def update(self, samples: Sequence[Sample], predictions: Sequence[Prediction]) -> None:
        """Take in one prediction a sample, in the same order.

        Raises:
            InvalidDataError: when a prediction is of another sample or size, a label is missing, or a value
                is out of range.
        """
        if len(samples) != len(predictions):
            raise InvalidDataError(
                f"{len(samples)} samples came with {len(predictions)} predictions; there must be one"
                " prediction a sample"
            )
        for sample, prediction in zip(samples, predictions, strict=True):
            if prediction.sample_id != sample.id:
                raise InvalidDataError(
                    f"prediction {prediction.sample_id!r} came for sample {sample.id!r}; predictions must be"
                    " in the samples' order"
                )
            if prediction.size != sample.size:
                raise InvalidDataError(
                    f"the prediction for sample {sample.id!r} is {_size(prediction.size)}, but its image is"
                    f" {_size(sample.size)}; a prediction must be in the pixel grid of the sample's own image"
                )
            self._update(sample, prediction)

    @abstractmethod
    def _update(self, sample: Sample, prediction: Prediction) -> None:
        """Take in a prediction that is known to be of this sample and its size."""

    @abstractmethod
    def state(self) -> Any:
        """All that was taken in, as something small that pickles."""

    @abstractmethod
    def merge(self, states: Sequence[Any]) -> None:
        """Replace all that was taken in by the sum of these states (those of all processes, this one's
        included).
        """

    def merge_repeated(self, states: Sequence[Any], times: Sequence[int]) -> None:
        """Replace all that was taken in by the sum of these states, each of them so many times: a bootstrap
        sample of images.

        Override where ``merge`` takes what comes twice for the same thing.
        """
        self.merge([state for state, count in zip(states, times, strict=True) for _ in range(count)])

    @abstractmethod
    def report(self) -> Report:
        """The figures so far; NaN where nothing defines them, as before the first update."""


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]} (height×width)"
