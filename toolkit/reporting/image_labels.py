"""Classes of whole images: which are wrong, and what is said of them."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from toolkit.reporting.cases import Case
from toolkit.types import Size


def image_cases(image: int, size: Size, truth: int, probabilities: Tensor) -> list[Case]:
    """The error of an image that was taken for one of another class; none where it was not. Its weight is how
    much more probable the other class is than the true one.

    Args:
        image: its place in the dataset.
        size: its height and width.
        truth: the true class.
        probabilities: floating ``[C]``, of the classes.
    """
    seen = int(probabilities.argmax())
    if seen == truth:
        return []
    sure = float(probabilities[seen])
    weight = sure - float(probabilities[truth])
    box = (0.0, 0.0, float(size[1]), float(size[0]))
    return [Case("confused", image, box, truth, seen, weight=weight, probability=sure, is_whole=True)]


def image_in_words(truth: int, probabilities: Tensor, classes: Sequence[str]) -> str:
    """The true class of an image and the predicted one, with its probability."""
    seen = int(probabilities.argmax())
    return f"labeled {classes[truth]}, predicted {classes[seen]} ({float(probabilities[seen]):.2f})"
