"""A record of a run's training data, to check when it is resumed whether the data are still the same."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from toolkit.data.dataset import Dataset
from toolkit.errors import ToolkitError, UsageError
from toolkit.types import Sample
from toolkit.wording import counted, some

MOST_SAMPLES = 64
"""Number of samples, spread over the split, whose image and labels are recorded."""

MOST_SECONDS = 2.0
"""Time limit for reading them."""


@dataclass(frozen=True)
class DataRecord:
    """The classes, ids and some of the contents of a split.

    Attributes:
        classes: the class names, in order.
        fingerprint: the fingerprint of the dataset.
        digests: index of a sample -> hash of its image and labels.
    """

    classes: tuple[str, ...]
    fingerprint: str
    digests: Mapping[int, str]

    @classmethod
    def of(cls, dataset: Dataset) -> DataRecord:
        """The record of a split; for a large split, only some samples are read."""
        began, digests = time.perf_counter(), {}
        for index in _places(len(dataset)):
            with contextlib.suppress(
                ToolkitError, OSError
            ):  # a sample that cannot be read stops the run when it is reached
                digests[index] = digest(dataset[index])
            if time.perf_counter() - began > MOST_SECONDS:
                break
        return cls(tuple(dataset.classes), dataset.fingerprint(), digests)

    def state_dict(self) -> dict[str, Any]:
        """As plain values."""
        return {"classes": [*self.classes], "fingerprint": self.fingerprint, "digests": {**self.digests}}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> DataRecord:
        """From what ``state_dict`` returned."""
        return cls(tuple(state["classes"]), state["fingerprint"], dict(state["digests"]))

    def check(self, dataset: Dataset, run: Path) -> None:
        """Check that a split is the one that was recorded.

        Raises:
            UsageError: when its classes, images or labels have changed; says which.
        """
        changed = self._changed(dataset)
        if changed:
            raise UsageError(
                f"{run} cannot be resumed, because its training data have changed: {changed}. Hint: give"
                f" it the data as they were, or start a new run from its weights: weights={run} with"
                " another --out"
            )

    def _changed(self, dataset: Dataset) -> str:
        classes = tuple(dataset.classes)
        if classes != self.classes:
            return f"the classes were {some(self.classes, 6)} and are now {some(classes, 6)}"
        if dataset.fingerprint() != self.fingerprint:
            return (
                f"the split, which now has {counted(len(dataset), 'image')}, contains different images or"
                " a different order"
            )
        for index, before in self.digests.items():
            sample = dataset[index]
            if digest(sample) != before:
                return f"the image or the labels of {sample.path or sample.id!r} are not what they were"
        return ""


def digest(sample: Sample) -> str:
    """A hash of a sample's image and labels, the same on every machine: of the image's file, if there is
    one, because decoders differ in the last bit.
    """
    content = hashlib.blake2b(digest_size=8)
    file = None if sample.path is None else Path(sample.path)
    if file is not None and file.is_file():
        content.update(file.read_bytes())
    else:
        content.update(_bytes_of(sample.image))
    if sample.label_map is not None:
        content.update(b"label map" + _bytes_of(sample.label_map))
    if sample.instances is not None:
        boxes = sample.instances.boxes_xyxy.round().to(torch.int32)
        content.update(b"objects" + _bytes_of(sample.instances.labels) + _bytes_of(boxes))
    return content.hexdigest()


def _bytes_of(value: Tensor) -> bytes:
    return f"{value.dtype} {list(value.shape)} ".encode() + value.cpu().contiguous().numpy().tobytes()


def _places(count: int) -> list[int]:
    """Indexes spread over a split, of which the first few are already far apart."""
    shown = min(count, MOST_SAMPLES)
    places = [i * count // shown for i in range(shown)]
    return [*places[::4], *places[2::4], *places[1::4], *places[3::4]]
