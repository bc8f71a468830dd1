"""Arguments that several commands share."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any


def add_data_arguments(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """``--data`` and ``--data-dir``."""
    parser.add_argument(
        "--data",
        required=required,
        metavar="D",
        help="a dataset's name (`toolkit data list`), or a file that brings one",
    )
    parser.add_argument(
        "--data-dir", metavar="DIR", help="folder that holds the dataset; default: data/<name>"
    )


def add_plugin_files_argument(parser: argparse.ArgumentParser) -> None:
    """``--plugin FILE`` for commands that get the plugin's name from a run."""
    parser.add_argument(
        "--plugin",
        action="append",
        default=[],
        metavar="FILE",
        help="file or folder of a plugin that is not installed; may be repeated",
    )


def load_plugin_files(args: argparse.Namespace) -> None:
    """Enter the plugins that ``--plugin`` names into the registry."""
    from toolkit import registry

    for path in args.plugin:
        registry.add_path(path)


def add_settings_argument(parser: argparse.ArgumentParser) -> None:
    """Any number of ``key=value``."""
    parser.add_argument(
        "settings",
        nargs="*",
        metavar="key=value",
        help="settings by section, such as train.steps=500 or weights=none",
    )


def model_settings(words: Sequence[str]) -> dict[str, Any]:
    """``model.key=value`` words, nested, without ``model``.

    Raises:
        UsageError: when a word is of another section.
    """
    from toolkit.config.tree import parse_overrides
    from toolkit.errors import UsageError

    sections = parse_overrides(words)
    if sections.keys() - {"model"}:
        raise UsageError(
            f"settings of {', '.join(sorted(sections.keys() - {'model'}))} have no effect here. Hint: use"
            " model.…"
        )
    settings: dict[str, Any] = sections.get("model", {})
    return settings


def positive(text: str) -> int:
    """A whole number above 0, as an argument's type."""
    return _at_least(1, text)


def natural(text: str) -> int:
    """A whole number of 0 or more, as an argument's type."""
    return _at_least(0, text)


def _at_least(least: int, text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if number < least:
        raise argparse.ArgumentTypeError(f"expected a whole number of {least} or more, not {text!r}")
    return number
