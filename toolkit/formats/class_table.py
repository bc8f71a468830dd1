"""``classes.csv``: what the values in a folder of label images mean.

::

    index,value,name,color
    0,1,sky,#808080
    1,2,building,#800000
    ,0,void,#e0e0c0

``index`` is the position of the class in the model, ``value`` the number in the label images. The row
``void``, which has no index, is for pixels without a class.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from toolkit.data.label_values import LabelValues
from toolkit.errors import DataError
from toolkit.formats.mask_folder import VOID_NAME
from toolkit.reading.fields import shown
from toolkit.reading.files import read_text
from toolkit.reading.tables import read_table
from toolkit.runtime.files import atomic_write
from toolkit.types import VOID
from toolkit.visualization.palettes import Palette, full_palette

CLASS_TABLE = "classes.csv"
MOST_BYTES = 1_000_000
_COLUMNS = ("index", "value", "name", "color")


@dataclass(frozen=True)
class ClassRow:
    """One line: a class, or void if ``name`` is None.

    Attributes:
        value: the value in the label images.
        name: the name of the class.
    """

    value: int
    name: str | None


def write_class_table(path: Path, classes: Sequence[str], values: LabelValues, palette: Palette) -> None:
    """Write the table.

    Args:
        path: the file.
        classes: their names.
        values: the value of each in the label images.
        palette: one RGB color per class.

    Raises:
        OutputError: when the file cannot be written.
    """
    colors = full_palette(palette)
    rows: list[tuple[object, ...]] = [
        (index, value, name, _hex(colors[index]))
        for index, (name, value) in enumerate(zip(classes, values.classes, strict=True))
    ]
    if values.void is not None:
        rows.append(("", values.void, VOID_NAME, _hex(colors[VOID])))
    with atomic_write(path, "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_COLUMNS)
        writer.writerows(rows)


def read_class_table(path: Path) -> tuple[ClassRow, ...]:
    """Read the values and names back. Columns may be in any order; ``index`` and ``color`` may be missing.

    Raises:
        DataError: when the file cannot be read, lacks a column, or has a value that is not a number from 0 to
            255 or occurs twice.
    """
    text = read_text(path, "a table of classes", DataError, most=MOST_BYTES)
    lines = [(number, cells) for number, cells in read_table(text, str(path), DataError) if cells]
    columns = [name.strip() for name in lines[0][1]] if lines else []
    missing = [column for column in ("value", "name") if column not in columns or len(lines) < 2]
    if missing:
        raise DataError(
            f"{path} has no column {missing[0]!r} or no rows; expected a line '{','.join(_COLUMNS)}', and one"
            " for each class. Hint: correct the file, or remove it if the values are class indexes"
        )
    rows = tuple(_row(path, number, dict(zip(columns, cells, strict=False))) for number, cells in lines[1:])
    values = [row.value for row in rows]
    twice = next((value for value in values if values.count(value) > 1), None)
    if twice is not None:
        raise DataError(f"{path} has the value {twice} twice. Hint: give each class its own value")
    return rows


def _row(path: Path, number: int, line: dict[str, str]) -> ClassRow:
    text, name = line.get("value", "").strip(), line.get("name", "").strip()
    if not (text.isascii() and text.isdecimal()) or len(text) > 9 or int(text) > 255 or not name:
        raise DataError(
            f"{path}, line {number}: {shown(text)}, {shown(name)}; expected a value from 0 to 255 and a"
            " name. Hint:"
            " correct the line"
        )
    # A class may also be called void; it has an index.
    is_void = name == VOID_NAME and not (line.get("index") or "").strip()
    return ClassRow(int(text), None if is_void else name)


def _hex(color: Sequence[int]) -> str:
    return "#" + "".join(f"{int(part):02x}" for part in color)
