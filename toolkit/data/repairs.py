"""Repairs of a dataset that need no human judgment, as a list of changes; ``toolkit.formats.repaired``
applies them to a copy.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from itertools import combinations
from pathlib import Path

from toolkit.data.checks import SplitReport
from toolkit.data.set_checks import Copy, between_splits, have_the_same_photos
from toolkit.runtime.files import atomic_write

LEFT_OUT_IMAGE, LEFT_OUT_OBJECT, LEFT_OUT = "left out the image", "left out the object", "left out"
TOOK_BOX = "took the box of the mask"


@dataclass(frozen=True)
class Change:
    """One difference between the copy and the original.

    Attributes:
        split: the name of the split.
        image: the id of the sample; empty for findings from opening the dataset.
        object: the index of the object in its image; empty for an image.
        found: what was wrong.
        change: what was done about it.
    """

    split: str
    image: str
    object: str
    found: str
    change: str


def images_to_leave_out(
    reports: Mapping[str, SplitReport], found: Iterable[Copy], *, fixed_splits: bool
) -> dict[str, dict[int, Change]]:
    """The samples of each split that a repaired copy leaves out, by position, with the reason.

    These are samples that cannot be used, samples with the id or the same file as an earlier one, and, unless
    a publication fixes the splits, images that another split also contains, exactly or nearly: the one in the
    earlier split is left out, because the training set can spare it and the evaluation data stays the same.

    Args:
        reports: the reports of the splits, in order.
        found: near-duplicates, from ``toolkit.data.set_checks.copies``.
        fixed_splits: whether no image may be moved or left out because of another split.
    """
    plan: dict[str, dict[int, Change]] = {}
    for split, report in reports.items():
        leave = plan.setdefault(split, {})
        seen: set[str] = set()
        for position, name in enumerate(report.ids):
            why = report.unusable.get(position)
            if why is None and name in seen:
                why = "the id occurs before"
            seen.add(name)
            if why is not None:
                leave[position] = Change(split, name, "", why, LEFT_OUT_IMAGE)
        for position, first in _same_files(report):
            what = f"is the same file as {report.ids[first]}"
            leave.setdefault(position, Change(split, report.ids[position], "", what, LEFT_OUT_IMAGE))
    if not fixed_splits:
        for split, position, what in _in_later_splits(reports, found):
            name = reports[split].ids[position]
            plan[split].setdefault(position, Change(split, name, "", what, LEFT_OUT_IMAGE))
    return plan


def _same_files(report: SplitReport) -> Iterable[tuple[int, int]]:
    """Samples whose photo is the same file as that of an earlier sample, each with the first one."""
    places = _places(report)
    for names in report.photos.values():
        first, *others = sorted(places[name] for name in dict.fromkeys(names))
        yield from ((other, first) for other in others)


def _in_later_splits(
    reports: Mapping[str, SplitReport], found: Iterable[Copy]
) -> Iterable[tuple[str, int, str]]:
    """Samples that a later split also contains, exactly or nearly: split, position, and finding."""
    for before, name in combinations(reports, 2):
        one, other = reports[before], reports[name]
        if have_the_same_photos(one, other):
            continue
        places = _places(one)
        for key in one.photos.keys() & other.photos.keys():
            for own in one.photos[key]:
                yield before, places[own], f"is also in {name}, as {other.photos[key][0]}"
    for each in between_splits(reports, found):
        theirs = reports[each.split].ids[each.position]
        yield each.first_split, each.first, f"is nearly the same as {theirs} of {each.split}"


def _places(report: SplitReport) -> dict[str, int]:
    """The first position of each id."""
    places: dict[str, int] = {}
    for position, name in enumerate(report.ids):
        places.setdefault(name, position)
    return places


def write_changes(path: Path, changes: Sequence[Change]) -> None:
    """Write changes as a CSV table in UTF-8.

    Raises:
        OutputError: when the file cannot be written.
    """
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(each.name for each in fields(Change))
    table.writerows(map(astuple, changes))
    with atomic_write(path, "w", errors="surrogateescape") as file:
        file.write(text.getvalue())
