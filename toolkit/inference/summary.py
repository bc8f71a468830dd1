"""What became of the images of a folder, for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from toolkit.inference.findings import Tally
from toolkit.inference.records import Record


@dataclass(frozen=True)
class Summary:
    """What became of the images.

    Attributes:
        done: images predicted now.
        failed: images that could not be read or predicted; the manifest says why.
        resumed: images that were done before.
        found: what was found in the images predicted now.
        draw_above: minimum score of the objects that were drawn.
        changed: images that were done before and were predicted anew, since their files have changed.
        left_out: what was come upon among the images and left out, in words, each with its count.
        notes: what of the images' files is not in the predictions.
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
        """Images in all: done now or before, or failed."""
        return self.done + self.failed + self.resumed

    def warnings(self) -> list[str]:
        """What looks wrong with the results as a whole, each with what to do."""
        return [*self.notes, *self.found.warnings(self.draw_above)]


@dataclass
class NoteCounts:
    """Notes on what of images' files is not in the predictions, each kind once, with its count."""

    first: dict[str, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, notes: Mapping[str, str]) -> None:
        """Take in those of an image."""
        for kind, note in notes.items():
            self.first.setdefault(kind, f"{name} {note}")
            self.counts[kind] = self.counts.get(kind, 0) + 1

    def add_record(self, record: Record) -> None:
        """Take in those of an image that was predicted."""
        self.add(record.image, record.notes)

    def lines(self) -> tuple[str, ...]:
        """Each kind in a sentence: that of its first image, and how many others there are."""
        return tuple(
            f"{text}; likewise {self.counts[kind] - 1:,} more" if self.counts[kind] > 1 else text
            for kind, text in self.first.items()
        )
