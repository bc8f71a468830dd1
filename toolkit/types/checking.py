"""Checks values, and describes them in messages."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from toolkit.errors import InvalidDataError
from toolkit.types.basics import Size


def check(condition: bool, message: str) -> None:
    """Raise an error if a condition is not met.

    Raises:
        InvalidDataError: when it is not met, with the given message.
    """
    if not condition:
        raise InvalidDataError(message)


def describe(value: object) -> str:
    """A value in a few words, for messages: dtype and shape, or type and the beginning of its repr."""
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
    if isinstance(value, np.ndarray):
        return f"a NumPy array of {value.dtype} {list(value.shape)}"
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 80 else text[:77] + '…'}"


def check_tensor(
    owner: str, name: str, value: object, dtype: torch.dtype, shape: tuple[int | None, ...]
) -> None:
    """Check dtype and shape; None in ``shape`` stands for any length.

    Raises:
        InvalidDataError: when one is wrong, or it is not a tensor; names owner and field.
    """
    fits = (
        isinstance(value, Tensor)
        and value.dtype == dtype
        and value.dim() == len(shape)
        and all(want is None or want == got for want, got in zip(shape, value.shape, strict=True))
    )
    expected = ", ".join("any" if want is None else str(want) for want in shape)
    wanted = f"a tensor of {str(dtype).removeprefix('torch.')} [{expected}]"
    check(fits, f"{owner}.{name} must be {wanted}, not {describe(value)}")


def check_boxes(owner: str, boxes: Tensor) -> None:
    """Check the values of boxes ``[N, 4]``.

    Raises:
        InvalidDataError: when one is not finite, or a box ends before it begins.
    """
    check(bool(torch.isfinite(boxes).all()), f"{owner}.boxes_xyxy has NaN or infinite values")
    ordered = (boxes[:, 2:] >= boxes[:, :2]).all(dim=1)
    for row in (~ordered).nonzero()[:1, 0].tolist():
        raise InvalidDataError(f"{owner}.boxes_xyxy[{row}] has x1 < x0 or y1 < y0: {boxes[row].tolist()}")


def check_labels(owner: str, labels: Tensor) -> None:
    """Check the values of labels ``[N]``.

    Raises:
        InvalidDataError: when one is below 0.
    """
    if len(labels):
        least = int(labels.min())
        check(least >= 0, f"{owner}.labels must be 0 or more, not {least}")


def check_ids(owner: str, ids: object, count: int | None) -> None:
    """Check the names of objects.

    Raises:
        InvalidDataError: when they are not a tuple of ``count`` strings.
    """
    fits = isinstance(ids, tuple) and all(isinstance(each, str) for each in ids) and len(ids) == count
    check(fits, f"{owner}.ids must be a tuple of {count} str, not {describe(ids)}")


def check_type(owner: str, name: str, value: object, expected: type) -> None:
    """Check that a value is None or of a given type.

    Raises:
        InvalidDataError: when it is neither.
    """
    fits = value is None or isinstance(value, expected)
    check(fits, f"{owner}.{name} must be {expected.__name__} or None, not {describe(value)}")


def check_size(owner: str, size: object) -> None:
    """Check that a size is ``(height, width)``.

    Raises:
        InvalidDataError: when it is not a tuple of two whole numbers above 0.
    """
    fits = isinstance(size, tuple) and len(size) == 2 and all(isinstance(n, int) and n > 0 for n in size)
    check(fits, f"{owner}.size must be (height, width) in whole pixels above 0, not {size!r}")


def check_label_map(owner: str, label_map: Tensor | None, size: Size) -> None:
    """Check a label map, if there is one.

    Raises:
        InvalidDataError: when it is not uint8 and of the image's size.
    """
    if label_map is not None:
        check_tensor(owner, "label_map", label_map, torch.uint8, size)


def pixels(size: Size) -> str:
    """A size as shown in reprs, height first as in shapes."""
    return f"{size[0]}x{size[1]}"
