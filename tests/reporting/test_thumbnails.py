"""Small pictures of a place in an image."""

from __future__ import annotations

import base64

import cv2
import numpy as np
import pytest
import torch
from report_cases import A, B, gray, objects

from toolkit.reporting.thumbnails import GAP, SIDE, cropped, side_by_side, thumbnail, window
from toolkit.types import Prediction, Sample
from toolkit.visualization.palettes import class_palette

CLASSES = ("a", "b")
PALETTE = class_palette(CLASSES)


def decoded(uri: str) -> np.ndarray:
    head, _, code = uri.partition(",")
    assert head == "data:image/jpeg;base64"
    return cv2.imdecode(np.frombuffer(base64.b64decode(code), np.uint8), cv2.IMREAD_COLOR)


def picture(sample: Sample, prediction: Prediction, box: tuple[float, ...] | None) -> np.ndarray:
    return decoded(thumbnail(sample, prediction, box, CLASSES, PALETTE))  # type: ignore[arg-type]


@pytest.mark.parametrize("box", [None, A, (0.0, 0.0, 0.0, 0.0), (-5.0, -5.0, 500.0, 500.0)])
def test_label_and_prediction_are_side_by_side(box: tuple[float, ...] | None) -> None:
    sample = gray("one").with_(instances=objects([(0, A)]))
    shown = picture(sample, Prediction("one", sample.size, instances=objects([(1, B)], [0.9])), box)
    assert shown.shape[1] == 2 * SIDE + GAP
    assert shown.shape[0] <= SIDE


def test_the_prediction_is_on_the_right() -> None:
    sample = gray("one").with_(instances=objects([]))
    shown = picture(sample, Prediction("one", sample.size, instances=objects([(1, A)], [0.9])), None)
    left, right = shown[:, :SIDE].astype(int), shown[:, -SIDE:].astype(int)
    assert np.abs(left - 128).max() < 10
    assert np.abs(right - 128).max() > 60


def test_only_what_the_prediction_has_is_drawn_of_the_truth() -> None:
    label_map = torch.zeros(64, 80, dtype=torch.uint8)
    sample = gray("one").with_(instances=objects([(1, A)]), label_map=label_map)
    shown = picture(sample, Prediction("one", sample.size, label_map), None)
    assert np.abs(shown[:, :SIDE].astype(int) - shown[:, -SIDE:].astype(int)).max() < 12


def test_the_window_shows_the_place_and_stays_in_the_image() -> None:
    assert window((100, 300), None) == (0, 0, 300, 100)
    x0, y0, x1, y1 = window((1000, 3000), (2900, 10, 3000, 110))
    assert (x0, y0, x1, y1) == (2750, 0, 3000, 250)
    for box in [(0, 0, 1, 1), (299, 99, 300, 100), (0, 0, 300, 100), (-10, -10, -5, -5)]:
        x0, y0, x1, y1 = window((100, 300), box)
        assert 0 <= x0 < x1 <= 300
        assert 0 <= y0 < y1 <= 100


def test_objects_are_cropped_with_their_masks() -> None:
    instances = objects([(0, A), (1, B)], [0.5, 0.6])
    inside = cropped(instances, (10, 0, 42, 20))
    assert inside.size == (20, 32)
    assert inside.boxes_xyxy.tolist() == [[0, 5, 15, 20], [30, 5, 32, 20]]
    assert inside.masks is not None
    assert instances.masks is not None
    assert inside.masks.dense().tolist() == instances.masks.dense()[:, :20, 10:42].tolist()
    assert len(cropped(instances, (62, 30, 70, 40))) == 0


def test_images_of_any_sizes_stand_side_by_side() -> None:
    sizes = [(40, 80), (300, 200), (5, 1000)]
    images = [torch.full((3, *size), 90, dtype=torch.uint8) for size in sizes]
    shown = decoded(side_by_side(images))
    assert shown.shape == (SIDE, 3 * SIDE + 2 * GAP, 3)
    assert abs(int(shown[SIDE // 4, SIDE // 2].mean()) - 90) < 5
    assert shown[SIDE - 5, SIDE // 2].min() > 250, "what an image does not fill is white"
    assert decoded(side_by_side(images[:1])).shape == (SIDE // 2, SIDE, 3)
