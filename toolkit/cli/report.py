"""``toolkit report``."""

from __future__ import annotations

import argparse
from pathlib import Path

from toolkit.cli.options import (
    add_data_arguments,
    add_device_argument,
    add_plugin_files_argument,
    add_prompts_to_measure,
    add_run_or_predictions,
    add_settings_argument,
    computing_of,
    data_choice,
    load_plugin_files,
    natural,
    positive,
    prompting_of,
    settle_run_or_predictions,
)

SUMMARY = "write a page with a run's figures, its errors, and the labels that may be wrong"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Fill in the parser."""
    add_run_or_predictions(parser)
    add_data_arguments(parser, default="with RUN: the data that it was trained on")
    parser.add_argument(
        "--split", metavar="S", help="split to evaluate on; default: the dataset's validation split"
    )
    add_prompts_to_measure(parser)
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
    parser.add_argument(
        "--resamples",
        type=positive,
        metavar="N",
        help="bootstrap draws for the intervals; default: as many as are made in a few seconds",
    )
    parser.add_argument("--seed", type=natural, default=0, metavar="N", help="seed of the draws; default: 0")
    parser.add_argument(
        "--no-copies",
        action="store_true",
        help=(
            "do not look for near-duplicates, for which the other splits of the dataset are opened, and read"
            " for up to five seconds"
        ),
    )
    parser.add_argument(
        "--batch-size", type=positive, default=4, metavar="N", help="with RUN: images at a time"
    )
    parser.add_argument(
        "--workers",
        type=natural,
        default=2,
        metavar="N",
        help="processes that read images; 0 reads them in the process itself",
    )
    add_device_argument(parser)
    parser.add_argument(
        "--precision",
        default="fp32",
        choices=["fp32", "fp16", "bf16"],
        help="with RUN: precision of the forward pass",
    )
    add_plugin_files_argument(parser)
    add_settings_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Measure, and write the page."""
    from toolkit.errors import UsageError

    settle_run_or_predictions(args, "report on")
    if args.predictions and args.compare:
        raise UsageError("--compare is for two runs. Hint: leave it out, and write a report of each")
    choice, prompting = data_choice(args), prompting_of(args)
    load_plugin_files(args)

    from toolkit.reporting.measuring import ReportOptions, report_predictions, report_run

    computing = computing_of(args)
    options = ReportOptions(
        out=args.out,
        compare=args.compare,
        resamples=args.resamples,
        seed=args.seed,
        copies=not args.no_copies,
    )
    if args.run:
        written = report_run(args.run, choice, computing, prompting, options)
    else:
        written = report_predictions(
            args.predictions, choice, label_values=args.label_values, computing=computing, options=options
        )
    print(f"The report is {written.path}; the same figures are in {written.json_path}")
    return 0
