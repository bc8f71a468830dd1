from __future__ import annotations

import numpy as np
import pytest
import torch

from toolkit.types import Prediction
from toolkit.visualization.drawing import overlay
from toolkit.visualization.legend import Entry, draw_legend, label_counts, legend_entries

PALETTE = [(0, 0, 0), (200, 30, 30), (30, 200, 30), (30, 30, 200)]
CLASSES = ("ground", "sky", "tree", "car")


def label_map(height: int = 200, width: int = 300) -> torch.Tensor:
    labels = torch.zeros((height, width), dtype=torch.uint8)
    labels[: height // 4] = 2
    labels[0, :5] = 255
    return labels


def test_classes_that_are_there_have_an_entry_the_largest_first() -> None:
    entries = legend_entries(label_map(), CLASSES, PALETTE)
    assert entries == [Entry("ground", (0, 0, 0)), Entry("tree", (30, 200, 30))]
    assert legend_entries(torch.full((3, 3), 255, dtype=torch.uint8), CLASSES, PALETTE) == []
    assert [entry.text for entry in legend_entries(torch.full((3, 3), 9, dtype=torch.uint8), (), ())] == ["9"]


def test_pixels_are_counted_exactly_whatever_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = torch.randint(0, 256, (50, 33), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    want = torch.bincount(labels.flatten(), minlength=256).tolist()
    assert label_counts(labels) == want
    assert label_counts(labels.T) == want
    monkeypatch.setattr("toolkit.visualization.legend._EXACT", 70)  # so that it takes several bands
    assert label_counts(labels) == want
    monkeypatch.undo()
    huge = torch.zeros((1, 1), dtype=torch.uint8).expand(4097, 4097)
    assert label_counts(huge)[0] == 4097 * 4097


def test_a_legend_stands_in_the_corner_and_has_the_colors() -> None:
    picture = np.full((200, 300, 3), 90, np.uint8)
    assert draw_legend(picture, [Entry("tree", (30, 200, 30)), Entry("car", (30, 30, 200))])
    changed = np.argwhere((picture != 90).any(axis=2))
    assert changed[:, 0].min() >= 100
    assert changed[:, 1].max() < 150
    assert changed[:, 0].max() == 199
    assert changed[:, 1].min() == 0
    for color in ((30, 200, 30), (30, 30, 200), (255, 255, 255)):
        assert (picture == color).all(axis=2).any(), color


def test_no_room_for_all_entries_says_how_many_more(monkeypatch: pytest.MonkeyPatch) -> None:
    from toolkit.visualization.labels import Lettering

    written: list[str] = []
    write = Lettering.write

    def noting(self: Lettering, picture: object, text: str, *rest: object) -> None:
        written.append(text)
        write(self, picture, text, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Lettering, "write", noting)
    many = [Entry(f"class {i}", (i, i, i)) for i in range(150)]
    assert draw_legend(np.zeros((120, 400, 3), np.uint8), many)
    shown = len(written) - 1
    assert 0 < shown < 150
    assert written[:shown] == [f"class {i}" for i in range(shown)]
    assert written[-1] == f"and {150 - shown} more"


def test_a_picture_too_small_to_read_a_name_in_stays_as_it_is() -> None:
    for size in ((5, 5), (20, 300), (300, 20)):
        picture = np.full((*size, 3), 7, np.uint8)
        assert not draw_legend(picture, [Entry("background", (1, 2, 3))])
        assert (picture == 7).all()
    assert not draw_legend(np.zeros((100, 100, 3), np.uint8), [])


def test_overlays_have_it_where_it_is_wanted() -> None:
    image, labels = torch.full((3, 200, 300), 90, dtype=torch.uint8), label_map()
    prediction = Prediction("a", (200, 300), labels)
    plain = overlay(image, prediction, CLASSES, PALETTE)
    legend = overlay(image, prediction, CLASSES, PALETTE, legend=True)
    assert (plain[:100] == legend[:100]).all()
    assert not (plain[100:, :150] == legend[100:, :150]).all()
    objects = Prediction("a", (200, 300), extras={"other": 1})
    assert (overlay(image, objects, CLASSES, PALETTE, legend=True) == image.permute(1, 2, 0).numpy()).all()
