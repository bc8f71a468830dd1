"""The files of one prediction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from toolkit.data.label_values import LabelValues
from toolkit.inference.prediction_files import PredictionFiles
from toolkit.types import Instances, Masks, Prediction, Sample

PALETTE = ((0, 0, 0), (250, 10, 10))
SAMPLE = Sample("a", torch.full((3, 6, 8), 100, dtype=torch.uint8))


def files_in(folder: Path, values: LabelValues | None = None, *, overlays: bool = True) -> PredictionFiles:
    return PredictionFiles(
        folder,
        ("rock", "sky"),
        PALETTE,
        values or LabelValues.indexes(2),
        overlays=overlays,
        draw_above=0.5,
    )


@pytest.mark.parametrize(
    ("values", "expected"),
    [(None, [0, 1, 255]), (LabelValues((7, 3), 0), [7, 3, 0])],
    ids=["index", "dataset"],
)
def test_label_images_have_their_values_and_a_table_of_them(
    values: LabelValues | None, expected: list[int], tmp_path: Path
) -> None:
    label_map = torch.tensor([[0, 1, 255]], dtype=torch.uint8).repeat_interleave(2, 0)
    outputs: dict[str, str] = {}
    files_in(tmp_path, values, overlays=False).write(
        "deep/a", SAMPLE, Prediction("a", (2, 3), label_map=label_map), outputs
    )
    assert outputs == {"label_map": "labels/deep/a.png"}
    written = Image.open(tmp_path / outputs["label_map"])
    assert np.asarray(written).tolist() == [expected, expected]
    table = (tmp_path / "labels" / "classes.csv").read_text()
    assert all(str(value) in table for value in expected[:2])


def test_only_objects_above_the_score_are_drawn_and_all_are_written(tmp_path: Path) -> None:
    square = np.zeros((2, 6, 8), bool)
    square[0, :3], square[1, 3:] = True, True
    drawn = {}
    for name, scores in {"one": (0.9, 0.2), "none": (0.4, 0.2)}.items():
        objects = Instances(
            (6, 8),
            boxes_xyxy=torch.tensor([[0.0, 0, 8, 3], [0, 3, 8, 6]]),
            labels=torch.tensor([0, 1]),
            masks=Masks.from_dense(square),
            scores=torch.tensor(scores),
        )
        outputs: dict[str, str] = {}
        files_in(tmp_path).write(name, SAMPLE, Prediction("a", (6, 8), instances=objects), outputs)
        assert set(outputs) == {"instances", "overlay"}
        assert (tmp_path / outputs["instances"]).read_text().count('"score"') == 2
        drawn[name] = np.asarray(Image.open(tmp_path / outputs["overlay"])).astype(int)
    assert np.abs(drawn["none"] - 100).max() < 8
    assert np.abs(drawn["one"] - 100).max() > 30
