"""Which pixel size each of many images has: as given, from a table, or as its own file states."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from toolkit.measuring.metadata import stated_size
from toolkit.measuring.pixel_size import KnownSize, PixelSize
from toolkit.measuring.size_table import SizeTable
from toolkit.reading.files import expanded, is_file
from toolkit.wording import counted

GivenSize: TypeAlias = "str | os.PathLike[str] | PixelSize | SizeTable | None"
"""A size such as ``0.02mm``, a table of sizes or its path, or None for what the files themselves state."""


@dataclass(frozen=True)
class PixelSizes:
    """The pixel sizes of images, all in one unit.

    Attributes:
        unit: of all sizes; None if no size is known.
        notes: one sentence about each image whose file states something that is no pixel size.
        total: number of images.
    """

    unit: str | None = None
    notes: tuple[str, ...] = ()
    total: int = 0
    _sizes: Mapping[str, KnownSize] = field(default_factory=dict)

    def of(self, image: str) -> KnownSize | None:
        """The size of an image by its name; None if it is not known."""
        return self._sizes.get(image)

    def line(self) -> str:
        """What was used, such as ``"pixel sizes: 0.02 mm (option)"``; empty if no size is known."""
        if self.unit is None:
            return ""
        by_source: dict[str, Counter[str]] = {}
        for known in self._sizes.values():
            by_source.setdefault(known.source, Counter())[str(known.size)] += 1
        parts = []
        for source, counts in by_source.items():
            named = f"{len(counts):,} different ones" if len(counts) > 1 else next(iter(counts))
            images = f", {counted(counts.total(), 'image')}" if counts.total() < self.total else ""
            parts.append(f"{named} ({source}{images})")
        unknown = self.total - len(self._sizes)
        if unknown:
            parts.append(f"not known for {counted(unknown, 'image')}")
        return f"pixel sizes: {'; '.join(parts)}"


def given_size(given: GivenSize) -> PixelSize | SizeTable | None:
    """Read a pixel size or a table of them.

    Raises:
        UsageError: when a size is wrong.
        DataError: when a table is.
    """
    if given is None or isinstance(given, (PixelSize, SizeTable)):
        return given
    path = expanded(given)
    if not isinstance(given, str) or path.suffix.lower() in (".csv", ".txt", ".tsv") or is_file(path):
        return SizeTable(path)
    return PixelSize.parse(given)


def sizes_of(images: Mapping[str, Path | None], given: GivenSize) -> PixelSizes:
    """The pixel sizes of images; what is given replaces what the files state.

    Args:
        images: the file of each image, by name; None if it is not known.
        given: a size, a table, or None for what the files state.

    Raises:
        UsageError: when a size is wrong.
        DataError: when a table is, or it lacks an image.
    """
    known = given_size(given)
    if isinstance(known, PixelSize):
        option = KnownSize(known, "option")
        return PixelSizes(known.unit, (), len(images), dict.fromkeys(images, option))
    notes: list[str] = []
    if known is not None:
        sizes = known.sizes(list(images))
    else:
        sizes = {}
        for name, path in images.items():
            size, reason = (None, "") if path is None else stated_size(path)
            if size is not None:
                sizes[name] = size
            elif reason:
                notes.append(f"{path} {reason}. Hint: give a pixel size to measure in a unit")
    unit = next((size.size.unit for size in sizes.values()), None)
    in_unit = {name: size.to(unit) for name, size in sizes.items()} if unit else {}
    return PixelSizes(unit, tuple(notes), len(images), in_unit)
