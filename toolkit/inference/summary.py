"""A summary of the results for a folder of images, for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from toolkit.inference.findings import Tally
from toolkit.inference.records import Record


@dataclass(frozen=True)
class Summary:
    """The numbers of images by result, and what was found.

    Attributes:
        done: number of images predicted in this run.
        failed: number of images that could not be read or predicted; the manifest says why.
        resumed: number of images that were done before.
        found: what was found in the images predicted in this run.
        draw_above: minimum score of the objects that were drawn.
        changed: number of images that were predicted again because their files have changed.
        left_out: descriptions of what was found among the images and left out, with counts.
        notes: what in the images' files is not in the predictions.
    """

    done: int
    failed: int
    resumed: int
    found: Tally = field(default_factory=Tally, compare=False)
    draw_above: float = field(default=0.0, compare=False)
    changed: int = field(default=0, compare=False)
    left_out: tuple[str, ...] = field(default=(), compare=False)
    notes: tuple[str, ...] = field(default=(), compare=False)

    @property
    def images(self) -> int:
        """Total number of images: done now or before, or failed."""
        return self.done + self.failed + self.resumed

    def warnings(self) -> list[str]:
        """Problems with the results as a whole, each with a hint."""
        return [*self.notes, *self.found.warnings(self.draw_above)]


@dataclass
class NoteCounts:
    """Notes on what in the images' files is not in the predictions, each kind once, with its count."""

    first: dict[str, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, notes: Mapping[str, str]) -> None:
        """Add the notes of an image."""
        for kind, note in notes.items():
            self.first.setdefault(kind, f"{name} {note}")
            self.counts[kind] = self.counts.get(kind, 0) + 1

    def add_record(self, record: Record) -> None:
        """Add the notes of a predicted image."""
        self.add(record.image, record.notes)

    def lines(self) -> tuple[str, ...]:
        """One sentence for each kind: that of its first image, and the number of others."""
        return tuple(
            f"{text}; likewise {self.counts[kind] - 1:,} more" if self.counts[kind] > 1 else text
            for kind, text in self.first.items()
        )
