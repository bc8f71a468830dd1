"""When values that hold tensors are equal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class ByValue:
    """Base of data classes that hold tensors: two objects are equal if they are of the same class and all of
    their fields are equal.

    ``dataclass`` compares fields with ``==``, which for tensors gives a tensor, so that its comparison
    raises. Here tensors and arrays are equal if their dtype, shape and values are; NaN equals NaN, because
    both stand for what is not known. Equality is by value and not by identity, because a sample that is read
    or loaded twice is the same sample, as tests of datasets want to say.

    There is no hash, as there is none for lists, because tensors can be changed in place; the id of a sample
    can serve as a key. Derived classes are declared with ``@dataclass(eq=False)``, so that they inherit this
    comparison.
    """

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if other.__class__ is not self.__class__:
            return NotImplemented
        return all(equal(getattr(self, name), getattr(other, name)) for name in _compared(self))


def _compared(value: Any) -> list[str]:
    instance: DataclassInstance = value
    return [field.name for field in fields(instance) if field.compare]


def equal(first: Any, second: Any) -> bool:
    """Whether two values are equal, where either may be a tensor or a NumPy array, or contain them in lists,
    tuples and mappings. Tensors on different devices are compared on that of the first.
    """
    if first is second:
        return True
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        return _equal_tensors(first, second)
    if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
        if first.dtype != second.dtype or first.shape != second.shape:
            return False
        return bool(np.array_equal(first, second, equal_nan=first.dtype.kind in "fc"))
    if isinstance(first, (Tensor, np.ndarray)) or isinstance(second, (Tensor, np.ndarray)):
        return False
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        return first.keys() == second.keys() and all(equal(first[key], second[key]) for key in first)
    if isinstance(first, (list, tuple)):
        alike = type(first) is type(second) and len(first) == len(second)
        return alike and all(map(equal, first, second))
    if isinstance(first, float) and isinstance(second, float) and math.isnan(first):
        return math.isnan(second)
    return bool(first == second)


def _equal_tensors(first: Tensor, second: Tensor) -> bool:
    if first.dtype != second.dtype or first.shape != second.shape:
        return False
    second = second.to(first.device)
    if torch.equal(first, second):
        return True
    # only these can be NaN, which is unequal to itself
    if not (first.is_floating_point() or first.is_complex()):
        return False
    return bool(((first == second) | (first.isnan() & second.isnan())).all())
