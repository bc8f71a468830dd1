"""The contract of evaluators."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, final

from toolkit.errors import InvalidDataError
from toolkit.evaluation.report import Report

if TYPE_CHECKING:  # so that this package imports no torch
    from toolkit.data.dataset import Dataset
    from toolkit.types import Prediction, Sample


class Evaluator(ABC):
    """Compares predictions with samples, batch by batch; memory does not grow with the number of pixels.

    With several processes, each updates its own evaluator; then one of them gathers all states, merges them
    and reports.
    """

    @property
    def wants_confidence(self) -> bool:
        """Whether predictions should have ``toolkit.types.CONFIDENCE``, from models that provide it."""
        return False

    @abstractmethod
    def reset(self) -> None:
        """Reset all state."""

    def prepare(self, dataset: Dataset) -> None:  # noqa: B027 - most evaluators need nothing
        """Receive the dataset that the samples will come from; called after ``reset``, in every process,
        before the first update.

        For evaluators whose metrics depend on the order of the samples; most can ignore it.
        """

    @final
    def update(self, samples: Sequence[Sample], predictions: Sequence[Prediction]) -> None:
        """Add one prediction per sample, in the same order.

        Raises:
            InvalidDataError: when a prediction is for another sample or of another size, a label is missing,
                or a value is out of range.
        """
        if len(samples) != len(predictions):
            raise InvalidDataError(
                f"{len(samples)} samples were given with {len(predictions)} predictions; expected one"
                " prediction per sample"
            )
        for sample, prediction in zip(samples, predictions, strict=True):
            if prediction.sample_id != sample.id:
                raise InvalidDataError(
                    f"prediction {prediction.sample_id!r} was given for sample {sample.id!r}; predictions"
                    " must be in the order of the samples"
                )
            if prediction.size != sample.size:
                raise InvalidDataError(
                    f"the prediction for sample {sample.id!r} is {_size(prediction.size)}, but its image is"
                    f" {_size(sample.size)}; a prediction must be in the pixel grid of the sample's own image"
                )
            self._update(sample, prediction)

    @abstractmethod
    def _update(self, sample: Sample, prediction: Prediction) -> None:
        """Add a prediction, which has been checked to belong to this sample and to have its size."""

    @abstractmethod
    def state(self) -> Any:
        """Everything added so far, as a small picklable object."""

    @abstractmethod
    def merge(self, states: Sequence[Any]) -> None:
        """Replace the state with the sum of these states (those of all processes, including this one)."""

    @abstractmethod
    def report(self) -> Report:
        """The metrics so far; undefined ones are NaN, including all metrics before the first update."""


class AnswerEvaluator(Evaluator):
    """An evaluator of answers to prompts: it compares the objects of a prediction with the true ones one by
    one, so it only applies to promptable models.
    """


class DocumentEvaluator(ABC):
    """Interface of evaluators that can compare a COCO results file with a COCO annotation file directly,
    without reading images.
    """

    @abstractmethod
    def report_document(
        self, document: dict[str, Any], results: Sequence[Mapping[str, Any]], category_ids: Sequence[int]
    ) -> Report:
        """Evaluate results against a document, in the files' own precision.

        Args:
            document: see ``toolkit.formats.coco_numbers.CocoNumbered``.
            results: checked by ``toolkit.formats.coco_results``.
            category_ids: the id of each class in the document.
        """


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]} (height×width)"
