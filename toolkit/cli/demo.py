"""``toolkit demo``."""

from __future__ import annotations

import argparse
from pathlib import Path

from toolkit.cli.options import add_settings_argument

SUMMARY = "train, measure and use a model of every family on generated images, in minutes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Fill in the parser."""
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/demo"),
        metavar="DIR",
        help="folder for everything it makes; default: runs/demo",
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="PLUGIN",
        help="show this family alone; may be repeated",
    )
    add_settings_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Run the demo; print the tables and where the pictures are."""
    from toolkit.config.tree import parse_words
    from toolkit.demo import SUMMARY as SUMMARY_FILE
    from toolkit.demo import run_demo
    from toolkit.runtime.terminal import Terminal

    console = Terminal(soft_wrap=True)
    for part in run_demo(args.out, only=args.only, overrides=parse_words(args.settings)):
        for report in part.reports:
            console.print(
                f"\n{part.plugin} on the test split of {part.data}, after"
                f" {part.train_seconds:.0f} s of training"
            )
            console.print(report.table())
        console.print(f"results and overlays of {part.images} photos: {args.out / f'{part.plugin}-results'}")
        console.print(f"image, truth and prediction side by side: {part.sheet}")
    console.print(f"figures: {args.out / SUMMARY_FILE}")
    return 0
