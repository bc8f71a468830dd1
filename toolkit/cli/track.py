"""``toolkit track``."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from toolkit.cli.measure import add_measure_arguments, check_sizes, print_measured, requested_size
from toolkit.cli.options import add_device_argument, add_plugin_files_argument, add_precision_argument
from toolkit.cli.parsed import default_results, load_plugin_files, model_settings, refuse_swapped
from toolkit.wording import counted, quoted

SUMMARY = "track objects through a video with a promptable model"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments to the parser."""
    parser.add_argument("run", metavar="RUN", help="folder of a run, or a checkpoint file")
    parser.add_argument(
        "video", type=Path, metavar="VIDEO", help="a video file, or a folder of images of the same size"
    )
    which = (
        "points and boxes that mark the objects (CSV or JSON); `image` is the number of a frame, from 0, or"
        " its file name"
    )
    parser.add_argument("--prompts", required=True, type=Path, metavar="FILE", help=which)
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder for overlays, predictions.json and manifest.jsonl; default: results/<run>-<video>",
    )
    add_device_argument(parser)
    add_precision_argument(parser)
    parser.add_argument("--no-overlays", action="store_true", help="do not draw the objects over the frames")
    add_measure_arguments(parser)
    add_plugin_files_argument(parser)
    parser.add_argument(
        "settings", nargs="*", metavar="key=value", help="settings of the model that replace those of the run"
    )


def run(args: argparse.Namespace) -> int:
    """Track, and print what was found."""
    load_plugin_files(args)
    from toolkit.inference import load
    from toolkit.inference.tracking import track_video
    from toolkit.runtime.progress import Count

    given = requested_size(args)
    refuse_swapped("track", args.run, [str(args.video)])
    out = args.out or default_results(args.run, args.video)
    _refuse_results(out)
    predictor = load(
        args.run,
        device=args.device,
        precision=args.precision,
        settings=model_settings(args.settings, args.run),
    )
    with Count("tracking") as frames:
        count = track_video(
            predictor,
            args.video,
            args.prompts,
            out,
            overlays=not args.no_overlays,
            on_frames=partial(check_sizes, given),
            on_start=frames.start,
            on_record=frames.advance,
        )
    if args.measure:
        from toolkit.inference.measurements import measure

        print_measured(measure(out, pixel_size=given, geojson=args.geojson))
    print(f"{counted(count, 'object')} tracked; the results of each frame are in {quoted(out)}")
    print(
        f"To correct an object, add points in the frame where it is lost to {quoted(args.prompts)}, and"
        " track again with another --out"
    )
    return 0


def _refuse_results(out: Path) -> None:
    """Raise ``UsageError`` if there are results already, since tracking cannot be resumed."""
    from toolkit.errors import UsageError
    from toolkit.inference.results import MANIFEST

    if (out / MANIFEST).exists():
        raise UsageError(
            f"{out} already contains results. Hint: choose another folder with --out, or delete it"
        )
