"""``toolkit measure``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.runtime.text import printable, wrapped
from toolkit.wording import counted, quoted

if TYPE_CHECKING:
    from toolkit.inference.measurements import Measured
    from toolkit.measuring.pixel_size import PixelSize
    from toolkit.measuring.size_table import SizeTable

_PIXEL_SIZE = (
    "size of a pixel with its unit, such as 0.02mm, or 0.5x0.25um (width and height), or a CSV table with the"
    " columns image and pixel_size: areas and lengths in this unit, too; default: what OME-TIFF, ImageJ's"
    " TIFF and GeoTIFF files state"
)
_GEOJSON = (
    "also write the polygons of each image as geojson/IMAGE.geojson, on the map for GeoTIFFs, otherwise in"
    " pixels"
)
SUMMARY = "measure predictions: areas, lengths and shapes of objects, and shares of classes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments to the parser."""
    parser.add_argument(
        "predictions",
        type=Path,
        metavar="RESULTS",
        help="folder that toolkit infer wrote, or a predictions.json by any program",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder for objects.csv, classes.csv and summary.csv; default: measurements in RESULTS",
    )
    parser.add_argument(
        "--images",
        type=Path,
        nargs="?",
        const=True,
        metavar="DIR",
        help=(
            "also measure the colors of objects, in the images of this folder; without DIR, in those that"
            " toolkit infer read"
        ),
    )
    parser.add_argument(
        "--pixel-size",
        metavar="SIZE",
        help=_PIXEL_SIZE,
    )
    parser.add_argument(
        "--above",
        type=float,
        default=0.5,
        metavar="S",
        help="minimum score of the objects that are measured; default: 0.5",
    )

    parser.add_argument("--geojson", action="store_true", help=_GEOJSON)


def run(args: argparse.Namespace) -> int:
    """Measure, and print the table of classes."""
    from toolkit.inference.measurements import measure

    found = measure(
        args.predictions,
        args.out,
        images=args.images,
        pixel_size=args.pixel_size,
        above=args.above,
        geojson=args.geojson,
    )
    print_measured(found)
    return 0


def add_measure_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of commands that also measure what they find."""
    parser.add_argument(
        "--measure",
        action="store_true",
        help="also measure what was found, as toolkit measure does: tables in DIR/measurements",
    )
    parser.add_argument("--pixel-size", metavar="SIZE", help=f"with --measure: {_PIXEL_SIZE}")
    parser.add_argument("--geojson", action="store_true", help=f"with --measure: {_GEOJSON}")


def requested_size(args: argparse.Namespace) -> PixelSize | SizeTable | None:
    """The pixel size, or the table of them.

    Raises:
        UsageError: when it is wrong, or has no effect, so that nothing is predicted.
        DataError: when the table is wrong.
    """
    from toolkit.errors import UsageError
    from toolkit.measuring.sizes import given_size

    for option, value in (("--pixel-size", args.pixel_size), ("--geojson", args.geojson)):
        if value and not args.measure:
            raise UsageError(f"{option} has no effect without --measure. Hint: add --measure")
    return given_size(args.pixel_size)


def check_sizes(given: PixelSize | SizeTable | None, images: Iterable[str]) -> None:
    """Check that a table of pixel sizes has all images, before anything is predicted.

    Raises:
        DataError: when it lacks one.
    """
    from toolkit.measuring.size_table import SizeTable

    if isinstance(given, SizeTable):
        given.sizes(list(images))


def print_measured(found: Measured, place: str = "") -> None:
    """Print the table of classes, what was measured, and where the tables are: at ``place``, if they were
    moved there.
    """
    from rich.table import Table

    from toolkit.runtime.terminal import Terminal

    rows = found.classes
    # The sizes of pixels stand below the table, which then fits into 80 columns.
    columns = [name for name in (rows[0] if rows else ()) if any(row[name] is not None for row in rows)]
    columns = [name for name in columns if not name.startswith("pixel_")]
    if columns:
        table = Table(box=None)
        for column in columns:
            table.add_column(column, justify="left" if column == "class" else "right")
        for row in rows:
            table.add_row(*(_shown(row[column]) for column in columns))
        Terminal().print(table)
    words = counted(found.images, "image")
    if found.objects or found.below:
        words += f", {counted(found.objects, 'object')}"
    if found.below:
        words += f"; {counted(found.below, 'object')} below the score {found.above:g} left out"
    print(words)
    if found.sizes:
        print(found.sizes)
    _warn(found.notes)
    print(f"The tables are in {quoted(place or found.folder)}")


def _warn(notes: Sequence[str]) -> None:
    """Report what images state that cannot be used: the first three, and how many more there are."""
    lines = [*notes[:3], *([f"{counted(len(notes) - 3, 'more image')} like these"] if notes[3:] else [])]
    for line in lines:
        print(wrapped(printable(f"warning: {line}"), sys.stderr), file=sys.stderr)


def _shown(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return str(value)
