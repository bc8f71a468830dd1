"""YAML that somebody else wrote: one loader with limits, and the types of YAML 1.2.

Scalars without quotes are typed as in YAML 1.2's core schema, not 1.1's: ``no`` and ``on`` are text, ``0100``
is a hundred, ``1_0`` and ``1:30`` and dates are text, and ``1e-3`` is a number. Names of classes are always
text, as they are written: see ``YamlDocument.names``. PyYAML splits the text into tokens; everything else is
here, since its own constructors have no limits.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import yaml

from toolkit.reading.fields import shown
from toolkit.reading.files import MakeError, read_text

MOST_BYTES = 1_000_000
"""Of a YAML file."""

MOST_VALUES = 100_000
"""Scalars, lists and mappings, keys among them; PyYAML takes three seconds for as many."""

MOST_LEVELS = 50
"""Lists and mappings within one another."""

MOST_ALIASED = 100_000
"""Values that aliases may add, when each is replaced by what it stands for."""

MOST_DIGITS = 100
"""Of a whole number."""

MOST_SNIPPET = 60
"""Characters of the line with a mistake that a message repeats."""

_CORE = "tag:yaml.org,2002:"
_UNUSABLE = re.compile("[\0\ud800-\udfff]")
_TYPES = (
    ("null", re.compile(r"~|null|Null|NULL|")),
    ("bool", re.compile(r"true|True|TRUE|false|False|FALSE")),
    ("int", re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")),
    (
        "float",
        re.compile(
            r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
        ),
    ),
)


class WrittenInt(int):
    """A whole number that knows how it was written, for settings that are text: ``classes: [007]``."""

    written: str


class WrittenFloat(float):
    """As ``WrittenInt``."""

    written: str


class WrittenList(list[Any]):
    """A list that knows how its scalars were written: ``[no, null]`` are two names where names are expected.

    Attributes:
        written: the text of each item, None for lists and mappings.
    """

    written: tuple[str | None, ...]


@dataclass(frozen=True)
class Node:
    """A value in a document, with the line that it begins on, from 1.

    Attributes:
        value: typed; of a list the nodes of its items; of a mapping, pairs of nodes.
        kind: ``scalar``, ``list`` or ``mapping``.
        text: of a scalar, as it is written, without quotes.
        size: values in it, itself included, when aliases are replaced by what they stand for.
    """

    kind: str
    line: int
    value: Any = None
    text: str = ""
    size: int = 1
    items: tuple[Any, ...] = field(default=(), repr=False)


class YamlDocument:
    """A document that has been read.

    Args:
        root: of the values; None for an empty document.
        source: the file, for messages.
        error: the kind of error to raise.
    """

    def __init__(self, root: Node | None, source: str, error: MakeError) -> None:
        self._root, self._source, self._error = root, source, error

    @property
    def value(self) -> Any:
        """The values as plain dictionaries, lists, text and numbers, none of them shared."""
        return None if self._root is None else _plain(self._root)

    @property
    def written(self) -> Any:
        """As ``value``, but numbers and lists know how they were written; see ``WrittenList``."""
        return None if self._root is None else _with_text(self._root)

    def names(self, *keys: str) -> tuple[str, ...] | None:
        """Names, as they are written: a list of scalars, or a mapping that numbers them from 0 in any order.

        Args:
            keys: of the mappings that lead to them.

        Returns:
            None when there is nothing under the keys.

        Raises:
            ToolkitError: when they are neither, or one is empty.
        """
        node = self._at(keys)
        if node is None or (node.kind == "scalar" and node.value is None):
            return None
        where = ".".join(keys)
        items = node.items
        if node.kind == "mapping":
            by_number = {key.value: item for key, item in items}
            if set(by_number) != set(range(len(items))):
                self._refuse(node, f"{where} must number its names from 0 without gaps")
            items = tuple(by_number[number] for number in range(len(items)))
        elif node.kind != "list":
            self._refuse(node, f"{where} must be a list of names, not {shown(node.value)}")
        for item in items:
            if item.kind != "scalar" or not item.text.strip():
                self._refuse(item, f"{where} must be a list of names that are not empty")
        return tuple(item.text for item in items)

    def line_of(self, *keys: str) -> int | None:
        """The line on which the value under some keys begins, from 1; None when there is none."""
        node = self._at(keys)
        return None if node is None else node.line

    def _at(self, keys: tuple[str, ...]) -> Node | None:
        node = self._root
        for step in keys:
            pairs = node.items if node is not None and node.kind == "mapping" else ()
            node = next((item for key, item in pairs if key.text == step), None)
        return node

    def _refuse(self, node: Node, problem: str) -> NoReturn:
        raise self._error(f"{self._source}, line {node.line}: {problem}. Hint: correct the file")


def load_yaml(
    path: str | os.PathLike[str], what: str, error: MakeError, *, most: int = MOST_BYTES
) -> YamlDocument:
    """Read a YAML file.

    Args:
        path: the file.
        what: it should contain, for messages.
        error: the kind of error to raise.
        most: bytes at most.

    Raises:
        ToolkitError: of the kind ``error``, with file, line and column: when it cannot be read or is no YAML;
            or has a key twice or one that is a list or mapping, a tag of another program, more than 50
            levels, or aliases that stand for more than 100,000 values.
    """
    return parse_yaml(read_text(path, what, error, most=most), str(path), error)


def parse_yaml(text: str, source: str, error: MakeError) -> YamlDocument:
    """As ``load_yaml``, from text that ``source`` names in messages."""
    return YamlDocument(_Composer(text, source, error).document(), source, error)


class _Composer:
    """Makes nodes of PyYAML's events, with limits."""

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
                    "put text in braces into quotes, or fill in the template that it is",
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
        """The pairs of one mapping or a list of them, of which the first that has a key counts."""
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
        found = _type_of(text)
        kind = found if plain else (tag or "str")
        if kind not in (found, "str") and (kind, found) != ("float", "int"):
            self._refuse(event, f"{shown(text)} is no {tag}", f"remove !!{tag}")
        if kind == "int" and len(text) > MOST_DIGITS:
            self._refuse(
                event, f"a whole number has {len(text):,} digits", "correct it, or put it into quotes"
            )
        return Node("scalar", _line(event), _typed(text, kind), text)

    def _check_tag(self, event: Any, *known: str) -> str | None:
        """The name of a tag of YAML's own, None where there is none."""
        tag: str | None = event.tag
        if tag is None or tag == "!":
            return None if tag is None else known[0]
        name = tag.removeprefix(_CORE)
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
    """What to look at, by the line that PyYAML stumbled over."""
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


