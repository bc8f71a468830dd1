"""Arguments that several commands share."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_run_or_predictions(parser: argparse.ArgumentParser) -> None:
    """The arguments for what to evaluate: ``RUN``, or ``--predictions PATH`` with ``--label-values``."""
    parser.add_argument("run", nargs="?", metavar="RUN", help="folder of a run, or a checkpoint file")
    what = (
        "instead of RUN: a folder that `toolkit infer` wrote, a folder of label images, a predictions.json, a"
        " list of COCO results, or COCO panoptic results"
    )
    parser.add_argument("--predictions", type=Path, metavar="PATH", help=what)
    parser.add_argument(
        "--label-values",
        default="index",
        choices=["index", "dataset"],
        help=(
            "with --predictions of label images: index (of the class; 255 for none), or dataset: the values"
            " in the dataset's own label images; a classes.csv next to them takes precedence"
        ),
    )


def add_data_arguments(parser: argparse.ArgumentParser, *, default: str = "") -> None:
    """``--data`` and ``--data-dir``; with a description of the default of ``--data``, if there is one."""
    parser.add_argument(
        "--data",
        metavar="D",
        help="a dataset's name (`toolkit data list`), or a file that defines one"
        + (f"; default: {default}" if default else ""),
    )
    parser.add_argument("--data-dir", metavar="DIR", help="folder of the dataset; default: data/<name>")


def add_plugin_files_argument(parser: argparse.ArgumentParser) -> None:
    """``--plugin P`` for commands that get the plugin from a run."""
    parser.add_argument(
        "--plugin",
        action="append",
        default=[],
        metavar="P",
        help="file or folder of a plugin that is not installed, or the name of one that is; may be repeated",
    )


def add_prompts_above_argument(parser: argparse.ArgumentParser) -> None:
    """``--prompts-above S`` for commands that take prompts from another run."""
    parser.add_argument(
        "--prompts-above",
        type=float,
        metavar="S",
        help="with --prompts from:RUN: minimum score for a detection to become a prompt; default: 0.05",
    )


def add_prompts_to_measure(parser: argparse.ArgumentParser) -> None:
    """``--prompts P`` and ``--prompts-above S`` for commands that measure answers to prompts."""
    parser.add_argument(
        "--prompts",
        metavar="P",
        help=(
            "with a promptable RUN: evaluate its answers to these prompts as detections: from:RUN2 (another"
            " run's detections) or a file; default: evaluate with the model's prompt protocols"
        ),
    )
    add_prompts_above_argument(parser)


def add_measuring_arguments(
    parser: argparse.ArgumentParser, *, whose: str = "", whose_images: str | None = None
) -> None:
    """Add ``--split``, ``--batch-size``, ``--workers``, ``--device`` and ``--precision``.

    Args:
        parser: the parser of the command.
        whose: prefix of the help of options that only matter for prediction, such as ``"with RUN: "``.
        whose_images: prefix for reading images, if it is a different one.
    """
    reading = whose if whose_images is None else whose_images
    parser.add_argument(
        "--split", metavar="S", help="split to evaluate on; default: the dataset's validation split"
    )
    parser.add_argument(
        "--batch-size", type=positive, default=4, metavar="N", help=f"{whose}images per batch"
    )
    parser.add_argument(
        "--workers",
        type=natural,
        default=2,
        metavar="N",
        help=f"{reading}processes that read images; 0 reads them in the main process",
    )
    add_device_argument(parser)
    parser.add_argument(
        "--precision",
        default="fp32",
        choices=["fp32", "fp16", "bf16"],
        help=f"{whose}precision of the forward pass",
    )


def add_draws_arguments(parser: argparse.ArgumentParser, *, default: str) -> None:
    """``--resamples``, with its default in words, and ``--seed``."""
    parser.add_argument(
        "--resamples",
        type=positive,
        metavar="N",
        help=f"bootstrap draws for the intervals; default: {default}",
    )
    parser.add_argument("--seed", type=natural, default=0, metavar="N", help="seed of the draws; default: 0")


def add_window_arguments(parser: argparse.ArgumentParser, whose: str = "") -> None:
    """``--window`` and ``--overlap``, for large images; ``whose`` is a prefix of the help, such as
    ``"with RUN: "``.
    """
    parser.add_argument(
        "--window",
        type=int,
        metavar="PX",
        help=f"{whose}predict images larger than this window by window; default: only very large ones",
    )
    parser.add_argument(
        "--overlap",
        type=float,
        default=0.25,
        metavar="F",
        help=f"{whose}fraction of a window that overlaps with the next one",
    )


def add_precision_argument(parser: argparse.ArgumentParser) -> None:
    """``--precision`` of the commands that predict."""
    parser.add_argument(
        "--precision", default="fp32", choices=["fp32", "bf16"], help="precision of the forward pass"
    )


def add_device_argument(parser: argparse.ArgumentParser) -> None:
    """``--device``, which has the same meaning in every command."""
    parser.add_argument(
        "--device",
        default="auto",
        metavar="D",
        help=(
            "device to use: auto, cpu, cuda, cuda:1 or mps; auto is a CUDA GPU if there is one, otherwise"
            " Apple's GPU, otherwise the CPU; default: auto"
        ),
    )


def add_settings_argument(
    parser: argparse.ArgumentParser,
    what: str = "settings, such as train.steps=500, lr=0.001 or weights=none (`toolkit settings` lists all)",
) -> None:
    """Any number of ``key=value``; ``what`` describes what they set."""
    parser.add_argument("settings", nargs="*", metavar="key=value", help=what)


def positive(text: str) -> int:
    """A whole number above 0, as the type of an argument."""
    return _at_least(1, text)


def natural(text: str) -> int:
    """A whole number of 0 or more, as the type of an argument."""
    return _at_least(0, text)


def _at_least(least: int, text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if number < least:
        raise argparse.ArgumentTypeError(f"expected a whole number of {least} or more, not {text!r}")
    return number
