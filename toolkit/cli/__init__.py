"""The ``toolkit`` command. Each subcommand is one file next to this one, imported only when it is used.

A command's module has ``SUMMARY``, ``add_arguments(parser)`` and ``run(args) -> exit code``; it imports torch
and the like inside ``run`` only. Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 done but
some inputs were skipped.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import re
import sys
from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import Any, NoReturn

import toolkit
from toolkit.errors import ToolkitError, UsageError
from toolkit.runtime.allocator import keep_freed_memory
from toolkit.runtime.children import isolated_children
from toolkit.runtime.text import WrappingFormatter, printable, shown_as_text, wrapped

# Listed here, because `toolkit --help` must not import the commands to show them; a test compares the list
# with the modules.
COMMANDS = {
    "train": "train a model on a dataset",
    "eval": "evaluate a run, or predictions from any source, on a dataset",
    "compare": "evaluate runs on the same images, side by side, with confidence intervals",
    "report": "write a page with a run's metrics, its errors, and the labels that may be wrong",
    "infer": "run a trained model over images and folders",
    "measure": "measure predictions: areas, lengths and shapes of objects, and shares of classes",
    "serve": "serve models to a page in the browser and to programs: predict, click, correct, train again",
    "panoptic": "merge a semantic and an instance run into panoptic segments, for images or to evaluate",
    "explain": "show which pixels matter for a prediction, as maps over the images",
    "annotate": "annotate with a run in CVAT or Label Studio",
    "track": "track objects through a video with a promptable model",
    "export": "export a run to ONNX or OpenVINO, if it gives the same answers there, or its weights",
    "data": "list, describe, download, generate, check, preview, export and convert datasets",
    "plugins": "list and describe model plugins; write and check plugins, datasets and evaluators",
    "settings": "list all settings, each with its default and what it does",
    "summary": "layers, parameters, FLOPs and receptive field of a model",
    "doctor": "what is installed, which device will be used, and how to fix what does not work",
    "demo": "train, evaluate and use three kinds of models on generated images, in minutes",
    "completion": "print a completion script for your shell",
}

TRACEBACK = "--traceback"


def command_module(name: str) -> ModuleType:
    """The module of one subcommand."""
    return importlib.import_module(f"toolkit.cli.{name}")


class Parser(argparse.ArgumentParser):
    """Raises its errors, so that they look like all other errors."""

    def error(self, message: str) -> NoReturn:
        """Raise ``UsageError`` with the message, the words to choose from, and the usage."""
        # argparse also lists optional arguments as required, such as any number of settings
        message = message.replace(", key=value", "")
        choices = [name for action in _choosing(self) for name in action.choices]
        there = f". Expected one of: {', '.join(choices)}" if choices else ""
        raise UsageError(f"{message}{there}\n{self.format_usage().rstrip()}")


def build_parser(only: str | None = None) -> Parser:
    """The parser of the whole command line; with ``only``, just that command's arguments are filled in."""
    parser = Parser(
        prog="toolkit",
        description=("Train, evaluate and use detection and segmentation models."),
        epilog=(
            "exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 done but some inputs were"
            " skipped"
        ),
    )
    parser.add_argument("--version", action="version", version=f"toolkit {toolkit.__version__}")
    parser.add_argument(TRACEBACK, action="store_true", help="show where in the code an error came from")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        if only in (None, name):
            command_module(name).add_arguments(command)
    return parser


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Parse a command line; exits like argparse for ``--help`` and ``--version``.

    Raises:
        UsageError: when it is invalid; says what to write.
    """
    words = [TRACEBACK] * (TRACEBACK in words) + [word for word in words if word != TRACEBACK]
    named = next((word for word in words if not word.startswith("-")), "")
    if named and named not in COMMANDS:
        raise _advice().unknown_command(named, words, list(COMMANDS))
    parser = build_parser(only=named)
    leaf = _parser_of(parser, words)
    words = [_dashed(word, leaf) for word in words]
    for word in words:
        if _is_unknown_option(word, leaf, parser):
            raise _advice().unknown_option(leaf, word, words)
    args, rest = parser.parse_known_args(words)
    # argparse does not assign the words after an option if there are others, or a RUN, before it
    more = next((name for name in ("settings", "paths") if hasattr(args, name)), "")
    if rest and (not more or any(word.startswith("-") for word in rest)):
        raise _advice().left_over(leaf, rest, words)
    if rest:
        setattr(args, more, [*getattr(args, more), *rest])
    return args


def _advice() -> ModuleType:
    """The module that suggests corrections, imported when something is wrong."""
    return importlib.import_module("toolkit.cli.mistakes")


def _parser_of(parser: argparse.ArgumentParser, words: Sequence[str]) -> argparse.ArgumentParser:
    """The parser of the command, or of its action, that the words name.

    Raises:
        UsageError: when there is no such action; says what to write.
    """
    for word in words:
        actions = next(iter(_choosing(parser)), None)
        if actions is None:
            break
        if word in actions.choices:
            parser = actions.choices[word]
        elif not word.startswith("-"):
            raise _advice().unknown_action(parser.prog.split()[-1], word, words, list(actions.choices))
    return parser


def _choosing(parser: argparse.ArgumentParser) -> list[argparse._SubParsersAction[Any]]:
    """The argument that selects a command, or one of its actions, if there is one."""
    return [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]


def _dashed(word: str, parser: argparse.ArgumentParser) -> str:
    """``--batch_size`` as ``--batch-size``, if there is such an option."""
    name, equals, value = word.partition("=")
    right = name.replace("_", "-")
    return f"{right}{equals}{value}" if word.startswith("--") and right in _options(parser) else word


def _is_unknown_option(word: str, *parsers: argparse.ArgumentParser) -> bool:
    name, _, _ = word.partition("=")
    known = [option for parser in parsers for option in _options(parser)]
    if not re.match(r"--?[A-Za-z]", word) or name in known:
        return False
    # a prefix stands for the option, and argparse lists the candidates
    return not (name.startswith("--") and any(option.startswith(name) for option in known))


def _options(parser: argparse.ArgumentParser) -> Iterable[str]:
    return parser._option_string_actions


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    with shown_as_text(), isolated_children():
        return _run(words)


def _run(words: Sequence[str]) -> int:
    try:
        args = parse(words)
    except SystemExit as stop:  # argparse has printed the help or the version
        return int(stop.code or 0)
    except UsageError as error:
        if TRACEBACK in words:
            raise
        sys.stderr.write(wrapped(f"error: {printable(error)}\n", sys.stderr))
        return error.exit_code
    _log_to_stderr()
    keep_freed_memory()
    try:
        code = int(command_module(args.command).run(args))
        # a reader that has gone, such as `head`, is noticed here rather than when Python exits
        sys.stdout.flush()
        return code
    except ToolkitError as error:
        if args.traceback:
            raise
        # in one piece, so that the lines of two processes are not mixed; print writes two pieces
        sys.stderr.write(wrapped(f"error: {printable(error)}\n", sys.stderr))
        return error.exit_code
    except BrokenPipeError:
        # pending output has nowhere to go
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 1


def _log_to_stderr() -> None:
    """Show log lines for people on standard error, unless the caller has configured logging."""
    root = logging.getLogger()
    if not root.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(WrappingFormatter(sys.stderr))
        root.addHandler(handler)
        root.setLevel(logging.WARNING)
    logging.getLogger("toolkit").setLevel(logging.INFO)
