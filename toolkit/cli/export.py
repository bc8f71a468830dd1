"""``toolkit export``."""

from __future__ import annotations

import argparse
from pathlib import Path

from toolkit.cli.options import add_plugin_files_argument, default_results, load_plugin_files
from toolkit.runtime.text import print_whole
from toolkit.wording import quoted

SUMMARY = "export a run's weights in the format of the model's original software"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments to the parser."""
    parser.add_argument("run", metavar="RUN", help="run folder or checkpoint file")
    what = (
        'torch file {"model": tensors} to write, such as weights.pth; the manifest is written next to it as'
        " weights.json; default: results/<run>.pth"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help=what)
    add_plugin_files_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Export, and print what was written."""
    load_plugin_files(args)
    from toolkit.export.weights import export_model

    results = default_results(args.run)
    out = args.out or results.with_name(f"{results.name}.pth")
    count = export_model(args.run, out)
    manifest = quoted(out.with_suffix(".json"))
    print(f"{count} tensors written to {quoted(out)}; their origin is described in {manifest}")
    print_whole(f"To read them: torch.load({str(out)!r}, weights_only=True)['model']")
    return 0
