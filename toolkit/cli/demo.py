"""``toolkit demo``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.cli.options import add_settings_argument
from toolkit.wording import quoted

if TYPE_CHECKING:
    from toolkit.demo import Part

SUMMARY = "train, evaluate and use three kinds of models on generated images, in minutes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments to the parser."""
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/demo"),
        metavar="DIR",
        help="folder for all of its output; default: runs/demo",
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="PLUGIN",
        help="run this model only; may be repeated",
    )
    add_settings_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Run the demo; print the tables and the paths of the pictures."""
    from toolkit.config.tree import parse_words
    from toolkit.demo import PICTURE, run_demo
    from toolkit.demo import SUMMARY as SUMMARY_FILE
    from toolkit.runtime.terminal import Terminal

    console = Terminal(soft_wrap=True)
    shown: list[Part] = []
    for part in run_demo(args.out, only=args.only, overrides=parse_words(args.settings)):
        for report in part.reports:
            print(
                f"\n{part.plugin} on the test split of {part.data}, after"
                f" {part.train_seconds:.0f} s of training"
            )
            console.print(report.table())
        results = quoted(args.out / f"{part.plugin}-results")
        print(f"results and overlays of {part.images} photos: {results}")
        print(f"image, truth and prediction side by side: {quoted(part.sheet)}")
        shown.append(part)
    picture, metrics = quoted(args.out / PICTURE), quoted(args.out / SUMMARY_FILE)
    print(f"all models in one picture: {picture}; metrics: {metrics}")
    for line in _closing(args.out, shown):
        print(line)
    return 0


def _closing(out: Path, shown: Sequence[Part]) -> Iterator[str]:
    """The commands that come next: compare the models of one dataset, and train on your own photos."""
    from toolkit.cli.next_steps import FOLDER, next_lines

    on = {part.plugin: part.data for part in shown}
    alike = [str(out / plugin) for plugin, data in on.items() if data == next(iter(on.values()))]
    commands = [["compare", *alike, "--split", "test"]] if len(alike) > 1 else []
    commands += [
        ["data", "check", "masks", "--data-dir", FOLDER],
        ["train", "--plugin", "unet", "--data", "masks", "--data-dir", FOLDER],
    ]
    title = "Next, also with your own photos, in FOLDER/images and FOLDER/labels:"
    yield from next_lines(*commands, title=title)
