"""What the arguments that several commands share mean: from parsed arguments to what the library takes."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.reading.files import expanded

if TYPE_CHECKING:
    from toolkit.evaluation.requests import Computing, DataChoice, Prompting
    from toolkit.models.sliding_window import Tiling
    from toolkit.registry.manifests import DatasetManifest


def settle_run_or_predictions(args: argparse.Namespace, purpose: str) -> None:
    """Find out which of the two is given, since a setting may have been parsed as ``RUN``.

    Args:
        args: the arguments of ``add_run_or_predictions``, ``add_data_arguments`` and
            ``add_settings_argument``.
        purpose: what the command does with it, such as ``evaluate``.

    Raises:
        UsageError: when there is neither or both, or predictions come without a dataset.
    """
    from toolkit.errors import UsageError

    if args.run and is_setting(args.run):
        args.settings.insert(0, args.run)
        args.run = None
    if bool(args.run) == bool(args.predictions):
        found = "RUN and --predictions were both given" if args.run else f"there is nothing to {purpose}"
        raise UsageError(f"{found}. Hint: give either RUN, the folder of a run, or --predictions PATH")
    if args.predictions and not args.data:
        raise UsageError("predictions do not say which dataset they belong to. Hint: add --data NAME")


def prompting_of(args: argparse.Namespace) -> Prompting:
    """What ``add_prompts_to_measure`` was given.

    Raises:
        UsageError: when predictions are to be prompted.
    """
    from toolkit.errors import UsageError
    from toolkit.evaluation.requests import Prompting

    if args.predictions and (args.prompts is not None or args.prompts_above is not None):
        raise UsageError("predictions on disk take no prompts. Hint: leave out --prompts and --prompts-above")
    return Prompting(args.prompts, args.prompts_above)


def data_choice(args: argparse.Namespace) -> DataChoice:
    """What ``add_data_arguments``, ``--split`` and ``add_settings_argument`` were given."""
    from toolkit.config.tree import parse_words
    from toolkit.evaluation.requests import DataChoice

    return DataChoice(args.data, args.data_dir, args.split, parse_words(args.settings))


def tiling_of(args: argparse.Namespace) -> Tiling:
    """What ``add_window_arguments`` was given.

    Raises:
        UsageError: when a value is out of range, or predictions are to be windowed.
    """
    from toolkit.errors import UsageError
    from toolkit.models.sliding_window import Tiling

    if args.window is not None and getattr(args, "predictions", None):
        raise UsageError("predictions on disk need no windows. Hint: leave out --window")
    return Tiling(args.window, args.overlap)


def computing_of(args: argparse.Namespace, devices: int = 1, num_nodes: int = 1) -> Computing:
    """What ``--batch-size``, ``--workers``, ``--precision`` and ``add_device_argument`` were given."""
    from toolkit.evaluation.requests import Computing

    return Computing(
        batch_size=args.batch_size,
        workers=args.workers,
        devices=devices,
        accelerator=args.device,
        precision=args.precision,
        show_progress=True,
        num_nodes=num_nodes,
    )


def load_plugin_files(args: argparse.Namespace) -> None:
    """Register the plugins that ``--plugin`` names.

    Raises:
        UsageError: when there is no such file, or a name is not that of the run's plugin.
    """
    from toolkit import registry

    names = []
    for plugin in args.plugin:
        if registry.is_path(plugin):
            registry.add_path(plugin)
        else:
            names.append(_registered(plugin))
    if names and len(names) == len(args.plugin) and isinstance(getattr(args, "run", None), str):
        _check_plugin(args.run, names)


def _registered(name: str) -> str:
    """The name of an existing plugin; a folder here with this name does not count, since nobody has named it
    as code.
    """
    from toolkit import registry
    from toolkit.errors import UnknownNameError

    try:
        return registry.plugins().get(name).name
    except UnknownNameError as error:
        if not Path(name).exists():
            raise
        raise UnknownNameError(
            f"{error}. Hint: to run the code in the folder {name}, --plugin ./{name}"
        ) from None


def load_named(args: argparse.Namespace) -> None:
    """Run the code that ``--plugin`` and ``--data`` name, if they are paths, and register what it defines.

    Raises:
        UsageError: when there is no such file.
    """
    from toolkit import registry

    if args.plugin and registry.is_path(args.plugin):
        registry.named(registry.plugins(), args.plugin, by_user=True)
    if args.data and registry.is_path(args.data):
        registry.named(registry.datasets(), args.data, by_user=True)


def _check_plugin(run: str, names: Sequence[str]) -> None:
    from toolkit.checkpoints import read_manifest
    from toolkit.errors import UsageError

    manifest = read_manifest(run)
    if manifest is not None and manifest.plugin not in names:
        raise UsageError(
            f"{run} belongs to the plugin {manifest.plugin}, not to {' or '.join(names)}. Hint: leave out"
            " --plugin"
        )


def default_results(run: str, source: Path | None = None) -> Path:
    """The default folder for results: ``results/`` and the name of the run; for a checkpoint file,
    the names of its run and of the file.

    Args:
        run: the folder of a run, or a checkpoint file.
        source: the input of the results; its name is appended.
    """
    path = expanded(run).resolve()
    names = [path.name] if path.is_dir() else [path.parent.name, path.stem]
    names += [expanded(source).resolve().stem] if source is not None else []
    return Path("results") / "-".join(name for name in names if name)


def folder_or_address(word: str) -> Path | str:
    """The path of a folder, or its address as it was given."""
    from toolkit.runtime.remote import is_url

    return word if is_url(word) else Path(word)


def shown_path(out: Path | str, name: str = "") -> str:
    """A folder, or a file in it, for messages; an address without a password."""
    from toolkit.runtime.stores import shown_url

    return str(out / name) if isinstance(out, Path) else shown_url(f"{out.rstrip('/')}/{name}").rstrip("/")


def is_setting(word: str) -> bool:
    """Whether a word is ``key=value``, and not the path of something that exists."""
    return bool(re.match(r"[A-Za-z_][\w.]*=", word)) and not Path(word).exists()


def model_settings(words: Sequence[str], run: str) -> dict[str, Any]:
    """Settings of the model of a run, nested, without ``model``.

    Args:
        words: ``key=value``, by full or bare keys.
        run: a run's folder or a checkpoint file.

    Raises:
        ConfigError: when a word belongs to another section, or is unknown.
        CheckpointError: when there is no such run.
    """
    from toolkit.config import settings_class
    from toolkit.config.keys import for_sections
    from toolkit.config.tree import parse_words
    from toolkit.models.building import plugin_of_run

    if not words:
        return {}
    sections = for_sections(parse_words(words), [("model", settings_class(plugin_of_run(run)))])
    settings: dict[str, Any] = sections.get("model", {})
    return settings


def data_options(words: Sequence[str], manifest: DatasetManifest) -> dict[str, Any]:
    """Settings of a dataset, nested, without ``data.options``.

    Raises:
        ConfigError: when a word belongs to another section, or is unknown.
    """
    from toolkit.config import settings_class
    from toolkit.config.keys import for_sections
    from toolkit.config.tree import parse_words

    sections = for_sections(parse_words(words), [("data.options", settings_class(manifest))])
    options: dict[str, Any] = sections.get("data", {}).get("options", {})
    return options


def refuse_swapped(command: str, run: str, others: Sequence[str]) -> None:
    """Raise ``UsageError`` if something else is in the place of the run, and the run is among the other
    arguments.
    """
    from toolkit.checkpoints import BEST, LAST
    from toolkit.errors import UsageError

    def is_run(word: str) -> bool:
        return word.endswith(".safetensors") or any((Path(word) / name).is_file() for name in (BEST, LAST))

    runs = [word for word in others if is_run(word)]
    if runs and not is_run(run):
        rest = [run, *(word for word in others if word != runs[0])]
        raise UsageError(
            f"{run} is not a run, but {runs[0]} is. Hint: the run comes first:"
            f" {shlex.join(['toolkit', command, runs[0], *rest])}"
        )
