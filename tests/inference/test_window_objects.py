"""The objects of windows, written and read back."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from toolkit.errors import InvalidDataError
from toolkit.inference.window_journal import WindowJournal, header_of
from toolkit.inference.window_objects import ObjectJournal, entry_of, objects_of
from toolkit.models.merging import merge_windows
from toolkit.models.window_grid import Window, grid
from toolkit.types import Instances, Masks

SIZE = (60, 90)


def windows() -> list[Window]:
    return [each for row in grid(SIZE, 40, 0.25) for each in row]


def objects(size: tuple[int, int], seed: int, *, masks: bool = True, points: bool = False) -> Instances:
    random = np.random.default_rng(seed)
    count = int(random.integers(0, 4))
    dense = np.zeros((count, *size), bool)
    for i, mask in enumerate(dense):
        y, x = random.integers(0, 20, 2)
        mask[y : y + 9 + i, x : x + 7] = True
    coded = Masks.from_dense(dense) if count else Masks(size)
    return Instances(
        size,
        coded.boxes_xyxy() + 0.1,
        torch.from_numpy(random.integers(0, 3, count)),
        coded if masks else None,
        torch.from_numpy(random.random(count, dtype=np.float32)),
        torch.from_numpy(random.random((count, 5, 3), dtype=np.float32)) if points else None,
    )


@pytest.mark.parametrize("masks", [True, False])
@pytest.mark.parametrize("points", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_every_digit_comes_back(masks: bool, points: bool, seed: int) -> None:
    given = objects((40, 40), seed, masks=masks, points=points and seed > 0)
    entry = SimpleNamespace(
        **{"scores": None, "counts": None, "keypoints": None, **json.loads(json.dumps(entry_of(0, given)))}
    )
    found = objects_of(entry, (40, 40))
    if not len(given) and given.keypoints is not None:  # how many points none of them have is not known
        assert len(found) == 0
    else:
        assert found == given


def test_journals_go_on_where_they_were(tmp_path: Path) -> None:
    found = [(each, objects(each.size, i)) for i, each in enumerate(windows())]
    expected = merge_windows(found)
    for stop in (0, 2, len(found)):
        with WindowJournal(tmp_path, str(stop), header_of("a", "a", None, SIZE)) as lines:
            journal = ObjectJournal(lines, windows())
            for window, each in found[:stop]:
                journal.add(window, each)
        with WindowJournal(tmp_path, str(stop), header_of("a", "a", None, SIZE)) as lines:
            journal = ObjectJournal(lines, windows())
            assert journal.done == stop
            for window, each in found[stop:]:
                journal.add(window, each)
            assert journal.merged() == expected


@pytest.mark.parametrize(
    "change",
    [
        {"labels": [0]},
        {"boxes": [[0, 0, 1]]},
        {"scores": [1e400]},
        {"counts": ["\u00e9"]},
        {"counts": ["0"]},
        {"window": 5},
        {"keypoints": [[[0, 0, 1]], []]},
    ],
)
def test_entries_that_do_not_fit_end_it(change: dict[str, Any], tmp_path: Path) -> None:
    first = windows()[0]
    two = Instances(
        first.size, torch.tensor([[0.0, 0, 5, 5], [1, 1, 7, 7]]), torch.tensor([0, 1]), scores=torch.ones(2)
    )
    with WindowJournal(tmp_path, "a", header_of("a", "a", None, SIZE)) as lines:
        ObjectJournal(lines, windows()).add(first, two)
        lines.add(entry_of(1, two) | change)
        lines.add(entry_of(2, two))
    with WindowJournal(tmp_path, "a", header_of("a", "a", None, SIZE)) as lines:
        assert ObjectJournal(lines, windows()).done == 1


def test_boxes_that_are_none() -> None:
    entry = SimpleNamespace(boxes=[[5.0, 0, 1, 1]], labels=[0], scores=None, counts=None, keypoints=None)
    with pytest.raises(InvalidDataError):
        objects_of(entry, (9, 9))
