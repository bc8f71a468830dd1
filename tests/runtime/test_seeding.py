"""Seeds: the same parts give the same numbers everywhere, and others give others."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from toolkit.runtime.seeding import derive_seed, seed_everything, undisturbed


@pytest.fixture(autouse=True)
def _state() -> Iterator[None]:
    """The tests after this one draw what they would have drawn."""
    kept = torch.get_rng_state(), np.random.get_state(), random.getstate()
    yield
    torch.set_rng_state(kept[0])
    np.random.set_state(kept[1])
    random.setstate(kept[2])


def test_seeds_depend_on_every_part_and_on_their_order() -> None:
    parts: list[tuple[int | str, ...]] = [
        *(
            (),
            (0,),
            (1,),
            (-1,),
            ("0",),
            ("",),
            (0, 0),
            (0, 1),
            (1, 0),
            (10,),
            (1, "0"),
            ("1", 0),
            ("epoch", 3),
        ),
        *((2**70,), ("epoch", 4), ("epoch3",), ("ep", "och", 3)),
    ]
    assert len({derive_seed(*each) for each in parts}) == len(parts)


def test_seeds_fit_everywhere_and_neighbors_look_unrelated() -> None:
    seeds = [derive_seed("image", index) for index in range(2000)]
    assert len(set(seeds)) == 2000
    assert all(0 <= seed < 2**63 for seed in seeds)
    bits = np.array([[seed >> bit & 1 for bit in range(63)] for seed in seeds])
    assert np.abs(bits.mean(axis=0) - 0.5).max() < 0.06, "every bit is as often 0 as 1"
    changed = (bits[1:] != bits[:-1]).sum(axis=1)
    assert changed.min() >= 10, "and half of them change from one to the next"
    assert abs(changed.mean() - 31.5) < 0.5


def test_a_seed_is_the_same_in_every_process() -> None:
    """``hash`` of a text would not be."""
    code = "from toolkit.runtime.seeding import derive_seed; print(derive_seed('a', 1))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == derive_seed("a", 1)


def test_all_three_generators_are_seeded() -> None:
    def draws(*parts: int | str) -> tuple[float, float, float]:
        seed_everything(*parts)
        return float(torch.rand(())), float(np.random.rand()), random.random()

    first, again, other = draws("start", 3), draws("start", 3), draws("start", 4)
    assert first == again
    assert all(a != b for a, b in zip(first, other, strict=True))


def test_random_numbers_go_on_as_if_nothing_had_been_drawn() -> None:
    def drawn() -> tuple[float, float, float]:
        return float(torch.rand(())), float(np.random.rand()), random.random()

    seed_everything(1, "x")
    expected = drawn()
    seed_everything(1, "x")
    with undisturbed():
        seed_everything(5)
        drawn()
    assert drawn() == expected
