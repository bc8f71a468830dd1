"""``toolkit report``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from toolkit.cli.options import (
    add_data_arguments,
    add_draws_arguments,
    add_measuring_arguments,
    add_plugin_files_argument,
    add_run_or_predictions,
    add_settings_argument,
    load_plugin_files,
    settle_run_or_predictions,
)

SUMMARY = "write a page with a run's figures, its errors, and the labels that may be wrong"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Fill in the parser."""
    add_run_or_predictions(parser)
    add_data_arguments(parser, default="with RUN: the data that it was trained on")
    parser.add_argument(
        "--compare",
        metavar="RUN2",
        help="with RUN: another run that is measured on the same images, to show differences to it",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help=(
            "the page to write, .html; the same figures go beside it as .json; default: report.html in RUN,"
            " or here for --predictions"
        ),
    )
    add_draws_arguments(parser, default="as many as are made in a few seconds")
    add_measuring_arguments(parser, whose="with RUN: ", whose_images="")
    add_plugin_files_argument(parser)
    add_settings_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Measure, and write the page."""
    from toolkit.config.tree import parse_words
    from toolkit.errors import UsageError

    settle_run_or_predictions(args, "report on")
    if args.predictions and args.compare:
        raise UsageError("--compare is for two runs. Hint: leave it out, and write a report of each")
    load_plugin_files(args)

    from toolkit.reporting.measuring import report_predictions, report_run

    common: dict[str, Any] = {
        "data": args.data,
        "data_dir": args.data_dir,
        "split": args.split,
        "overrides": parse_words(args.settings),
        "out": args.out,
        "workers": args.workers,
        "resamples": args.resamples,
        "seed": args.seed,
        "show_progress": True,
    }
    if args.run:
        written = report_run(
            args.run,
            **common,
            compare=args.compare,
            batch_size=args.batch_size,
            accelerator=args.device,
            precision=args.precision,
        )
    else:
        written = report_predictions(args.predictions, **common, label_values=args.label_values)
    print(f"The report is {written.path}; the same figures are in {written.json_path}")
    return 0
