"""``toolkit annotate``."""

from __future__ import annotations

import argparse

from toolkit.cli.options import (
    add_device_argument,
    add_plugin_files_argument,
    add_precision_argument,
    load_plugin_files,
)
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
    return {"cvat": _cvat}[args.action](args)


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
