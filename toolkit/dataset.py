"""The contract that every dataset meets."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence

from toolkit.types import Sample


class Dataset(ABC):
    """One split of a dataset: ``dataset[i]`` is a ``Sample``; the same index gives the same sample, in any process.

    Attributes:
        classes: the names that label indexes stand for.
        ids: the ids of the samples, in order, known without reading an image.
        palette: one RGB colour a class, or None for the toolkit's own.
    """

    classes: tuple[str, ...]
    ids: Sequence[str]
    palette: tuple[tuple[int, int, int], ...] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @abstractmethod
    def __getitem__(self, index: int) -> Sample:
        """Read the sample at ``index``.

        Raises:
            DataError: when its files cannot be used; names the file and the repair.
        """

    def fingerprint(self) -> str:
        """A short hash of what the dataset holds (ids and classes), kept with a checkpoint to tell data apart."""
        text = "\n".join([*self.classes, "", *self.ids])
        return hashlib.sha256(text.encode()).hexdigest()[:16]
