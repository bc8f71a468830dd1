"""Writes settings.md and cli.md, the references of all settings and commands, from the code:
``python docs/generate.py``.

``tests/test_docs.py`` fails when they are out of date. Only what the toolkit itself brings is listed, not
what happens to be installed.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

from toolkit import registry
from toolkit.cli import build_parser
from toolkit.config.reference import Group, groups

HERE = Path(__file__).parent
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
            "Write them in a YAML file for `--config`, or as `key=value` on the command line, which takes"
            " precedence; [Training](training.md#settings) explains how they are combined. `toolkit settings`"
            " lists them in a terminal. `null` means not set.\n"
        ),
    ]
    own = [group for group in groups() if group.section == "augment" or _is_own(group)]
    for group in own:
        if group.section != "augment":
            parts.append(f"## {_title(group)}\n\n{_about(group)}\n\n{_table(group)}")
    parts.append("## `augment`: augmentation of the training images\n")
    parts.append(
        "A list, applied in order; each entry has a `name` and the settings of that name, such as `-"
        " {name: flip, p: 0.3}`.\n"
    )
    for group in own:
        if group.section == "augment":
            parts.append(f"### `{group.owner}`\n\n{_about(group)}\n\n{_table(group)}")
    return "\n".join(parts)


TITLES = {
    "": "The run",
    "train": "`train`: the training",
    "data": "`data`: the dataset",
    "data.options": "`data.options`: the dataset `{}`",
    "model": "`model`: the plugin `{}`",
    "evaluators": "`evaluators`: the evaluator `{}`",
}


def _title(group: Group) -> str:
    return TITLES[group.section].format(group.owner)


def _about(group: Group) -> str:
    """One line on what the settings of a section are for."""
    if not group.section:
        return "The model, its data and its start weights."
    if group.section == "evaluators":
        return _sentence(registry.evaluators().get(group.owner).summary)
    return " ".join((group.cls.__doc__ or "").split()).replace("``", "`")


def _is_own(group: Group) -> bool:
    """Whether a section belongs to the toolkit, not to a package that happens to be installed."""
    found: dict[str, registry.Registry[Any]] = {
        "data.options": registry.datasets(),
        "model": registry.plugins(),
        "evaluators": registry.evaluators(),
    }
    kind = found.get(group.section)
    return kind is None or kind.get(group.owner).module.startswith("toolkit.")


def _table(group: Group) -> str:
    rows = [(f"`{e.key}`", e.kind, e.default, e.sentence) for e in group.entries]
    lines = [
        "| setting | value | default | what it does |",
        "|---|---|---|---|",
        *("| " + " | ".join(row) + " |" for row in rows),
    ]
    return "\n".join(lines) + "\n"


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
        else f" Default: `{action.default}`."
    )


def _sentence(text: str) -> str:
    """A help text as a sentence of Markdown, in which only what is in backticks is not escaped."""
    parts = re.split("(`[^`]*`)", text[:1].upper() + text[1:] + ".")
    escaped = (part if part.startswith("`") else re.sub(r"([*<_])", r"\\\1", part) for part in parts)
    return "".join(escaped).replace("|", r"\|") if text else ""


if __name__ == "__main__":
    (HERE / "settings.md").write_text(settings_reference(), encoding="utf-8")
    (HERE / "cli.md").write_text(cli_reference(), encoding="utf-8")
