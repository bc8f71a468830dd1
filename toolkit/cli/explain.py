"""``toolkit explain``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.cli.options import (
    add_data_arguments,
    add_device_argument,
    add_plugin_files_argument,
    add_precision_argument,
    natural,
    positive,
)
from toolkit.cli.parsed import default_results, is_setting, load_plugin_files, model_settings, refuse_swapped
from toolkit.runtime.text import printable, wrapped
from toolkit.wording import counted, quoted

if TYPE_CHECKING:
    from toolkit.data.dataset import Dataset
    from toolkit.explaining.folder import ExplainedFolder

SUMMARY = "show which pixels matter for a prediction, as maps over the images"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments to the parser."""
    parser.add_argument("run", metavar="RUN", help="folder of a run, or a checkpoint file")
    parser.add_argument(
        "paths",
        nargs="*",
        metavar="PATH",
        help=(
            "images, folders (searched to any depth), quoted patterns such as 'photos/**/*.jpg', URLs of"
            " images, or - to read a list of these from standard input; key=value changes a setting of the"
            " model, such as model.long_side=512"
        ),
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help=(
            "folder for maps, overlays, sheet.jpg and explanations.json; default:"
            " results/<run>-explained-<method>"
        ),
    )
    parser.add_argument(
        "--method",
        metavar="M",
        help=(
            "saliency, smoothgrad, integrated-gradients, cam, gradcam, layercam or drise, which needs no"
            " gradients but many forward passes; default: layercam, which suits all models"
        ),
    )
    _add_question(parser)
    parser.add_argument(
        "--layer",
        metavar="L",
        help=(
            "layer that gradcam and layercam look at, by its name or the end of it; default: the model's"
            " choice"
        ),
    )
    parser.add_argument(
        "--activations",
        metavar="LAYER",
        help=(
            "instead of explaining, draw the channels of this layer for each image, and the kernels of the"
            " first layer"
        ),
    )
    parser.add_argument(
        "--samples", type=positive, metavar="N", help="noisy images of smoothgrad; default: 25"
    )
    parser.add_argument(
        "--steps", type=positive, metavar="N", help="images of integrated-gradients; default: 32"
    )
    parser.add_argument(
        "--masks",
        type=positive,
        metavar="N",
        help="most random masks of drise, which stops when the map is stable; default: 5000",
    )
    _add_scores(parser)
    parser.add_argument("--batch-size", type=positive, default=4, metavar="N", help="images per forward pass")
    parser.add_argument(
        "--seed", type=natural, default=0, metavar="N", help="seed of all random numbers; default: 0"
    )
    add_device_argument(parser)
    add_precision_argument(parser)
    add_plugin_files_argument(parser)


def _add_scores(parser: argparse.ArgumentParser) -> None:
    add_data_arguments(parser, default="none, PATH is explained; with it, the images of the dataset are")
    parser.add_argument(
        "--split",
        metavar="S",
        help="with --data: split of the dataset; default: its validation split",
    )
    parser.add_argument("--limit", type=positive, metavar="N", help="explain at most this many images")
    parser.add_argument(
        "--draws",
        type=natural,
        default=10,
        metavar="N",
        help=(
            "random maps that each map is compared with, by deletion and insertion: about 20 forward passes"
            " for each; 0: no comparison; default: 10"
        ),
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help=(
            "also explain the model with random weights: a map that hardly changes does not show what was"
            " learned"
        ),
    )


def _add_question(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--class",
        dest="class_name",
        metavar="C",
        help=(
            "class to explain; default: the one that covers the most pixels besides the background, or the"
            " predicted class of the image"
        ),
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--object",
        type=natural,
        metavar="I",
        help="number of a detection, best first, from 0, as in instances/<name>.json; default: the best",
    )
    what.add_argument(
        "--point",
        type=_numbers(2, "X,Y", "120,80"),
        metavar="X,Y",
        help="in pixels: the region or object there, or a prompt",
    )
    what.add_argument(
        "--box",
        type=_numbers(4, "X0,Y0,X1,Y1", "20,30,120,90"),
        metavar="X0,Y0,X1,Y1",
        help="in pixels: this region, the object that fits it best, or a prompt",
    )
    parser.add_argument(
        "--part",
        default="class",
        choices=["class", "mask"],
        help="of an object, whether to explain its class or its mask",
    )


