"""Detectron2's YAML files: the values that they and their base files give, each with its source."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from toolkit.config.tree import Tree, read_yaml
from toolkit.errors import ConfigError
from toolkit.reading.files import expanded, read_text
from toolkit.reading.yaml_written import forget_text

BASE = "_BASE_"
ARCHITECTURE = "MODEL.META_ARCHITECTURE"
CODE = "tag:yaml.org,2002:python/"
"""The prefix of the YAML tags for Python objects, written as ``!!python/…``."""


@dataclass(frozen=True)
class Given:
    """A value and its source (file or command line); the source is empty for Detectron2's defaults."""

    value: Any
    source: str = ""

    def __str__(self) -> str:
        return f"{shown(self.value)} ({self.source or 'Detectron2 default'})"


def shown(value: Any) -> str:
    """A value for a message, in the form used in a YAML file."""
    return repr(value) if isinstance(value, str) else str(list(value) if isinstance(value, tuple) else value)


def read_config(path: Path, overrides: Mapping[str, Any] | None = None) -> dict[str, Given]:
    """The values set in a file and its base files, by dotted keys.

    Args:
        path: a Detectron2 YAML file; ``_BASE_`` may name one or several files, relative to the file that
            names them.
        overrides: dotted keys and values that override them.

    Raises:
        ConfigError: when a file cannot be read, is not YAML or contains Python code, or files include each
            other in a loop.
    """
    given = _read(path, (), {})
    return given | {key: Given(value, "the command line") for key, value in (overrides or {}).items()}


def _read(path: Path, based_on_it: tuple[Path, ...], known: dict[Path, dict[str, Given]]) -> dict[str, Given]:
    resolved = path.resolve()
    if resolved in known:  # files that each name the next one twice would otherwise be read endlessly
        return known[resolved]
    if resolved in based_on_it:
        circle = " -> ".join(str(p) for p in (*based_on_it[based_on_it.index(resolved) :], resolved))
        raise ConfigError(f"{path} includes itself through {BASE}: {circle}. Hint: break the loop")
    _refuse_code(path)
    tree: Tree = forget_text(read_yaml(path))
    bases = tree.pop(BASE, [])
    given: dict[str, Given] = {}
    for base in bases if isinstance(bases, list) else [bases]:
        if not isinstance(base, str) or "://" in base:
            raise ConfigError(
                f"{path}: {BASE} must refer to local files, not {base!r}. Hint: download the file and give"
                " its path"
            )
        given |= _read(path.parent / expanded(base), (*based_on_it, resolved), known)
    known[resolved] = given | {key: Given(literal(value), str(path)) for key, value in _flat(tree)}
    return known[resolved]


def _flat(tree: Tree, prefix: str = "") -> list[tuple[str, Any]]:
    pairs = []
    for key, value in tree.items():
        pairs += (
            _flat(value, f"{prefix}{key}.")
            if isinstance(value, dict) and value
            else [(f"{prefix}{key}", value)]
        )
    return pairs


def literal(value: Any) -> Any:
    """YAML has no tuples; Detectron2's files write them as text, ``(60000, 80000)``."""
    if not isinstance(value, str):
        return value
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return value


# --- code ---


def _refuse_code(path: Path) -> None:
    """Detectron2 runs the Python code in its RetinaNet files (``!!python/object/apply:eval``).

    Raises:
        ConfigError: when there is any, or the whole file is a program; names the key and the network.
    """
    if path.suffix == ".py":
        raise ConfigError(
            f"{path} is a Python program (Detectron2's LazyConfig), and only YAML files can be converted."
            " Hint: use the YAML file of the same network, if the model zoo has one"
        )
    text = read_text(path, "settings", ConfigError)
    values = list(_values(text)) if "python/" in text else []
    code = next((each for each in values if each.tag.startswith(CODE)), None)
    if code is None:
        return
    network = next((each.text for each in values if each.key == ARCHITECTURE), "GeneralizedRCNN")
    place = f"{path}, line {code.line}: {code.key}"
    tag = f"!!python/{code.tag.removeprefix(CODE)}"
    if network != "GeneralizedRCNN":
        raise ConfigError(
            f"{path}: {ARCHITECTURE}: this network supports only 'GeneralizedRCNN', not {network!r}; and"
            f" {code.key} (line {code.line}) is Python code ({tag}), which is never run. Hint: use a file of"
            " a Faster, Mask or Keypoint R-CNN with FPN"
        )
    raise ConfigError(
        f"{place} is Python code ({tag}), which is never run. Hint: write its value into the file instead"
        " of the code"
    )


@dataclass(frozen=True)
class _Value:
    """A value in a YAML file: its dotted key, its line from 1, its tag, and its text if it is not a list."""

    key: str
    line: int
    tag: str
    text: str


def _values(text: str) -> Iterator[_Value]:
    """The values in a YAML text, from PyYAML's events, which ignore tags and do not follow aliases; up to the
    place where it is not YAML, or where a key is a list or mapping.
    """
    keys: list[str | None] = []
    is_mapping: list[bool] = []
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
                keys.pop()
                is_mapping.pop()
            elif not isinstance(event, yaml.NodeEvent):
                continue
            elif keys and is_mapping[-1] and keys[-1] is None:
                if isinstance(event, yaml.CollectionStartEvent):
                    return
                keys[-1] = str(getattr(event, "value", "?"))
                continue
            elif not isinstance(event, yaml.AliasEvent):
                key = ".".join(each for each in keys if each is not None)
                line = event.start_mark.line + 1 if event.start_mark else 0
                tag = getattr(event, "tag", None) or ""
                yield _Value(key, line, tag, str(getattr(event, "value", "")))
                if isinstance(event, yaml.CollectionStartEvent):
                    keys.append(None)
                    is_mapping.append(isinstance(event, yaml.MappingStartEvent))
                    continue
            if keys:
                keys[-1] = None
    except (yaml.YAMLError, ValueError, OverflowError, IndexError):
        return
