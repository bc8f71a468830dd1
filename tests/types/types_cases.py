"""Values of each type, and how it is tried that a wrong one is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from toolkit.errors import InvalidDataError
from toolkit.types import Instances, Masks, Prompts

SIZE = (4, 5)


NAN, INFINITY = math.nan, math.inf


BOX = torch.tensor([[0.0, 0, 2, 2], [1, 1, 5, 4]])


def image(height: int = 4, width: int = 5) -> Tensor:
    return torch.zeros((3, height, width), dtype=torch.uint8)


def masks(count: int = 2, size: tuple[int, int] = SIZE) -> Masks:
    return Masks.from_dense(np.ones((count, *size), dtype=bool))


def instances(**fields: Any) -> Instances:
    """Two objects in an image of ``SIZE``."""
    right: dict[str, Any] = {
        "size": SIZE,
        "boxes_xyxy": torch.tensor([[0.0, 0, 2, 2], [1, 1, 5, 4]]),
        "labels": torch.tensor([0, 3]),
    }
    return Instances(**(right | fields))


def prompts(**fields: Any) -> Prompts:
    """A point, and another with its padding, in an image of ``SIZE``."""
    right: dict[str, Any] = {
        "points_xy": torch.tensor([[[1.0, 1], [2, 2]], [[3, 3], [0, 0]]]),
        "point_labels": torch.tensor([[1, 0], [1, -1]]),
    }
    return Prompts(**(right | fields))


def refused(build: Callable[[], object], *words: str) -> None:
    with pytest.raises(InvalidDataError) as caught:
        build()
    for word in words:
        assert word in str(caught.value)
