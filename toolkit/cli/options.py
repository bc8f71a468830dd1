"""Arguments that several commands share."""

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


def add_run_or_predictions(parser: argparse.ArgumentParser) -> None:
    """The arguments for what to evaluate: ``RUN``, or ``--predictions PATH`` with ``--label-values``."""
    parser.add_argument("run", nargs="?", metavar="RUN", help="folder of a run, or a checkpoint file")
    what = (
        "instead of RUN: a folder that `toolkit infer` wrote, a folder of label images, a predictions.json, a"
        " list of COCO results, or COCO panoptic results"
    )
    parser.add_argument("--predictions", type=Path, metavar="PATH", help=what)
    parser.add_argument(
        "--label-values",
        default="index",
        choices=["index", "dataset"],
        help=(
            "with --predictions of label images: index (of the class; 255 for none), or dataset: the values"
            " in the dataset's own label images; a classes.csv next to them takes precedence"
        ),
    )


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


def add_data_arguments(parser: argparse.ArgumentParser, *, default: str = "") -> None:
    """``--data`` and ``--data-dir``; with a description of the default of ``--data``, if there is one."""
    parser.add_argument(
        "--data",
        metavar="D",
        help="a dataset's name (`toolkit data list`), or a file that defines one"
        + (f"; default: {default}" if default else ""),
    )
    parser.add_argument("--data-dir", metavar="DIR", help="folder of the dataset; default: data/<name>")


def add_plugin_files_argument(parser: argparse.ArgumentParser) -> None:
    """``--plugin P`` for commands that get the plugin from a run."""
    parser.add_argument(
        "--plugin",
        action="append",
        default=[],
        metavar="P",
        help="file or folder of a plugin that is not installed, or the name of one that is; may be repeated",
    )


def add_prompts_above_argument(parser: argparse.ArgumentParser) -> None:
    """``--prompts-above S`` for commands that take prompts from another run."""
    parser.add_argument(
        "--prompts-above",
        type=float,
        metavar="S",
        help="with --prompts from:RUN: minimum score for a detection to become a prompt; default: 0.05",
    )


def add_prompts_to_measure(parser: argparse.ArgumentParser) -> None:
    """``--prompts P`` and ``--prompts-above S`` for commands that measure answers to prompts."""
    parser.add_argument(
        "--prompts",
        metavar="P",
        help=(
            "with a promptable RUN: evaluate its answers to these prompts as detections: from:RUN2 (another"
            " run's detections) or a file; default: evaluate with the model's prompt protocols"
        ),
    )
    add_prompts_above_argument(parser)


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


def computing_of(args: argparse.Namespace, devices: int = 1) -> Computing:
    """What ``--batch-size``, ``--workers``, ``--precision`` and ``add_device_argument`` were given."""
    from toolkit.evaluation.requests import Computing

    return Computing(
        batch_size=args.batch_size,
        workers=args.workers,
        devices=devices,
        accelerator=args.device,
        precision=args.precision,
        show_progress=True,
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


def add_measuring_arguments(
    parser: argparse.ArgumentParser, *, whose: str = "", whose_images: str | None = None
) -> None:
    """Add ``--split``, ``--batch-size``, ``--workers``, ``--device`` and ``--precision``.

    Args:
        parser: the parser of the command.
        whose: prefix of the help of options that only matter for prediction, such as ``"with RUN: "``.
        whose_images: prefix for reading images, if it is a different one.
    """
    reading = whose if whose_images is None else whose_images
    parser.add_argument(
        "--split", metavar="S", help="split to evaluate on; default: the dataset's validation split"
    )
    parser.add_argument(
        "--batch-size", type=positive, default=4, metavar="N", help=f"{whose}images per batch"
    )
    parser.add_argument(
        "--workers",
        type=natural,
        default=2,
        metavar="N",
        help=f"{reading}processes that read images; 0 reads them in the main process",
    )
    add_device_argument(parser)
    parser.add_argument(
        "--precision",
        default="fp32",
        choices=["fp32", "fp16", "bf16"],
        help=f"{whose}precision of the forward pass",
    )


def add_draws_arguments(parser: argparse.ArgumentParser, *, default: str) -> None:
    """``--resamples``, with its default in words, and ``--seed``."""
    parser.add_argument(
        "--resamples",
        type=positive,
        metavar="N",
        help=f"bootstrap draws for the intervals; default: {default}",
    )
    parser.add_argument("--seed", type=natural, default=0, metavar="N", help="seed of the draws; default: 0")


def add_window_arguments(parser: argparse.ArgumentParser, whose: str = "") -> None:
    """``--window`` and ``--overlap``, for large images; ``whose`` is a prefix of the help, such as
    ``"with RUN: "``.
    """
    parser.add_argument(
        "--window",
        type=int,
        metavar="PX",
        help=f"{whose}predict images larger than this window by window; default: only very large ones",
    )
    parser.add_argument(
        "--overlap",
        type=float,
        default=0.25,
        metavar="F",
        help=f"{whose}fraction of a window that overlaps with the next one",
    )


def add_precision_argument(parser: argparse.ArgumentParser) -> None:
    """``--precision`` of the commands that predict."""
    parser.add_argument(
        "--precision", default="fp32", choices=["fp32", "bf16"], help="precision of the forward pass"
    )


def add_device_argument(parser: argparse.ArgumentParser) -> None:
    """``--device``, which has the same meaning in every command."""
    parser.add_argument(
        "--device",
        default="auto",
        metavar="D",
        help=(
            "device to use: auto, cpu, cuda, cuda:1 or mps; auto is a CUDA GPU if there is one, otherwise"
            " Apple's GPU, otherwise the CPU; default: auto"
        ),
    )


def add_settings_argument(
    parser: argparse.ArgumentParser,
    what: str = "settings, such as train.steps=500, lr=0.001 or weights=none (`toolkit settings` lists all)",
) -> None:
    """Any number of ``key=value``; ``what`` describes what they set."""
    parser.add_argument("settings", nargs="*", metavar="key=value", help=what)


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


def positive(text: str) -> int:
    """A whole number above 0, as the type of an argument."""
    return _at_least(1, text)


def natural(text: str) -> int:
    """A whole number of 0 or more, as the type of an argument."""
    return _at_least(0, text)


def _at_least(least: int, text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if number < least:
        raise argparse.ArgumentTypeError(f"expected a whole number of {least} or more, not {text!r}")
    return number


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
