"""The parts of a run, put together from its settings."""

from __future__ import annotations

import pickle

import pytest
import torch

from toolkit import registry
from toolkit.config import resolve
from toolkit.data.dataset import Dataset, InMemory
from toolkit.data.generated import GeneratedSamples
from toolkit.training.splits import open_splits
from toolkit.types import Sample


class Counting(Dataset):
    """A dataset that counts how often it was read, and fails the first time."""

    def __init__(self, inner: Dataset) -> None:
        self.inner, self.reads = inner, 0
        self.classes, self.ids, self.palette = inner.classes, inner.ids, inner.palette

    def __getitem__(self, index: int) -> Sample:
        self.reads += 1
        if self.reads == 1:
            raise OSError("the network drive sleeps")
        return self.inner[index]


def test_samples_are_read_once_where_they_are_kept_in_memory() -> None:
    task = registry.tasks().get("semantic")
    plain = open_splits(resolve(plugin="unet", data="shapes"), task).train
    settings = resolve(plugin="unet", data="shapes", overrides={"data": {"in_memory": True}})
    splits = open_splits(settings, task)
    kept, validation = splits.train, splits.val
    assert not isinstance(plain, InMemory)
    assert isinstance(kept, InMemory)
    assert not isinstance(validation, InMemory), "which is read in order, once a validation"
    assert (kept.classes, kept.ids, kept.palette) == (plain.classes, plain.ids, plain.palette)
    assert (kept.fingerprint(), len(kept)) == (plain.fingerprint(), len(plain))
    assert kept[3] is kept[3]
    assert kept[3].image.equal(plain[3].image)

    counting = Counting(plain)
    memory = InMemory(counting)
    with pytest.raises(OSError, match="sleeps"):
        memory[0]
    for _ in range(3):
        memory[0]
        memory[1]
    assert counting.reads == 3, "the failure, and each of the two once"


def test_a_process_that_is_started_gets_none_of_what_was_read() -> None:
    memory = InMemory(GeneratedSamples(("background", "disc"), [(64, 64)] * 5))
    before = len(pickle.dumps(memory))
    for i in range(5):
        assert memory[i] is memory[i]
    assert len(pickle.dumps(memory)) == before
    again = pickle.loads(pickle.dumps(memory))
    assert torch.equal(again[3].image, memory[3].image)
