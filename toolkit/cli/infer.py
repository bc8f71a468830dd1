"""``toolkit infer``."""

from __future__ import annotations

import argparse
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.cli.options import add_plugin_files_argument, load_plugin_files, model_settings

if TYPE_CHECKING:
    from toolkit.inference.pipeline import Summary
    from toolkit.inference.results import Record

SETTING = re.compile(r"model\.[\w.]+=")

SUMMARY = "run a trained model over images and folders"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Fill in the parser."""
    parser.add_argument("run", metavar="RUN", help="folder of a run, or a checkpoint file")
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help=(
            "images, folders (searched to any depth) or quoted patterns such as 'photos/**/*.jpg'; "
            "model.…=value changes a setting of the model"
        ),
    )
    parser.add_argument(
        "--out",
        required=True,
        type=Path,
        metavar="DIR",
        help="folder for labels, overlays, predictions.json and manifest.jsonl",
    )
    parser.add_argument(
        "--prompts",
        metavar="P",
        help=(
            "for promptable models: auto (everything in the image, the default), from:RUN (another run's"
            " detections), or a CSV or JSON file of points and boxes"
        ),
    )
    parser.add_argument(
        "--resume", action="store_true", help="skip what is done in DIR already; failures are tried again"
    )
    parser.add_argument(
        "--batch-size", type=int, default=4, metavar="N", help="images that the model gets at a time"
    )
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="threads that decode and write; default: one a core, at most 8",
    )
    parser.add_argument(
        "--window",
        type=int,
        metavar="PX",
        help="predict images larger than this window by window; default: only very large ones",
    )
    parser.add_argument(
        "--overlap",
        type=float,
        default=0.25,
        metavar="F",
        help="part of a window that the next one covers again",
    )
    parser.add_argument("--device", default="auto", metavar="D", help="auto, cpu, cuda, cuda:1, mps")
    parser.add_argument(
        "--precision", default="fp32", choices=["fp32", "bf16"], help="precision of the forward pass"
    )
    parser.add_argument(
        "--draw-above",
        type=float,
        metavar="S",
        help=(
            "score that an object needs to be drawn; the files have all; default: 0.5, and 0 for answers to"
            " prompts"
        ),
    )
    parser.add_argument(
        "--no-overlays", action="store_true", help="do not draw the predictions over the photos"
    )
    add_plugin_files_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Predict, and say what became of the images."""
    load_plugin_files(args)
    from toolkit.inference import Tiling, load
    from toolkit.inference.pipeline import Work, predict_folder
    from toolkit.runtime.progress import Count

    work = Work(args.batch_size) if args.workers is None else Work(args.batch_size, args.workers)
    tiling = Tiling(args.window, args.overlap)
    words = [path for path in args.paths if SETTING.match(path)]
    settings = model_settings(words)
    predictor = load(
        args.run,
        device=args.device,
        precision=args.precision,
        tiling=tiling,
        prompts=args.prompts,
        settings=settings,
    )
    start = time.perf_counter()
    try:
        with Count("predicting") as images:

            def on_record(record: Record) -> None:
                if record.error is not None:
                    sys.stderr.write(f"skipped: {record.error}\n")
                images.advance()

            summary = predict_folder(
                predictor,
                [path for path in args.paths if path not in words],
                args.out,
                work=work,
                overlays=not args.no_overlays,
                draw_above=args.draw_above,
                resume=args.resume,
                on_start=images.start,
                on_record=on_record,
            )
    except KeyboardInterrupt:
        print(f"stopped; what is done is in {args.out}, and --resume goes on from there", file=sys.stderr)
        raise
    print(_describe(summary, args.out, time.perf_counter() - start))
    return 3 if summary.failed else 0


def _describe(summary: Summary, out: Path, seconds: float) -> str:
    rate = f" in {seconds:.1f} s ({summary.done / seconds:.1f} images/s)" if summary.done else ""
    parts = [f"{summary.done} images done{rate}"]
    if summary.resumed:
        parts.append(f"{summary.resumed} were done before")
    if summary.failed:
        parts.append(f"{summary.failed} skipped (manifest.jsonl says why)")
    return f"{', '.join(parts)}; results in {out}"
