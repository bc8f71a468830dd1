"""What the values in predicted label images stand for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from toolkit.errors import DataError
from toolkit.types import VOID

_UNKNOWN = -1


class ValueTable:
    """Classes and void by the 256 values of a label image.

    Args:
        indexes: the class of each value, as its index.
        void: values of pixels without a class; 255 is one unless it stands for a class.
    """

    def __init__(self, indexes: Mapping[int, int], void: Sequence[int]) -> None:
        self._table = torch.full((256,), _UNKNOWN, dtype=torch.int16)
        if VOID not in indexes:
            self._table[VOID] = VOID
        for value in void:
            self._table[value] = VOID
        for value, index in indexes.items():
            self._table[value] = index

    def translated(self, label_map: Tensor, file: Path, source: Path) -> Tensor:
        """The classes of the pixels.

        Args:
            label_map: values, uint8 ``[H, W]``.
            file: the label image, for messages.
            source: what says which values there are, for messages.

        Returns:
            uint8 ``[H, W]``, indexes of classes, and 255 for none.

        Raises:
            DataError: when a value stands for nothing.
        """
        translated = self._table[label_map.long()]
        unknown = translated == _UNKNOWN
        if bool(unknown.any()):
            raise DataError(
                f"{file} has the value {int(label_map[unknown][0])}, which is not a class of {source}. Hint:"
                " correct the image, or add the value"
            )
        return translated.to(torch.uint8)
