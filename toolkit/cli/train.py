"""``toolkit train``."""

from __future__ import annotations

import argparse
import math
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.cli.options import add_data_arguments, add_settings_argument

if TYPE_CHECKING:
    from toolkit.config import RunSettings
    from toolkit.training.loop import TrainResult

SUMMARY = "train a model on a dataset"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Fill in the parser."""
    parser.add_argument(
        "--plugin", metavar="P", help="a plugin's name (`toolkit plugins list`), or the file or folder of one"
    )
    add_data_arguments(parser, required=False)
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="settings in YAML; default: the recipe for this plugin and dataset",
    )
    parser.add_argument(
        "--out", type=Path, metavar="RUN", help="folder of the run; default: runs/<plugin>-<data>"
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on with the run at --out from its last saved state"
    )
    parser.add_argument("--seed", type=int, metavar="N", help="fixes every random choice (train.seed)")
    parser.add_argument(
        "--devices", type=int, metavar="N", help="devices, or CPU processes, on each node (train.devices)"
    )
    parser.add_argument(
        "--num-nodes", type=int, metavar="N", help="machines that take part (train.num_nodes)"
    )
    add_settings_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Train; 0 when it came to its end."""
    from toolkit import registry
    from toolkit.config import resolve
    from toolkit.config.tree import merge, nest, parse_overrides

    flags = {
        "data.dir": args.data_dir,
        "train.seed": args.seed,
        "train.devices": args.devices,
        "train.num_nodes": args.num_nodes,
    }
    overrides = merge(
        parse_overrides(args.settings),
        nest({key: value for key, value in flags.items() if value is not None}),
    )
    config = args.config
    if args.resume and config is None:
        config = _config_of_run(args)
    settings = resolve(plugin=args.plugin, data=args.data, config=config, overrides=overrides)
    out = args.out or default_run(
        registry.named(registry.plugins(), settings.plugin).name, settings.data.name
    )

    from toolkit.training.loop import train

    result = train(settings, out, resume=args.resume, show_progress=True)
    if result.is_first_process:  # the others have nothing to add
        for line in closing(result, settings):
            print(line)
    return 0 if result.finished else 1


def default_run(plugin: str, data: str) -> Path:
    """Where a run goes that was given no folder."""
    return Path("runs") / f"{plugin}-{Path(data).stem}"


def _config_of_run(args: argparse.Namespace) -> Path:
    """The settings that the run to be resumed was started with."""
    from toolkit import registry
    from toolkit.errors import UsageError
    from toolkit.training.folder import config_of_run

    if args.out is None and not (args.plugin and args.data):
        raise UsageError("which run is to be resumed? Hint: name its folder with --out")
    run = args.out or default_run(registry.named(registry.plugins(), args.plugin).name, args.data)
    return config_of_run(run)


def closing(result: TrainResult, settings: RunSettings) -> Iterator[str]:
    """What came of a run, where it lies, and the commands that come next, as they can be pasted."""
    from toolkit.registry import is_path

    run = str(result.run)
    yield result.summary
    if not result.finished:
        yield f"Go on with: {shlex.join(['toolkit', 'train', '--resume', '--out', run])}"
        return
    yield f"The run is in {run}. Next:"
    plugin = ["--plugin", settings.plugin] if is_path(settings.plugin) else []
    if not math.isnan(result.best):  # NaN without validation
        yield f"  {shlex.join(['toolkit', 'eval', run, '--data', settings.data.name, *plugin])}"
    photos = str(result.photos or "FOLDER_OF_PHOTOS")
    yield f"  {shlex.join(['toolkit', 'infer', run, photos, '--out', f'{run}-results', *plugin])}"
