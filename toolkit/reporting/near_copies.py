"""Near-duplicates: images of a split that are nearly others of it, or of another split. What was learned by
heart is no measure of what was learned.

They are found as ``toolkit data check`` finds them. The other splits are read until their time is over, an
even part of each, so that a report of a few images does not read a hundred thousand others.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from toolkit import registry
from toolkit.data.checks import SplitReport
from toolkit.data.dataset import Dataset, open_dataset
from toolkit.data.faults import gathering
from toolkit.data.image_looks import Look, look_of
from toolkit.data.notes import noting
from toolkit.data.set_checks import Copy, copies
from toolkit.evaluation.requests import OpenedSplit
from toolkit.reporting.thumbnails import side_by_side
from toolkit.wording import counted

SECONDS = 5.0
"""How long the images of all other splits may be read."""
CHUNK = 64
"""Images that are read between two looks at the clock."""
MOST_SHOWN = 12


@dataclass(frozen=True)
class NearCopies:
    """Images of a split that are nearly others.

    Attributes:
        split: that is looked at.
        dataset: the same.
        found: each such image with the one that it is nearly the same as, those of other splits first.
        others: the other splits that could be opened, by name.
        seen: how many of their images were looked at, by name.
    """

    split: str
    dataset: Dataset
    found: Sequence[Copy]
    others: Mapping[str, Dataset] = field(default_factory=dict)
    seen: Mapping[str, int] = field(default_factory=dict)

    def entries(self) -> list[dict[str, Any]]:
        """The pairs as JSON can hold them; ``picture`` names their picture."""
        return [
            {
                "image": self.dataset.ids[each.position],
                "split": each.first_split,
                "of": self._split(each.first_split).ids[each.first],
                "picture": f"copy:{place}" if place < MOST_SHOWN else None,
            }
            for place, each in enumerate(self.found)
        ]

    def counts(self) -> dict[str, int]:
        """How many images of the split are nearly ones of each split, itself included."""
        names = [*self.others, self.split]
        return {name: sum(each.first_split == name for each in self.found) for name in names}

    def pictures(self) -> dict[str, str]:
        """The pairs that are shown, as URIs by the keys that the entries name."""
        return {
            f"copy:{place}": side_by_side(
                [self.dataset.image(each.position), self._split(each.first_split).image(each.first)]
            )
            for place, each in enumerate(self.found[:MOST_SHOWN])
        }

    def leaks(self) -> list[str]:
        """What a reader of the figures has to know first."""
        return [
            f"{self._near_duplicates(name)} (see Data): metrics on those measure memorization."
            for name, count in self.counts().items()
            if count and name != self.split
        ]

    def says(self) -> list[str]:
        """What was looked for and found, in sentences."""
        lines = [f"{self._near_duplicates(name)}." for name, count in self.counts().items() if count]
        if not lines:
            *most, last = [self.split, *self.others]
            where = f"{', '.join(most)} or {last}" if most else last
            lines.append(f"No image of {self.split} is a near-duplicate of another one of {where}.")
        for name, count in self.seen.items():
            total = len(self.others[name])
            if count < total:
                lines.append(
                    f"Of the {total:,} images of {name}, {count:,} could be compared in the time;"
                    " toolkit data check compares all of them."
                )
        lines.append(
            "Copies in another size or quality are found; parts of images and mirror images are not."
        )
        return lines

    def _near_duplicates(self, name: str) -> str:
        """How many images are near-duplicates of ones of a split, as a sentence without its end."""
        count = self.counts()[name]
        whose = "others" if name == self.split else f"images of {name}"
        if count == 1:
            whose = "another one" if name == self.split else f"an image of {name}"
        what = "is a near-duplicate" if count == 1 else "are near-duplicates"
        return f"{counted(count, 'image')} of {self.split} {what} of {whose}"

    def _split(self, name: str) -> Dataset:
        return self.dataset if name == self.split else self.others[name]


def other_splits(opened: OpenedSplit) -> dict[str, Dataset]:
    """The other splits of the dataset that a split is of, as far as they can be opened; none of a dataset
    that was given as it is, or as a single file.
    """
    if isinstance(opened.data, Dataset) or (opened.folder is not None and Path(opened.folder).is_file()):
        return {}
    manifest = registry.named(registry.datasets(), opened.data)
    found = {}
    for name in manifest.splits:
        if name != opened.split:
            with gathering(), noting():
                try:
                    found[name] = open_dataset(manifest, opened.folder, name, opened.options)
                except Exception:  # it is not there, or a reader of somebody else cannot read it
                    continue
    return {name: dataset for name, dataset in found.items() if len(dataset)}


def find_copies(
    split: str,
    dataset: Dataset,
    looks: Mapping[int, Look],
    others: Mapping[str, Dataset],
    *,
    seconds: float = SECONDS,
    clock: Callable[[], float] = time.perf_counter,
) -> NearCopies:
    """Find the images of a split that are nearly others of it or of other splits.

    Args:
        split: the name of the split.
        dataset: the split.
        looks: of its images, by position.
        others: the other splits, by name; those to learn from first.
        seconds: how long their images may be read.
        clock: gives the time in seconds.
    """
    reports: dict[str, SplitReport] = {}
    until = clock() + seconds
    for place, (name, other) in enumerate(others.items()):
        # each gets an even part of what is left
        share = (until - clock()) / (len(others) - place)
        reports[name] = _report(other, dict(_looks_at(other, clock() + share, clock)))
    reports[split] = _report(dataset, dict(looks))
    found = [each for each in copies(reports) if each.split == split]
    found.sort(key=lambda each: each.first_split == split)
    seen = {name: len(reports[name].looks) for name in others}
    return NearCopies(split, dataset, found, dict(others), seen)


def _report(dataset: Dataset, looks: dict[int, Look]) -> SplitReport:
    return SplitReport(tuple(dataset.classes), len(dataset), ids=dataset.ids, looks=looks)


def _looks_at(dataset: Dataset, until: float, clock: Callable[[], float]) -> Iterator[tuple[int, Look]]:
    """What the images look like, by position: all of them, or those of a random part for which there is
    time. What cannot be read is left out.
    """
    order = np.random.default_rng(0).permutation(len(dataset)).tolist()

    def look(position: int) -> tuple[int, Look | None]:
        with gathering(), noting():
            try:
                return position, look_of(dataset.image(position))
            except Exception:  # somebody else's reader may raise anything, and `toolkit data check` tells it
                return position, None

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(order), CHUNK):
            if clock() >= until:
                return
            for position, found in pool.map(look, order[start : start + CHUNK]):
                if found is not None:
                    yield position, found
