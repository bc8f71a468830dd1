"""``toolkit settings``."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from toolkit.cli.parsed import load_named

if TYPE_CHECKING:
    from toolkit.config.reference import Entry, Group

SUMMARY = "list all settings, each with its default and what it does"

SECTIONS = ("train", "data", "data.options", "model", "evaluators", "augment")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments to the parser."""
    parser.add_argument(
        "section",
        nargs="?",
        metavar="SECTION",
        help=(
            f"only this section, one of {', '.join(SECTIONS)}; or only the settings whose key contains this"
            " text"
        ),
    )
    parser.add_argument(
        "--plugin", metavar="P", help="include only the settings of this plugin, with its own defaults"
    )
    parser.add_argument("--data", metavar="D", help="include only the settings of this dataset")


def run(args: argparse.Namespace) -> int:
    """Print the settings, section by section."""
    from toolkit.errors import UnknownNameError

    found = [group for group in _chosen_groups(args) if group.entries]
    section = (args.section or "").rstrip(".")
    if section in SECTIONS:
        found = [group for group in found if group.section == section]
    elif section:
        exact = [each for group in found for each in _with_key(group, lambda key: key == section)]
        found = exact or [each for group in found for each in _with_key(group, lambda key: section in key)]
    if not found:
        raise UnknownNameError(_nothing(section, args))
    defaults = _defaults(args.plugin)
    for number, group in enumerate(found):
        if number:
            print()
        print(_heading(group))
        for line in _lines(group, defaults):
            print(line)
    return 0


def _chosen_groups(args: argparse.Namespace) -> Iterator[Group]:
    """All groups, without those of other plugins and datasets if one is named."""
    from toolkit import registry
    from toolkit.config.reference import groups

    load_named(args)
    plugin = registry.named(registry.plugins(), args.plugin).name if args.plugin else None
    data = registry.named(registry.datasets(), args.data).name if args.data else None
    wanted = {"model": plugin, "data.options": data}
    for group in groups():
        if wanted.get(group.section) in (None, group.owner):
            yield group


def _with_key(group: Group, fits: Callable[[str], bool]) -> Iterator[Group]:
    """The group with only the settings whose key matches, if there are any."""
    import dataclasses

    entries = tuple(entry for entry in group.entries if fits(entry.key))
    if entries:
        yield dataclasses.replace(group, entries=entries)


def _nothing(text: str, args: argparse.Namespace) -> str:
    from toolkit.config.settings import suggest_key

    keys = [entry.key for group in _chosen_groups(args) for entry in group.entries]
    near = suggest_key(text, SECTIONS, list(dict.fromkeys(keys)))
    return f"no section and no setting is named {text!r}{near}"


def _defaults(plugin: str | None) -> dict[str, object]:
    """The default settings of a plugin, by full keys."""
    from toolkit import registry
    from toolkit.config.tree import flat_items

    if plugin is None:
        return {}
    return dict(flat_items(registry.named(registry.plugins(), plugin).defaults))


def _heading(group: Group) -> str:
    of = {
        "": "the run",
        "train": "train: the training",
        "data": "data: the dataset",
        "data.options": "data.options: the dataset {}",
        "model": "model: the plugin {}",
        "evaluators": "evaluators: {}",
        "augment": "augment: an entry with name: {}",
    }
    return of[group.section].format(group.owner)


def _lines(group: Group, defaults: dict[str, object]) -> Iterator[str]:
    for entry in group.entries:
        yield f"  {entry.key} = {_default(entry, defaults)}   ({entry.kind})".replace("`", "")
        yield f"      {entry.sentence}".replace("`", "")


def _default(entry: Entry, defaults: dict[str, object]) -> str:
    if entry.key in defaults:
        return str(defaults[entry.key])
    return {"empty": "''", "`null`": "null"}.get(entry.default, entry.default.strip("`"))