def _numbers(count: int, form: str, example: str):  # type: ignore[no-untyped-def]
    """The type of an argument of numbers that are separated by commas."""

    def parse(text: str) -> tuple[float, ...]:
        try:
            values = tuple(float(part) for part in text.split(","))
        except ValueError:
            values = ()
        if len(values) != count or not all(abs(value) < float("inf") for value in values):
            raise argparse.ArgumentTypeError(
                f"expected {form} in pixels, such as {example}, without spaces, not {text!r}"
            )
        return values

    return parse


def run(args: argparse.Namespace) -> int:
    """Explain, and print a summary."""
    load_plugin_files(args)
    from toolkit.explaining.folder import explain_folder
    from toolkit.explaining.judging import JudgeOptions
    from toolkit.explaining.methods import DEFAULT, find_method
    from toolkit.explaining.subject import Effort
    from toolkit.inference import load

    _check(args)
    _check_images(args)
    words = [path for path in args.paths if is_setting(path)]
    settings = model_settings(words, args.run)
    method = find_method(args.method or DEFAULT).name
    given = {
        name: getattr(args, name) for name in ("samples", "steps", "masks") if getattr(args, name) is not None
    }
    effort = Effort(**given, batch_size=args.batch_size, seed=args.seed)
    refuse_swapped("explain", args.run, args.paths)
    predictor = load(args.run, device=args.device, precision=args.precision, settings=settings)
    out = args.out or _default_folder(args, method)
    explained = explain_folder(
        predictor,
        [path for path in args.paths if path not in words],
        out,
        method=method,
        class_name=args.class_name,
        object=args.object,
        point=args.point,
        box=args.box,
        part=args.part,
        layer=args.layer,
        effort=effort,
        scores=JudgeOptions(args.draws, args.check),
        data=_data(args),
        limit=args.limit,
        activations=args.activations,
    )
    print(_described(explained))
    for note in explained.notes:
        print(wrapped(printable(f"note: {note}"), sys.stderr), file=sys.stderr)
    return 3 if explained.failed else 0


def _check(args: argparse.Namespace) -> None:
    """Raise ``UsageError`` for options that have no effect together."""
    from toolkit.errors import UsageError

    if args.activations is None:
        return
    names = ("method", "class_name", "object", "point", "box", "layer", "samples", "steps", "masks")
    given = [name for name in names if getattr(args, name) is not None]
    given += ["check"] if args.check else []
    if given:
        option = "--class" if given[0] == "class_name" else f"--{given[0]}"
        raise UsageError(
            f"--activations draws a layer instead of explaining, so {option} has no effect. Hint: leave out"
            " one of them"
        )


def _check_images(args: argparse.Namespace) -> None:
    """Raise ``UsageError`` if there are no images to explain, or two sources of them."""
    from toolkit.errors import UsageError

    paths = [path for path in args.paths if not is_setting(path)]
    if paths and args.data:
        raise UsageError(
            f"images are given by --data {args.data} and by {quoted(paths[0])}. Hint: leave out one of them"
        )
    if not paths and not args.data:
        raise UsageError("there is nothing to explain. Hint: give images or folders, or --data NAME")
    given = [name for name in ("data_dir", "split") if getattr(args, name) is not None]
    if given and not args.data:
        raise UsageError(f"--{given[0].replace('_', '-')} needs a dataset. Hint: add --data NAME")


def _data(args: argparse.Namespace) -> Dataset | None:
    """The dataset whose images are explained."""
    if not args.data:
        return None
    from toolkit.checkpoints import path_of_run
    from toolkit.evaluation.opening import open_data
    from toolkit.evaluation.requests import DataChoice
    from toolkit.models.building import manifest_of_run

    path = path_of_run(args.run)
    choice = DataChoice(args.data, args.data_dir, args.split)
    return open_data([path], [manifest_of_run(path)], choice).opened.dataset


def _default_folder(args: argparse.Namespace, method: str) -> Path:
    usual = default_results(args.run)
    what = f"explained-{method}" if args.activations is None else f"activations-{args.activations}"
    return usual.with_name(f"{usual.name}-{what.replace('/', '-')}")


def _described(explained: ExplainedFolder) -> str:
    what = "drawn" if any("shape" in entry for entry in explained.entries) else "explained"
    parts = [f"{counted(explained.explained, 'image')} {what}"]
    if explained.empty:
        parts.append(f"{explained.empty} with nothing to explain")
    if explained.failed:
        parts.append(f"{explained.failed} skipped")
    reasons = " (explanations.json says why)" if explained.empty or explained.failed else ""
    return f"{', '.join(parts)}{reasons}; results in {quoted(explained.folder)}"
