"""Lines of YOLO's label files: polygons, boxes, both in one image, and poses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from toolkit.data.notes import noting
from toolkit.errors import DataError
from toolkit.formats.regions import to_instances
from toolkit.formats.yolo import YoloSet
from toolkit.formats.yolo_labels import yolo_regions
from toolkit.types import Instances

SIZE = (40, 80)
TRIANGLE = "1 0.1 0.1 0.5 0.1 0.5 0.6"
BOX = "0 0.5 0.5 0.25 0.5"


def read(folder: Path, *lines: str, keypoints: tuple[int, int] | None = None) -> Instances:
    path = folder / "a.txt"
    path.write_text("\n".join(lines))
    yolo = YoloSet(folder / "data.yaml", {}, ("cat", "dog"), keypoints)
    return to_instances(yolo_regions(path, SIZE, yolo), SIZE, keypoints[0] if keypoints else 0)


def test_boxes_and_polygons_in_one_image_are_boxes(tmp_path: Path) -> None:
    alone = read(tmp_path, TRIANGLE)
    with noting() as notes:
        both = read(tmp_path, TRIANGLE, BOX, BOX)
    assert both.masks is None
    assert both.labels.tolist() == [1, 0, 0]
    assert both.boxes_xyxy.tolist()[0] == alone.boxes_xyxy.tolist()[0]
    assert both.boxes_xyxy.tolist()[1] == [30, 10, 50, 30]
    assert list(notes.values()) == [1]
    with noting() as none:
        assert read(tmp_path, BOX).masks is None
        assert read(tmp_path, TRIANGLE).masks is not None
    assert not none


def test_poses_with_visibility(tmp_path: Path) -> None:
    line = "1 0.5 0.5 0.5 0.5 0.25 0.5 2 0.75 0.6 1 0.9 0.9 0"
    found = read(tmp_path, line, BOX, keypoints=(3, 3))
    assert found.masks is None
    np.testing.assert_allclose(found.boxes_xyxy.numpy(), [[20, 10, 60, 30], [30, 10, 50, 30]])
    assert found.keypoints is not None
    np.testing.assert_allclose(found.keypoints[0].numpy(), [[20, 20, 2], [60, 24, 1], [0, 0, 0]], atol=1e-4)
    assert not found.keypoints[1].any()


def test_poses_without_visibility(tmp_path: Path) -> None:
    found = read(tmp_path, "0 0.5 0.5 0.5 0.5 0.25 0.5 0 0 -1 -1", keypoints=(3, 2))
    assert found.keypoints is not None
    np.testing.assert_allclose(found.keypoints[0].numpy(), [[20, 20, 2], [0, 0, 0], [0, 0, 0]])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (TRIANGLE, r"has 6 numbers after the class; expected 4 of the box and 2 x 3 of keypoints, since"),
        ("0 .5 .5 .2 .2 .4 .4 .6 .6", "has 8 numbers after the class"),
        ("0 .5 .5 .2 .2 .4 .4 3 .6 .6 1", "has 3 as the visibility of a keypoint; expected 0, 1 or 2"),
        ("0 .5 .5 .2 .2 40 .4 1 .6 .6 1", "has 40; expected fractions of the width and height"),
        ("0 .5 .5 .2 .2 1.2 .4 1 .6 .6 1", "reaches 96, outside the image of 80 x 40"),
    ],
)
def test_faulty_poses(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path, line, keypoints=(2, 3))
    assert str(caught.value).startswith(f"{tmp_path / 'a.txt'}, line 1")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 0.9 0.5 0.5 0.5", "reaches 92, outside the image of 80 x 40 pixels: 1 of 2 points"),
        ("0 0.2 0.2 1.2 0.2 1.2 0.9", "reaches 96, outside the image"),
        ("0 0.2 0.2 inf 0.2 0.2 0.9", "has inf; expected fractions"),
    ],
)
def test_lines_that_reach_out_of_the_image(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path, line)
    assert "turned" not in str(caught.value)


def test_rounding_is_forgiven(tmp_path: Path) -> None:
    found = read(tmp_path, "0 0.93 0.5 0.2 0.5")
    np.testing.assert_allclose(found.boxes_xyxy.numpy(), [[66.4, 10, 80, 30]], rtol=1e-6)
