"""What has been predicted of a giant image so far, on the disk, so that ``--resume`` goes on in the middle of
it.

::

    DIR/unfinished/<name>.jsonl    a line that says of what, then one for each window, or row of tiles
    DIR/unfinished/<name>.tiles    the tiles of a label map, one after another (semantic models)

Lines are appended. One that a kill or a full disk has cut off, and everything after it, counts as not done.
The files are removed when the image is recorded as done.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from pydantic import ConfigDict

from toolkit.errors import DataError
from toolkit.inference.inputs import FileState
from toolkit.reading.fields import AnyText, Schema
from toolkit.reading.files import read_bytes
from toolkit.reading.records import judge
from toolkit.runtime.confine import inside
from toolkit.runtime.files import open_to_append, writing

UNFINISHED = "unfinished"
_VERSION = 1

S = TypeVar("S", bound=Schema)
J = TypeVar("J", bound="WindowJournal")


class _Header(Schema):
    """The first line: what the file is, and the image that it is about."""

    model_config = ConfigDict(extra="allow", frozen=True)

    toolkit_windows: int
    image: AnyText


def header_of(
    image: str, source: str, state: FileState | None, size: Sequence[int], **how: Any
) -> dict[str, Any]:
    """What has to be the same for a journal to be continued.

    Args:
        image: the name of the image.
        source: its path.
        state: of its file, by which another one is recognized.
        size: height and width in pixels.
        how: the model and the options.
    """
    known = [None, None] if state is None else [state.size, state.modified]
    return {
        "toolkit_windows": _VERSION,
        "image": image,
        "source": source,
        "state": known,
        "size": list(size),
    } | how


class WindowJournal:
    """Lines about what is done; open as a context.

    Args:
        folder: of the results.
        stem: what the outputs of the image are called.
        header: see ``header_of``; a journal with another one is started anew.

    Raises:
        DataError: when the name leads out of the folder.
        OutputError: when the file cannot be opened or written.
    """

    def __init__(self, folder: Path, stem: str, header: Mapping[str, Any]) -> None:
        self.path = inside(folder, f"{UNFINISHED}/{stem}.jsonl")
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        self._header = json.dumps(header)
        self._file = open_to_append(self.path)
        self._lines = self._known_lines()

    def __enter__(self: J) -> J:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # What a full disk did not accept cannot be written here either.
        with contextlib.nullcontext() if error is None else contextlib.suppress(Exception):
            self.close()

    def close(self) -> None:
        """Close the file.

        Raises:
            OutputError: when the last line cannot be written.
        """
        with writing(self.path):
            self._file.close()

    def _known_lines(self) -> list[bytes]:
        """The lines after the header; none if it is another one."""
        lines = read_bytes(self.path, "what is done of an image", DataError).split(b"\n")[:-1]
        return lines[1:] if lines and lines[0] == self._header.encode() else []

    def take_up(self, schema: type[S]) -> Generator[S, None, None]:
        """The entries of an earlier process, up to the first that is damaged or that the caller does not go
        beyond: everything after the last one that was asked for is cut off.
        """
        kept = len(self._header) + 1
        try:
            for line in self._lines:
                entry = _parsed(line, schema)
                if entry is None:
                    break
                yield entry
                kept += len(line) + 1
        finally:
            with writing(self.path):
                is_new = kept == len(self._header) + 1
                self._file.truncate(0 if is_new else kept)
                if is_new:
                    self._file.write(self._header.encode() + b"\n")
                    self._file.flush()

    def add(self, entry: Mapping[str, Any]) -> None:
        """Append an entry, which a kill of the process no longer undoes.

        Raises:
            OutputError: when it cannot be written.
        """
        with writing(self.path):
            self._file.write(json.dumps(entry).encode() + b"\n")
            self._file.flush()


def _parsed(line: bytes, schema: type[S]) -> S | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    found, faults = judge(value, schema)
    return None if faults else found


def has_journals(folder: Path) -> bool:
    """Whether something is done of images that are not finished."""
    root = folder / UNFINISHED
    return root.is_dir() and any(root.rglob("*.jsonl"))


def remove_finished(folder: Path, done: Mapping[str, Any]) -> None:
    """Remove the journals of images that are done.

    Args:
        folder: of the results.
        done: has the names of these images.
    """
    root = folder / UNFINISHED
    if not root.is_dir() or root.is_symlink():
        return
    for path in sorted(root.rglob("*.jsonl")):
        with contextlib.suppress(OSError):
            with open(path, "rb") as file:
                header = _parsed(file.readline(1 << 20), _Header)
            if header is not None and header.image in done:
                path.with_suffix(".tiles").unlink(missing_ok=True)
                path.unlink()
    for path in sorted((each for each in root.rglob("*") if each.is_dir()), reverse=True):
        with contextlib.suppress(OSError):
            path.rmdir()
    with contextlib.suppress(OSError):
        root.rmdir()
