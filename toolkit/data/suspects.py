"""Finds what looks wrong with a dataset but may be intended; reported as notes, not as errors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import torch

from toolkit.data.checks import SplitReport
from toolkit.data.far_images import far_from_the_rest
from toolkit.data.object_checks import TINY
from toolkit.data.set_checks import Copy
from toolkit.types import BACKGROUND
from toolkit.wording import some

FEWEST_EXAMPLES = 10
"""A class with fewer objects (or label maps that contain it) has few training examples."""

SHOWN = 5

KINDS = {
    "empty": "objects that cover no pixels",
    "twice": "duplicate objects",
    "tiny": f"objects with fewer than {TINY} square pixels",
}


def suspects(reports: Mapping[str, SplitReport], found: Iterable[Copy]) -> Iterator[tuple[str, str]]:
    """What looks wrong, each with the split that it concerns.

    Args:
        reports: the reports of the splits; the first is for training.
        found: near-duplicates, from ``toolkit.data.set_checks.copies``.
    """
    copied = [each for each in found if each.split == each.first_split]
    learned: torch.Tensor | None = None
    for split, report in reports.items():
        own = [
            f"{report.ids[each.position]} ({report.ids[each.first]})"
            for each in copied
            if each.split == split
        ]
        if own:
            yield split, _listed("images that are nearly the same as others of the split", own)
        for kind, what in KINDS.items():
            named = [
                f"{report.ids[i]}, object {each.index}" for i, each in report.objects if each.kind == kind
            ]
            if named:
                yield split, _listed(what, named)
        examples = _examples(report)
        if learned is None:
            learned = examples
            few = _few(report, examples)
            if few:
                yield split, _listed(f"classes with fewer than {FEWEST_EXAMPLES} training examples", few)
        elif len(learned) == len(examples):
            missing = [
                name
                for name, known, count in zip(report.classes, learned, examples, strict=True)
                if int(known) and not int(count)
            ]
            if missing and int(examples.sum()):
                yield split, _listed("classes without examples here, which are not evaluated", missing)
        far = far_from_the_rest([report.looks.get(i) for i in range(report.samples)])
        if far:
            named = [f"{report.ids[i]} is {what}" for i, what in far]
            yield split, _listed("images that are far from the rest", named)


def _examples(report: SplitReport) -> torch.Tensor:
    """The examples of each class, int64 ``[C]``: its objects, or else the label maps that contain it, or else
    the images that are of it as a whole.
    """
    if int(report.instances.sum()):
        return report.instances
    return report.images if int(report.images.sum()) else report.images_of


def _few(report: SplitReport, examples: torch.Tensor) -> list[str]:
    """The classes with few examples, with their counts; if there are few images in all, few examples of a
    class are expected. Empty if samples have no objects, label maps or classes, but labels of another task.
    """
    counted = (report.pixels, report.images, report.instances, report.images_of)
    if not (any(int(each.sum()) for each in counted) or report.void_pixels or report.without_instances):
        return []
    if not int(report.instances.sum()) and report.samples < FEWEST_EXAMPLES:
        return []
    return [
        f"{name}: {int(count)}"
        for name, count in zip(report.classes, examples, strict=True)
        if int(count) < FEWEST_EXAMPLES and name != BACKGROUND
    ]


def _listed(what: str, names: list[str]) -> str:
    return f"{what}: {len(names)} ({some(names, SHOWN, separator='; ')})"
