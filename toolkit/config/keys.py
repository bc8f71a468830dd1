"""The keys of settings: one rule for what a word such as ``lr=0.1`` sets, in every command.

A *full* key names its section: ``train.lr``, ``model.encoder``, ``data.options.void``,
``evaluators.iou.void``, ``weights``. A *bare* key leaves the section out: ``lr``, ``encoder``, ``void``,
``iou.void``. It stands for the full key if exactly one section has such a setting.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from toolkit import registry
from toolkit.config.settings import Settings, leaves, settings_class, suggest_key, with_fields
from toolkit.config.tree import Tree, nest
from toolkit.errors import ConfigError, ToolkitError
from toolkit.reading.fields import shown
from toolkit.reading.records import fault_list

Sections: TypeAlias = Sequence[tuple[str, type[Settings]]]
"""Sections with what can be set in them, such as ``("train", TrainSettings)``."""

TOP_LEVEL = ("plugin", "model", "weights", "data", "augment", "evaluators", "train")
"""First steps of full keys: the fields of ``RunSettings``."""


SECTION_NAMES = ("model", "data", "evaluators", "train")


def check_sections(tree: Mapping[str, Any], source: str) -> None:
    """Check that sections hold keys and values, and that what is looked up by name is text, before any of it
    is used; the settings in the sections are checked by their own classes.

    Raises:
        ConfigError: with all errors.
    """
    faults = section_faults(tree)
    if faults:
        raise ConfigError(fault_list(source, faults, "toolkit settings lists all settings"))


def section_faults(tree: Mapping[str, Any]) -> list[str]:
    """What ``check_sections`` finds wrong."""
    data, evaluators = (
        given if isinstance(given, Mapping) else {} for given in (tree.get("data"), tree.get("evaluators"))
    )
    texts = {key: tree.get(key) for key in ("plugin", "weights")} | {"data.name": data.get("name")}
    sections = {key: tree.get(key) for key in SECTION_NAMES} | {"data.options": data.get("options")}
    sections |= {f"evaluators.{name}": given for name, given in evaluators.items()}
    faults = [
        f"{key}: expected text, not {shown(value)}"
        for key, value in texts.items()
        if value is not None and not isinstance(value, str)
    ]
    faults += [
        f"{key}: expected keys and values, as in {key}: {{key: value}}, not {shown(value)}"
        for key, value in sections.items()
        if value is not None and not isinstance(value, Mapping)
    ]
    odd = [name for name in evaluators if not isinstance(name, str)]
    return faults + [f"evaluators: expected names, not {shown(name)}" for name in odd]


def is_full(key: str, value: Any = None) -> bool:
    """Whether a key names its section. A section's own name with a plain value does not: it is the bare key
    of a setting of the same name, such as the number of training images of generated data.
    """
    is_plain = value is not None and not isinstance(value, Mapping)
    return key.partition(".")[0] in TOP_LEVEL and not (key in SECTION_NAMES and is_plain)


def has_bare(flat: Mapping[str, Any]) -> bool:
    """Whether any key leaves its section out."""
    return not all(is_full(key, value) for key, value in flat.items())


def evaluators_class() -> type[Settings]:
    """What can be set for evaluators: a field for each one that is found and can be loaded."""
    fields: dict[str, Any] = {}
    for manifest in registry.evaluators():
        try:
            fields[manifest.name] = (settings_class(manifest), ...)
        except ToolkitError:  # the error is reported when that evaluator is requested
            continue
    return with_fields("Evaluators", Settings, fields)


def candidates(key: str, sections: Sections) -> list[str]:
    """The full keys that a bare key may stand for."""
    first = key.partition(".")[0]
    return [f"{section}.{key}" for section, cls in sections if first in cls.model_fields]


def in_full(flat: Mapping[str, Any], sections: Sections) -> dict[str, Any]:
    """Settings by full keys; a bare key that no section has, or several have, is left as it is.

    Raises:
        ConfigError: when a setting is given by its bare and its full key at once, with two values.
    """
    full: dict[str, Any] = {}
    for key, value in flat.items():
        found = [] if is_full(key, value) else candidates(key, sections)
        name = found[0] if len(found) == 1 else key
        if name in full and full[name] != value:
            raise ConfigError(
                f"{name} is given twice, as {full[name]!r} and as {value!r}. Hint: leave one out"
            )
        full[name] = value
    return full


def for_sections(flat: Mapping[str, Any], sections: Sections) -> Tree:
    """Nested settings for a command that uses only some sections.

    Args:
        flat: by full or bare keys.
        sections: the sections that have an effect in the command.

    Raises:
        ConfigError: when a key is unknown, is ambiguous between sections, or is in a section that has no
            effect; all errors in one message.
    """
    full = in_full(flat, sections)
    faults = [fault for key in full for fault in _faults(key, sections)]
    if faults:
        raise ConfigError("\n".join(faults))
    return nest(full)


def _faults(key: str, sections: Sections) -> Iterator[str]:
    if not is_full(key):
        yield f"{key}: {explain_unknown(key, sections)}"
        return
    if not any(_reaches(key, section) for section, _ in sections):
        first, _, _ = key.partition(".")
        yield (
            f"{key}: settings of {key if first == 'data' else first} have no effect here. Hint: use"
            f" {' or '.join(f'{section}.…' for section, _ in sections)}"
        )


def _reaches(key: str, section: str) -> bool:
    """Whether a full key is in a section, or names one around it (``evaluators={…}``)."""
    return f"{key}.".startswith(f"{section}.") or f"{section}.".startswith(f"{key}.")


def explain_unknown(key: str, sections: Sections) -> str:
    """What to write instead of a bare key that no section or several sections have."""
    return f"unknown key{suggest_key(key, (), all_keys(sections))}"


def all_keys(sections: Sections) -> list[str]:
    """The full keys of all settings in sections."""
    return [key for section, cls in sections for key, _ in leaves(cls, f"{section}.")]
