"""YAML as a tree of typed values with their lines, built from PyYAML's events, with limits on size and depth.
PyYAML's own constructors have no limits.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

import yaml

from toolkit.reading.fields import shown
from toolkit.reading.files import MakeError
from toolkit.reading.yaml_types import CORE, type_of, typed

MOST_VALUES = 100_000
"""Scalars, lists and mappings, including keys; PyYAML takes three seconds for that many."""

MOST_LEVELS = 50
"""Lists and mappings within one another."""

MOST_ALIASED = 100_000
"""Values that aliases may add when each is replaced by what it stands for."""

MOST_DIGITS = 100
"""Digits of a whole number."""

MOST_SNIPPET = 60
"""Characters that a message quotes of the line with the mistake."""

_UNUSABLE = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True)
class Node:
    """A value in a document, with the line that it begins on, from 1.

    Attributes:
        value: the typed value of a scalar, the nodes of a list's items, or a mapping's pairs of nodes.
        kind: ``scalar``, ``list`` or ``mapping``.
        text: a scalar as it is written, without quotes.
        size: number of values in it, including itself, when aliases are replaced by what they stand for.
    """

    kind: str
    line: int
    value: Any = None
    text: str = ""
    size: int = 1
    items: tuple[Any, ...] = field(default=(), repr=False)


def compose(text: str, source: str, error: MakeError) -> Node | None:
    """The root of a document; None when it is empty.

    Args:
        text: the document.
        source: where it comes from, for messages.
        error: the kind of error to raise.

    Raises:
        ToolkitError: as ``toolkit.reading.yaml_text.load_yaml``.
    """
    return _Composer(text, source, error).document()


class _Composer:
    """Builds nodes from PyYAML's events, with limits."""

    def __init__(self, text: str, source: str, error: MakeError) -> None:
        self._text, self._source, self._error = text, source, error
        self._events = self._parsed()
        self._anchors: dict[str, Node | None] = {}
        self._aliased = self._count = 0

    def document(self) -> Node | None:
        root = None
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    self._refuse(event, "a second document begins here", "keep one, without the line '---'")
                root = self._node(next(self._events), 0)
        return root

    def _parsed(self) -> Iterator[Any]:
        """PyYAML's events. It raises errors of its own, and others for numbers that are too large."""
        try:
            yield from yaml.parse(self._text, Loader=yaml.SafeLoader)
        except yaml.reader.ReaderError as problem:
            line = self._text.count("\n", 0, problem.position) + 1
            character = problem.character if isinstance(problem.character, int) else 0
            raise self._error(
                f"{self._source}, line {line}: the character U+{character:04X} is not allowed in YAML."
                " Hint: remove it"
            ) from None
        except yaml.MarkedYAMLError as problem:
            mark = problem.problem_mark or problem.context_mark
            said = " ".join(part for part in (problem.context, problem.problem) if part)
            raise self._error(
                f"{self._source}{_place(mark)} is not valid YAML: {said}{_advice(mark)}"
            ) from None
        except (ValueError, OverflowError, IndexError, yaml.YAMLError) as problem:
            raise self._error(f"{self._source} is not valid YAML: {problem}. Hint: correct it") from None

    def _node(self, event: Any, depth: int) -> Node:
        self._count += 1
        if self._count > MOST_VALUES:
            self._refuse(
                event, f"the file has more than {MOST_VALUES:,} values", "move lists to separate files"
            )
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        anchor = event.anchor
        if anchor is not None:
            self._anchors[anchor] = None  # not known yet: an alias within it would never end
        if isinstance(event, yaml.ScalarEvent):
            node = self._scalar(event)
        else:
            if depth >= MOST_LEVELS:
                self._refuse(
                    event, f"lists and mappings are more than {MOST_LEVELS} levels deep", "make it flatter"
                )
            node = (
                self._list(event, depth)
                if isinstance(event, yaml.SequenceStartEvent)
                else self._mapping(event, depth)
            )
        if anchor is not None:
            self._anchors[anchor] = node
        return node

    def _alias(self, event: Any) -> Node:
        node = self._anchors.get(event.anchor)
        if node is None:
            found = "refers to itself" if event.anchor in self._anchors else "has no anchor before it"
            self._refuse(event, f"the alias *{event.anchor} {found}", "write out what it stands for")
        self._aliased += node.size
        if self._aliased > MOST_ALIASED:
            self._refuse(
                event, f"the aliases stand for more than {MOST_ALIASED:,} values", "write out what is needed"
            )
        return node

    def _list(self, event: Any, depth: int) -> Node:
        self._check_tag(event, "seq")
        items = []
        for inner in self._until(yaml.SequenceEndEvent):
            items.append(self._node(inner, depth + 1))
        return Node("list", _line(event), size=1 + sum(item.size for item in items), items=tuple(items))

    def _mapping(self, event: Any, depth: int) -> Node:
        self._check_tag(event, "map")
        pairs: dict[Any, tuple[Node, Node]] = {}
        merged: list[tuple[Node, Node]] = []
        for inner in self._until(yaml.MappingEndEvent):
            key = self._node(inner, depth + 1)
            if key.kind != "scalar":
                self._refuse(
                    inner,
                    f"a {key.kind} is in the place of a key",
                    "put text in braces into quotes, or fill in the template",
                )
            value = self._node(next(self._events), depth + 1)
            if key.value == "<<" and isinstance(inner, yaml.ScalarEvent) and inner.implicit[0]:
                merged += self._merged(inner, value)
                continue
            if key.value in pairs:
                first = pairs[key.value][0].line
                self._refuse(
                    inner,
                    f"the key {shown(key.value)} occurs twice, first on line {first}",
                    "remove one",
                )
            pairs[key.value] = (key, value)
        for key, value in merged:
            pairs.setdefault(key.value, (key, value))
        size = 1 + sum(key.size + value.size for key, value in pairs.values())
        return Node("mapping", _line(event), size=size, items=tuple(pairs.values()))

    def _merged(self, event: Any, value: Node) -> list[tuple[Node, Node]]:
        """The pairs of one mapping or a list of them, of which the first with a given key counts."""
        parts = value.items if value.kind == "list" else (value,)
        if any(part.kind != "mapping" for part in parts):
            self._refuse(
                event, "<< merges mappings, and something else follows it", "name a mapping, as in *base"
            )
        return [pair for part in parts for pair in part.items]

    def _until(self, end: type[Any]) -> Iterator[Any]:
        for event in self._events:
            if isinstance(event, end):
                return
            yield event

    def _scalar(self, event: Any) -> Node:
        text: str = event.value
        if _UNUSABLE.search(text):
            self._refuse(event, f"{shown(text)} has a character that no name can have", "remove it")
        tag = self._check_tag(event, "str", "null", "bool", "int", "float")
        plain = event.implicit[0] and tag is None
        found = type_of(text)
        kind = found if plain else (tag or "str")
        if kind not in (found, "str") and (kind, found) != ("float", "int"):
            self._refuse(event, f"{shown(text)} is not a valid {tag}", f"remove !!{tag}")
        if kind == "int" and len(text) > MOST_DIGITS:
            self._refuse(
                event, f"a whole number has {len(text):,} digits", "correct it, or put it into quotes"
            )
        return Node("scalar", _line(event), typed(text, kind), text)

    def _check_tag(self, event: Any, *known: str) -> str | None:
        """The name of a standard YAML tag, None if there is no tag."""
        tag: str | None = event.tag
        if tag is None or tag == "!":
            return None if tag is None else known[0]
        name = tag.removeprefix(CORE)
        if name == tag or name not in known:
            self._refuse(
                event,
                f"the tag {shown(tag)} is not supported in such files",
                "remove it; nothing in such a file is ever run",
            )
        return name

    def _refuse(self, event: Any, problem: str, hint: str) -> NoReturn:
        raise self._error(f"{self._source}{_place(event.start_mark)}: {problem}. Hint: {hint}")


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _place(mark: Any) -> str:
    return "" if mark is None else f", line {mark.line + 1}, column {mark.column + 1}"


def _advice(mark: Any) -> str:
    """What to check, judging by the line at which PyYAML failed."""
    line = ""
    if mark is not None and mark.buffer is not None:
        line = (
            mark.buffer[mark.buffer.rfind("\n", 0, mark.pointer) + 1 :][:MOST_SNIPPET]
            .split("\n")[0]
            .rstrip("\0")
        )
    tab = "\t" in line
    advice = (
        "indent by spaces, not tabs"
        if tab
        else "look at the indentation, and put text with : # { [ into quotes"
    )
    return f": {shown(line, 70)}. Hint: {advice}" if line else f". Hint: {advice}"
