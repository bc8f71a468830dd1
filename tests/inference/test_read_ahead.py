"""Parts of an image, read while others are predicted."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import Tensor

from toolkit.errors import ImageError
from toolkit.inference.read_ahead import ReadAhead
from toolkit.types.pixel_runs import Rectangle

PLACES = [Rectangle(i, 0, i + 1, 2) for i in range(6)]


def test_parts_come_in_order_and_a_few_are_ahead() -> None:
    read, ready = [], threading.Event()

    def reading(place: Rectangle) -> Tensor:
        read.append(place.top)
        if len(read) >= 3:
            ready.set()
        return torch.full((3, 1, 2), place.top)

    with ReadAhead(reading, PLACES, 2) as parts:
        assert int(parts(PLACES[0])[0, 0, 0]) == 0
        assert ready.wait(30)
        assert read == [0, 1, 2], "two ahead, and not all"
        for place in PLACES[1:]:
            assert int(parts(place)[0, 0, 0]) == place.top
        assert parts.count == 6
        with pytest.raises(ValueError, match="is not the next part"):
            parts(PLACES[0])


def test_errors_come_when_the_part_is_asked_for() -> None:
    def reading(place: Rectangle) -> Tensor:
        if place.top == 1:
            raise ImageError("cut off")
        return torch.zeros(3, 1, 2)

    with ReadAhead(reading, PLACES, 3) as parts:
        parts(PLACES[0])
        with pytest.raises(ImageError, match="cut off"):
            parts(PLACES[1])