def _type_of(text: str) -> str:
    return next((name for name, pattern in _TYPES if pattern.fullmatch(text)), "str")


def _typed(text: str, kind: str) -> Any:
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    if kind == "int":
        base = {"0o": 8, "0x": 16}.get(text[:2], 10)
        return int(text[2:], base) if base != 10 else int(text)
    if kind == "float":
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text


def _plain(node: Node) -> Any:
    if node.kind == "list":
        return [_plain(item) for item in node.items]
    if node.kind == "mapping":
        return {key.value: _plain(item) for key, item in node.items}
    return node.value


def _with_text(node: Node) -> Any:
    if node.kind == "mapping":
        return {_with_text(key): _with_text(item) for key, item in node.items}
    if node.kind == "list":
        made = WrittenList(_with_text(item) for item in node.items)
        made.written = tuple(item.text or None if item.kind == "scalar" else None for item in node.items)
        return made
    if type(node.value) in (int, float):
        number: Any = (WrittenInt if isinstance(node.value, int) else WrittenFloat)(node.value)
        number.written = node.text
        return number
    return node.value


class _Dumper(yaml.SafeDumper):
    """Puts text into quotes that YAML 1.2 would take for a number; PyYAML knows those of 1.1."""


for _name, _pattern in _TYPES:
    _Dumper.add_implicit_resolver(f"{_CORE}{_name}", re.compile(rf"(?:{_pattern.pattern})\Z"), None)


def dump_yaml(value: Any) -> str:
    """Plain values as YAML that ``parse_yaml`` reads back, and any other program, too; keys keep their
    order.
    """
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return text


def as_written(value: Any) -> Any:
    """Text in place of a value that knows how it was written, and of the items of such a list and the values
    of a mapping; others as they are.
    """
    if isinstance(value, (WrittenInt, WrittenFloat)):
        return value.written
    if isinstance(value, WrittenList):
        return [
            as_written(item) if text is None else text
            for item, text in zip(value, value.written, strict=True)
        ]
    if isinstance(value, Mapping):
        return {as_written(key): as_written(item) for key, item in value.items()}
    return value


def forget_text(value: Any) -> Any:
    """The same values as plain lists and numbers, which do not know how they were written."""
    if isinstance(value, WrittenInt):
        return int(value)
    if isinstance(value, WrittenFloat):
        return float(value)
    if isinstance(value, list):
        return [forget_text(item) for item in value]
    if isinstance(value, dict):
        return {forget_text(key): forget_text(item) for key, item in value.items()}
    return value
