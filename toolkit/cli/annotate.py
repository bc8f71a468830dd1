"""``toolkit annotate``."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from toolkit.cli.options import (
    add_device_argument,
    add_plugin_files_argument,
    add_precision_argument,
    positive,
)
from toolkit.cli.parsed import load_plugin_files
from toolkit.wording import quoted

SUMMARY = "annotate with a run in CVAT or Label Studio"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments to the parser."""
    actions = parser.add_subparsers(dest="action", metavar="TOOL", required=True)
    cvat = actions.add_parser(
        "cvat", help="annotate a task on a CVAT server, or show how CVAT's own command does it"
    )
    cvat.add_argument("run", metavar="RUN", help="folder of a run, a checkpoint file, or an exported folder")
    cvat.add_argument("--server", metavar="URL", help="address of the server, such as https://app.cvat.ai")
    cvat.add_argument(
        "--task", type=int, metavar="N", help="number of the task; without it, print labels and commands"
    )
    cvat.add_argument("--organization", metavar="NAME", help="short name of the task's organization")
    cvat.add_argument("--polygons", action="store_true", help="write masks as simplified polygons")
    cvat.add_argument("--replace", action="store_true", help="remove all annotations that the task has")
    cvat.add_argument(
        "--unmatched",
        action="store_true",
        help="leave out objects whose class is no label of the task, instead of stopping",
    )
    _add_common(cvat)
    _add_label_studio(
        actions.add_parser("label-studio", help="serve a run as a machine-learning backend of Label Studio")
    )


def _add_label_studio(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "run", metavar="RUN", help="folder of a run, a checkpoint file, or an exported folder"
    )
    parser.add_argument(
        "--url",
        default="http://localhost:8080",
        metavar="URL",
        help=(
            "address of Label Studio, from which images are fetched with the access token in the environment"
            " variable LABEL_STUDIO_API_KEY; default: http://localhost:8080"
        ),
    )
    parser.add_argument(
        "--files",
        type=Path,
        metavar="DIR",
        help="the folder that Label Studio serves local files from, to read them from the disk",
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="HOST",
        help="another host that images may be fetched from, such as images.example.org; repeatable",
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help=(
            "address to listen at; default: 127.0.0.1, which only this machine reaches. Others need a"
            " password, given by the environment variable TOOLKIT_ANNOTATE_PASSWORD"
        ),
    )
    parser.add_argument("--port", type=positive, default=9090, metavar="N", help="port; default: 9090")
    _add_common(parser)


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--above", type=_share, metavar="S", help="minimum score, from 0 to 1; default: the model's own"
    )
    add_device_argument(parser)
    add_precision_argument(parser)
    add_plugin_files_argument(parser)


def _share(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"must be a number from 0 to 1, not {text!r}")
    return number


def run(args: argparse.Namespace) -> int:
    """Run the action."""
    return {"cvat": _cvat, "label-studio": _label_studio}[args.action](args)


def _label_studio(args: argparse.Namespace) -> int:
    from toolkit.errors import UsageError
    from toolkit.runtime.extras import import_fastapi

    import_fastapi("toolkit annotate label-studio")
    from toolkit.annotate.label_studio_routes import is_local, label_studio_app, run_server

    password = os.environ.get("TOOLKIT_ANNOTATE_PASSWORD", "")
    if not password and not is_local(args.host):
        raise UsageError(
            f"--host {args.host} lets other machines in, which needs a password. Hint: put one into the"
            " environment variable TOOLKIT_ANNOTATE_PASSWORD, and into Label Studio's settings of the model"
            " (Basic authentication, any user name)"
        )
    if args.files is not None and not args.files.is_dir():
        raise UsageError(f"--files {args.files} is not a folder. Hint: check its name")
    load_plugin_files(args)
    from toolkit.annotate.label_studio import LabelStudioBackend
    from toolkit.annotate.label_studio_images import ImageSource
    from toolkit.formats.tool_writers import config_text
    from toolkit.inference import load

    predictor = load(args.run, device=args.device, precision=args.precision)
    token = os.environ.get("LABEL_STUDIO_API_KEY", "")
    images = ImageSource(args.url, token, args.files, tuple(args.allow_host))
    app = label_studio_app(LabelStudioBackend(predictor, images, above=args.above), password)
    print(f"{quoted(args.run)} is served at http://{args.host}:{args.port}; stop with Ctrl-C")
    print("In Label Studio: Settings, Model, Connect Model, with this address.")
    print("A labeling interface with its classes (Settings, Labeling Interface, Code):")
    names = tuple(name for name in predictor.classes if name != "background")
    print(config_text(names).rstrip(), flush=True)
    run_server(app, args.host, args.port)
    return 0


def _cvat(args: argparse.Namespace) -> int:
    from toolkit.errors import UsageError

    if (args.server is None) != (args.task is None):
        raise UsageError(
            "--server and --task belong together. Hint: give both, or neither to see labels and commands"
        )
    load_plugin_files(args)
    from toolkit.inference import load

    predictor = load(args.run, device=args.device, precision=args.precision)
    if args.task is None:
        from toolkit.annotate.cvat_tasks import instructions

        print("\n".join(instructions(predictor, args.run)))
        return 0
    from toolkit.annotate.cvat_tasks import annotate_task

    annotate_task(
        predictor,
        args.server,
        args.task,
        above=args.above,
        polygons=args.polygons,
        replace=args.replace,
        unmatched=args.unmatched,
        organization=args.organization,
    )
    print(f"task {args.task} of {quoted(args.server)} is annotated")
    return 0
