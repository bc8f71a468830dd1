"""The processes that read images: they leave signals alone, and their death is said in words."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest
import torch

from toolkit.data.dataset import Dataset
from toolkit.data.loader import EvaluationLoader, training_batches
from toolkit.errors import DataError, LoaderError
from toolkit.types import Sample


class Slow(Dataset):
    """Says by files which processes have read, and how often; may die, or hang, at one image."""

    classes = ("x",)

    def __init__(self, folder: Path, count: int = 12, dies_at: int = -1, hangs_at: int = -1) -> None:
        self.folder, self.dies_at, self.hangs_at = folder, dies_at, hangs_at
        self.ids = [str(i) for i in range(count)]

    def __getitem__(self, index: int) -> Sample:
        (self.folder / f"{os.getpid()}").touch()
        if index == self.dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
        while index == self.hangs_at:
            time.sleep(0.05)
        return Sample(self.ids[index], torch.full((3, 2, 2), index, dtype=torch.uint8))


def stream(dataset: Dataset, workers: int = 2):  # type: ignore[no-untyped-def]
    return training_batches(
        dataset, None, seed=0, batch_size=2, accumulate=1, rank=0, world=1, start=0, steps=30, workers=workers
    )


def readers(folder: Path, count: int) -> list[int]:
    deadline = time.monotonic() + 30
    while len(found := list(folder.iterdir())) < count:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return [int(path.name) for path in found]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("kind", ["training", "evaluation"])
def test_signals_are_left_to_the_main_process(tmp_path: Path, number: signal.Signals, kind: str) -> None:
    """As a terminal, SLURM and Kubernetes send them to all processes at once."""
    dataset = Slow(tmp_path, 60)
    batches = (
        stream(dataset) if kind == "training" else iter(EvaluationLoader(dataset, batch_size=2, workers=2))
    )
    next(batches)
    for process in readers(tmp_path, 2):
        os.kill(process, number)
    assert len(list(batches)) == 29, "all that there are"


@pytest.mark.slow
def test_one_that_hangs_ends_with_the_second(tmp_path: Path) -> None:
    """So that the main process can end them, as torch does when it ends itself."""
    batches = stream(Slow(tmp_path, hangs_at=3), workers=1)
    (process,) = readers(tmp_path, 1)
    for _ in range(2):
        os.kill(process, signal.SIGTERM)
        time.sleep(0.2)
    with pytest.raises(LoaderError, match="was stopped"):
        list(batches)


@pytest.mark.parametrize("kind", ["training", "evaluation"])
def test_a_death_is_said_with_a_hint(tmp_path: Path, kind: str) -> None:
    dataset = Slow(tmp_path, dies_at=5)
    handler = signal.getsignal(signal.SIGCHLD)
    batches = (
        stream(dataset) if kind == "training" else iter(EvaluationLoader(dataset, batch_size=2, workers=1))
    )
    with pytest.raises(
        LoaderError, match=r"a process that reads images was stopped.*Hint: use fewer.*/dev/shm"
    ):
        list(batches)
    assert signal.getsignal(signal.SIGCHLD) == handler, "which torch's handler would raise anywhere else"


class Odd(Slow):
    """Raises what it is told to, as somebody's dataset may."""

    error: Exception

    def __getitem__(self, index: int) -> Sample:
        raise self.error


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("error", [RuntimeError("odd"), FileNotFoundError("odd"), EOFError("odd")])
def test_errors_of_a_dataset_are_its_own(tmp_path: Path, error: Exception, workers: int) -> None:
    dataset = Odd(tmp_path)
    dataset.error = error
    before = multiprocessing.active_children()
    with pytest.raises(type(error), match="odd") as caught:
        next(stream(dataset, workers))
    assert multiprocessing.active_children() == before, "though the traceback still has the iterator"
    del caught


def test_signals_of_the_main_process_are_as_they_were(tmp_path: Path) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    next(stream(Slow(tmp_path)))
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers


@pytest.mark.parametrize("keeps", [False, True])
def test_processes_end_with_an_error_and_others_start_in_the_next_pass(tmp_path: Path, keeps: bool) -> None:
    before = set(multiprocessing.active_children())
    dataset = Odd(tmp_path)
    dataset.error = DataError("odd")
    loader = EvaluationLoader(dataset, batch_size=2, workers=2, keep_workers=keeps)
    for _ in range(2):
        with pytest.raises(DataError, match="odd"):
            list(loader)
        assert set(multiprocessing.active_children()) == before
    fine = EvaluationLoader(Slow(tmp_path), batch_size=2, workers=2, keep_workers=keeps)
    assert sum(map(len, fine)) == sum(map(len, fine)) == 12
    assert len(set(multiprocessing.active_children()) - before) == (2 if keeps else 0)
    fine.close()
    assert set(multiprocessing.active_children()) == before
    assert sum(map(len, fine)) == 12
    fine.close()
