"""``toolkit infer``."""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.cli.cluster_options import add_cluster_arguments, check_cluster_options
from toolkit.cli.measure import add_measure_arguments, check_sizes, print_measured, requested_size
from toolkit.cli.options import (
    add_device_argument,
    add_plugin_files_argument,
    add_precision_argument,
    add_prompts_above_argument,
    add_window_arguments,
    natural,
    positive,
)
from toolkit.cli.parsed import (
    default_results,
    folder_or_address,
    is_setting,
    load_plugin_files,
    model_settings,
    refuse_swapped,
    shown_path,
    tiling_of,
)
from toolkit.runtime.text import printable, wrapped
from toolkit.wording import counted, quoted

if TYPE_CHECKING:
    from toolkit.cluster import RayEngine
    from toolkit.inference.inputs import LaterImages
    from toolkit.inference.predictor import Predictor
    from toolkit.inference.sources import Inputs
    from toolkit.inference.summary import Summary
    from toolkit.measuring.pixel_size import PixelSize
    from toolkit.measuring.size_table import SizeTable

SUMMARY = "run a trained model over images and folders"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments to the parser."""
    parser.add_argument("run", metavar="RUN", help="folder of a run, or a checkpoint file")
    parser.add_argument(
        "paths",
        nargs="*",
        metavar="PATH",
        help=(
            "images, folders (searched to any depth), quoted patterns such as 'photos/**/*.jpg', URLs of"
            " images, videos, the number of a camera, or - to read a list of these from standard input;"
            " key=value changes a setting of the model, such as model.long_side=512"
        ),
    )
    parser.add_argument(
        "--list",
        type=Path,
        metavar="FILE",
        help=(
            "instead of PATHs: a text file with one path or URL of an image per line, or a Parquet file with"
            " one per row, millions if need be; it is read as images are needed, and results are named by the"
            " lines"
        ),
    )
    parser.add_argument(
        "--out",
        type=folder_or_address,
        metavar="DIR",
        help=(
            "folder for labels, overlays, predictions.json and manifest.jsonl, also in a store, such as"
            " s3://bucket/results; default: results/<run>"
        ),
    )
    parser.add_argument(
        "--prompts",
        metavar="P",
        help=(
            "for promptable models: auto (everything in the image, the default), from:RUN (another run's"
            " detections), or a CSV or JSON file of points and boxes"
        ),
    )
    add_prompts_above_argument(parser)
    parser.add_argument(
        "--resume",
        action="store_true",
        help="continue in DIR: skip finished images, and try failed ones again",
    )
    parser.add_argument("--batch-size", type=positive, default=4, metavar="N", help="images per forward pass")
    parser.add_argument(
        "--workers",
        type=natural,
        metavar="N",
        help=(
            "threads that read images and write results; 0 does so between predictions; default: one per"
            " core, at most 8"
        ),
    )
    add_window_arguments(parser)
    add_device_argument(parser)
    add_precision_argument(parser)
    parser.add_argument(
        "--draw-above",
        type=float,
        metavar="S",
        help=(
            "minimum score of objects that are drawn; the files contain all; default: 0.5, and 0 for answers"
            " to prompts"
        ),
    )
    parser.add_argument(
        "--label-values",
        default="index",
        choices=["index", "dataset"],
        help=(
            "values in label images: index (of the class; 255 for none), or dataset: the values that the"
            " training data use for classes and void"
        ),
    )
    parser.add_argument(
        "--every", type=int, default=1, metavar="N", help="from videos and cameras, predict every Nth frame"
    )
    parser.add_argument(
        "--max-frames", type=int, metavar="N", help="from each video or camera, predict at most N frames"
    )
    parser.add_argument(
        "--no-overlays", action="store_true", help="do not draw the predictions over the photos"
    )
    add_measure_arguments(parser)
    add_cluster_arguments(parser, what="predict", needs="RUN, the images and DIR")
    add_plugin_files_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Predict, and print a summary."""
    load_plugin_files(args)
    from toolkit.evaluation.validated_windows import other_windows
    from toolkit.inference import load
    from toolkit.inference.image_batches import Work
    from toolkit.inference.sources import FrameChoice
    from toolkit.models.building import manifest_of_run
    from toolkit.models.capabilities import Promptable

    engine = _engine(args)
    given = requested_size(args)
    work = Work(args.batch_size) if args.workers is None else Work(args.batch_size, args.workers)
    tiling = tiling_of(args)
    frames = FrameChoice(args.every, args.max_frames)
    words = [path for path in args.paths if is_setting(path)]
    settings = model_settings(words, args.run)
    out = args.out or default_results(args.run)
    refuse_swapped("infer", args.run, args.paths)
    predictor = load(
        args.run,
        # With a cluster, this process only needs to know the classes.
        device=args.device if engine is None else "cpu",
        precision=args.precision,
        tiling=tiling,
        prompts=args.prompts,
        prompts_above=args.prompts_above,
        settings=settings,
    )
    if note := other_windows(manifest_of_run(args.run), tiling, Path(args.run)):
        print(wrapped(printable(note), sys.stderr), file=sys.stderr)
    summary = predict_and_describe(
        predictor,
        _images(args, [path for path in args.paths if path not in words]),
        out,
        work=work,
        overlays=not args.no_overlays,
        draw_above=args.draw_above,
        label_values=args.label_values,
        frames=frames,
        resume=args.resume,
        engine=engine,
        on_inputs=partial(_check_sizes, given),
    )
    for line in engine.lines if engine is not None else ():
        print(printable(line))
    if args.measure and summary.images > summary.failed:
        from toolkit.inference.measurements import measure
        from toolkit.inference.store_places import local_results

        with local_results(out) as folder:
            found = measure(
                folder,
                images=True,
                where_possible=True,
                pixel_size=given,
                above=summary.draw_above,
                geojson=args.geojson,
            )
        print_measured(found, shown_path(out, found.folder.name))
    has_classes = predictor.model.capability(Promptable) is None and isinstance(out, Path)
    for line in _closing(args, summary, out, measurable=has_classes and _in_files(predictor)):
        print(line)
    return 3 if summary.failed else 0


