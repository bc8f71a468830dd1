"""``toolkit compare``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from toolkit.cli.options import (
    add_data_arguments,
    add_device_argument,
    add_plugin_files_argument,
    is_setting,
    load_plugin_files,
    natural,
    positive,
)

SUMMARY = "measure runs on the same images, side by side, and how far they differ"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Fill in the parser."""
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="folders of runs, or checkpoint files; the others are compared with the first",
    )
    add_data_arguments(parser, default="the data that the runs were trained on")
    parser.add_argument(
        "--split", metavar="S", help="split to measure on; default: the dataset's validation split"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="also write a picture: images, truth, and what each run predicts",
    )
    parser.add_argument(
        "--resamples",
        type=positive,
        metavar="N",
        help="bootstrap draws for the intervals; default: 1000, with coco 200",
    )
    parser.add_argument("--seed", type=natural, default=0, metavar="N", help="fixes the draws; default: 0")
    parser.add_argument("--batch-size", type=positive, default=4, metavar="N", help="images at a time")
    parser.add_argument(
        "--workers",
        type=natural,
        default=2,
        metavar="N",
        help="processes that read images; 0 reads them in the process itself",
    )
    add_device_argument(parser)
    parser.add_argument(
        "--precision", default="fp32", choices=["fp32", "fp16", "bf16"], help="precision of the forward pass"
    )
    add_plugin_files_argument(parser)
    what = "settings of data.options and evaluators, such as void=0 or evaluators.iou={}"
    parser.add_argument("settings", nargs="*", metavar="key=value", help=what)


def run(args: argparse.Namespace) -> int:
    """Measure, compare, and print one table."""
    from toolkit.config.tree import parse_words

    # argparse gives all words before the first option to RUN, and those behind it to the settings
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
        resamples=args.resamples,
        seed=args.seed,
        sheet=args.out,
        show_progress=True,
    )
    if args.json:
        print(json.dumps(comparison.to_dict(), allow_nan=False))
        return 0
    from toolkit.runtime.terminal import Terminal

    Terminal().print(comparison.table())
    return 0
