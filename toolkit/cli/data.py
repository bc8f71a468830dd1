"""``toolkit data``."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.cli.data_check import check, print_next, print_notes, print_unread
from toolkit.cli.data_fix import add_fix_argument
from toolkit.cli.options import natural, positive
from toolkit.cli.parsed import data_options
from toolkit.reading.files import expanded
from toolkit.wording import counted, quoted

if TYPE_CHECKING:
    from toolkit.data.dataset import Dataset
    from toolkit.registry.manifests import DatasetManifest

FORMATS = ("coco", "cvat", "label-studio", "labelme", "masks", "via", "yolo")
SUMMARY = "list, describe, download, generate, check, preview, export and convert datasets"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments to the parser."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    actions.add_parser("list", help="all datasets: what they train, license and size")
    info = actions.add_parser("info", help="one dataset: origin, license, folder layout and settings")
    get = actions.add_parser(
        "get", help="download a dataset from its publisher and unpack it, or show where to get it"
    )
    sample = actions.add_parser(
        "sample", help="generate a small synthetic version of a dataset, in its own layout"
    )
    check = actions.add_parser(
        "check",
        help="read every sample, count classes and report all errors; exit code 1 if there are any",
    )
    preview = actions.add_parser("preview", help="draw a contact sheet of a dataset, as it is or augmented")
    export = actions.add_parser(
        "export", help="write images and label images in the layout of the dataset `masks`"
    )
    convert = actions.add_parser(
        "convert", help="convert objects to another annotation format, and report what it cannot represent"
    )
    for action in (info, get, sample, check, preview, export, convert):
        action.add_argument(
            "name", metavar="NAME", help="a dataset's name, or a file or folder that defines one"
        )
    for action in (get, sample, check, preview, export, convert):
        action.add_argument("--data-dir", metavar="DIR", help="folder of the dataset; default: data/<name>")
    get.add_argument("--yes", action="store_true", help="accept the license and terms without being asked")
    for action in (check, export, convert):
        action.add_argument(
            "--split", action="append", metavar="S", help="only this split; may be repeated; default: all"
        )
    add_fix_argument(check)
    _add_preview_arguments(preview)
    for action in (check, preview, export, convert):
        action.add_argument(
            "settings", nargs="*", metavar="key=value", help="settings of the dataset, such as void=0"
        )
    convert.add_argument("--to", required=True, choices=FORMATS, help="the format to write")
    for action, which in ((export, "folder to write to"), (convert, "folder to write to, new or empty")):
        action.add_argument("--out", required=True, metavar="DIR", help=which)
        action.add_argument("--limit", type=int, metavar="N", help="at most this many samples of each split")


def _add_preview_arguments(preview: argparse.ArgumentParser) -> None:
    preview.add_argument("--split", metavar="S", help="the split to show; default: the training split")
    preview.add_argument("--out", required=True, metavar="FILE", help="picture to write, such as sheet.jpg")
    preview.add_argument(
        "--count",
        type=positive,
        default=8,
        metavar="N",
        help="number of samples to show, spread over the split; default: 8",
    )
    source = preview.add_mutually_exclusive_group()
    source.add_argument(
        "--augment",
        metavar="LIST",
        help="augmentations to show: names, such as flip,blur, or a list as in a recipe",
    )
    source.add_argument(
        "--plugin", metavar="P", help="show the augmentations of the recipe for this plugin and the dataset"
    )
    source.add_argument(
        "--config", metavar="C", help="show the augmentations of these settings: a file, a run or a recipe"
    )
    preview.add_argument(
        "--seed", type=natural, default=0, metavar="N", help="seed of the augmentation; default: 0"
    )


def run(args: argparse.Namespace) -> int:
    """Run the action."""
    if args.action == "list":
        return _list()
    from toolkit import registry
    from toolkit.cli.data_get import get

    manifest = registry.named(registry.datasets(), args.name, by_user=True)
    actions = {
        "info": _info,
        "get": get,
        "sample": _sample,
        "check": check,
        "preview": _preview,
        "export": _export,
        "convert": _convert,
    }
    return actions[args.action](manifest, args)


def _list() -> int:
    from rich.table import Table

    from toolkit import registry
    from toolkit.runtime.terminal import Terminal

    table = Table(
        "dataset", "tasks", "description", "license", "size", box=None, header_style="bold", pad_edge=False
    )
    for manifest in registry.datasets():
        table.add_row(
            manifest.name, ", ".join(manifest.tasks), manifest.summary, manifest.license, manifest.size
        )
    for broken in registry.datasets().broken:
        table.add_row(broken.name, "", f"from {broken.origin}", f"broken: {broken.reason}", "")
    Terminal().print(table)
    return 0


def _info(manifest: DatasetManifest, args: argparse.Namespace) -> int:
    from toolkit.cli.plugins import describe_settings
    from toolkit.config import settings_class

    facts: dict[str, Any] = {
        "tasks": ", ".join(manifest.tasks),
        "size": manifest.size,
        "splits": f"{', '.join(manifest.splits)}; {manifest.val_split} is held out while training",
        "license": manifest.license,
        "terms": manifest.terms,
        "origin": manifest.origin_url,
        "folder": manifest.layout,
        "requires": ", ".join(manifest.requires),
        "from": manifest.origin,
    }
    print(f"{manifest.name}: {manifest.summary}")
    for key, value in facts.items():
        if value:
            print(f"  {key:<9} {value}")
    for download in manifest.downloads:
        print(f"  {'download':<9} {download.url} ({download.facts or 'no published checksum'})")
    for line in describe_settings(settings_class(manifest), "data.options"):
        print(line)
    return 0


def _sample(manifest: DatasetManifest, args: argparse.Namespace) -> int:
    from toolkit import registry
    from toolkit.data.dataset import default_folder, draw_sample
    from toolkit.errors import UsageError
    from toolkit.runtime.locks import locked

    if not manifest.sample:
        drawn = ", ".join(each.name for each in registry.datasets() if each.sample)
        raise UsageError(
            f"{manifest.name} has no synthetic sample. Hint: these have one: {drawn}; shapes needs no"
            " files at all"
        )
    folder = expanded(args.data_dir) if args.data_dir else default_folder(manifest.name)
    with locked(folder):
        count = draw_sample(manifest, folder)
    print(
        f"{count} synthetic images in the layout of {manifest.name} (not real {manifest.name} data) are in"
        f" {quoted(folder)}"
    )
    where = ["--data-dir", args.data_dir] if args.data_dir else []
    print(f"Check them with: {shlex.join(['toolkit', 'data', 'check', manifest.name, *where])}")
    return 0


def _preview(manifest: DatasetManifest, args: argparse.Namespace) -> int:
    from toolkit.config import resolve
    from toolkit.data.dataset import open_dataset
    from toolkit.data.preview import parse_augment, preview
    from toolkit.errors import UsageError
    from toolkit.runtime.progress import counting

    augment = parse_augment(args.augment) if args.augment else ()
    options = data_options(args.settings, manifest)
    if args.plugin or args.config:
        overrides = {"data": {"options": options}} if options else {}
        augment = resolve(plugin=args.plugin, data=args.name, config=args.config, overrides=overrides).augment
        if not augment:
            whose = args.config or f"the recipe for {args.plugin} and {args.name}, if there is one,"
            raise UsageError(
                f"{whose} lists no augmentations. Hint: leave out the option, or list some with --augment"
            )
    split = args.split or manifest.splits[0]
    dataset = open_dataset(manifest, args.data_dir, split, options)
    with counting("drawing", min(args.count, len(dataset))) as advance:
        shown = preview(
            dataset,
            args.out,
            augment=augment,
            count=args.count,
            seed=args.seed,
            on_progress=lambda: advance(1),
        )
    print(f"{shown} of {len(dataset)} samples of {split}: {quoted(args.out)}")
    print_next(manifest, args)
    return 0


def _export(manifest: DatasetManifest, args: argparse.Namespace) -> int:
    from toolkit.data.notes import noting
    from toolkit.data.unfinished import being_written
    from toolkit.formats.mask_folder import write_split
    from toolkit.runtime.locks import locked

    with locked(Path(args.out)), being_written(Path(args.out), _command(args)), noting() as notes:
        for split, dataset in _open_splits(manifest, args):
            _write(split, dataset, write_split(dataset, split, Path(args.out), args.limit), args)
    print_notes(notes)
    print_unread(manifest, args)
    only = "".join(f" --split {split}" for split in args.split or ())
    print(f"Check them with: toolkit data check masks --data-dir {shlex.quote(args.out)}{only}")
    return 0


def _convert(manifest: DatasetManifest, args: argparse.Namespace) -> int:
    from toolkit.data.notes import noting
    from toolkit.data.unfinished import being_written
    from toolkit.errors import DataError
    from toolkit.formats.convert import Losses, convert_split, opening, require_empty
    from toolkit.runtime.locks import locked

    out = Path(args.out)
    require_empty(out)
    with noting() as notes:
        splits, losses = list(_open_splits(manifest, args)), Losses()
    if len({dataset.classes for _, dataset in splits}) > 1:
        names = ", ".join(split for split, _ in splits)
        raise DataError(
            f"the splits {names} have different classes. Hint: convert each to its own folder with --split"
        )
    with locked(out), noting() as more:
        # again, since another process may have written there meanwhile
        require_empty(out)
        with being_written(out, _command(args)):
            for split, dataset in splits:
                _write(split, dataset, convert_split(dataset, split, out, args.to, losses, args.limit), args)
    print_notes(notes + more)
    print_unread(manifest, args)
    for line in losses.lines() or ["nothing was lost"]:
        print(line)
    words = opening(args.to, splits[0][1].classes)
    only = [word for split, _ in splits for word in ("--split", split)]
    print(
        "Check them with:"
        f" {shlex.join(['toolkit', 'data', 'check', words[0], '--data-dir', args.out, *only, *words[1:]])}"
    )
    return 0


def _command(args: argparse.Namespace) -> str:
    """The command line that writes a dataset, as a user would type it again."""
    words = ["toolkit", "data", args.action, args.name]
    words += ["--data-dir", args.data_dir] if args.data_dir else []
    words += ["--to", args.to] if args.action == "convert" else []
    words += [word for split in args.split or () for word in ("--split", split)]
    words += ["--limit", str(args.limit)] if args.limit else []
    return shlex.join([*words, "--out", args.out, *args.settings])


def _open_splits(manifest: DatasetManifest, args: argparse.Namespace) -> Iterator[tuple[str, Dataset]]:
    """The requested splits, or all splits in the folder."""
    from toolkit.data.dataset import open_dataset
    from toolkit.errors import MissingSplitError, UsageError

    if args.limit is not None and args.limit < 1:
        raise UsageError(f"--limit must be 1 or more, not {args.limit}")
    options, absent = data_options(args.settings, manifest), []
    for split in args.split or manifest.splits:
        try:
            yield split, open_dataset(manifest, args.data_dir, split, options)
        except MissingSplitError:
            absent.append(split)
            if args.split or len(absent) == len(manifest.splits):
                raise
    for split in absent:
        print(f"{split}: not in this folder")


def _write(split: str, dataset: Dataset, writing: Iterator[str], args: argparse.Namespace) -> None:
    from toolkit.runtime.progress import counting

    total = min(len(dataset), args.limit or len(dataset))
    with counting(f"writing {split}", total) as advance:
        for _ in writing:
            advance(1)
    print(f"{split}: {counted(total, 'sample')} written to {quoted(args.out)}")
