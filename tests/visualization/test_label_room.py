"""Room for labels: as counted pixel by pixel, and the same pictures with and without looking for it."""

from __future__ import annotations

import numpy as np
import pytest

from toolkit.visualization import label_room, labels
from toolkit.visualization.label_room import room_around
from toolkit.visualization.labels import Caption, fitting_letters, place_labels


@pytest.mark.parametrize("seed", range(8))
def test_room_is_where_no_pixel_is_covered(seed: int) -> None:
    rng = np.random.default_rng(seed)
    covered = (rng.random((60, 90)) < 0.03).astype(np.uint8)
    x0, y0, x1, y1 = np.sort(rng.integers(0, 60, (2, 2)), axis=0).ravel().tolist()
    patches = [(12, 5), (7, 4), (20, 9)]
    room = room_around(np.array([x0, y0, x1, y1]), covered, patches, 2)
    assert room is not None
    for width, height in patches:
        corners = [
            (x, y)
            for y in range(max(0, y0 - 2 * height - height), min(y1 + 2 * height, 60 - height) + 1)
            for x in range(max(0, x0 - 1 - width), min(x1 + 1, 90 - width) + 1)
        ]
        free = [not covered[y : y + height, x : x + width].any() for x, y in corners]
        assert room.are_free(np.array(corners), width, height).tolist() == free
        assert room.has_place_for(width, height, 2 * height) == any(free)


def test_a_part_that_is_too_large_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_room, "MOST_AROUND", 10)
    covered = np.zeros((60, 90), np.uint8)
    assert room_around(np.array([0, 0, 50, 50]), covered, [(5, 5)], 2) is None
    monkeypatch.setattr(label_room, "MOST_AROUND", 1000)
    room = room_around(np.array([0, 0, 50, 50]), covered + np.uint8(1), [(5, 5)], 2)
    assert room is not None
    assert room.has_place_for(5, 5, 10), "not looked for, so corners are tried"


@pytest.mark.parametrize(("size", "extent"), [((200, 260), 0.2), ((90, 300), 0.9), ((400, 300), 0.05)])
def test_pictures_are_the_same_without_looking_for_room(
    size: tuple[int, int], extent: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(size[0])
    captions = []
    for _ in range(150):
        x, y = (int(n) for n in rng.uniform(-0.1, 1, 2) * size[::-1])
        width, height = (int(n) for n in rng.uniform(0, extent, 2) * size[::-1])
        captions.append(
            Caption(str(rng.choice(["cat", "traffic light", ""])), "0.9", (x, y, x + width, y + height))
        )
    found = place_labels(captions, size, fitting_letters(size))
    assert 30 < sum(label is not None for label in found) < 150
    monkeypatch.setattr(labels, "FEW", len(captions))
    assert place_labels(captions, size, fitting_letters(size)) == found
