"""Pixel sizes of many images, from a table::

    image,pixel_size
    a.tif,0.02mm
    b.tif,0.5x0.25um

One length is for square pixels, two are for width and height.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from toolkit.errors import DataError, UsageError
from toolkit.formats.prediction_names import Names
from toolkit.measuring.pixel_size import KnownSize, PixelSize
from toolkit.reading.fields import shown
from toolkit.reading.files import read_text
from toolkit.reading.records import fault_list
from toolkit.reading.tables import read_table
from toolkit.wording import some

MOST_BYTES = 100_000_000
_COLUMNS = ("image", "pixel_size")


class SizeTable:
    """A table with the columns ``image`` and ``pixel_size``, in any order; others are left out.

    Args:
        path: the table.

    Raises:
        DataError: when it cannot be read, lacks a column, has an image twice, or a size without a unit; names
            the lines.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        text = read_text(path, "a table of pixel sizes", DataError, most=MOST_BYTES)
        lines = [(number, cells) for number, cells in read_table(text, str(path), DataError) if cells]
        columns = [name.strip() for name in lines[0][1]] if lines else []
        missing = [name for name in _COLUMNS if name not in columns]
        if missing or len(lines) < 2:
            what = f"no column {missing[0]!r}" if missing else "no rows"
            raise DataError(
                f"{path} has {what}; expected a line '{','.join(_COLUMNS)}', and one for each image. Hint:"
                " correct the table"
            )
        rows = [(number, dict(zip(columns, cells, strict=False))) for number, cells in lines[1:]]
        self._sizes = self._read(rows)

    def _read(self, rows: Sequence[tuple[int, dict[str, str]]]) -> dict[str, PixelSize]:
        found: dict[str, PixelSize] = {}
        seen: dict[str, int] = {}
        faults = []
        for number, row in rows:
            name = Path(row.get("image", "").strip()).as_posix()
            if name == ".":
                faults.append(f"line {number}: it names no image")
                continue
            if name in seen:
                faults.append(f"line {number}: {shown(name)} is in line {seen[name]}, too")
                continue
            seen[name] = number
            try:
                found[name] = PixelSize.parse(row.get("pixel_size", ""))
            except UsageError as error:
                faults.append(f"line {number}: {str(error).partition('. Hint: ')[0]}")
        if faults:
            raise DataError(fault_list(str(self.path), faults, "correct the table"))
        units = sorted({size.unit for size in found.values()})
        if len(units) > 1:
            raise DataError(
                f"{self.path} has sizes in {' and in '.join(units)}; expected one unit, which that of the"
                " results is. Hint: convert them to one unit"
            )
        return found

    def sizes(self, images: Sequence[str]) -> dict[str, KnownSize]:
        """The size of each image, found by its name, with or without folders and suffix.

        Raises:
            DataError: when an image is not in the table; names the first.
        """
        matched = Names(self._sizes, self.path, "pixel size").match(images)
        missing = [image for image in images if image not in matched]
        if missing:
            raise DataError(
                f"{self.path} has no pixel size for {len(missing)} of {len(images)} images: {some(missing)}."
                " Hint: add a line for each"
            )
        return {image: KnownSize(self._sizes[matched[image]], self.path.name) for image in images}
