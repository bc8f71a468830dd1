"""Checks the splits of a dataset against each other: splits that are each fine may not fit together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

from toolkit.data.checks import SplitReport
from toolkit.data.look_alikes import look_alikes
from toolkit.wording import some


@dataclass(frozen=True)
class Copy:
    """An image that is a near-duplicate of an earlier one.

    Attributes:
        split, position: the image.
        first_split, first: the earlier image.
    """

    split: str
    position: int
    first_split: str
    first: int


def copies(reports: Mapping[str, SplitReport]) -> list[Copy]:
    """Images that are near-duplicates of earlier ones, each with the earliest, in the order of the splits."""
    places = [(name, i) for name, report in reports.items() for i in range(report.samples)]
    looks = [reports[name].looks.get(i) for name, i in places]
    return [Copy(*places[later], *places[first]) for first, later in look_alikes(looks)]


def between_splits(reports: Mapping[str, SplitReport], found: Iterable[Copy]) -> Iterator[Copy]:
    """The copies of images of another split, unless the two splits have the same photos, or the two images
    are the same file.
    """
    photos = {
        name: {each: key for key, ids in report.photos.items() for each in ids}
        for name, report in reports.items()
    }
    for each in found:
        one, other = reports[each.first_split], reports[each.split]
        keys = (
            photos[each.first_split].get(one.ids[each.first]),
            photos[each.split].get(other.ids[each.position]),
        )
        same_file = keys[0] is not None and keys[0] == keys[1]
        if each.split != each.first_split and not same_file and not have_the_same_photos(one, other):
            yield each


def faults_between(
    reports: Mapping[str, SplitReport], *, fixed_splits: bool = False, found: Iterable[Copy] = ()
) -> Iterator[tuple[str, str]]:
    """What is wrong between splits, each with the split that it concerns.

    Args:
        reports: the reports of the splits, in order; the first is for training.
        fixed_splits: whether nobody may move a photo from one split to another, as in
            ``toolkit.registry.manifests.DatasetManifest``.
        found: near-duplicates, from ``copies``.
    """
    if not reports:
        return
    first, *others = reports
    for name in others:
        yield from ((name, fault) for fault in _classes(first, reports[first], reports[name]))
    for name, text in () if fixed_splits else _in_two_splits(reports):
        yield name, f"{text}. Hint: leave each photo in one split"
    for name, text in () if fixed_splits else _nearly_in_two_splits(reports, found):
        yield name, f"{text}. Hint: leave each image in one split"


def notes_between(
    reports: Mapping[str, SplitReport], *, fixed_splits: bool = False, found: Iterable[Copy] = ()
) -> Iterator[tuple[str, str]]:
    """Notes on the splits together, each with the split that it concerns; arguments as for
    ``faults_between``.
    """
    for before, name in combinations(reports, 2):
        if have_the_same_photos(reports[before], reports[name]):
            yield (
                name,
                (f"the photos are the same as those of {before}, so evaluation on it measures memorization"),
            )
    if fixed_splits:
        yield from _in_two_splits(reports)
        yield from _nearly_in_two_splits(reports, found)


def _in_two_splits(reports: Mapping[str, SplitReport]) -> Iterator[tuple[str, str]]:
    """Photos that two splits share, unless they share all of them."""
    for before, name in combinations(reports, 2):
        shared = _shared(reports[before], reports[name])
        if shared and not have_the_same_photos(reports[before], reports[name]):
            yield name, _of_both(before, shared)


def _nearly_in_two_splits(
    reports: Mapping[str, SplitReport], found: Iterable[Copy]
) -> Iterator[tuple[str, str]]:
    """Images that are near-duplicates of images in another split."""
    pairs: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for each in between_splits(reports, found):
        names = (reports[each.first_split].ids[each.first], reports[each.split].ids[each.position])
        pairs.setdefault((each.split, each.first_split), []).append(names)
    for (name, before), shared in pairs.items():
        what = (
            "1 image is nearly the same as one"
            if len(shared) == 1
            else f"{len(shared)} images are nearly the same as those"
        )
        named = some([f"{own} ({before}: {theirs})" for theirs, own in shared])
        yield name, f"{what} of {before}, so the splits are not independent: {named}"


def have_the_same_photos(one: SplitReport, other: SplitReport) -> bool:
    """Whether two splits have the same photos, as in a small set for demonstration."""
    return bool(one.photos) and one.photos.keys() == other.photos.keys()


def _classes(first: str, report: SplitReport, other: SplitReport) -> Iterator[str]:
    ours, theirs = report.classes, other.classes
    if ours == theirs:
        return
    if sorted(ours) == sorted(theirs):
        orders = f"{some(theirs)}; not {some(ours)}"
        what = f"its classes are in a different order than those of {first}: {orders}"
    else:
        missing, more = [n for n in ours if n not in theirs], [n for n in theirs if n not in ours]
        parts = [f"lacks {some(missing)}"] * bool(missing) + [f"also has {some(more)}"] * bool(more)
        what = f"its classes differ from those of {first}: it {' and '.join(parts)}"
    yield f"{what}. Hint: use one list of classes, in one order, for all splits"


def _shared(one: SplitReport, other: SplitReport) -> list[tuple[str, str]]:
    """The ids of each photo that is in both splits."""
    return [(one.photos[key][0], ids[0]) for key, ids in other.photos.items() if key in one.photos]


def _of_both(before: str, shared: list[tuple[str, str]]) -> str:
    pairs = [own if own == theirs else f"{own} ({before}: {theirs})" for theirs, own in shared]
    what = "1 photo is" if len(shared) == 1 else f"{len(shared)} photos are"
    return f"{what} also in {before}, so the splits are not independent: {some(pairs)}"
