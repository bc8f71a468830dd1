"""The meaning of the values or colors of the label images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
from torch import Tensor

from toolkit.data.faults import fault, usable
from toolkit.data.images import read_image
from toolkit.data.label_maps import has_colors, image_palette, read_label_map
from toolkit.data.label_values import LabelValues
from toolkit.errors import DataError, ImageError
from toolkit.formats.label_images import Color, colors_to_label_map, values_to_label_map
from toolkit.formats.mask_folder import VOID_NAME, ClassLine, read_classes
from toolkit.reading.files import is_there
from toolkit.types import VOID

_COLOR_REPAIR = (
    "Hint: write classes.txt with a line such as 'grass 0 128 0' for every class, and 'void 0 0 0' for"
    " pixels without a class"
)
_LEAST_GAP = 10
"""Values that are all farther apart were chosen to be distinguishable to the eye, as 0 and 255, or 0, 128 and
255.
"""


@dataclass(frozen=True)
class Legend:
    """How to read label images.

    Attributes:
        classes: names of the classes.
        values: value in the label images -> class index, or ``VOID``.
        palette: one RGB color per class, if the files give them.
        label_values: the value that stands for each class; None if label images are in color.
        colors: color in the label images -> class index, or ``VOID``; empty if they contain values.
    """

    classes: tuple[str, ...]
    values: Mapping[int, int]
    palette: tuple[Color, ...] | None = None
    label_values: LabelValues | None = None
    colors: Mapping[Color, int] = field(default_factory=dict)

    def read(self, path: Path) -> Tensor:
        """A label image as a label map, uint8 ``[H, W]``.

        Raises:
            DataError: when it cannot be read, or has a value or color that is not a class.
        """
        if self.colors:
            return colors_to_label_map(read_image(path), self.colors, path)
        return values_to_label_map(read_label_map(path), self.values, path)


def legend_of(
    folder: Path, labels: Sequence[Path], lines: Sequence[ClassLine] | None, void: int | None
) -> Legend:
    """The meaning of label images.

    Args:
        folder: the folder of the label images, for messages.
        labels: all label images; the first ones must belong to the split that is read.
        lines: lines of the list of classes; None if there is none, and the classes are numbered by the
            values.
        void: the value of pixels without a class.

    Raises:
        DataError: when the meaning of colors is not given, or values seem to have another meaning.
    """
    first = labels[0]
    if _is_color(first):
        return _of_colors(first, lines)
    if lines is None:
        seen = {value for values in usable(labels, _values) for value in values}
        if _are_for_the_eye(seen) and seen != {void}:
            fault(DataError(_seem_to_mean_else(folder, seen, void)))
            return legend_of_values({value: f"value_{value}" for value in seen - {void}}, void, first)
        lines = _numbered(folder, seen, void)
    else:
        _check_not_binary(folder, labels, void)
    table = _value_table(lines, void)
    names = tuple(line.name for line in lines if line.name != VOID_NAME)
    named_void = None if len(names) < len(lines) else void
    colors = [line.color for line in lines if line.name != VOID_NAME and line.color is not None]
    palette = tuple(colors) if len(colors) == len(names) else _palette_of(first, table, len(names))
    return Legend(names, table, palette, LabelValues.of_table(table, len(names), named_void))


def legend_of_values(named: Mapping[int, str], void: int | None, first: Path) -> Legend:
    """The meaning of label images whose values are named individually.

    Args:
        named: name by value; several values may have the same name, and ``void`` is not a class.
        void: the value of pixels without a class, unless it is named.
        first: a label image.

    Raises:
        DataError: when label images are in color.
    """
    if _is_color(first):
        raise DataError(
            f"{first} is in color, so its values cannot be named. {_COLOR_REPAIR}, instead of the setting"
            " values"
        )
    in_order = [named[value] for value in sorted(named)]
    names = tuple(dict.fromkeys(name for name in in_order if name != VOID_NAME))
    table = {} if void is None else {void: VOID}
    table |= {value: VOID if name == VOID_NAME else names.index(name) for value, name in named.items()}
    return Legend(
        names, table, _palette_of(first, table, len(names)), LabelValues.of_table(table, len(names))
    )


def read_class_lines(path: Path, *, needed: bool) -> tuple[ClassLine, ...] | None:
    """The list of classes; None if there is none and none is needed."""
    return read_classes(path) if needed or is_there(path) else None


def _of_colors(first: Path, lines: Sequence[ClassLine] | None) -> Legend:
    if lines is None:
        raise DataError(f"{first} is in color, so its classes must be named. {_COLOR_REPAIR}")
    names = tuple(line.name for line in lines if line.name != VOID_NAME)
    palette = tuple(line.color for line in lines if line.name != VOID_NAME and line.color is not None)
    if len(palette) < len(names):
        raise DataError(f"{first} is in color, but not every class has a color. {_COLOR_REPAIR}")
    index = {name: i for i, name in enumerate(names)}
    colors = {line.color: index.get(line.name, VOID) for line in lines if line.color is not None}
    return Legend(names, {}, palette, None, colors)


def _value_table(lines: Sequence[ClassLine], void: int | None) -> dict[int, int]:
    """Value in the file -> class index: the lines stand for the values in order, skipping the void
    value.
    """
    table: dict[int, int] = {} if void is None else {void: VOID}
    free = (value for value in range(256) if value != void)
    index = 0
    for line, value in zip(lines, free, strict=False):
        table[value] = VOID if line.name == VOID_NAME else index
        index += line.name != VOID_NAME
    return table


def _numbered(folder: Path, seen: set[int], void: int | None) -> tuple[ClassLine, ...]:
    """Classes numbered up to the largest value in any label image."""
    known = seen - {void}
    if not known:
        raise DataError(
            f"{folder}: every pixel of every label image is void ({void}), so there is nothing to learn."
            " Hint: set data.options.void=VALUE"
        )
    return tuple(ClassLine(f"class_{value}") for value in range(max(known) + 1) if value != void)


def _seem_to_mean_else(folder: Path, seen: set[int], void: int | None) -> str:
    """The message for values that are probably not class numbers."""
    last = max(seen - {void})
    count = last + (void is None or void > last)
    classes = "1 class" if count == 1 else f"{count} classes"
    beside = f", with {void} as void" if void in seen else ""
    return (
        f"{folder}: the label images have only the values {_listed(seen)}, which would stand for {classes}"
        f" numbered from 0{beside}. Hint: {_naming(seen)}"
    )


def _check_not_binary(folder: Path, labels: Iterable[Path], void: int | None) -> None:
    """If a list names the classes, values of only 0 and 255 most likely mean two classes, not one class and
    void.
    """
    if void != 255:
        return
    seen: set[int] = set()
    for path in labels:
        try:
            seen |= _values(path)
        except DataError:
            continue  # reported when it is read as a sample
        if seen - {0, 255}:
            return
    if seen == {0, 255}:
        fault(
            DataError(
                f"{folder}: the label images have only the values 0 and 255, and 255 is void, so there"
                f" is only one class to see. Hint: {_naming(seen)}"
            )
        )


def _values(path: Path) -> set[int]:
    return set(np.unique(read_label_map(path).numpy()).tolist())


def _are_for_the_eye(values: set[int]) -> bool:
    in_order = sorted(values)
    return len(in_order) > 1 and all(high - low >= _LEAST_GAP for low, high in pairwise(in_order))


def _naming(values: set[int]) -> str:
    in_order = sorted(values)
    names = ["background", "object"] if len(in_order) == 2 else [f"name{n}" for n in range(len(in_order))]
    pairs = ", ".join(f"{value}: {name}" for value, name in zip(in_order, names, strict=True))
    return (
        f"name the values with 'data.options.values={{{pairs}}}', and use the name void for values that"
        " belong to no class"
    )


def _listed(values: set[int]) -> str:
    *most, last = map(str, sorted(values))
    return f"{', '.join(most)} and {last}"


def _palette_of(path: Path, table: Mapping[int, int], count: int) -> tuple[Color, ...] | None:
    """The colors of the classes in a label image with a palette."""
    try:
        flat = image_palette(path)
    except ImageError:
        return None
    if flat is None:
        return None
    value_of = {index: value for value, index in table.items()}
    places = [3 * value_of[index] for index in range(count)]
    colors = [(flat[place], flat[place + 1], flat[place + 2]) for place in places if place + 2 < len(flat)]
    return tuple(colors) if len(colors) == count else None


def _is_color(path: Path) -> bool:
    try:
        return has_colors(path)
    except ImageError:
        return False  # a damaged file is reported when it is read
