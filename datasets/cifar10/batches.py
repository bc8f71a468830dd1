"""The batches of CIFAR-10: pickles, read without running code in them, or records of bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.errors import DataError
from toolkit.reading.files import read_bytes, read_lines
from toolkit.reading.pickles import read_pickle

SIDE = 32
VALUES = 3 * SIDE * SIDE
"""Of an image: its red, then its green, then its blue channel, each row by row."""

MOST_BYTES = 1 << 28
"""Of a file; a published batch has 31 MB."""

_GET_AGAIN = "get the file again from its publisher: toolkit data get cifar10"

Bytes = NDArray[np.uint8]


def read_batch(path: Path) -> tuple[Bytes, Bytes]:
    """The images of a batch, uint8 ``[N, 3, 32, 32]``, and their labels, uint8 ``[N]``.

    Raises:
        DataError: when the file cannot be read, or is no batch; nothing in it is run.
    """
    return _of_binary(path) if path.suffix == ".bin" else _of_pickle(path)


def _of_binary(path: Path) -> tuple[Bytes, Bytes]:
    """One byte for the label before those of each image."""
    data = np.frombuffer(read_bytes(path, "images of CIFAR-10", DataError, most=MOST_BYTES), np.uint8)
    if not len(data) or len(data) % (1 + VALUES):
        raise DataError(
            f"{path} has {len(data):,} bytes; expected {1 + VALUES:,} for each image: its label, then its"
            " pixels."
            f" Hint: {_GET_AGAIN}"
        )
    rows = data.reshape(-1, 1 + VALUES)
    return rows[:, 1:].reshape(-1, 3, SIDE, SIDE), rows[:, 0]


def _of_pickle(path: Path) -> tuple[Bytes, Bytes]:
    content = _dictionary(path)
    data, labels = content.get("data"), content.get("labels")
    if (
        not isinstance(data, np.ndarray)
        or data.dtype != np.uint8
        or data.ndim != 2
        or data.shape[1] != VALUES
    ):
        found = f"{data.dtype} {list(data.shape)}" if isinstance(data, np.ndarray) else type(data).__name__
        raise DataError(f"{path}: data is {found}; expected uint8 [N, {VALUES}]. Hint: {_GET_AGAIN}")
    usable = isinstance(labels, list) and all(type(each) is int and 0 <= each <= 255 for each in labels)
    if not isinstance(labels, list) or not usable or len(labels) != len(data):
        raise DataError(
            f"{path}: labels must be a list of {len(data):,} whole numbers, one for each image. Hint:"
            f" {_GET_AGAIN}"
        )
    return np.asarray(data).reshape(-1, 3, SIDE, SIDE), np.array(labels, np.uint8)


def read_names(path: Path) -> list[str]:
    """The names of the classes in ``batches.meta`` or ``batches.meta.txt``, in the order of the labels.

    Raises:
        DataError: when the file cannot be read, or has no names.
    """
    if path.suffix == ".txt":
        names = read_lines(path, "names of classes", DataError)
    else:
        names = _texts(_dictionary(path).get("label_names"))
    if not names or len({*names}) < len(names):
        raise DataError(f"{path} has no list of different names of classes. Hint: {_GET_AGAIN}")
    return names


def _dictionary(path: Path) -> dict[str, Any]:
    """The dictionary in a pickle, whose keys Python 2 wrote as text and Python 3 as bytes."""
    content = read_pickle(path, "images of CIFAR-10", DataError)
    if not isinstance(content, dict):
        raise DataError(
            f"{path} contains {type(content).__name__}; expected a dictionary with data and labels. Hint:"
            f" {_GET_AGAIN}"
        )
    return {_text(key): value for key, value in content.items()}


def _texts(values: object) -> list[str]:
    return [_text(value) for value in values] if isinstance(values, list) else []


def _text(value: object) -> str:
    return value.decode("latin1") if isinstance(value, bytes) else str(value)