def _images(args: argparse.Namespace, paths: list[str]) -> list[str] | LaterImages:
    """What to predict: paths, or a list."""
    from toolkit.errors import UsageError
    from toolkit.inference.lists import ImageList

    if (args.list is None) == (not paths):
        found = "both PATHs and --list were given" if paths else "neither PATHs nor --list was given"
        raise UsageError(
            f"{found}. Hint: name images and folders, or give a file that lists them with --list FILE"
        )
    return paths if args.list is None else ImageList(args.list)


def _engine(args: argparse.Namespace) -> RayEngine | None:
    """The cluster, if one is asked for."""
    check_cluster_options(args)
    if args.ray is None:
        return None
    from toolkit.cluster import RayEngine

    return RayEngine(args.ray, args.actors, args.gpus_per_actor, args.device)


def _check_sizes(given: PixelSize | SizeTable | None, inputs: Inputs) -> None:
    """Refuse a table of pixel sizes that lacks an image."""
    from toolkit.errors import UsageError
    from toolkit.measuring.size_table import SizeTable

    if isinstance(given, SizeTable) and inputs.streams:
        raise UsageError(
            f"{given.path} has pixel sizes of images, and there are videos. Hint: give one size for all"
            " frames, such as --pixel-size 0.02mm"
        )
    names = (image.name for image in inputs.images if not image.error)
    check_sizes(given, itertools.chain(names, *(each.names() for each in inputs.lists)))


def _in_files(predictor: Predictor) -> bool:
    """Whether results are label maps or objects, which `toolkit eval --predictions` reads; a task of a plugin
    may have others.
    """
    from toolkit import registry
    from toolkit.types import FIELDS

    task = predictor.about.get("task")
    known = [each for each in registry.tasks() if each.name == task]
    return all(set(FIELDS) & set(each.predicts) for each in known)


def _closing(
    args: argparse.Namespace, summary: Summary, out: Path | str, *, measurable: bool
) -> Iterator[str]:
    """The commands that come next: try skipped images again, and evaluate the results."""
    from toolkit.cli.next_steps import FOLDER, given_options, next_lines, plugin_options

    if summary.failed:
        again = ["infer", args.run, *args.paths, "--out", shown_path(out), "--resume"]
        again += plugin_options(args.plugin) + given_options(args, add_arguments, ("out", "resume", "plugin"))
        yield from next_lines(again, title="To try the skipped images again:")
    if summary.done and measurable:
        data = "masks" if summary.found.pixels else "coco"
        measure = ["eval", "--predictions", str(out), "--data", data, "--data-dir", FOLDER]
        yield from next_lines(measure, title="To evaluate the results, if you have labels:")


def predict_and_describe(
    predictor: Predictor, paths: Sequence[str] | LaterImages, out: Path | str, **how: Any
) -> Summary:
    """Predict, and print a summary; ``how`` has further arguments of ``predict_folder``."""
    from toolkit.inference.pipeline import predict_folder

    start = time.perf_counter()
    try:
        summary = predict_folder(predictor, paths, out, **how)
    except KeyboardInterrupt:
        stopped = f"stopped; the results so far are in {shown_path(out)}; --resume continues from there"
        print(wrapped(printable(stopped), sys.stderr), file=sys.stderr)
        raise
    print(_described(summary, out, time.perf_counter() - start))
    for warning in summary.warnings():
        print(wrapped(printable(f"warning: {warning}"), sys.stderr), file=sys.stderr)
    return summary


def _described(summary: Summary, out: Path | str, seconds: float) -> str:
    """A summary of the results, in a few lines."""
    rate = f" in {seconds:.1f} s ({summary.done / seconds:.1f} images/s)" if summary.done else ""
    parts = [f"{counted(summary.done, 'image')} done{rate}"]
    if summary.resumed:
        parts.append(f"{summary.resumed} done before")
    if summary.changed:
        parts.append(f"{summary.changed} changed since then and done again")
    if summary.failed:
        parts.append(f"{summary.failed} skipped (manifest.jsonl says why)")
    found = summary.found.line()
    lines = [f"{', '.join(parts)}; results in {quoted(shown_path(out))}"]
    if found:
        lines.append(f"found: {found}")
    if summary.left_out:
        lines.append(f"{counted(summary.images, 'image')} read; left out: {'; '.join(summary.left_out)}")
    return "\n".join(lines)
