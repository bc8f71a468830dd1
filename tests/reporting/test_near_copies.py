"""Images that are nearly others, in one split and between splits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from report_cases import Given

from toolkit import registry
from toolkit.data.image_looks import Look, look_of
from toolkit.errors import DataError
from toolkit.evaluation.requests import OpenedSplit
from toolkit.reporting.near_copies import CHUNK, MOST_SHOWN, find_copies, other_splits
from toolkit.types import Sample


def scene(seed: int, side: int = 64) -> np.ndarray:
    """A picture unlike those of other seeds."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (6, 8, 3)).astype(np.uint8)
    return cv2.resize(small, (side * 4 // 3, side), interpolation=cv2.INTER_CUBIC)


def split_of(name: str, pictures: Sequence[np.ndarray]) -> Given:
    samples = [
        Sample(f"{name}-{i}", torch.from_numpy(picture).permute(2, 0, 1).contiguous())
        for i, picture in enumerate(pictures)
    ]
    return Given(("a",), samples)


def looks_of(dataset: Given) -> dict[int, Look]:
    return {i: look_of(dataset[i].image) for i in range(len(dataset))}


def test_copies_in_the_split_and_of_other_splits_are_found() -> None:
    val = split_of("val", [scene(0), scene(1), scene(1, side=100), scene(2)])
    train = split_of("train", [scene(7), scene(2, side=48), scene(8), scene(7)])
    test = split_of("test", [scene(9)])
    found = find_copies("val", val, looks_of(val), {"train": train, "test": test})
    assert [(each["image"], each["split"], each["of"]) for each in found.entries()] == [
        ("val-3", "train", "train-1"),
        ("val-2", "val", "val-1"),
    ]
    assert found.counts() == {"train": 1, "test": 0, "val": 1}
    assert found.says() == [
        "1 image of val is a near-duplicate of an image of train.",
        "1 image of val is a near-duplicate of another one.",
        "Copies in another size or quality are found; parts of images and mirror images are not.",
    ]
    (leak,) = found.leaks()
    assert leak.startswith("1 image of val is a near-duplicate of an image of train (see Data)")
    pictures = found.pictures()
    assert pictures.keys() == {each["picture"] for each in found.entries()}
    assert all(uri.startswith("data:image/jpeg;base64,") for uri in pictures.values())


def test_nothing_found_is_said_too() -> None:
    val, train = split_of("val", [scene(0)]), split_of("train", [scene(1), scene(2)])
    found = find_copies("val", val, looks_of(val), {"train": train})
    assert found.says()[0] == "No image of val is a near-duplicate of another one of val or train."
    assert found.leaks() == found.entries() == []
    empty = find_copies("val", split_of("val", []), {}, {})
    assert empty.says()[0] == "No image of val is a near-duplicate of another one of val."


def clock_of(step: float) -> Callable[[], float]:
    """A clock that goes on by so many seconds each time that somebody looks."""
    now = [0.0]

    def clock() -> float:
        now[0] += step
        return now[0]

    return clock


def test_when_the_time_is_over_it_says_how_many_images_were_compared() -> None:
    val = split_of("val", [scene(0)])
    train = split_of("train", [scene(i + 1, side=24) for i in range(3 * CHUNK)])
    found = find_copies("val", val, looks_of(val), {"train": train}, seconds=4, clock=clock_of(1))
    assert 0 < found.seen["train"] < 3 * CHUNK
    assert found.seen["train"] % CHUNK == 0
    line = f"Of the {3 * CHUNK:,} images of train, {found.seen['train']:,} could be compared"
    assert any(said.startswith(line) for said in found.says())
    none = find_copies("val", val, looks_of(val), {"train": train}, seconds=0, clock=clock_of(1))
    assert none.seen == {"train": 0}


class Damaged(Given):
    def __getitem__(self, index: int) -> Sample:
        if index == 0:
            raise DataError("it is damaged")
        if index == 1:
            raise ZeroDivisionError
        return super().__getitem__(index)


def test_images_of_other_splits_that_cannot_be_read_are_left_out() -> None:
    val = split_of("val", [scene(5)])
    train = Damaged(("a",), split_of("train", [scene(0), scene(5), scene(5)]).samples)
    found = find_copies("val", val, looks_of(val), {"train": train})
    assert found.seen == {"train": 1}
    assert [each["of"] for each in found.entries()] == ["train-2"]


def test_only_the_first_pairs_have_pictures() -> None:
    many = MOST_SHOWN + 3
    val = split_of("val", [scene(0)] * (many + 1))
    entries = find_copies("val", val, looks_of(val), {}).entries()
    assert len(entries) == many
    assert [each["picture"] is None for each in entries] == [False] * MOST_SHOWN + [True] * 3


def test_other_splits_are_opened_with_the_same_options(tiny: str, tmp_path: Path) -> None:
    registry.add_path(tiny)
    val = split_of("val", [scene(0)])
    found = other_splits(OpenedSplit(val, tiny, "val", None, {"count": 3}))
    assert {name: len(each) for name, each in found.items()} == {"train": 3}
    assert other_splits(OpenedSplit(val, tiny, "val", None, {"count": 0})) == {}
    assert other_splits(OpenedSplit(val, val, "given")) == {}
    # one file is one split, whatever it is called
    file = tmp_path / "instances.json"
    file.write_text("{}")
    assert other_splits(OpenedSplit(val, "coco", "val", str(file))) == {}
    assert other_splits(OpenedSplit(val, "coco", "val", str(tmp_path / "nowhere"))) == {}


def test_a_split_that_a_reader_of_somebody_else_cannot_open_is_left_out(
    tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.add_path(tiny)

    def fails(*_: object) -> None:
        raise KeyError("boxes")

    monkeypatch.setattr("toolkit.reporting.near_copies.open_dataset", fails)
    assert other_splits(OpenedSplit(split_of("val", [scene(0)]), tiny, "val")) == {}
