"""``toolkit data check --fix``: a repaired copy of a dataset."""

from __future__ import annotations

import argparse
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.reading.files import expanded
from toolkit.wording import counted, quoted

if TYPE_CHECKING:
    from toolkit.data.checks import SplitReport
    from toolkit.data.dataset import Dataset
    from toolkit.data.repairs import Change
    from toolkit.data.set_checks import Copy
    from toolkit.formats.repaired import RepairedSplit
    from toolkit.registry.manifests import DatasetManifest
    from toolkit.types import Sample

CHANGES_FILE = "changes.csv"


def add_fix_argument(parser: argparse.ArgumentParser) -> None:
    """``--fix DIR``."""
    parser.add_argument(
        "--fix",
        metavar="DIR",
        help=(
            "write a repaired copy to this folder, new or empty, with a list of all changes, and check it;"
            " the data itself is never changed"
        ),
    )


def refuse_in_place(manifest: DatasetManifest, args: argparse.Namespace) -> None:
    """Raise an error for a folder that is not empty, or that is inside the dataset's folder."""
    from toolkit.data.dataset import default_folder
    from toolkit.errors import UsageError
    from toolkit.formats.convert import require_empty

    out = expanded(args.fix).resolve()
    source = expanded(args.data_dir or default_folder(manifest.name)).resolve()
    folder = source if source.is_dir() else source.parent
    if manifest.needs_folder and (out == folder or folder in out.parents):
        raise UsageError(
            f"--fix {args.fix} is in the folder of the dataset, {folder}, which is not changed. Hint: choose"
            " a folder elsewhere"
        )
    require_empty(Path(args.fix))


def write_copy(
    manifest: DatasetManifest,
    args: argparse.Namespace,
    splits: Mapping[str, tuple[Dataset, SplitReport]],
    found: Sequence[Copy],
    faults: Mapping[str, Sequence[str]],
) -> argparse.Namespace:
    """Write the copy, and print what was changed.

    Args:
        manifest: the manifest of the dataset.
        args: the arguments of the command.
        splits: the splits that could be opened, with their reports.
        found: near-duplicate images.
        faults: errors found when each split was opened.

    Returns:
        The arguments that check the copy.

    Raises:
        DataError: when nothing is left, or the splits have different classes.
    """
    from toolkit.data.repairs import LEFT_OUT, Change, images_to_leave_out, write_changes
    from toolkit.data.unfinished import being_written
    from toolkit.formats.convert import Losses, convert_split, opening
    from toolkit.runtime.locks import locked
    from toolkit.runtime.progress import counting

    reports = {split: report for split, (_, report) in splits.items()}
    plan = images_to_leave_out(reports, found, fixed_splits=manifest.fixed_splits)
    classes = _common_classes(splits)
    copies = {
        split: _copy(split, data, report, plan[split], classes) for split, (data, report) in splits.items()
    }
    copies = {split: copy for split, copy in copies.items() if len(copy)}
    target = _target(copies)
    out, losses = Path(args.fix), Losses()
    changes = [Change(split, "", "", text, LEFT_OUT) for split in splits for text in faults.get(split, ())]
    changes += [change for leave in plan.values() for _, change in sorted(leave.items())]
    with locked(out), being_written(out, _command(args)):
        for split, copy in copies.items():
            with counting(f"writing {split}", len(copy)) as advance:
                for _ in convert_split(copy, split, out, target, losses):
                    advance(1)
            changes += copy.changes
        write_changes(out / CHANGES_FILE, changes)
    for extra in _first(copies).extras:
        losses[f"{extra}: all of it, since a copy contains only label maps and objects"] = sum(
            map(len, copies.values())
        )
    _print_changes(changes, losses, out)
    name, *words = opening(target, classes)
    return argparse.Namespace(
        **(
            vars(args)
            | {"name": name, "data_dir": args.fix, "split": [*copies], "settings": words, "fix": None}
        )
    )


def _copy(
    split: str, dataset: Dataset, report: SplitReport, leave: Mapping[int, Change], classes: Sequence[str]
) -> RepairedSplit:
    from toolkit.formats.repaired import repaired

    return repaired(dataset, split, [i for i in range(report.samples) if i not in leave], classes)


def _common_classes(splits: Mapping[str, tuple[Dataset, SplitReport]]) -> tuple[str, ...]:
    """The classes of the first split, which the others have in any order."""
    from toolkit.errors import DataError

    first, *others = splits
    classes = splits[first][0].classes
    for split in others:
        if sorted(splits[split][0].classes) != sorted(classes):
            raise DataError(
                f"the classes of {split} are not those of {first}, so one copy cannot contain both. Hint:"
                " correct the list of classes, or repair each one separately with --split"
            )
    return classes


def _target(copies: Mapping[str, RepairedSplit]) -> str:
    """The format of the copy: one with label maps if there are any, else COCO's."""
    from toolkit.errors import DataError

    sample = _first(copies)
    if sample.label_map is None and sample.instances is None:
        raise DataError(
            f"{sample.id} has neither a label map nor objects, but a copy can contain nothing else. Hint:"
            " correct the errors by hand"
        )
    return "coco" if sample.label_map is None else "masks"


def _first(copies: Mapping[str, RepairedSplit]) -> Sample:
    """The first sample of all splits.

    Raises:
        DataError: when there are none.
    """
    from toolkit.errors import DataError

    first = next(iter(copies.values()), None)
    if first is None:
        raise DataError("no image is left that could be written. Hint: correct the errors by hand")
    return first[0]


def _print_changes(changes: Sequence[Change], losses: Counter[str], out: Path) -> None:
    for what, count in Counter(change.change for change in changes).items():
        print(f"repair: {what}: {count}")
    for text, count in losses.items():
        if count:
            print(f"lost in the copy: {text} ({count})")
    listed = quoted(out / CHANGES_FILE)
    print(f"{counted(len(changes), 'change')} in the copy in {quoted(out)}; {listed} lists them")


def _command(args: argparse.Namespace) -> str:
    """The command line that writes the copy, as a user would type it again."""
    words = ["toolkit", "data", "check", args.name]
    words += ["--data-dir", args.data_dir] if args.data_dir else []
    words += [word for split in args.split or () for word in ("--split", split)]
    return shlex.join([*words, "--fix", args.fix, *args.settings])
