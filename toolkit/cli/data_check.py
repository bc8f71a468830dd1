"""``toolkit data check``."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from toolkit.cli.parsed import data_options
from toolkit.wording import counted

if TYPE_CHECKING:
    from rich.table import Table

    from toolkit.data.checks import SplitReport
    from toolkit.data.dataset import Dataset
    from toolkit.registry.manifests import DatasetManifest


@dataclass
class _Checked:
    """The findings so far.

    Attributes:
        reports: the reports of the splits that could be opened.
        opened: these splits.
        at_opening: errors found when each was opened.
        told: all errors that have been printed.
        lost: whether a split could not be opened.
    """

    reports: dict[str, SplitReport] = field(default_factory=dict)
    opened: dict[str, Dataset] = field(default_factory=dict)
    at_opening: dict[str, list[str]] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)
    lost: bool = False


def check(manifest: DatasetManifest, args: argparse.Namespace) -> int:
    """Check a dataset, and write a repaired copy if requested; returns 1 if there are errors (with a copy, if
    the copy has errors).
    """
    from toolkit import registry
    from toolkit.cli.data_fix import refuse_in_place, write_copy
    from toolkit.data.set_checks import copies, faults_between, notes_between
    from toolkit.data.suspects import suspects

    if args.fix:
        refuse_in_place(manifest, args)
    checked = _Checked()
    for split in args.split or manifest.splits:
        _check_split(manifest, args, split, checked)
    reports, fixed, found = checked.reports, manifest.fixed_splits, copies(checked.reports)
    for split, text in [*notes_between(reports, fixed_splits=fixed, found=found), *suspects(reports, found)]:
        print(f"{split}: note: {text}")
    for split, text in faults_between(reports, fixed_splits=fixed, found=found):
        _print_faults(split, [text], checked.told)
    print_unread(manifest, args)
    print(counted(len(checked.told), "error") if checked.told else "no errors")
    if args.fix and reports:
        splits = {split: (checked.opened[split], report) for split, report in reports.items()}
        copy = write_copy(manifest, args, splits, found, checked.at_opening)
        print("The copy:")
        # a split that cannot be opened is not copied
        return max(check(registry.datasets().get(copy.name), copy), int(checked.lost))
    if not checked.told:
        print_next(manifest, args, with_preview=True)
    return 1 if checked.told else 0


def _check_split(manifest: DatasetManifest, args: argparse.Namespace, split: str, checked: _Checked) -> None:
    from toolkit.data.checks import check_split
    from toolkit.data.dataset import open_dataset
    from toolkit.data.faults import gathering
    from toolkit.data.notes import noting
    from toolkit.errors import DataError, MissingSplitError
    from toolkit.runtime.progress import counting

    with gathering() as faults, noting() as notes:
        try:
            options = data_options(args.settings, manifest)
            dataset = open_dataset(manifest, args.data_dir, split, options)
        except DataError as error:
            needed = args.split or split in (manifest.splits[0], manifest.val_split)
            if isinstance(error, MissingSplitError) and not needed:
                print(f"{split}: not in this folder")
                return
            _print_faults(split, [*faults, str(error)], checked.told)
            checked.lost = True
            return
    with counting(f"checking {split}", len(dataset)) as advance:
        report = check_split(dataset, lambda: advance(1), faults)
    checked.reports[split], checked.opened[split] = report, dataset
    checked.at_opening[split] = faults
    _print_report(split, report)
    print_notes(notes + report.notes, f"{split}: ")
    _print_faults(split, report.faults, checked.told)


def print_notes(notes: Mapping[str, int], before: str = "") -> None:
    """Print what readers left out or handled in a special way."""
    from toolkit.data.notes import note_line

    for what, count in notes.items():
        print(f"{before}note: {note_line(what, count)}")


def print_unread(manifest: DatasetManifest, args: argparse.Namespace) -> None:
    """Print what in the folder belongs to no split, if all splits were requested."""
    from toolkit.data.dataset import unread

    if args.split:
        return
    left = unread(manifest, args.data_dir, data_options(args.settings, manifest))
    if left:
        names = ", ".join(manifest.splits)
        print(f"note: not read, because it belongs to none of the splits {names}: {', '.join(left)}")


def print_next(manifest: DatasetManifest, args: argparse.Namespace, *, with_preview: bool = False) -> None:
    """The commands that come next: look at the data, and train on them."""
    from toolkit.cli.next_steps import next_lines, training_command

    folder = ["--data-dir", args.data_dir] if args.data_dir else []
    commands = []
    if with_preview:
        commands.append(["data", "preview", args.name, *folder, "--out", "sheet.jpg", *args.settings])
    if training := training_command(manifest, args.name, args.data_dir, args.settings):
        commands.append(training)
    for line in next_lines(*commands):
        print(line)


def _print_report(split: str, report: SplitReport) -> None:
    from toolkit.runtime.terminal import Terminal

    heights, widths = [size[0] for size in report.sizes], [size[1] for size in report.sizes]
    line = f"{split}: {counted(report.samples, 'sample')}"
    if report.sizes:
        line += f", {min(widths)}…{max(widths)} pixels wide and {min(heights)}…{max(heights)} high"
    if report.void_pixels:
        line += (
            f", {report.void_pixels / (report.void_pixels + int(report.pixels.sum())):.1%} of the pixels void"
        )
    if int(report.instances.sum()):
        instances = counted(int(report.instances.sum()), "instance")
        line += f", {instances}, {counted(report.without_instances, 'sample')} without any"
    if report.crowds:
        line += f", {counted(report.crowds, 'crowd region')}"
    print(line)
    Terminal().print(_class_table(report))


def _class_table(report: SplitReport) -> Table:
    from rich.table import Table

    table = Table("class", box=None, header_style="bold", pad_edge=False)
    has_pixels, has_instances = bool(report.pixels.sum()), bool(report.instances.sum())
    has_classes = bool(report.images_of.sum())
    headings = (("pixels", has_pixels), ("images", has_pixels), ("instances", has_instances))
    for heading, shown in (*headings, ("images", has_classes and not has_pixels)):
        if shown:
            table.add_column(heading, justify="right")
    total = max(1, int(report.pixels.sum()))
    for index, name in enumerate(report.classes):
        cells = (
            [f"{int(report.pixels[index]) / total:.2%}", str(int(report.images[index]))] if has_pixels else []
        )
        cells += [str(int(report.instances[index]))] if has_instances else []
        cells += [str(int(report.images_of[index]))] if has_classes and not has_pixels else []
        table.add_row(name, *cells)
    return table


def _print_faults(split: str, faults: list[str], told: set[str]) -> None:
    """Print the errors that have not been printed before, for another split, and remember them."""
    for fault in faults:
        if fault not in told:
            print(f"{split}: error: {fault}")
        told.add(fault)
