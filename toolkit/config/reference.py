"""Describes all settings, for ``toolkit settings``, the references in ``docs/`` and shell completion."""

from __future__ import annotations

import json
import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from toolkit import registry
from toolkit.config.augmentations import AugmentSettings
from toolkit.config.schema import DataSettings, RunSettings, TrainSettings
from toolkit.config.settings import Settings, leaves, settings_class
from toolkit.errors import ToolkitError
from toolkit.registry.manifests import Manifest

SECTIONS = ("model", "data", "augment", "evaluators", "train")


@dataclass(frozen=True)
class Entry:
    """One setting.

    Attributes:
        key: the full key, such as ``train.lr``; under ``augment``, the name within an entry of the list.
        kind: what values it takes, as text, with names in backticks.
        default: its default in backticks, or ``required`` or ``empty``.
        sentence: what it does.
        choices: all values that it can have, if there are few.
    """

    key: str
    kind: str
    default: str
    sentence: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Group:
    """The settings of one section, or of one plugin, dataset, evaluator or augmentation.

    Attributes:
        section: ``""``, ``train``, ``data``, ``data.options``, ``model``, ``evaluators`` or ``augment``.
        owner: the name of the plugin, dataset, evaluator or augmentation; empty for the toolkit's own.
        cls: the settings class.
        entries: its settings.
    """

    section: str
    owner: str
    cls: type[Settings]
    entries: tuple[Entry, ...]


def groups() -> Iterator[Group]:
    """All settings, including those of every plugin, dataset and evaluator that can be loaded."""
    yield Group("", "", RunSettings, tuple(entries(RunSettings, leave_out=SECTIONS)))
    yield Group("train", "", TrainSettings, tuple(entries(TrainSettings, "train.")))
    yield Group("data", "", DataSettings, tuple(entries(DataSettings, "data.", leave_out=("options",))))
    for dataset in registry.datasets():
        yield from group_of("data.options", dataset)
    for plugin in registry.plugins():
        yield from group_of("model", plugin)
    for evaluator in registry.evaluators():
        yield from group_of("evaluators", evaluator)
    for cls in get_args(get_args(AugmentSettings)[0]):
        name = cls.model_fields["name"].default
        yield Group("augment", name, cls, tuple(entries(cls, leave_out=("name",))))


def group_of(section: str, manifest: Manifest) -> Iterator[Group]:
    """The settings of a plugin, dataset or evaluator; None if it cannot be loaded."""
    try:
        cls = settings_class(manifest)
    except ToolkitError:  # the lists of plugins and datasets give the reason
        return
    prefix = f"evaluators.{manifest.name}." if section == "evaluators" else f"{section}."
    yield Group(section, manifest.name, cls, tuple(entries(cls, prefix)))


def entries(cls: type[Settings], prefix: str = "", leave_out: tuple[str, ...] = ()) -> Iterator[Entry]:
    """Every setting of a class; nested settings by their full key."""
    for key, field in leaves(cls, prefix):
        if key.removeprefix(prefix).partition(".")[0] not in leave_out:
            default = (
                "required" if field.is_required() else _value(field.get_default(call_default_factory=True))
            )
            kind = ", ".join([_kind(field.annotation), *_limits(field.metadata)])
            yield Entry(key, kind, default, field.description or "", tuple(_choices(field)))


def _value(value: Any) -> str:
    if value == "":
        return "empty"
    return f"`{json.dumps(value)}`" if value is None or isinstance(value, (bool, tuple)) else f"`{value}`"


def _kind(annotation: Any) -> str:
    """A description of a type."""
    words = {int: "whole number", float: "number", str: "text", bool: "`true` or `false`"}
    origin, inside = get_origin(annotation), [a for a in get_args(annotation) if a is not type(None)]
    if origin is Literal:
        return ", ".join(f"`{choice}`" for choice in inside)
    if origin in (Union, types.UnionType):
        return " or ".join(_kind(a) for a in inside)
    if origin is Annotated:
        return ", ".join([_kind(inside[0]), *_limits(annotation.__metadata__[0].metadata)])
    if origin is dict:
        return f"keys with {_kind(inside[1])}"
    if origin is tuple:
        return "list" if Ellipsis in inside else f"list of {len(inside)}"
    return words.get(annotation, "settings")


def _limits(metadata: Sequence[Any]) -> Iterator[str]:
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    return (
        f"{sign} {getattr(item, name)}"
        for item in metadata
        for name, sign in signs.items()
        if getattr(item, name, None) is not None
    )


def _choices(field: FieldInfo) -> Iterator[str]:
    """All values of a setting that takes names or a boolean."""
    kinds = [field.annotation, *get_args(field.annotation)]
    for kind in kinds:
        if kind is bool:
            yield from ("true", "false")
        elif get_origin(kind) is Literal:
            yield from map(str, get_args(kind))
