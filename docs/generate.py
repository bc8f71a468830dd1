"""Writes settings.md and cli.md, the references of all settings and commands, from the code:
``python docs/generate.py``.

``tests/test_docs.py`` fails when they are out of date. Only what the toolkit itself brings is listed, not
what happens to be installed.
"""

from __future__ import annotations

import argparse
import json
import re
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from toolkit import registry
from toolkit.cli import build_parser
from toolkit.config import DataSettings, RunSettings, Settings, TrainSettings, settings_class
from toolkit.config.augmentations import AugmentSettings
from toolkit.registry.manifests import Manifest

HERE = Path(__file__).parent
SECTIONS = ("model", "data", "augment", "evaluators", "train")
NOTE = (
    "<!-- Written by docs/generate.py from the code. Do not edit: change the docstrings there and run it"
    " again. -->\n"
)


def settings_reference() -> str:
    """The text of settings.md."""
    parts = [
        NOTE,
        "# Settings\n",
        (
            "Write them in a YAML file for `--config`, or as `key=value` on the command line, which wins;"
            " [using.md](using.md#settings) says how they come together. `null` means not set.\n"
        ),
        _section(
            "The run",
            "What is trained, on what, from which weights.",
            _rows("", RunSettings, leave_out=SECTIONS),
        ),
        _section("`train`: how to learn", _doc(TrainSettings), _rows("train.", TrainSettings)),
        _section(
            "`data`: the dataset", _doc(DataSettings), _rows("data.", DataSettings, leave_out=("options",))
        ),
    ]
    for dataset in _own(registry.datasets()):
        cls = settings_class(dataset)
        parts.append(
            _section(f"`data.options`: the dataset `{dataset.name}`", _doc(cls), _rows("data.options.", cls))
        )
    for plugin in _own(registry.plugins()):
        cls = settings_class(plugin)
        parts.append(_section(f"`model`: the plugin `{plugin.name}`", _doc(cls), _rows("model.", cls)))
    for evaluator in _own(registry.evaluators()):
        cls = settings_class(evaluator)
        rows = _rows(f"evaluators.{evaluator.name}.", cls)
        parts.append(
            _section(f"`evaluators`: the evaluator `{evaluator.name}`", _sentence(evaluator.summary), rows)
        )
    parts.append("## `augment`: changes to the training images\n")
    parts.append(
        "A list, applied in order; each entry has a `name` and the settings of that name, as `- {name: flip,"
        " p: 0.3}`.\n"
    )
    for cls in get_args(get_args(AugmentSettings)[0]):
        name = cls.model_fields["name"].default
        parts.append(f"### `{name}`\n\n{_doc(cls)}\n\n" + _table(_rows("", cls, leave_out=("name",))))
    return "\n".join(parts)


def _own(found: registry.Registry[Any]) -> Iterator[Manifest]:
    return (manifest for manifest in found if manifest.module.startswith("toolkit."))


def _doc(cls: type[Settings]) -> str:
    return " ".join((cls.__doc__ or "").split()).replace("``", "`")


def _section(title: str, text: str, rows: list[tuple[str, ...]]) -> str:
    return f"## {title}\n\n{text}\n\n" + _table(rows)


def _table(rows: list[tuple[str, ...]]) -> str:
    lines = [
        "| setting | value | default | what it does |",
        "|---|---|---|---|",
        *("| " + " | ".join(row) + " |" for row in rows),
    ]
    return "\n".join(lines) + "\n"


