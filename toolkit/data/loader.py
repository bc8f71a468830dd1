"""The endless, exactly repeatable stream of training batches.

Every image in training has a *position*: 0 for the first, counted across epochs. The order of an
epoch, the augmentation of an image and the random numbers of a step depend only on the seed and that
position. So a resumed run sees what the killed one would have seen, regardless of the number of loader
processes.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

import torch
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from toolkit.data.dataset import Dataset
from toolkit.data.loader_processes import (
    end_processes,
    leave_signals_to_the_main_process,
    naming_deaths,
    starting,
)
from toolkit.errors import ToolkitError
from toolkit.registry.discovery import load_path, loaded_paths
from toolkit.runtime.seeding import derive_seed
from toolkit.types import Sample

Transform = Callable[[Sample, int], Sample]
Batches: TypeAlias = "Generator[list[Sample], None, None]"
"""Closing them ends the processes that read the samples."""


@runtime_checkable
class ReadingTransform(Protocol):
    """A transform that reads samples itself, such as only the part of an image that it keeps."""

    def read(self, dataset: Dataset, index: int, seed: int) -> Sample:
        """The transformed sample at ``index``."""


class _View(TorchDataset["Sample | ToolkitError"]):
    """The dataset as the loader sees it: for an (index, position) it returns the augmented sample, or the
    error if reading fails.

    The error is returned rather than raised, because torch would put the loader process's traceback in front
    of its message.
    """

    def __init__(self, dataset: Dataset, transform: Transform | None, seed: int) -> None:
        self.dataset = dataset
        self.transform = transform
        self.seed = seed

    def __reduce__(self) -> tuple[Any, ...]:
        """Where loader processes are spawned (macOS, Windows), they first load the plugin files that the user
        named.
        """
        return _rebuild_view, (loaded_paths(), pickle.dumps((self.dataset, self.transform, self.seed)))

    def __getitem__(self, item: tuple[int, int]) -> Sample | ToolkitError:
        index, position = item
        try:
            if self.transform is None:
                return self.dataset[index]
            seed = derive_seed(self.seed, "augment", position)
            if isinstance(self.transform, ReadingTransform):
                return self.transform.read(self.dataset, index, seed)
            return self.transform(self.dataset[index], seed)
        except ToolkitError as error:
            return error


def _rebuild_view(paths: list[Path], pickled: bytes) -> _View:
    for path in paths:
        load_path(path)
    return _View(*pickle.loads(pickled))


class _Positions:
    """The (index, position) pairs of each batch part, for one of ``world`` processes, from ``start`` to
    ``steps``.
    """

    def __init__(
        self,
        length: int,
        *,
        seed: int,
        batch_size: int,
        accumulate: int,
        rank: int,
        world: int,
        start: int,
        steps: int,
    ) -> None:
        self.length, self.seed, self.batch_size = length, seed, batch_size
        self.accumulate, self.rank, self.world = accumulate, rank, world
        self.start, self.steps = start, steps
        self.part = batch_size // (accumulate * world)

    def __len__(self) -> int:
        return (self.steps - self.start) * self.accumulate

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for step in range(self.start, self.steps):
            for part in range(self.accumulate):
                first = step * self.batch_size + (self.rank * self.accumulate + part) * self.part
                yield [(self.index_at(position), position) for position in range(first, first + self.part)]

    def index_at(self, position: int) -> int:
        """The index of the image at a position: epochs are permutations, each shuffled independently."""
        epoch, offset = divmod(position, self.length)
        return _permutation(self.length, derive_seed(self.seed, "order", epoch))[offset]


@lru_cache(maxsize=2)
def _permutation(length: int, seed: int) -> list[int]:
    return torch.randperm(length, generator=torch.Generator().manual_seed(seed)).tolist()


def _as_list(samples: Sequence[Sample | ToolkitError]) -> list[Sample | ToolkitError]:
    return list(samples)


def _raise_errors(
    batches: Iterator[list[Sample | ToolkitError]], processes: int, end: Callable[[], None]
) -> Batches:
    try:
        for batch in naming_deaths(batches, processes):
            samples: list[Sample] = []
            for item in batch:
                if isinstance(item, ToolkitError):
                    raise item
                samples.append(item)
            yield samples
    except BaseException:  # also if it is closed before the end
        end()
        raise


def training_batches(
    dataset: Dataset,
    transform: Transform | None,
    *,
    seed: int,
    batch_size: int,
    accumulate: int,
    rank: int,
    world: int,
    start: int,
    steps: int,
    workers: int,
    pin_memory: bool = False,
) -> Batches:
    """The batch parts of one process, ``accumulate`` for each step from ``start`` to ``steps``.

    Raises:
        ToolkitError: what the dataset raises for a sample, whichever process reads it.
        LoaderError: when one of these processes has died.
    """
    positions = _Positions(
        len(dataset),
        seed=seed,
        batch_size=batch_size,
        accumulate=accumulate,
        rank=rank,
        world=world,
        start=start,
        steps=steps,
    )
    loader = DataLoader(
        _View(dataset, transform, seed),
        batch_sampler=positions,
        num_workers=workers,
        collate_fn=_as_list,
        pin_memory=pin_memory,
        worker_init_fn=leave_signals_to_the_main_process,
    )
    # Created here, not in the first step, because torch draws a random number for it.
    with starting():
        batches = iter(loader)
    return _raise_errors(batches, workers, partial(end_processes, batches))


class EvaluationLoader:
    """Each sample of one process's share once, in order, in batches; can be iterated repeatedly.

    Args:
        dataset: the split.
        batch_size: samples per batch.
        workers: processes that read images; 0 reads in this process.
        rank, world: index of this process and number of processes.
        keep_workers: whether to keep the processes for the next pass instead of restarting them.
        pin_memory: whether to put samples in pinned memory, from which copies to a GPU are asynchronous.
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        batch_size: int,
        workers: int = 0,
        rank: int = 0,
        world: int = 1,
        keep_workers: bool = False,
        pin_memory: bool = False,
    ) -> None:
        self.dataset = dataset
        indices = [(index, index) for index in range(rank, len(dataset), world)]
        batches = [indices[i : i + batch_size] for i in range(0, len(indices), batch_size)]
        workers = min(workers, len(batches))
        self._loader = DataLoader(
            _View(dataset, None, 0),
            batch_sampler=batches,
            num_workers=workers,
            collate_fn=_as_list,
            persistent_workers=keep_workers and workers > 0,
            pin_memory=pin_memory,
            worker_init_fn=leave_signals_to_the_main_process,
        )

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Batches:
        """The batches.

        Raises:
            ToolkitError: what the dataset raises for a sample, whichever process reads it.
        """
        with starting():
            batches = iter(self._loader)

        def end() -> None:
            self._loader._iterator = None  # another pass starts others
            end_processes(batches)

        return _raise_errors(batches, self._loader.num_workers, end)

    def close(self) -> None:
        """End the processes that ``keep_workers`` keeps; another pass starts others."""
        kept, self._loader._iterator = self._loader._iterator, None
        if kept is not None:
            end_processes(kept)
