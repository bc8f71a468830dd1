"""``toolkit plugins``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from toolkit.config import Settings
    from toolkit.plugin import PluginManifest

SUMMARY = "list and describe model plugins"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Fill in the parser."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="all plugins, and what keeps the broken ones from working")
    listing.add_argument("--plugin", action="append", default=[], metavar="FILE", help="also this file or folder; may be repeated")
    info = actions.add_parser("info", help="one plugin: task, papers, licence, weights and settings")
    info.add_argument("name", metavar="NAME", help="a plugin's name, or the file or folder of one")


def run(args: argparse.Namespace) -> int:
    """List or describe."""
    return _list(args.plugin) if args.action == "list" else _info(args.name)


def _list(paths: list[str]) -> int:
    from rich.console import Console
    from rich.table import Table

    from toolkit import registry

    for path in paths:
        registry.add_path(path)
    table = Table("plugin", "task", "what it is", "state", box=None, header_style="bold", pad_edge=False)
    for plugin in registry.plugins():
        missing = plugin.missing_requirements()
        state = f"needs {', '.join(missing)}\nRepair: {plugin.install_line()}" if missing else "ready"
        table.add_row(plugin.name, plugin.task, plugin.summary, state)
    for broken in registry.plugins().broken:
        table.add_row(broken.name, "", f"from {broken.origin}", f"broken: {broken.reason}")
    Console().print(table)
    return 0


def _info(name: str) -> int:
    from toolkit import registry
    from toolkit.config import settings_class

    plugin = registry.named(registry.plugins(), name)
    for line in describe(plugin):
        print(line)
    for line in describe_settings(settings_class(plugin), "model"):
        print(line)
    return 0


def describe(plugin: PluginManifest) -> list[str]:
    """What a plugin's manifest says, in lines."""
    facts: dict[str, Any] = {
        "task": plugin.task,
        "evaluators": ", ".join(plugin.evaluators),
        "paper": plugin.paper,
        "licence": plugin.licence,
        "requires": ", ".join(plugin.requires),
        "from": plugin.origin,
    }
    lines = [f"{plugin.name}: {plugin.summary}", *(f"  {key:<11}{value}" for key, value in facts.items() if value)]
    lines += [f"  weights    {w.name} ({w.licence}; {w.source})" for w in plugin.weights]
    return lines


def describe_settings(cls: type[Settings], section: str) -> list[str]:
    """Every setting with its default and what it does."""
    lines = ["", "settings:"]
    for name, field in cls.model_fields.items():
        default = field.get_default(call_default_factory=True)
        lines.append(f"  {section}.{name}={'' if default is None else default}")
        if field.description:
            lines.append(f"      {field.description}")
    return lines if cls.model_fields else []
