"""Chunks: every image once, whole batches, and images that processes die with come back alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.cluster.handout import DEATHS, MOST, HandOut
from toolkit.inference.inputs import InputImage


def images(count: int) -> list[InputImage]:
    return [InputImage(Path(f"{i}.png"), f"{i}.png", str(i)) for i in range(count)]


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("count", [0, 1, 4, 5, 1000])
@pytest.mark.parametrize("step", [1, 4])
def test_every_image_goes_out_once_in_order(count: int, step: int, known: bool) -> None:
    hand_out = HandOut(iter(images(count)), step=step, total=count if known else None, workers=3)
    chunks = []
    while not hand_out.is_empty():
        chunks.append(hand_out.take(100.0))
    assert [image for chunk in chunks for image in chunk] == images(count)
    assert all(len(chunk) % step == 0 for chunk in chunks[:-1])
    assert hand_out.take(100.0) == []


def test_chunks_follow_the_pace_and_shrink_at_the_end() -> None:
    hand_out = HandOut(images(10_000), step=4, total=10_000, workers=2)
    assert len(hand_out.take(None)) == 4
    assert len(hand_out.take(30.0)) == 60
    assert len(hand_out.take(1e6)) == MOST
    last = [0]
    while not hand_out.is_empty():
        last.append(len(hand_out.take(1e6)))
    assert last[-1] <= 4


def test_an_endless_list_is_never_read_ahead() -> None:
    taken = 0

    def endless() -> object:
        nonlocal taken
        while True:
            taken += 1
            yield images(1)[0]

    hand_out = HandOut(endless(), step=4, total=None, workers=2)  # type: ignore[arg-type]
    hand_out.take(None)
    assert not hand_out.is_empty()
    assert taken <= 5


def test_images_of_a_dead_process_come_back_alone_and_are_given_up_at_last() -> None:
    hand_out = HandOut(images(4), step=4, total=4, workers=1)
    chunk = hand_out.take(None)
    assert hand_out.give_back(chunk, died=True) == []
    for _ in range(DEATHS - 1):
        first = hand_out.take(None)
        assert len(first) == 1
        assert hand_out.give_back(first, died=True) == []
    waiting = []
    given_up = []
    while not hand_out.is_empty():
        one = hand_out.take(None)
        waiting += one
        if one == images(1):
            given_up += hand_out.give_back(one, died=True)
    assert given_up == images(1)
    assert sorted(image.name for image in waiting) == [image.name for image in images(4)]


def test_a_chunk_that_had_not_begun_is_not_blamed() -> None:
    hand_out = HandOut(images(1), step=1, total=1, workers=1)
    for _ in range(10):
        assert hand_out.give_back(hand_out.take(None), died=False) == []
    assert len(hand_out.take(None)) == 1
