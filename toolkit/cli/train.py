"""``toolkit train``."""

from __future__ import annotations

import argparse
import math
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.cli.options import add_data_arguments, add_settings_argument
from toolkit.cli.parsed import is_setting, load_named
from toolkit.wording import quoted

if TYPE_CHECKING:
    from toolkit.config import RunSettings
    from toolkit.training.result import TrainResult

SUMMARY = "train a model on a dataset"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments to the parser."""
    parser.add_argument(
        "--plugin", metavar="P", help="a plugin's name (`toolkit plugins list`), or the file or folder of one"
    )
    add_data_arguments(parser)
    parser.add_argument(
        "--config",
        metavar="C",
        help=(
            "settings in YAML: a file, the folder of a run, or the name of a recipe, such as unet-msrc;"
            " default: the recipe for this plugin and dataset"
        ),
    )
    parser.add_argument(
        "--out", type=Path, metavar="RUN", help="folder of the run; default: runs/<plugin>-<data>"
    )
    parser.add_argument(
        "--resume",
        nargs="?",
        const=True,
        metavar="RUN",
        help=(
            "continue this run, or the one at --out, from its last saved state; without RUN, one that has not"
            " begun yet is started, so that the same command can be repeated"
        ),
    )
    for option, (setting, metavar, what) in SHORT_FORMS.items():
        parser.add_argument(option, metavar=metavar, help=f"{what} (sets {setting})")
    add_settings_argument(parser)


SHORT_FORMS = {
    "--weights": ("weights", "W", "start weights: a name, a file, a run, or none for random weights"),
    "--epochs": ("train.epochs", "N", "passes over the training split, instead of --steps"),
    "--steps": ("train.steps", "N", "optimizer steps, instead of --epochs"),
    "--lr": ("train.lr", "X", "learning rate"),
    "--batch-size": ("train.batch_size", "N", "images per step, over all devices"),
    "--workers": ("train.workers", "N", "processes that read images; 0 reads them in the main process"),
    "--seed": ("train.seed", "N", "seed of every random choice"),
    "--device": ("train.device", "D", "device to train on: auto, cpu, cuda, cuda:1 or mps"),
    "--devices": ("train.devices", "N", "devices, or CPU processes, on each node"),
    "--num-nodes": ("train.num_nodes", "N", "number of machines"),
}
"""Options that are short forms of settings, with the setting, a placeholder and a description."""


def run(args: argparse.Namespace) -> int:
    """Train; returns 0 if it finished."""
    from toolkit.config import resolve
    from toolkit.config.tree import parse_words
    from toolkit.errors import ConfigError

    load_named(args)
    _take_setting_behind_resume(args)
    if any("=" not in word for word in args.settings):
        from toolkit.cli.mistakes import stray_words

        raise stray_words(args.settings)
    overrides = parse_words(args.settings) | _short_forms(args)
    config = args.config
    if args.resume is True and _has_not_begun(args):
        args.resume = None
    elif args.resume:
        _name_the_run(args)
    resuming = bool(args.resume) and config is None
    if resuming:
        config = _config_of_run(args)
    try:
        settings = resolve(
            plugin=args.plugin, data=args.data, config=config, overrides=overrides, resuming=resuming
        )
    except ConfigError as error:
        raise ConfigError(f"{error}{_changed(args.out) if args.resume else ''}") from None

    from toolkit.training.folder import default_run
    from toolkit.training.loop import train

    out = args.out or default_run(settings.plugin, settings.data.name)

    result = train(settings, out, resume=bool(args.resume), show_progress=True)
    if result.is_first_process:  # the other processes have nothing to add
        for line in closing(result, settings):
            print(line)
    return 0 if result.finished else 1


def _short_forms(args: argparse.Namespace) -> dict[str, Any]:
    """The settings given by options, by full keys; other options are read as they are."""
    given = {key: getattr(args, option[2:].replace("-", "_")) for option, (key, _, _) in SHORT_FORMS.items()}
    return {key: value for key, value in (given | {"data.dir": args.data_dir}).items() if value is not None}


def _take_setting_behind_resume(args: argparse.Namespace) -> None:
    """Handle ``--resume train.steps=500``, which names no run."""
    if isinstance(args.resume, str) and is_setting(args.resume):
        args.settings, args.resume = [args.resume, *args.settings], True


def _has_not_begun(args: argparse.Namespace) -> bool:
    """Whether a run that may be continued is to be started: everything is given that this needs."""
    from toolkit.training.folder import default_run, has_begun

    is_named = bool(args.plugin and args.data)
    if not (is_named or args.config) or not (is_named or args.out):
        return False
    return not has_begun(args.out or default_run(args.plugin, args.data))


def _name_the_run(args: argparse.Namespace) -> None:
    """Use the folder after ``--resume`` as the run.

    Raises:
        UsageError: when ``--out`` names another one.
    """
    from toolkit.errors import UsageError

    if not isinstance(args.resume, str):
        return
    named = Path(args.resume)
    if named.is_file():  # such as its checkpoint
        named = named.parent
    if args.out is not None and args.out.resolve() != named.resolve():
        raise UsageError(
            f"--resume {named} and --out {args.out} are two different runs. Hint: leave out --out"
        )
    args.out = named


def _config_of_run(args: argparse.Namespace) -> Path:
    """The settings with which the run to be resumed was started."""
    from toolkit.errors import UsageError
    from toolkit.training.folder import config_of_run, default_run

    if args.out is None and not (args.plugin and args.data):
        runs = sorted(path.parent for path in Path("runs").glob("*/config.yaml"))
        there = f". The runs here: {', '.join(map(str, runs))}" if runs else ""
        raise UsageError(f"--resume needs the folder of a run. Hint: toolkit train --resume RUN{there}")
    run = args.out or default_run(args.plugin, args.data)
    return config_of_run(run)


def _changed(run: Path | None) -> str:
    """A sentence that the plugin has changed since the run to be resumed; empty if it has not."""
    from toolkit.errors import ToolkitError
    from toolkit.models.building import changed_since, manifest_of_run

    try:
        return changed_since(manifest_of_run(run)) if run else ""
    except ToolkitError:  # nothing has been saved yet
        return ""


def closing(result: TrainResult, settings: RunSettings) -> Iterator[str]:
    """The result of a run, its folder, and the commands that come next, ready to be copied."""
    from toolkit.cli.next_steps import PHOTOS, next_lines
    from toolkit.registry import is_path

    run = str(result.run)
    yield result.summary
    # code is run only if it is named
    plugin = ["--plugin", settings.plugin] if is_path(settings.plugin) else []
    if not result.finished:
        data = ["--data", settings.data.name] if is_path(settings.data.name) else []
        yield f"Continue with: {shlex.join(['toolkit', 'train', '--resume', run, *plugin, *data])}"
        return
    commands = [["infer", run, str(result.photos or PHOTOS), *plugin]]
    if not math.isnan(result.best):  # NaN without validation
        data = ["--data", settings.data.name] if is_path(settings.data.name) else []
        commands.insert(0, ["eval", run, *data, *plugin])
    yield from next_lines(*commands, title=f"The run is in {quoted(run)}. Next:")
