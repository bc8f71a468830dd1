"""The class of an image, in samples and in predictions."""

from __future__ import annotations

import torch
from torch import Tensor

from toolkit.errors import InvalidDataError
from toolkit.types import Prediction, Sample

FIELD = "class_probabilities"
"""The name in ``extras`` of the probabilities of the classes."""

ROUNDING = 1e-3
"""How far their sum may be from 1; half precision is off by less."""


def probabilities_of(labeled: Sample | Prediction, classes: int) -> Tensor:
    """The checked probabilities of the classes of an image, float32 ``[C]``.

    Raises:
        InvalidDataError: when there are none, or they are no probabilities of so many classes; names the
            sample.
    """
    found = labeled.get(FIELD)
    name = labeled.id if isinstance(labeled, Sample) else labeled.sample_id
    owner = f"{'sample' if isinstance(labeled, Sample) else 'the prediction for sample'} {name!r}"
    if not isinstance(found, Tensor):
        raise InvalidDataError(
            f"{owner} has no class of the whole image ({FIELD}). Hint: use a dataset for classification, such"
            " as image-folder"
        )
    if found.shape != (classes,):
        raise InvalidDataError(f"{owner} has {FIELD} {list(found.shape)} for {classes} classes")
    found = found.float()
    total = float(found.sum())
    if not bool((found >= 0).all()) or abs(total - 1) > ROUNDING:
        raise InvalidDataError(
            f"{owner} has {FIELD} of {float(found.min()):g} … {float(found.max()):g} with the sum {total:g};"
            " expected 0 or more, and the sum 1"
        )
    return found


def top(probabilities: Tensor) -> tuple[int, float]:
    """The most probable class and its probability; the first of several that are equally probable."""
    index = int(torch.argmax(probabilities))
    return index, float(probabilities[index])
