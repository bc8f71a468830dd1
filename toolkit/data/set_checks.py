"""Looks at the splits of a dataset together: what is right in each may be wrong between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations

from toolkit.data.checks import SplitReport

SHOWN = 5


def faults_between(
    reports: Mapping[str, SplitReport], *, fixed_splits: bool = False
) -> Iterator[tuple[str, str]]:
    """What is wrong between splits, each with the split that it concerns.

    Args:
        reports: of the splits, in order; the first is the one to learn from.
        fixed_splits: whether nobody may move a photo from one split to another, as in
            ``toolkit.registry.manifests.DatasetManifest``.
    """
    if not reports:
        return
    first, *others = reports
    for name in others:
        yield from ((name, fault) for fault in _classes(first, reports[first], reports[name]))
    for name, text in () if fixed_splits else _in_two_splits(reports):
        yield name, f"{text}. Hint: leave each photo in one split"


def notes_between(
    reports: Mapping[str, SplitReport], *, fixed_splits: bool = False
) -> Iterator[tuple[str, str]]:
    """What one wants to know of splits together, each with the split that it concerns; arguments as for
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


def _in_two_splits(reports: Mapping[str, SplitReport]) -> Iterator[tuple[str, str]]:
    """Photos that two splits share, unless they share all."""
    for before, name in combinations(reports, 2):
        shared = _shared(reports[before], reports[name])
        if shared and not have_the_same_photos(reports[before], reports[name]):
            yield name, _of_both(before, shared)


def have_the_same_photos(one: SplitReport, other: SplitReport) -> bool:
    """Whether two splits have the same photos, as a small set has that only shows how things work."""
    return bool(one.photos) and one.photos.keys() == other.photos.keys()


def _classes(first: str, report: SplitReport, other: SplitReport) -> Iterator[str]:
    ours, theirs = report.classes, other.classes
    if ours == theirs:
        return
    if sorted(ours) == sorted(theirs):
        orders = f"{_listed(theirs)}; not {_listed(ours)}"
        what = f"its classes are in a different order than those of {first}: {orders}"
    else:
        missing, more = [n for n in ours if n not in theirs], [n for n in theirs if n not in ours]
        parts = [f"lacks {_listed(missing)}"] * bool(missing) + [f"also has {_listed(more)}"] * bool(more)
        what = f"its classes differ from those of {first}: it {' and '.join(parts)}"
    yield f"{what}. Hint: use one list of classes, in one order, for all splits"


def _shared(one: SplitReport, other: SplitReport) -> list[tuple[str, str]]:
    """The ids of each photo that both splits have."""
    return [(one.photos[key][0], ids[0]) for key, ids in other.photos.items() if key in one.photos]


def _of_both(before: str, shared: list[tuple[str, str]]) -> str:
    pairs = [own if own == theirs else f"{own} ({before}: {theirs})" for theirs, own in shared]
    what = "1 photo is" if len(shared) == 1 else f"{len(shared)} photos are"
    return f"{what} also in {before}, so the splits are not independent: {_listed(pairs)}"


def _listed(names: list[str] | tuple[str, ...]) -> str:
    return f"{', '.join(names[:SHOWN])}{', …' if len(names) > SHOWN else ''}"
