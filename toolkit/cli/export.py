"""``toolkit export``."""

from __future__ import annotations

import argparse
from pathlib import Path

from toolkit.cli.options import add_plugin_files_argument, load_plugin_files

SUMMARY = "write a run's weights as the software that the model comes from reads them"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Fill in the parser."""
    parser.add_argument("run", metavar="RUN", help="folder of a run, or a checkpoint file")
    what = (
        'torch file {"model": tensors} to write, such as weights.pth; the manifest goes beside it as'
        " weights.json"
    )
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help=what)
    add_plugin_files_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Export, and say what was written."""
    load_plugin_files(args)
    from toolkit.export.weights import export_model

    count = export_model(args.run, args.out)
    print(f"{count} tensors in {args.out}; where they come from is in {args.out.with_suffix('.json')}")
    return 0
