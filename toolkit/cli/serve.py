"""``toolkit serve``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.cli.options import (
    add_device_argument,
    add_plugin_files_argument,
    add_precision_argument,
    add_window_arguments,
    natural,
    positive,
)
from toolkit.cli.parsed import load_plugin_files
from toolkit.wording import quoted

if TYPE_CHECKING:
    from toolkit.serve.options import Limits
    from toolkit.serve.running import RunningServer

SUMMARY = "serve models to a page in the browser and to programs: predict, click, correct, train again"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments to the parser."""
    parser.add_argument(
        "runs", nargs="+", metavar="RUN", help="folders of runs, checkpoint files, or exported folders"
    )
    parser.add_argument(
        "--images", type=Path, metavar="DIR", help="folder of images to look at and to label, to any depth"
    )
    parser.add_argument(
        "--labels",
        type=Path,
        metavar="DIR",
        help=(
            "folder in which labels are saved, in COCO's format (toolkit train --data coco --data-dir DIR);"
            " default: the folder of images with -labels added to its name"
        ),
    )
    parser.add_argument(
        "--import",
        dest="take_over",
        nargs=2,
        metavar=("DATASET", "DIR"),
        help=(
            "first take over the labels of a dataset, such as: coco annotated. Those of its images that are"
            " in --images and have no labels yet are copied; the dataset stays as it is"
        ),
    )
    parser.add_argument(
        "--explanations",
        type=Path,
        metavar="DIR",
        help="also show the maps in this folder, which toolkit explain wrote",
    )
    parser.add_argument(
        "--runs-dir",
        type=Path,
        metavar="DIR",
        help="folder for the runs that are trained from the page; default: that of the run they start from",
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="H",
        help="address to listen on; other machines can reach addresses other than the default, with a token",
    )
    parser.add_argument(
        "--port", type=natural, default=8000, metavar="N", help="0 for any that is free; default: 8000"
    )
    parser.add_argument(
        "--token",
        default="",
        metavar="T",
        help="what requests have to show; made and printed if --host is given without it",
    )
    parser.add_argument(
        "--models",
        type=positive,
        metavar="N",
        help=(
            "models that are kept in memory; others are loaded again when they are asked for. Default: those"
            " that are given, and two more"
        ),
    )
    parser.add_argument("--batch-size", type=positive, default=4, metavar="N", help="images per forward pass")
    parser.add_argument(
        "--sessions",
        type=positive,
        default=16,
        metavar="N",
        help="images that are kept encoded for clicks; default: 16",
    )
    parser.add_argument(
        "--max-body", type=positive, default=64, metavar="MB", help="largest body of a request; default: 64"
    )
    parser.add_argument(
        "--max-pixels", type=positive, default=64, metavar="MP", help="largest image; default: 64 megapixels"
    )
    add_window_arguments(parser)
    add_device_argument(parser)
    add_precision_argument(parser)
    add_plugin_files_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C."""
    from toolkit.runtime.extras import import_fastapi

    import_fastapi("toolkit serve")
    load_plugin_files(args)

    from toolkit.inference import Tiling
    from toolkit.serve.options import ServeOptions
    from toolkit.serve.running import RunningServer, new_token

    options = ServeOptions(
        runs=tuple(args.runs),
        images=args.images,
        labels=args.labels,
        take_over=None if args.take_over is None else tuple(args.take_over),
        explanations=args.explanations,
        new_runs=args.runs_dir,
        host=args.host,
        port=args.port,
        token=args.token or new_token(args.host),
        plugins=_plugin_files(args.plugin),
        predictor={
            "device": args.device,
            "precision": args.precision,
            "tiling": Tiling(args.window, args.overlap),
        },
        limits=_limits(args),
    )
    server = RunningServer(options)
    for line in _opening(server):
        print(line, flush=True)
    server.run()
    return 0


def _limits(args: argparse.Namespace) -> Limits:
    from toolkit.serve.options import Limits

    pixels = args.max_pixels * 1_000_000
    return Limits(
        body_bytes=args.max_body << 20,
        pixels=pixels,
        pixels_at_once=4 * pixels,
        batch_size=args.batch_size,
        models=args.models or len(args.runs) + 2,
        sessions=args.sessions,
    )


def _plugin_files(plugins: list[str]) -> dict[str, str]:
    """The files of plugins by the names of the plugins, for the processes that train."""
    from toolkit import registry

    return {registry.named(registry.plugins(), path).name: path for path in plugins if registry.is_path(path)}


def _opening(server: RunningServer) -> Iterator[str]:
    models = ", ".join(server.services.models.names)
    yield f"Serving {models} at {server.address} (Ctrl-C stops it; {server.address.partition('?')[0]}docs)"
    if server.services.images is not None and server.services.labels is not None:
        yield (
            f"Images are read from {quoted(server.services.images.folder)}, labels saved in"
            f" {quoted(server.services.labels.folder)}"
        )
