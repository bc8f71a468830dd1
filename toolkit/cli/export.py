"""``toolkit export``."""

from __future__ import annotations

import argparse
from pathlib import Path

from toolkit.cli.options import add_plugin_files_argument, load_plugin_files

SUMMARY = "export a run's weights in the format of the model's original software"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Fill in the parser."""
    parser.add_argument("run", metavar="RUN", help="run folder or checkpoint file")
    what = (
        'torch file {"model": tensors} to write, such as weights.pth; the manifest is written next to it as'
        " weights.json"
    )
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help=what)
    add_plugin_files_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Export, and print what was written."""
    load_plugin_files(args)
    from toolkit.export.weights import export_model

    count = export_model(args.run, args.out)
    print(
        f"{count} tensors written to {args.out}; their origin is described in {args.out.with_suffix('.json')}"
    )
    return 0
