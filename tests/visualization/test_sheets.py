"""Contact sheets: a cell for everything, a legend, and no column without need."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from drawing_cases import CLASSES, PALETTE, gray, objects

from toolkit.data.images import image_size, read_image
from toolkit.types import Prediction, Sample
from toolkit.visualization.drawing import BLEND
from toolkit.visualization.sheets import contact_sheet, grid_sheet


def test_contact_sheet_shows_every_cell_and_a_legend(tmp_path: Path) -> None:
    size = (60, 100)
    truth = Sample("a", gray(*size, value=200), label_map=torch.full(size, 1, dtype=torch.uint8))
    prediction = Prediction("a", size, label_map=torch.full(size, 2, dtype=torch.uint8))
    path = tmp_path / "new" / "sheet.png"
    tall = Prediction("b", (30, 10), label_map=torch.full((30, 10), 2, dtype=torch.uint8))
    rows = [(gray(*size, value=200), truth, prediction), (gray(30, 10), None, tall)]
    contact_sheet(
        rows,
        path,
        classes=CLASSES,
        palette=PALETTE,
        titles=["first", "second, with a title that is far too long " * 9],
        cell=200,
    )
    sheet = read_image(path).permute(1, 2, 0).numpy()
    assert sheet.shape[1] == 5 + 3 * 205
    for column, color in enumerate([(200,) * 3, PALETTE[1], PALETTE[2]]):
        want = color if column == 0 else np.round((1 - BLEND) * 200 + BLEND * np.array(color))
        cells = sheet[:, 5 + column * 205 : 205 + column * 205]
        assert (np.abs(cells.astype(int) - np.array(want)).max(axis=2) <= 1).sum() >= 0.9 * 200 * 120
    legend = sheet[-40:]
    for color in PALETTE:
        assert (legend == np.array(color)).all(axis=2).any()


def test_the_truth_is_shown_as_what_the_prediction_is(tmp_path: Path) -> None:
    size = (80, 120)
    mask = np.zeros(size, bool)
    mask[20:60, 30:90] = True
    label_map = torch.full(size, 1, dtype=torch.uint8)
    both = Sample("a", gray(), label_map=label_map, instances=objects(size, mask, labels=[2]).instances)
    semantic, found = both.with_(instances=None), both.with_(label_map=None)
    for prediction in (semantic, found, both):
        sheets = []
        for truth in (both, prediction):
            contact_sheet([(gray(), truth, prediction)], tmp_path / "s.png", classes=CLASSES, palette=PALETTE)
            sheets.append(read_image(tmp_path / "s.png"))
        assert torch.equal(*sheets)


def test_subtitles_are_second_lines_and_no_classes_need_no_legend(tmp_path: Path) -> None:
    def height(**words: Sequence[str]) -> int:
        row = [(gray(60, 100), None)]
        sheet = grid_sheet(["image"], [row, row], tmp_path / "s.png", palette=PALETTE, cell=200, **words)
        return sheet.shape[0]

    plain = height(classes=(), titles=["a", "b"])
    one, both = (height(classes=(), titles=["a", "b"], subtitles=lines) for lines in (["c", ""], ["c", "d"]))
    assert plain < one < both
    assert both - one == one - plain
    assert height(classes=CLASSES, titles=["a", "b"]) > plain


def test_without_any_truth_there_is_no_column_for_it(tmp_path: Path) -> None:
    prediction = Prediction("a", (60, 100), label_map=torch.zeros((60, 100), dtype=torch.uint8))
    contact_sheet(
        [(gray(60, 100), None, prediction)], tmp_path / "s.jpg", classes=CLASSES, palette=PALETTE, cell=200
    )
    assert image_size(tmp_path / "s.jpg")[1] == 5 + 2 * 205
