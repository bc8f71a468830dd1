"""Settings before they are typed: nested dictionaries, read from YAML, parsed from ``key=value`` words, and
laid over one another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from toolkit.errors import ConfigError
from toolkit.reading.fields import shown
from toolkit.reading.yaml_text import load_yaml, parse_yaml

Tree: TypeAlias = dict[str, Any]


def read_yaml(path: Path) -> Tree:
    """A YAML file as nested dictionaries, whose numbers and lists remember how they were written, see
    ``toolkit.reading.yaml_text``.

    Raises:
        ConfigError: when it cannot be read, is not valid YAML (with line and column), or is not a mapping.
    """
    tree = load_yaml(path, "settings", ConfigError).written
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(
            f"{path} must contain keys and values, not {shown(tree)}. Hint: write lines such as 'train:"
            f" {{steps: 100}}'"
        )
    odd = next((key for key in tree if not isinstance(key, str)), "")
    if odd != "":
        raise ConfigError(
            f"{path} has the key {shown(odd)}; expected text. Hint: toolkit settings lists all keys"
        )
    return tree


def parse_words(words: Sequence[str]) -> dict[str, Any]:
    """``["train.steps=100", "weights=none"]`` as values by key; they are read as YAML.

    Raises:
        ConfigError: when a word has no ``=``, or its value is not YAML.
    """
    flat = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not key:
            raise ConfigError(f"expected key=value, such as train.steps=100, not {word!r}")
        flat[key] = parse_yaml(text, f"the value of {word!r}", ConfigError).written if text else ""
    return flat


def parse_overrides(words: Sequence[str]) -> Tree:
    """``["train.steps=100", "weights=none"]`` as nested dictionaries, see ``parse_words``."""
    return nest(parse_words(words))


def nest(settings: Mapping[str, Any]) -> Tree:
    """``{"train.steps": 1}`` as ``{"train": {"steps": 1}}``; values may be nested dictionaries themselves,
    whose keys stay as they are.

    Raises:
        ConfigError: when a key has both a value and keys.
    """
    tree: Tree = {}
    for key, value in settings.items():
        nested = value
        for section in reversed(key.split(".")):
            nested = {section: nested}
        _lay(tree, nested, key)
    return tree


def _lay(tree: Tree, over: Mapping[str, Any], source: str) -> None:
    """Lay values over a tree in place; ``source`` is the key under which they were given."""
    for key, value in over.items():
        if key not in tree:
            tree[key] = copy_tree(value)
        elif isinstance(value, Mapping) and isinstance(tree[key], dict):
            _lay(tree[key], value, source)
        elif isinstance(value, Mapping) or isinstance(tree[key], dict):
            raise ConfigError(f"{source}: {key!r} has both a value and its own keys")
        else:
            tree[key] = value


def flat_items(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """``{"train": {"steps": 1}}`` as ``("train.steps", 1)``: what ``nest`` takes."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from flat_items(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def merge(base: Tree, over: Mapping[str, Any]) -> Tree:
    """``base`` with ``over`` laid over it, section by section; lists and values are replaced entirely."""
    merged = dict(base)
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), dict):
            merged[key] = merge(merged[key], value)
        else:
            merged[key] = copy_tree(value)
    return merged


def copy_tree(value: Any) -> Any:
    """A copy of nested dictionaries, so that laying others over it leaves the original alone."""
    return {key: copy_tree(inner) for key, inner in value.items()} if isinstance(value, Mapping) else value


def as_tree(settings: Mapping[str, Any] | Sequence[str]) -> Tree:
    """Dotted keys with values, nested dictionaries, both at once, or ``key=value`` words, as nested
    dictionaries.

    Raises:
        ConfigError: when a key has both a value and keys, or as ``parse_overrides``.
    """
    return nest(settings) if isinstance(settings, Mapping) else parse_overrides(settings)
