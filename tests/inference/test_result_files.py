"""The files of one prediction, and which functions write and draw it."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from toolkit import registry
from toolkit.inference.coco_documents import coco_annotations
from toolkit.inference.result_files import write_labels, write_objects
from toolkit.types import Instances, Masks, Prediction
from toolkit.visualization.drawing import draw_label_map, draw_objects

PALETTE = [(0, 0, 0), (10, 20, 30)]


def prediction() -> Prediction:
    dense = torch.zeros((2, 6, 9), dtype=torch.bool)
    dense[0, 1:4, 2:7] = True
    masks = Masks.from_dense(dense)
    found = Instances((6, 9), masks.boxes_xyxy(), torch.tensor([1, 0]), masks, torch.tensor([0.1, 1.0]))
    return Prediction("a", (6, 9), (dense[0]).to(torch.uint8), found)


def test_each_writes_its_own_field(tmp_path: Path) -> None:
    both = prediction()
    assert write_labels(both, tmp_path, "deep/a", PALETTE) == {"label_map": "labels/deep/a.png"}
    assert write_objects(both, tmp_path, "deep/a", PALETTE) == {"instances": "instances/deep/a.json"}
    written = cv2.imread(str(tmp_path / "labels/deep/a.png"), cv2.IMREAD_COLOR)
    assert both.label_map is not None
    assert (written[..., ::-1] == np.array(PALETTE)[both.label_map.numpy()]).all()
    assert both.instances is not None
    assert json.loads((tmp_path / "instances/deep/a.json").read_text()) == coco_annotations(both.instances)


def test_numbers_lose_nothing_of_their_float32() -> None:
    both = prediction()
    assert both.instances is not None
    first, second = coco_annotations(both.instances)
    assert (first["bbox"], first["area"], first["score"], first["category_id"]) == (
        [2.0, 1.0, 5.0, 3.0],
        15,
        0.1,
        2,
    )
    assert (second["area"], second["iscrowd"]) == (0, 0)
    assert np.float32(first["score"]) == np.float32(0.1)


def test_what_is_not_there_is_not_written(tmp_path: Path) -> None:
    both = prediction()
    assert write_labels(Prediction("a", (6, 9), instances=both.instances), tmp_path, "a", PALETTE) == {}
    assert write_objects(Prediction("a", (6, 9), both.label_map), tmp_path, "a", PALETTE) == {}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("fields", "draws", "writes"),
    [
        (["label_map"], [draw_label_map], [write_labels]),
        (["instances"], [draw_objects], [write_objects]),
        (["label_map", "instances"], [draw_label_map, draw_objects], [write_labels, write_objects]),
        (["unheard of"], [], []),
    ],
)
def test_functions_are_those_of_the_tasks_each_once(
    fields: list[str], draws: list[object], writes: list[object]
) -> None:
    assert registry.functions_for("draw", fields) == draws
    assert registry.functions_for("write", fields) == writes
