"""Translates between class indexes and the values in a dataset's label images.

In memory a class is its index and void is 255. Files differ: many datasets use 0 for void and number the
classes from 1; others use 11, or the last value, for void.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from toolkit.errors import DataError, InvalidDataError
from toolkit.types import VOID
from toolkit.visualization.palettes import Palette, full_palette

Color = tuple[int, int, int]


@dataclass(frozen=True)
class LabelValues:
    """The value of each class in label images, and that of void.

    Attributes:
        classes: one value per class, each from 0 to 255 and different from the others.
        void: the value of pixels that belong to no class; None if the label images have none.

    Raises:
        InvalidDataError: when a value is out of range or has two meanings.
    """

    classes: tuple[int, ...]
    void: int | None = VOID

    def __post_init__(self) -> None:
        used = [*self.classes, *([] if self.void is None else [self.void])]
        wrong = [value for value in used if not 0 <= value <= 255]
        twice = [value for value in used if used.count(value) > 1]
        if wrong or twice:
            fault = (
                f"{wrong[0]} is out of range"
                if wrong
                else f"{twice[0]} stands for two classes, or for a class and void"
            )
            raise InvalidDataError(f"label values must be 0…255, each for one class: {fault}")

    @classmethod
    def indexes(cls, count: int) -> LabelValues:
        """The toolkit's own values: a class is its index, void is 255."""
        return cls(tuple(range(count)), VOID)

    @classmethod
    def of_table(cls, table: Mapping[int, int], count: int, void: int | None = None) -> LabelValues | None:
        """From the table with which a reader translates the values of its files.

        Args:
            table: value in the file -> class index, or ``VOID``.
            count: number of classes.
            void: the value to write for void if the table has several; the smallest when None.

        Returns:
            None if a class has no value of its own, so that label images of this kind cannot be written.
        """
        first: dict[int, int] = {}
        for value in sorted(table):
            first.setdefault(table[value], value)
        if not all(index in first for index in range(count)):
            return None
        values = tuple(first[index] for index in range(count))
        return cls(values, first.get(VOID) if void is None else void)

    @property
    def are_indexes(self) -> bool:
        """Whether these are the toolkit's own values, so that nothing needs to be translated."""
        return self.classes == tuple(range(len(self.classes))) and self.void in (None, VOID)

    def encode(self, label_map: Tensor) -> Tensor:
        """A label map of indexes in the values of the files, uint8 ``[H, W]``.

        Raises:
            DataError: when a pixel is void and these label images have no value for that.
        """
        table = torch.zeros(256, dtype=torch.uint8)
        table[: len(self.classes)] = torch.tensor(self.classes, dtype=torch.uint8)
        if self.void is None and bool((label_map == VOID).any()):
            raise DataError(
                "pixels without a class cannot be written with the values of this dataset, which has no"
                " value for void. Hint: write indexes (--label-values index)"
            )
        table[VOID] = VOID if self.void is None else self.void
        return table[label_map.int()]

    def palette(self, colors: Palette) -> tuple[Color, ...]:
        """Colors by class as colors by value, 256 of them; void and unused values keep those of VOC's
        rule.
        """
        by_index = full_palette(colors)
        by_value = full_palette(())[:256].copy()
        for index, value in enumerate(self.classes):
            by_value[value] = by_index[index]
        if self.void is not None:
            by_value[self.void] = by_index[VOID]
        return tuple((int(r), int(g), int(b)) for r, g, b in by_value)

    def to_dict(self) -> dict[str, Any]:
        """The values in a form that JSON can store."""
        return {"classes": list(self.classes), "void": self.void}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LabelValues:
        """The inverse of ``to_dict``, for a file that somebody else may have written.

        Raises:
            InvalidDataError: when there are no such values, or they are not whole numbers from 0 to 255.
        """
        classes, void = values.get("classes"), values.get("void", VOID)
        given = (
            [*classes, *([] if void is None else [void])] if isinstance(classes, (list, tuple)) else [None]
        )
        if len(given) > VOID + 2 or not all(type(value) is int for value in given):
            raise InvalidDataError(
                "label values must be a list of numbers, classes, and a number or null, void, not"
                f" {dict(values)!r}"
            )
        return cls(tuple(classes or ()), void)
