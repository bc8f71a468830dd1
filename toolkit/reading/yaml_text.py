"""YAML that somebody else wrote: one loader with limits, and the types of YAML 1.2.

Scalars without quotes are typed as in YAML 1.2's core schema, not 1.1's: ``no`` and ``on`` are text, ``0100``
is a hundred, ``1_0`` and ``1:30`` and dates are text, and ``1e-3`` is a number. Names of classes are always
text, as they are written: see ``YamlDocument.names``.
"""

from __future__ import annotations

import os
import re
from typing import Any, NoReturn

import yaml

from toolkit.reading.fields import shown
from toolkit.reading.files import MakeError, read_text
from toolkit.reading.yaml_nodes import Node, compose
from toolkit.reading.yaml_types import CORE, TYPES
from toolkit.reading.yaml_written import WrittenFloat, WrittenInt, WrittenList

MOST_BYTES = 1_000_000
"""Largest size of a YAML file."""


class YamlDocument:
    """A document that has been read.

    Args:
        root: the root node; None for an empty document.
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
        """As ``value``, but numbers and lists remember how they were written; see ``WrittenList``."""
        return None if self._root is None else _with_text(self._root)

    def names(self, *keys: str) -> tuple[str, ...] | None:
        """Names as they are written, from a list of scalars, or from a mapping that numbers them from 0 in
        any order.

        Args:
            keys: the keys of the mappings that lead to them.

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
        ToolkitError: of the kind ``error``, with file, line and column: when it cannot be read or is not
            YAML; or has a key twice or one that is a list or mapping, a tag of another program, more than 50
            levels, or aliases that stand for more than 100,000 values.
    """
    return parse_yaml(read_text(path, what, error, most=most), str(path), error)


def parse_yaml(text: str, source: str, error: MakeError) -> YamlDocument:
    """As ``load_yaml``, from text that ``source`` names in messages."""
    return YamlDocument(compose(text, source, error), source, error)


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
    """Quotes text that YAML 1.2 would read as a number; PyYAML does so for YAML 1.1."""


for _name, _pattern in TYPES:
    _Dumper.add_implicit_resolver(f"{CORE}{_name}", re.compile(rf"(?:{_pattern.pattern})\Z"), None)


def dump_yaml(value: Any) -> str:
    """Plain values as YAML that ``parse_yaml`` and any other program can read back; keys keep their order."""
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return text
