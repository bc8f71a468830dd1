"""Metrics for groups of images, defined by a table about the images."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path, PurePosixPath

import numpy as np

from toolkit.config import Settings
from toolkit.errors import DataError, InvalidDataError
from toolkit.formats.regions import sample_id
from toolkit.reading.files import read_text
from toolkit.reading.tables import read_table
from toolkit.wording import counted

IMAGE = "image"
"""The column with the names of the images."""
MOST_VALUES = 12
"""Largest number of different values that become groups; if there are more numbers, they are divided into
quarters.
"""


class SliceSettings(Settings):
    """Settings of evaluators that measure groups of images."""

    slices: str | None = None
    """A table (CSV) about the images, with the column `image` and others, such as `weather`: metrics are also
    reported for the images of each value, as `AP[weather=rain]`.
    """

    slice_by: tuple[str, ...] = ()
    """The columns of `slices` to group by; all of them if empty. A column of more than 12 different numbers
    is divided into quarters.
    """


class Slices:
    """The groups of images in a table.

    Args:
        settings: the table and the columns.

    Raises:
        DataError: when the table cannot be read, lacks a column, or names an image twice, or when a column
            has too many different values.
    """

    def __init__(self, settings: SliceSettings) -> None:
        self.path = Path(settings.slices or "")
        self._groups: dict[str, list[str]] = {}
        self._by_last_part: dict[str, list[str]] = {}
        if settings.slices is not None:
            self._read(settings.slice_by)

    def of(self, name: str) -> list[str]:
        """The groups of an image, such as ``weather=rain``.

        Args:
            name: the id of its sample: its path, with or without the suffix.

        Raises:
            InvalidDataError: when the table has no row for it, or several that could be meant.
        """
        if not self._groups:
            return []
        whole = sample_id(name)
        if whole in self._groups:
            return self._groups[whole]
        found = self._by_last_part.get(PurePosixPath(whole).name, [])
        if len(found) != 1:
            how_many = f"{len(found)} rows that could be of" if found else "no row for"
            raise InvalidDataError(
                f"{self.path} has {how_many} the image {name!r}. Hint: name it in the column {IMAGE}, with"
                " its folder if necessary; leave the other cells empty to keep it out of all groups"
            )
        return self._groups[found[0]]

    def positions(self, names: Sequence[str]) -> dict[str, list[int]]:
        """The positions of the images of each group, in the order of the names of the groups."""
        found: dict[str, list[int]] = {}
        for place, name in enumerate(names if self._groups else ()):
            for group in self.of(name):
                found.setdefault(group, []).append(place)
        return dict(sorted(found.items()))

    def _read(self, wanted: Sequence[str]) -> None:
        text = read_text(self.path, "a table of images", DataError)
        rows = [(line, cells) for line, cells in read_table(text, str(self.path), DataError) if any(cells)]
        header = [cell.strip() for cell in rows[0][1]] if rows else []
        if IMAGE not in header or len(rows) < 2:
            found = f"its columns are {', '.join(header)}" if header else "it is empty"
            raise DataError(
                f"{self.path}: {found}; expected the column {IMAGE} and one row per image. Hint: begin it"
                f" with a line such as {IMAGE},weather"
            )
        missing = [name for name in wanted if name not in header or name == IMAGE]
        if missing:
            others = [name for name in header if name != IMAGE]
            raise DataError(
                f"{self.path} has no column {', '.join(missing)}; it has {', '.join(others) or 'no other'}."
                " Hint: name one of these in slice_by"
            )
        for line, cells in rows[1:]:
            if len(cells) != len(header):
                raise DataError(
                    f"{self.path}, line {line}: {counted(len(cells), 'cell')} for {len(header)} columns."
                    " Hint: quote cells that contain commas"
                )
        columns = {name: [cells[i].strip() for _, cells in rows[1:]] for i, name in enumerate(header)}
        self._take_names(columns[IMAGE])
        for name in wanted or [name for name in header if name != IMAGE]:
            for image, label in zip(columns[IMAGE], self._labels(name, columns[name]), strict=True):
                if label:
                    self._groups[sample_id(image)].append(f"{name}={label}")

    def _take_names(self, images: Sequence[str]) -> None:
        for image in images:
            name = sample_id(image)
            if name in self._groups:
                raise DataError(f"{self.path} has two rows for the image {image!r}. Hint: remove one")
            self._groups[name] = []
            self._by_last_part.setdefault(PurePosixPath(name).name, []).append(name)

    def _labels(self, column: str, values: Sequence[str]) -> list[str]:
        """The label of each value: the value itself, or the quarter that it is in."""
        different = sorted({value for value in values if value})
        if len(different) <= MOST_VALUES:
            return list(values)
        try:
            numbers = np.array([float(value) if value else np.nan for value in values])
        except ValueError:
            raise DataError(
                f"{self.path}: the column {column} has {len(different)} different values; expected at most"
                f" {MOST_VALUES}, or numbers. Hint: leave it out of slice_by, or group the values"
            ) from None
        bounds = np.nanquantile(numbers, [0, 0.25, 0.5, 0.75, 1])
        quarters = np.searchsorted(bounds[1:-1], numbers, side="left")
        names = [f"{low:g}…{high:g}" for low, high in pairwise(bounds)]
        return [
            "" if np.isnan(number) else names[quarter]
            for number, quarter in zip(numbers, quarters, strict=True)
        ]


def slices_in_words(groups: dict[str, int]) -> list[str]:
    """The number of images in each group; nothing without groups."""
    if not groups:
        return []
    return [f"Groups of images: {', '.join(f'{name} ({count:,})' for name, count in groups.items())}."]
