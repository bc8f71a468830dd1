"""XML that somebody else wrote.

Documents with a document type are refused: entities are declared there, by which a file of a kilobyte becomes
gigabytes or takes in other files, and no annotation tool needs them.
"""

from __future__ import annotations

import os
from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from toolkit.reading.files import MakeError, read_bytes

MOST_BYTES = 1 << 30
"""Of a file; an element takes several times as much memory as its text."""

MOST_LEVELS = 100
"""Elements within one another."""


def load_xml(path: str | os.PathLike[str], what: str, error: MakeError, *, most: int = MOST_BYTES) -> Element:
    """The root element of an XML file, without comments and processing instructions.

    Args:
        path: the file.
        what: what it should contain, for messages.
        error: the kind of error to raise.
        most: largest size in bytes, see ``toolkit.reading.files.read_bytes``.

    Raises:
        ToolkitError: of the kind ``error``: when the file cannot be read or is not XML, with line and column;
            when it has a document type, or elements are more than 100 levels deep.
    """
    return parse_xml(read_bytes(path, what, error, most=most), str(path), what, error)


def parse_xml(text: bytes | str, source: str, what: str, error: MakeError) -> Element:
    """As ``load_xml``, from text that ``source`` names in messages."""
    data = text.encode("utf-8", "replace") if isinstance(text, str) else text
    if not data.strip():
        raise error(f"{source} is empty; it should contain {what}. Hint: write or export it again")
    try:
        return _Parser("utf-8" if isinstance(text, str) else None).root(data)
    except (expat.ExpatError, _RefusedError, LookupError, ValueError) as problem:
        raise error(
            f"{source} is not valid XML: {problem}; it should contain {what}. Hint: write or export it again"
        ) from None


class _RefusedError(Exception):
    """The document has what is not read."""


class _Parser:
    """Builds the elements of one document."""

    def __init__(self, encoding: str | None) -> None:
        self._builder, self._depth = TreeBuilder(), 0
        self._expat = expat.ParserCreate(encoding)
        self._expat.buffer_text = True
        self._expat.StartElementHandler = self._start
        self._expat.EndElementHandler = self._end
        self._expat.CharacterDataHandler = self._builder.data
        self._expat.StartDoctypeDeclHandler = self._refuse

    def root(self, data: bytes) -> Element:
        self._expat.Parse(data, True)
        found: Element = self._builder.close()
        return found

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > MOST_LEVELS:
            line = self._expat.CurrentLineNumber
            raise _RefusedError(f"elements are more than {MOST_LEVELS} levels deep in line {line}")
        self._builder.start(name, attributes)

    def _end(self, name: str) -> None:
        self._depth -= 1
        self._builder.end(name)

    def _refuse(self, *_: Any) -> None:
        raise _RefusedError(
            f"line {self._expat.CurrentLineNumber} declares a document type, which may contain entities and"
            " is not read"
        )
