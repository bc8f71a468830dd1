"""Tables of comma-separated values that somebody else wrote."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from toolkit.reading.files import MakeError


def read_table(text: str, source: str, error: MakeError) -> Iterator[tuple[int, list[str]]]:
    """The rows of a table, each with the number of the line that it ends on, from 1; rows without any cells
    are empty lists.

    Args:
        text: the text of the table.
        source: the file, for messages.
        error: the kind of error to raise.

    Raises:
        ToolkitError: of the kind ``error``: when a cell has more than 131,072 characters, as when a quotation
            mark is never closed, or has characters that are not text; says on which line.
    """
    reader = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True, strict=True)
    try:
        for cells in reader:
            if any("\0" in cell for cell in cells):
                raise csv.Error("it contains the character NUL")
            yield reader.line_num, cells
    except csv.Error as problem:
        raise error(
            f"{source}, line {reader.line_num}: not a table of comma-separated values: {problem}. Hint:"
            " correct the line;"
            " is a quotation mark not closed?"
        ) from None
