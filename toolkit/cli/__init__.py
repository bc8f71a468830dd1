"""The ``toolkit`` command. Each subcommand is one file beside this one, imported only when it is asked for.

A command's module has ``SUMMARY``, ``add_arguments(parser)`` and ``run(args) -> exit code``; it imports torch
and the like inside ``run`` only. Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 done but
some inputs were skipped.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence
from types import ModuleType

import toolkit
from toolkit.errors import ToolkitError
from toolkit.runtime.allocator import keep_freed_memory

# Written out, because `toolkit --help` must not import the commands to show them; a test compares with the
# modules.
COMMANDS = {
    "train": "train a model on a dataset",
    "eval": "measure a run, or anyone's predictions, on a dataset",
    "compare": "measure runs on the same images, side by side, and how far they differ",
    "infer": "run a trained model over images and folders",
    "track": "follow objects through a video with a promptable model",
    "export": "export a run's weights in the format of the model's original software",
    "data": "list, describe, fetch, draw, check, preview, export and convert datasets",
    "plugins": "list and describe model plugins; write and check plugins, datasets and evaluators",
    "summary": "layers, parameters, FLOPs and receptive field of a model",
    "doctor": "what is installed, which device will be used, and how to fix what does not work",
    "demo": "train, measure and use a model of every family on generated images, in minutes",
    "completion": "print a completion script for your shell",
}


def command_module(name: str) -> ModuleType:
    """The module of one subcommand."""
    return importlib.import_module(f"toolkit.cli.{name}")


def build_parser(only: str | None = None) -> argparse.ArgumentParser:
    """The parser of the whole command line; with ``only``, just that command's arguments are filled in."""
    parser = argparse.ArgumentParser(
        prog="toolkit",
        description=(
            "Detection and segmentation by plugins: one contract, one loop, one evaluator, one result format."
        ),
        epilog=(
            "exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 done but some inputs were"
            " skipped"
        ),
    )
    parser.add_argument("--version", action="version", version=f"toolkit {toolkit.__version__}")
    parser.add_argument("--traceback", action="store_true", help="show where in the code an error came from")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        if only in (None, name):
            command_module(name).add_arguments(command)
    return parser


def parse(words: Sequence[str]) -> argparse.Namespace:
    """What the words of a command line ask for; exits as argparse does when they make no sense."""
    named = next((word for word in words if not word.startswith("-")), "")
    parser = build_parser(only=named if named in COMMANDS else "")
    args, rest = parser.parse_known_args(words)
    # argparse leaves over the key=value words that follow an option when there are others, or a RUN, before
    # it
    if rest and not (hasattr(args, "settings") and not any(word.startswith("-") for word in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        args.settings = [*args.settings, *rest]
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        args = parse(words)
    except SystemExit as stop:  # argparse has printed the help or the fault
        return int(stop.code or 0)
    logging.basicConfig(format="%(message)s", level=logging.WARNING, stream=sys.stderr)
    logging.getLogger("toolkit").setLevel(logging.INFO)
    keep_freed_memory()
    try:
        code = int(command_module(args.command).run(args))
        # a reader that went away, as `head` does, shows here rather than while Python exits
        sys.stdout.flush()
        return code
    except ToolkitError as error:
        if args.traceback:
            raise
        # in one piece, so that the lines of two processes do not run into each other; print writes two
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    except BrokenPipeError:
        # what is left to write has nowhere to go
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 1
