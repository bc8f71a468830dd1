"""Finds the classes of an image as a whole, whatever the task that has them calls the field."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from toolkit.types.samples import Prediction, Sample


class ClassScores(NamedTuple):
    """One number for each class: of a sample, what is true; of a prediction, how probable it is.

    Attributes:
        field: the name in ``extras``.
        values: floating ``[C]``.
    """

    field: str
    values: Tensor

    @property
    def label(self) -> int:
        """The class with the largest number."""
        return int(self.values.argmax())


def class_scores(labeled: Sample | Prediction, count: int) -> ClassScores | None:
    """The value in ``extras`` that has one number for each of ``count`` classes; None if there is none, or
    more than one.
    """
    found = [
        ClassScores(name, value)
        for name, value in labeled.extras.items()
        if isinstance(value, Tensor) and value.is_floating_point() and tuple(value.shape) == (count,)
    ]
    return found[0] if len(found) == 1 and count else None
