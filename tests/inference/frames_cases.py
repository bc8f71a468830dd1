"""A film of twelve frames."""

from __future__ import annotations

from typing import Any

import numpy as np

SIZE = (32, 48)


def frame(index: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A bright square on gray that moves 3 pixels to the right each frame."""
    picture = np.full((*SIZE, 3), 60, np.uint8)
    picture[10:18, 3 * index : 3 * index + 8] = 230
    return picture
