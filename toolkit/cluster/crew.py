"""The processes that predict images: they get chunks, and what a dead one has recorded counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from toolkit.cluster.handout import HandOut
from toolkit.cluster.job import Job
from toolkit.cluster.pool import Pool
from toolkit.cluster.team import Member, Team
from toolkit.inference.inputs import InputImage
from toolkit.inference.records import Record, latest_records
from toolkit.inference.results import ResultFolder


class Crew(Team[list[InputImage], Record]):
    """The processes that predict images together.

    Args:
        pool: where they run; their workers are ``Worker``.
        job: what they are told.
        hand_out: the images.
        folder: the folder of the results.
        size, label: as in ``Team``.
    """

    advice = "what is done is kept; mend this, then add --resume"

    def __init__(
        self, pool: Pool, job: Job, hand_out: HandOut, folder: ResultFolder, size: int, label: str
    ) -> None:
        super().__init__(pool, job, "predict", size, label)
        self.hand_out, self.folder = hand_out, folder

    def is_done(self) -> bool:
        """Whether no image is left."""
        return self.hand_out.is_empty()

    def next_piece(self, member: Member) -> list[InputImage] | None:
        """A chunk of images."""
        return self.hand_out.take(member.pace) or None

    def take(self, member: Member, piece: list[InputImage], value: Any) -> Iterator[Record]:
        """The records of a chunk."""
        records, seconds = value
        member.images, member.seconds = member.images + len(records), member.seconds + seconds
        for record in records:
            self.folder.settle(record)
            yield record

    def take_back(self, member: Member, pieces: Sequence[list[InputImage]], reason: str) -> Iterator[Record]:
        """The records that the process had entered in its manifest, and those of images that are given up."""
        recorded = self._recorded(member)
        for place, chunk in enumerate(pieces):
            for image in chunk:
                if image.name in recorded:
                    self.did_something()
                    member.images += 1
                    self.folder.settle(recorded[image.name])
                    yield recorded[image.name]
            rest = [image for image in chunk if image.name not in recorded]
            for image in self.hand_out.give_back(rest, died=place == 0):
                error = f"{image.where} cannot be predicted: the process died each time ({reason})"
                record = self.folder.failed(image, error)
                self.folder.append(record)
                yield record

    def _recorded(self, member: Member) -> dict[str, Record]:
        """What a process has entered in its manifest."""
        known = Record.__dataclass_fields__
        return {
            each["image"]: Record(**{key: value for key, value in each.items() if key in known})
            for each in latest_records(*self.folder.place.manifests_of(member.name))
        }