def _rows(prefix: str, cls: type[Settings], leave_out: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Key, kind of value, default and meaning of every setting; those of settings within settings by their
    full key.
    """
    rows: list[tuple[str, ...]] = []
    for name, field in cls.model_fields.items():
        if name in leave_out:
            continue
        if (
            isinstance(field.annotation, type)
            and issubclass(field.annotation, Settings)
            and field.annotation is not Settings
        ):
            rows += _rows(f"{prefix}{name}.", field.annotation)
            continue
        default = "required" if field.is_required() else _value(field.get_default(call_default_factory=True))
        kind = ", ".join([_kind(field.annotation), *_limits(field.metadata)])
        rows.append((f"`{prefix}{name}`", kind, default, field.description or ""))
    return rows


def _value(value: Any) -> str:
    if value == "":
        return "empty"
    return f"`{json.dumps(value)}`" if value is None or isinstance(value, (bool, tuple)) else f"`{value}`"


def _kind(annotation: Any) -> str:
    """A type in words."""
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
    return words[annotation]


def _limits(metadata: Sequence[Any]) -> Iterator[str]:
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    return (
        f"{sign} {getattr(item, name)}"
        for item in metadata
        for name, sign in signs.items()
        if getattr(item, name, None) is not None
    )


def cli_reference() -> str:
    """The text of cli.md."""
    parser = build_parser()
    intro = f"{NOTE}\n# The command line\n\n{parser.description}\n\n{(parser.epilog or '').capitalize()}.\n"
    return "\n".join([intro, *(_command(name, command) for name, command in _children(parser))])


def _command(name: str, parser: argparse.ArgumentParser) -> str:
    children = _children(parser)
    if children:
        helps = {action.dest: action.help for action in _subparsers(parser)._choices_actions}
        parts = [
            _command(f"{name} {child}", sub).replace("\n\n", f"\n\n{_sentence(helps[child])}\n\n", 1)
            for child, sub in children
        ]
        return f"## `toolkit {name}`\n\n{parser.description}\n\n" + "\n".join(
            part.replace("## ", "### ", 1) for part in parts
        )
    actions = [
        action for action in parser._actions if action.help != argparse.SUPPRESS and action.dest != "help"
    ]
    rows = [
        f"| {_synopsis(action)} |"
        f" {_sentence((action.help or '') % {'default': action.default})}{_default(action)} |"
        for action in actions
    ]
    table = (
        "\n".join(["| argument | meaning |", "|---|---|", *rows]) + "\n"
        if rows
        else "It takes no arguments.\n"
    )
    return f"## `toolkit {name}`\n\n" + (f"{parser.description}\n\n" if parser.description else "") + table


def _subparsers(parser: argparse.ArgumentParser) -> Any:
    return next(
        (action for action in parser._actions if isinstance(action, argparse._SubParsersAction)), None
    )


def _children(parser: argparse.ArgumentParser) -> list[tuple[str, argparse.ArgumentParser]]:
    found = _subparsers(parser)
    return list(found.choices.items()) if found else []


def _synopsis(action: argparse.Action) -> str:
    choices = f"{{{','.join(map(str, action.choices))}}}" if action.choices else action.dest.upper()
    metavar = str(action.metavar or choices).replace("|", r"\|")  # a bar ends a cell, in backticks too
    if not action.option_strings:
        return f"`{metavar}`" + (" …" if action.nargs in ("*", "+") else "")
    return (
        f"`{', '.join(action.option_strings)}`"
        if action.nargs == 0
        else f"`{action.option_strings[-1]} {metavar}`"
    )


def _default(action: argparse.Action) -> str:
    said = "default" in (action.help or "")
    return (
        ""
        if said or action.default in (None, False, argparse.SUPPRESS) or action.default == []
        else f" Default: {action.default}."
    )


def _sentence(text: str) -> str:
    """A help text as a sentence of Markdown, in which only what is in backticks is not escaped."""
    parts = re.split("(`[^`]*`)", text[:1].upper() + text[1:] + ".")
    escaped = (part if part.startswith("`") else re.sub(r"([*<_])", r"\\\1", part) for part in parts)
    return "".join(escaped).replace("|", r"\|") if text else ""


if __name__ == "__main__":
    (HERE / "settings.md").write_text(settings_reference(), encoding="utf-8")
    (HERE / "cli.md").write_text(cli_reference(), encoding="utf-8")
