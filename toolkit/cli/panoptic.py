"""``toolkit panoptic``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from toolkit.cli.options import (
    add_data_arguments,
    add_device_argument,
    add_plugin_files_argument,
    add_precision_argument,
    add_window_arguments,
    natural,
    positive,
)
from toolkit.cli.parsed import default_results, is_setting, load_plugin_files, tiling_of
from toolkit.runtime.text import print_whole

SUMMARY = "merge a semantic and an instance run into panoptic segments, for images or to evaluate"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments to the parser."""
    parser.add_argument("stuff", metavar="STUFF_RUN", help="run of a semantic model, such as unet")
    parser.add_argument("things", metavar="THINGS_RUN", help="run of a detector with masks, such as maskrcnn")
    parser.add_argument(
        "paths",
        nargs="*",
        metavar="PATH",
        help=(
            "images and folders to predict, as for `toolkit infer`; without any, the pair is evaluated on a"
            " dataset; key=value changes a setting: score_threshold=0.5, overlap_threshold=0.5,"
            " stuff_area=4096 (pixels), 'things=[NAME,…]'"
        ),
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder of the results (panoptic.json and so on); default: results/<run>-<run>",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="continue in DIR: skip finished images, and try failed ones again",
    )
    parser.add_argument("--no-overlays", action="store_true", help="do not draw the segments over the photos")
    add_data_arguments(parser, default="what both runs were trained on")
    parser.add_argument(
        "--split", metavar="S", help="split to evaluate on; default: the dataset's validation split"
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help='without PATH: print one JSON object {"metrics": {name: value}} and nothing else',
    )
    parser.add_argument("--batch-size", type=positive, default=4, metavar="N", help="images per batch")
    parser.add_argument(
        "--workers",
        type=natural,
        metavar="N",
        help=(
            "threads that read and write images; default: one per core, at most 8. When evaluating,"
            " processes that read them; default: 2"
        ),
    )
    add_window_arguments(parser)
    add_device_argument(parser)
    add_precision_argument(parser)
    add_plugin_files_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Predict images, or evaluate."""
    load_plugin_files(args)
    words = [word for word in args.paths if is_setting(word)]
    paths = [word for word in args.paths if word not in words]
    _check_options(args, paths)
    return _infer(args, paths, words) if paths else _measure(args, words)


def _check_options(args: argparse.Namespace, paths: list[str]) -> None:
    """Raise ``UsageError`` for options that would have no effect."""
    from toolkit.errors import UsageError

    for_data = {"--data": args.data, "--data-dir": args.data_dir, "--split": args.split, "--json": args.json}
    for_images = {"--out": args.out, "--resume": args.resume, "--no-overlays": args.no_overlays}
    wrong = [name for name, given in (for_data if paths else for_images).items() if given]
    if wrong:
        found, hint = (
            ("images are given", "leave out the images to evaluate, or the options to predict them")
            if paths
            else ("there are no images", "give images or folders after the two runs")
        )
        raise UsageError(f"{', '.join(wrong)} would have no effect, since {found}. Hint: {hint}")


def _infer(args: argparse.Namespace, paths: list[str], words: list[str]) -> int:
    from toolkit.cli.infer import predict_and_describe
    from toolkit.cli.next_steps import FOLDER, next_lines
    from toolkit.config.keys import for_sections
    from toolkit.config.tree import parse_words
    from toolkit.inference.image_batches import Work
    from toolkit.inference.panoptic import load_panoptic
    from toolkit.models.panoptic import PanopticSettings

    sections = for_sections(parse_words(words), [("model", PanopticSettings)])
    predictor = load_panoptic(
        args.stuff,
        args.things,
        settings=sections.get("model", {}),
        device=args.device,
        precision=args.precision,
        tiling=tiling_of(args),
    )
    out = args.out or default_results(args.stuff, Path(args.things))
    work = Work(args.batch_size) if args.workers is None else Work(args.batch_size, args.workers)
    summary = predict_and_describe(
        predictor, paths, out, work=work, overlays=not args.no_overlays, resume=args.resume
    )
    if summary.done:
        measure = ["eval", "--predictions", str(out), "--data", "coco-panoptic", "--data-dir", FOLDER]
        for line in next_lines(measure, title="To evaluate the results, if you have labels:"):
            print(line)
    return 3 if summary.failed else 0


def _measure(args: argparse.Namespace, words: list[str]) -> int:
    from toolkit.cli.eval import to_json
    from toolkit.config.tree import parse_words
    from toolkit.evaluation.pairs import evaluate_panoptic, side_by_side
    from toolkit.runtime.terminal import Terminal

    given: dict[str, Any] = {"data": args.data, "data_dir": args.data_dir, "split": args.split}
    reports = evaluate_panoptic(
        args.stuff,
        args.things,
        **given,
        settings=parse_words(words),
        batch_size=args.batch_size,
        workers=2 if args.workers is None else args.workers,
        device=args.device,
        precision=args.precision,
        tiling=tiling_of(args),
    )
    if args.json:
        print_whole(to_json(list(reports)))
        return 0
    console = Terminal()
    for report in reports:
        console.print(report.table())
    console.print(side_by_side(reports))
    return 0
