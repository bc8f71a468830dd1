"""What the reader of LabelMe's files promises: shapes with an area become objects, groups one object, and
faults name file and shape.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from toolkit import registry
from toolkit.data.dataset import Dataset, open_dataset, unread
from toolkit.data.faults import gathering
from toolkit.data.notes import noting
from toolkit.errors import DataError, MissingSplitError

SIZE = (9, 12)
SQUARE = [[2, 1], [5, 1], [5, 7], [2, 7]]


def labelme(folder: Path, split: str = "train", **options: Any) -> Dataset:
    return open_dataset(registry.datasets().get("labelme"), folder, split, options)


def shape(points: Any, kind: str | None = "polygon", label: str = "cat", **fields: Any) -> dict[str, Any]:
    return {"label": label, "points": points, "group_id": None, "shape_type": kind, "flags": {}} | fields


def put(folder: Path, *shapes: Any, name: str = "a", **fields: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / f"{name}.png"), np.full((*SIZE, 3), 90, np.uint8))
    path = folder / f"{name}.json"
    data = {
        "version": "5.5.0",
        "shapes": list(shapes),
        "imagePath": f"{name}.png",
        "imageData": None,
        "imageHeight": 9,
        "imageWidth": 12,
    }
    path.write_text(json.dumps(data | fields))
    return path


def masks(folder: Path, *shapes: Any) -> np.ndarray:
    put(folder / "train", *shapes)
    return labelme(folder)[0].instances.masks.dense().numpy()


def box(x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[y0:y1, x0:x1] = True
    return mask


def png(mask: np.ndarray) -> str:
    return base64.b64encode(cv2.imencode(".png", mask.astype(np.uint8) * 255)[1].tobytes()).decode()


def test_shapes(tmp_path: Path) -> None:
    ring = np.ones((4, 5), bool)
    ring[1:3, 1:4] = False
    found = masks(
        tmp_path,
        shape(SQUARE),
        shape(SQUARE, kind=None),
        shape([[8, 6], [3, 2]], "rectangle"),
        shape([[6, 4.5], [6, 7.7]], "circle"),
        shape([[3, 2], [7, 5]], "mask", mask=png(ring)),
    )
    ys, xs = np.mgrid[0.5:9, 0.5:12]
    pasted = np.zeros(SIZE, bool)
    pasted[2:6, 3:8] = ring
    expected = [box(2, 1, 5, 7), box(2, 1, 5, 7), box(3, 2, 8, 6), np.hypot(xs - 6, ys - 4.5) <= 3.2, pasted]
    assert np.array_equal(found, np.stack(expected))


def test_groups_are_one_object(tmp_path: Path) -> None:
    rest = [[8, 1], [10, 1], [10, 4], [8, 4]]
    put(
        tmp_path / "train",
        shape(SQUARE, group_id=1),
        shape(SQUARE, group_id=None),
        shape(rest, group_id=1),
        shape(rest, group_id=1, label="dog"),
        shape([[9, 6], [11, 6]], "circle", group_id=2),
        shape([[0, 6], [2, 9]], "rectangle", group_id=2),
    )
    sample = labelme(tmp_path)[0]
    assert sample.instances.labels.tolist() == [0, 0, 1, 0]
    first, second, third, fourth = sample.instances.masks.dense().numpy()
    assert np.array_equal(first, box(2, 1, 5, 7) | box(8, 1, 10, 4))
    assert np.array_equal(second, box(2, 1, 5, 7))
    assert np.array_equal(third, box(8, 1, 10, 4))
    assert fourth[6:9, 0:2].all()
    assert fourth[5, 9]
    assert not fourth[2, 9]


def test_classes(tmp_path: Path) -> None:
    put(tmp_path / "train", shape(SQUARE, label="dog"))
    put(tmp_path / "val", shape(SQUARE, label="cat"), name="sub.1")
    assert labelme(tmp_path).classes == ("cat", "dog") == labelme(tmp_path, "val").classes
    assert labelme(tmp_path, "val").ids == ("sub.1",)
    (tmp_path / "labels.txt").write_text("__ignore__\n_background_\ndog\ncat\n")
    assert labelme(tmp_path).classes == ("dog", "cat")
    assert labelme(tmp_path, classes=["bird", "dog"])[0].instances.labels.tolist() == [1]
    with pytest.raises(DataError, match=r"a.json: shape 0 \(dog\) has no known class; expected one of bird"):
        labelme(tmp_path, classes=["bird"])[0]
    (tmp_path / "labels.txt").write_text("dog\ndog\n")
    with pytest.raises(DataError, match=r"labels.txt lists the class 'dog' twice"):
        labelme(tmp_path)
    with pytest.raises(MissingSplitError, match=r"test does not exist.*set test=FOLDER"):
        labelme(tmp_path, "test")
    assert len(labelme(tmp_path, "test", test="val", classes=["cat"])) == 1


def test_images_are_found(tmp_path: Path) -> None:
    put(tmp_path / "train", imagePath="..\\train\\a.png")
    assert len(labelme(tmp_path)[0].instances) == 0
    put(tmp_path / "train", imagePath="C:\\photos\\IMG.JPG")
    assert labelme(tmp_path)[0].path == str(tmp_path / "train" / "a.png")
    (tmp_path / "train" / "a.png").unlink()
    with pytest.raises(DataError, match=r"a.json names the image .*IMG.JPG, which is in none of .*train"):
        labelme(tmp_path)[0]


def test_shapes_without_an_area(tmp_path: Path) -> None:
    for kind in ("point", "points", "line", "linestrip"):
        put(tmp_path / "train", shape(SQUARE), shape([[1, 2], [3, 4]], kind))
        with pytest.raises(
            DataError, match=rf"a.json: shape 1 \(cat\) is a {kind}, which has no area.*other_shapes=skip"
        ):
            labelme(tmp_path)[0]
        assert len(labelme(tmp_path, other_shapes="skip")[0].instances) == 1


@pytest.mark.parametrize(
    ("faulty", "message"),
    [
        (shape([[1, 2], [3, 4]]), "the polygon has 4 numbers"),
        (shape([[1, 2], [3, 4], [5]]), r"points must be a list of \[x, y\]"),
        (shape("1,2"), "points must be a list"),
        (shape([[1, 2], [3, float("nan")], [5, 6]]), "points has nan"),
        (shape([[1, 2], [300, 4], [5, 6]]), "reaches 300, outside"),
        (shape([[1, 2]], "circle"), "a circle has two points, not 1"),
        (shape([[1, 2], [1, 2]], "circle"), "do not form an ellipse"),
        (shape([[1, 2], [1, 5]], "rectangle"), "covers no pixel"),
        (shape([[1, 2], [3, 5]], "cuboid"), "is a 'cuboid', which is unknown"),
        (shape([[1, 2], [3, 5]], "mask", mask="no"), "mask must be a gray PNG in base 64"),
        (shape([[1, 2], [3, 5]], "mask"), "mask must be a gray PNG"),
        (shape([[10, 2], [14, 5]], "mask", mask=png(np.ones((4, 5)))), "extends beyond the image of 12 x 9"),
    ],
)
def test_faults_name_file_and_shape(tmp_path: Path, faulty: Any, message: str) -> None:
    path = put(tmp_path / "train", shape(SQUARE), faulty)
    with pytest.raises(DataError, match=message) as caught:
        labelme(tmp_path)[0]
    assert str(caught.value).startswith(f"{path}: shape 1 (cat)")


def test_faults_of_files(tmp_path: Path) -> None:
    put(tmp_path / "train", imageHeight=10)
    with pytest.raises(
        DataError, match=r"a.json: its image should have 12 x 10 pixels, but the file has 12 x 9"
    ):
        labelme(tmp_path)[0]
    for wrong in ("", "9", [], {}, 9.5):
        put(tmp_path / "train", imageHeight=wrong)
        with pytest.raises(DataError, match="as the height of the image; expected a whole number of pixels"):
            labelme(tmp_path)[0]
    for unknown in (None, 0):
        put(tmp_path / "train", shape(SQUARE), imageHeight=unknown, imageWidth=unknown)
        assert len(labelme(tmp_path)[0].instances) == 1
    for data, message in (
        ([], "is not a LabelMe file"),
        ({"shapes": [{}], "imagePath": "a.png"}, "shape 0 has None as a class name"),
    ):
        (tmp_path / "train" / "a.json").write_text(json.dumps(data))
        with pytest.raises(DataError, match=message):
            labelme(tmp_path)
    (tmp_path / "train" / "a.json").unlink()
    with pytest.raises(DataError, match=r"train contains no LabelMe files"):
        labelme(tmp_path)


def test_labels_that_are_no_classes(tmp_path: Path) -> None:
    put(
        tmp_path / "train",
        shape(SQUARE, label=" cat"),
        shape(SQUARE, label="cat"),
        shape(SQUARE, label="__ignore__"),
        shape([[1, 1]], "point", label="_background_"),
    )
    dataset = labelme(tmp_path)
    assert dataset.classes == ("cat",)
    with noting() as notes:
        assert len(dataset[0].instances) == 2
    assert sum(notes.values()) == 2
    put(tmp_path / "train", shape(SQUARE), shape(SQUARE, label=" "))
    with pytest.raises(DataError, match=r"a.json: shape 1 has an empty class name"):
        labelme(tmp_path)


def test_names_with_brackets_are_no_patterns(tmp_path: Path) -> None:
    put(tmp_path / "train", name="x[ab]", imagePath="lost.png")
    put(tmp_path / "train", name="xa")
    dataset = labelme(tmp_path)
    assert [Path(dataset[i].path or "").name for i in range(2)] == ["x[ab].png", "xa.png"]


def test_a_file_that_names_one_image_and_is_called_like_another(tmp_path: Path) -> None:
    put(tmp_path / "train", shape(SQUARE), name="first")
    path = put(tmp_path / "train", shape(SQUARE), name="second", imagePath="first.png")
    with pytest.raises(DataError) as caught:
        labelme(tmp_path)[1]
    assert str(caught.value).startswith(f"{path} names the image first.png, but second.png has the same name")
    (tmp_path / "train" / "second.png").unlink()
    assert Path(labelme(tmp_path)[1].path or "").name == "first.png"


def test_several_images_of_the_name_of_a_file(tmp_path: Path) -> None:
    put(tmp_path / "train", imagePath="lost.png")
    cv2.imwrite(str(tmp_path / "train" / "a.bmp"), np.zeros((*SIZE, 3), np.uint8))
    with pytest.raises(DataError, match=r"2 images next to it have the same name: a.bmp, a.png. Hint"):
        labelme(tmp_path)[0]


def test_a_check_names_what_is_lost_and_what_is_double(tmp_path: Path) -> None:
    for name in "abcd":
        put(tmp_path / "train", shape(SQUARE), name=name)
    put(tmp_path / "train", shape(SQUARE), name="copy", imagePath="a.png")
    (tmp_path / "train" / "copy.png").unlink()
    for name in ("b.png", "c.json"):
        (tmp_path / "train" / name).unlink()
    with gathering() as faults, noting() as notes:
        assert labelme(tmp_path).ids == ("a", "copy", "d")
    assert len(faults) == 2
    assert "b.json names the image b.png" in faults[0]
    assert "a.json and" in faults[1]
    assert dict(notes) == {"images without a LabelMe file are left out": 1}


def test_other_names_of_splits_and_what_is_no_data(tmp_path: Path) -> None:
    put(tmp_path / "validation", shape(SQUARE))
    put(tmp_path / "validation" / ".ipynb_checkpoints", name="a-checkpoint")
    (tmp_path / "validation" / "._a.json").write_bytes(b"\0")
    put(tmp_path / "extra", shape(SQUARE))
    (tmp_path / "pictures").mkdir()
    assert labelme(tmp_path, "val").ids == ("a",)
    assert unread(registry.datasets().get("labelme"), tmp_path) == ["extra/"]


def test_objects_outside_of_the_image_can_be_cut_off(tmp_path: Path) -> None:
    wide = [[2, 1], [20, 1], [20, 7], [2, 7]]
    put(tmp_path / "train", shape(SQUARE, group_id=1), shape(wide, group_id=1))
    with pytest.raises(DataError, match=r"shape 1 \(cat\) reaches 20, outside the image of 12 x 9"):
        labelme(tmp_path)[0]
    [mask] = labelme(tmp_path, outside="clip")[0].instances.masks.dense().numpy()
    assert np.array_equal(mask, box(2, 1, 12, 7))
