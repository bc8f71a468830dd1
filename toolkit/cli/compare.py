"""``toolkit compare``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.cli.options import (
    add_data_arguments,
    add_draws_arguments,
    add_measuring_arguments,
    add_plugin_files_argument,
    add_window_arguments,
)
from toolkit.cli.parsed import is_setting, load_plugin_files, tiling_of
from toolkit.runtime.text import print_whole

if TYPE_CHECKING:
    from toolkit.evaluation.run_figures import Comparison

SUMMARY = "evaluate runs on the same images, side by side, with confidence intervals"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments to the parser."""
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="folders of runs, or checkpoint files; the others are compared with the first",
    )
    add_data_arguments(parser, default="the data that the runs were trained on")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="also write a picture with images, ground truth and the predictions of each run",
    )
    add_draws_arguments(parser, default="1000, or 200 with coco")
    add_measuring_arguments(parser)
    add_window_arguments(parser)
    add_plugin_files_argument(parser)
    what = "settings of data.options and evaluators, such as void=0 or evaluators.iou={}"
    parser.add_argument("settings", nargs="*", metavar="key=value", help=what)


def run(args: argparse.Namespace) -> int:
    """Evaluate, compare, and print one table."""
    from toolkit.config.tree import parse_words

    # argparse assigns all words before the first option to RUN, and those after it to the settings
    words = [*args.runs, *args.settings]
    settings = [word for word in words if is_setting(word)]
    runs = [word for word in words if word not in settings]
    load_plugin_files(args)
    overrides = parse_words(settings)

    from toolkit.evaluation.compare import compare_runs

    comparison = compare_runs(
        runs,
        data=args.data,
        data_dir=args.data_dir,
        split=args.split,
        overrides=overrides,
        batch_size=args.batch_size,
        workers=args.workers,
        accelerator=args.device,
        precision=args.precision,
        tiling=tiling_of(args),
        resamples=args.resamples,
        seed=args.seed,
        sheet=args.out,
        show_progress=True,
    )
    if args.json:
        print_whole(json.dumps(comparison.to_dict(), allow_nan=False))
        return 0
    from toolkit.runtime.terminal import Terminal

    Terminal().print(comparison.table())
    for line in _closing(args, comparison, runs, settings):
        print(line)
    return 0


def _closing(
    args: argparse.Namespace, comparison: Comparison, runs: Sequence[str], settings: Sequence[str]
) -> Iterator[str]:
    """The commands that come next: look at the predictions, and use the run with the best first metric."""
    from toolkit.cli.next_steps import PHOTOS, next_lines, plugin_options

    plugin, commands = plugin_options(args.plugin), []
    if args.out is None:
        given = {"--data": args.data, "--data-dir": args.data_dir, "--split": args.split}
        options = [word for option, value in given.items() if value for word in (option, str(value))]
        commands.append(["compare", *runs, *options, "--out", "compared.jpg", *plugin, *settings])
    commands.append(["infer", runs[comparison.best()], PHOTOS, *plugin])
    yield from next_lines(*commands)
