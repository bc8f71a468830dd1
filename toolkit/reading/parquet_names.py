"""Names in a column of a Parquet file, one after another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from toolkit.errors import UnavailableError
from toolkit.reading.fields import shown
from toolkit.reading.files import MakeError, check_file
from toolkit.reading.line_stream import MOST_BYTES

COLUMNS = ("path", "url", "image")
"""Names of the column that is read, if there are several; the first one that exists."""
SUFFIXES = (".parquet", ".pq")

_MAGIC = b"PAR1"
_ROWS = 1 << 14  # that are decoded at a time
_BUFFER = 1 << 20  # bytes that are read at a time


def is_parquet(path: Path) -> bool:
    """Whether a file is in this format, or its suffix says so."""
    if path.suffix.lower() in SUFFIXES:
        return True
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def parquet_names(path: Path, what: str, error: MakeError) -> Iterator[str]:
    """The texts of the only column, or of the one that is called as in ``COLUMNS``; memory holds a part of
    a row group at a time. Rows without a text are left out.

    Args:
        path: the file.
        what: what it should contain, for messages.
        error: the kind of error to raise.

    Raises:
        UnavailableError: when pyarrow is not installed.
        ToolkitError: of the kind ``error``: when the file cannot be read, or has no such column, or a name
            has a zero byte.
    """
    pyarrow, file = _opened(path, what, error)
    with file:
        column = _column(path, pyarrow, file.schema_arrow, what, error)
        batches = file.iter_batches(batch_size=_ROWS, columns=[column])
        while True:
            try:
                texts = next(batches).column(0).to_pylist()
            except StopIteration:
                return
            except (pyarrow.ArrowException, OSError, ValueError) as problem:
                raise error(_damaged(path, what, problem)) from None
            for text in texts:
                if text is not None and "\0" in text:
                    raise error(
                        f"{path}: {shown(text)} in the column {column!r} is not a name. Hint: correct it"
                    )
                if text and not text.isspace():
                    yield text


def count_parquet(path: Path, what: str, error: MakeError) -> int:
    """The number of rows, from the end of the file.

    Raises:
        UnavailableError, ToolkitError: as ``parquet_names``.
    """
    _, file = _opened(path, what, error)
    with file:
        return int(file.metadata.num_rows)


def _opened(path: Path, what: str, error: MakeError) -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as problem:
        raise UnavailableError(
            f"{path} is a Parquet file, and pyarrow, which reads these, is not installed ({problem})."
            " Hint: pip install 'pyarrow>=15', or write the names to a text file, one per line"
        ) from problem
    check_file(path, what, error, most=MOST_BYTES)
    try:
        return pyarrow, parquet.ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False)
    except (pyarrow.ArrowException, OSError, ValueError) as problem:
        raise error(_damaged(path, what, problem)) from None


def _column(path: Path, pyarrow: Any, schema: Any, what: str, error: MakeError) -> str:
    names = list(schema.names)
    chosen = names if len(names) == 1 else [name for name in COLUMNS if name in names]
    if not chosen:
        found = ", ".join(map(shown, names[:8])) or "none"
        raise error(
            f"{path} has the columns {found}; expected {what} in one of {', '.join(COLUMNS)}, or a single"
            f" column. Hint: name the column {COLUMNS[0]}"
        )
    name = chosen[0]
    types, kind = pyarrow.types, schema.field(name).type
    kind = kind.value_type if types.is_dictionary(kind) else kind
    if names.count(name) > 1 or not (types.is_string(kind) or types.is_large_string(kind)):
        raise error(
            f"{path}: the column {shown(name)} contains {shown(str(kind))}; expected {what}, as text. Hint:"
            " write them as strings"
        )
    return str(name)


def _damaged(path: Path, what: str, problem: Exception) -> str:
    reason = next(
        (line.strip() for line in str(problem).splitlines() if line.strip()), type(problem).__name__
    )
    return (
        f"{path} should contain {what} as a Parquet file, but cannot be read: {shown(reason, 200)}. Hint:"
        " write it again, or use a text file with one name per line"
    )
