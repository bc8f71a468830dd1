"""The stream of training batches: what stands where depends on the seed and the position, and on nothing
else.
"""

from __future__ import annotations

import itertools
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from toolkit import registry
from toolkit.data.dataset import Dataset, open_dataset
from toolkit.data.loader import EvaluationLoader, _View, training_batches
from toolkit.errors import DataError
from toolkit.runtime.seeding import derive_seed, seed_everything
from toolkit.types import Sample


@pytest.fixture
def squares(tiny: str) -> Dataset:
    manifest = registry.named(registry.datasets(), tiny, by_user=True)
    return open_dataset(manifest, None, "train", {"count": 7})


def noise(sample: Sample, seed: int) -> Sample:
    generator = torch.Generator().manual_seed(seed)
    return sample.with_(
        image=torch.randint(0, 255, sample.image.shape, generator=generator, dtype=torch.uint8)
    )


def stream(dataset: Dataset, **changes: object) -> list[list[Sample]]:
    values: dict = {
        "seed": 3,
        "batch_size": 4,
        "accumulate": 1,
        "rank": 0,
        "world": 1,
        "start": 0,
        "steps": 6,
        "workers": 0,
    } | changes
    return list(training_batches(dataset, noise, **values))


def flat(batches: list[list[Sample]]) -> list[Sample]:
    return list(itertools.chain.from_iterable(batches))


def same(left: list[Sample], right: list[Sample]) -> bool:
    return len(left) == len(right) and all(
        a.id == b.id and torch.equal(a.image, b.image) for a, b in zip(left, right, strict=True)
    )


def test_every_epoch_is_a_permutation_and_no_two_are_alike(squares: Dataset) -> None:
    ids = [sample.id for sample in flat(stream(squares, batch_size=7, steps=4))]
    epochs = [ids[i : i + 7] for i in range(0, 28, 7)]
    assert all(sorted(epoch) == sorted(squares.ids) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4


@pytest.mark.parametrize("start", [1, 3, 5])
def test_starting_later_gives_the_rest_of_the_same_stream(squares: Dataset, start: int) -> None:
    assert same(flat(stream(squares, start=start)), flat(stream(squares)[start:]))


@pytest.mark.parametrize("workers", [1, 2])
def test_the_number_of_workers_changes_nothing(squares: Dataset, workers: int) -> None:
    assert same(flat(stream(squares, workers=workers)), flat(stream(squares)))


@pytest.mark.parametrize(("accumulate", "world"), [(2, 1), (1, 2), (2, 2), (4, 1)])
def test_parts_and_processes_together_see_the_same_batch(
    squares: Dataset, accumulate: int, world: int
) -> None:
    whole = stream(squares)
    shares = [stream(squares, accumulate=accumulate, world=world, rank=rank) for rank in range(world)]
    for step, batch in enumerate(whole):
        parts = [share[step * accumulate + part] for share in shares for part in range(accumulate)]
        assert all(len(part) == 4 // (accumulate * world) for part in parts)
        assert same(flat(parts), batch)


def test_a_dataset_from_a_users_file_survives_pickling_to_a_fresh_process(
    squares: Dataset, tiny: str, tmp_path: Path
) -> None:
    (tmp_path / "view.pickle").write_bytes(pickle.dumps(_View(squares, None, 0)))
    code = (
        f"import pickle; view = pickle.load(open({str(tmp_path / 'view.pickle')!r}, 'rb')); print(view[(2,"
        " 0)].id)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == squares.ids[2]


def test_another_seed_gives_another_stream(squares: Dataset) -> None:
    assert not same(flat(stream(squares, seed=4)), flat(stream(squares)))


def test_seeds_differ_for_neighboring_parts() -> None:
    seeds = {
        derive_seed(seed, word, step)
        for seed in range(10)
        for word in ("order", "step")
        for step in range(50)
    }
    assert len(seeds) == 1000
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_seeding_repeats_random_numbers() -> None:
    draws = []
    for _ in range(2):
        seed_everything(1, "step", 2)
        draws.append(torch.rand(3))
    assert torch.equal(*draws)


@pytest.mark.parametrize(("world", "batch_size", "workers"), [(1, 4, 0), (2, 2, 0), (3, 4, 1), (9, 1, 0)])
def test_evaluation_sees_each_sample_once(
    squares: Dataset, world: int, batch_size: int, workers: int
) -> None:
    seen = [
        sample.id
        for rank in range(world)
        for batch in EvaluationLoader(squares, batch_size=batch_size, rank=rank, world=world, workers=workers)
        for sample in batch
    ]
    assert sorted(seen) == sorted(squares.ids)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_fault_in_the_data_reads_the_same_from_any_process(tiny: str, workers: int) -> None:
    manifest = registry.named(registry.datasets(), tiny, by_user=True)
    damaged = open_dataset(manifest, None, "train", {"count": 7, "damaged": "train/5"})
    with pytest.raises(DataError) as training:
        stream(damaged, workers=workers)
    with pytest.raises(DataError) as evaluation:
        list(EvaluationLoader(damaged, batch_size=2, rank=0, world=1, workers=workers))
    assert str(training.value) == str(evaluation.value) == "train/5 is damaged"


def test_the_stream_draws_no_random_number_once_it_is_made(squares: Dataset) -> None:
    """Those of a step must not depend on whether it is the first one of a resumed run."""
    batches = training_batches(
        squares, noise, seed=3, batch_size=4, accumulate=1, rank=0, world=1, start=0, steps=2, workers=0
    )
    before = torch.get_rng_state()
    next(batches)
    assert torch.equal(torch.get_rng_state(), before)
