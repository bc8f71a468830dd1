"""``toolkit report``."""

from __future__ import annotations

import argparse
from pathlib import Path

from toolkit.cli.options import (
    add_data_arguments,
    add_draws_arguments,
    add_measuring_arguments,
    add_plugin_files_argument,
    add_prompts_to_measure,
    add_run_or_predictions,
    add_settings_argument,
    add_window_arguments,
)
from toolkit.cli.parsed import (
    computing_of,
    data_choice,
    load_plugin_files,
    prompting_of,
    settle_run_or_predictions,
    tiling_of,
)
from toolkit.wording import quoted

SUMMARY = "write a page with a run's metrics, its errors, and the labels that may be wrong"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments to the parser."""
    add_run_or_predictions(parser)
    add_data_arguments(parser, default="with RUN: the data that it was trained on")
    add_prompts_to_measure(parser)
    parser.add_argument(
        "--compare",
        metavar="RUN2",
        help="with RUN: another run to evaluate on the same images, to show the differences from it",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help=(
            "the page to write, .html; the same content is written next to it as .json; default:"
            " report.html in RUN, or in the current folder for --predictions"
        ),
    )
    add_draws_arguments(parser, default="as many as are made in a few seconds")
    parser.add_argument(
        "--no-copies",
        action="store_true",
        help=(
            "do not look for near-duplicates, for which the other splits of the dataset are opened, and read"
            " for up to five seconds"
        ),
    )
    parser.add_argument(
        "--explanations",
        action="append",
        default=[],
        type=Path,
        metavar="DIR",
        help="also show the maps in this folder, which toolkit explain wrote, and their scores; repeatable",
    )
    add_measuring_arguments(parser, whose="with RUN: ", whose_images="")
    add_window_arguments(parser, "with RUN: ")
    add_plugin_files_argument(parser)
    add_settings_argument(
        parser,
        "settings of the model, the dataset and the evaluators, such as evaluators.iou={} or void=0",
    )


def run(args: argparse.Namespace) -> int:
    """Evaluate, and write the page."""
    from toolkit.errors import UsageError

    settle_run_or_predictions(args, "report on")
    if args.predictions and args.compare:
        raise UsageError("--compare is for two runs. Hint: leave it out, and write a report of each")
    choice, prompting, tiling = data_choice(args), prompting_of(args), tiling_of(args)
    load_plugin_files(args)

    from toolkit.reporting.measuring import ReportOptions, report_predictions, report_run

    computing = computing_of(args)
    options = ReportOptions(
        out=args.out,
        compare=args.compare,
        resamples=args.resamples,
        seed=args.seed,
        copies=not args.no_copies,
        explanations=args.explanations,
    )
    if args.run:
        written = report_run(args.run, choice, computing, prompting, options, tiling)
    else:
        written = report_predictions(
            args.predictions, choice, label_values=args.label_values, computing=computing, options=options
        )
    print(f"The report is {quoted(written.path)}; the same content is in {quoted(written.json_path)}")
    return 0
