"""The suggested next commands that most commands print at the end, ready to be copied."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from toolkit.registry.manifests import DatasetManifest

PHOTOS, FOLDER = "FOLDER_OF_PHOTOS", "FOLDER"
"""A placeholder for a folder that only the user knows."""


def next_lines(*commands: Sequence[str], title: str = "Next:") -> Iterator[str]:
    """A title and the commands below it, one per line; nothing if there are none."""
    if commands:
        yield title
    for words in commands:
        yield f"  {shlex.join(['toolkit', *words])}"


def plugin_options(plugins: Sequence[str]) -> list[str]:
    """``--plugin FILE`` for plugins in files, which have to be given again to later commands."""
    from toolkit.registry import is_path

    return [word for plugin in plugins if is_path(plugin) for word in ("--plugin", plugin)]


def given_options(
    args: argparse.Namespace, add_arguments: Callable[[argparse.ArgumentParser], None], without: Sequence[str]
) -> list[str]:
    """The options of a command that were given with other values than their defaults, as words.

    Args:
        args: the parsed arguments.
        add_arguments: adds those of the command to a parser.
        without: names of options to leave out.
    """
    parser = argparse.ArgumentParser(add_help=False)
    add_arguments(parser)
    words = []
    for action in parser._actions:
        value = getattr(args, action.dest, action.default)
        if not action.option_strings or action.dest in without or value == action.default:
            continue
        words += [action.option_strings[0]] if action.nargs == 0 else [action.option_strings[0], str(value)]
    return words


def other_runs(run: str | Path) -> list[str]:
    """The runs in the same folder as a run."""
    from toolkit.checkpoints import BEST, LAST

    folder = Path(run)
    if not folder.is_dir() or not folder.parent.is_dir():
        return []
    return sorted(
        str(other)
        for other in folder.parent.iterdir()
        if other != folder and any((other / name).is_file() for name in (BEST, LAST))
    )


def training_command(
    manifest: DatasetManifest, name: str, data_dir: str | None, settings: Sequence[str] = ()
) -> list[str] | None:
    """The command that trains a built-in model on a dataset; None if none suits it.

    Args:
        manifest: the manifest of the dataset.
        name: its name or path, as it was given.
        data_dir: its folder, if one was given.
        settings: settings of the dataset, as ``key=value``.
    """
    from toolkit import registry
    from toolkit.demo import FAMILIES

    for plugin in FAMILIES:
        found = registry.plugins().get(plugin)
        if found.task in manifest.tasks and not found.missing_requirements():
            folder = ["--data-dir", data_dir] if data_dir else []
            options = [word if word.startswith("data.") else f"data.options.{word}" for word in settings]
            return ["train", "--plugin", plugin, "--data", name, *folder, *options]
    return None
