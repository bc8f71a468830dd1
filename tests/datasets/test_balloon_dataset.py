"""What the reader of VIA's annotations promises: every shape, both versions, and the boxes of an independent
reading of the balloon set.
"""

from __future__ import annotations

import ast
import csv
import json
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from toolkit import registry
from toolkit.data.dataset import Dataset, open_dataset, unread
from toolkit.data.faults import gathering
from toolkit.data.notes import noting
from toolkit.errors import DataError, MissingSplitError
from toolkit.formats.regions import to_instances
from toolkit.types import Sample

TRIANGLE = {"name": "polygon", "all_points_x": [2, 8, 2], "all_points_y": [1, 1, 7]}


def balloons(folder: Path, split: str = "train", **options: Any) -> Dataset:
    return open_dataset(registry.datasets().get("balloon"), folder, split, options)


def region(shape: dict[str, Any], **attributes: Any) -> dict[str, Any]:
    return {"shape_attributes": shape, "region_attributes": attributes}


def put(folder: Path, regions: Any, name: str = "a.jpg") -> None:
    """A photo of 12 x 9 pixels with these regions, in a file of VIA."""
    folder.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / name), np.full((9, 12, 3), 90, np.uint8))
    file = folder / "via_region_data.json"
    data = json.loads(file.read_text()) if file.is_file() else {}
    data[f"{name}123"] = {"filename": name, "size": 123, "regions": regions, "file_attributes": {}}
    file.write_text(json.dumps(data))


def one(folder: Path, shape: dict[str, Any]) -> np.ndarray:
    """The mask of a shape."""
    put(folder / "train", [region(shape)])
    return masks_of(balloons(folder)[0])[0]


def masks_of(sample: Sample) -> np.ndarray:
    assert sample.instances is not None
    assert sample.instances.masks is not None
    return sample.instances.masks.dense().numpy()


@pytest.mark.parametrize("version", [1, 2, "project"])
def test_versions_read_the_same(tmp_path: Path, version: int | str) -> None:
    regions: Any = [region(TRIANGLE), region({"name": "rect", "x": 3, "y": 2, "width": 5, "height": 4})]
    put(tmp_path / "train", {str(i): r for i, r in enumerate(regions)} if version == 1 else regions)
    put(tmp_path / "train", {} if version == 1 else [], "b.jpg")
    file = tmp_path / "train" / "via_region_data.json"
    if version == "project":
        file.write_text(json.dumps({"_via_settings": {}, "_via_img_metadata": json.loads(file.read_text())}))
    dataset = balloons(tmp_path)
    assert dataset.classes == ("balloon",)
    assert dataset.ids == ("a", "b")
    sample = dataset[0]
    assert sample.instances is not None
    assert sample.instances.labels.tolist() == [0, 0]
    assert sample.instances.boxes_xyxy[1].tolist() == [3, 2, 8, 6]
    expected = np.zeros((9, 12), bool)
    expected[2:6, 3:8] = True
    assert np.array_equal(masks_of(sample)[1], expected)
    assert len(dataset[1].instances) == 0


def test_a_polygon_lies_on_the_edges_of_pixels(tmp_path: Path) -> None:
    square = {"name": "polygon", "all_points_x": [2, 5, 5, 2], "all_points_y": [1, 1, 7, 7]}
    mask = one(tmp_path, square)
    assert mask.sum() == 18
    assert mask[1:7, 2:5].all()


def test_a_polyline_encloses_what_it_would_when_closed(tmp_path: Path) -> None:
    first = one(tmp_path / "a", TRIANGLE)
    assert np.array_equal(first, one(tmp_path / "b", TRIANGLE | {"name": "polyline"}))
    closed = {"name": "polyline", "all_points_x": [2, 8, 2, 2], "all_points_y": [1, 1, 7, 1]}
    assert np.array_equal(first, one(tmp_path / "c", closed))
    assert 12 <= first.sum() <= 24


def test_round_shapes(tmp_path: Path) -> None:
    ys, xs = np.mgrid[0.5:9, 0.5:12]
    circle = one(tmp_path / "a", {"name": "circle", "cx": 6, "cy": 4.5, "r": 3.2})
    assert np.array_equal(circle, np.hypot(xs - 6, ys - 4.5) <= 3.2)
    ellipse = one(tmp_path / "b", {"name": "ellipse", "cx": 6, "cy": 4, "rx": 5, "ry": 2})
    assert np.array_equal(ellipse, ((xs - 6) / 5) ** 2 + ((ys - 4) / 2) ** 2 <= 1)
    turned = one(
        tmp_path / "c", {"name": "ellipse", "cx": 6, "cy": 4, "rx": 4, "ry": 2, "theta": math.pi / 2}
    )
    assert np.array_equal(turned, ((xs - 6) / 2) ** 2 + ((ys - 4) / 4) ** 2 <= 1)


def test_classes_from_an_attribute(tmp_path: Path) -> None:
    regions = [
        region(TRIANGLE, kind="dog"),
        region(TRIANGLE, kind={"cat": True, "dog": False}),
        region(TRIANGLE, kind="cow"),
    ]
    put(tmp_path / "train", regions[:2])
    dataset = balloons(tmp_path, attribute="kind", classes=["cat", "dog"])
    assert dataset.classes == ("cat", "dog")
    assert dataset[0].instances.labels.tolist() == [1, 0]
    put(tmp_path / "train", regions)
    with pytest.raises(
        DataError,
        match=r"json: image 'a.jpg', region 2 has 'cow' as its attribute 'kind', .* one of cat, dog",
    ):
        balloons(tmp_path, attribute="kind", classes=["cat", "dog"])[0]


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"name": "point", "cx": 1, "cy": 2}, "is a 'point', which has no area"),
        (None, "is a None, which has no area"),
        (TRIANGLE | {"all_points_x": [1, 2]}, "has 2 values of x, but 3 of y"),
        ({"name": "polygon", "all_points_x": [1, 2], "all_points_y": [1, 2]}, "the polygon has 4 numbers"),
        (TRIANGLE | {"all_points_x": [1, 2, float("nan")]}, "all_points_x has nan"),
        ({"name": "polygon", "all_points_y": [1]}, "all_points_x must be a list of numbers, not None"),
        ({"name": "rect", "x": 3, "y": 2, "width": 5}, "height of the rect has None among its numbers"),
        ({"name": "rect", "x": 3, "y": 2, "width": 0, "height": 4}, "covers no pixel"),
        ({"name": "circle", "cx": 3, "cy": 2, "r": 0}, "do not form an ellipse"),
        ({"name": "circle", "cx": 30, "cy": 2, "r": 3}, "reaches 30, outside the image of 12 x 9"),
        ({"name": "circle", "cx": 14, "cy": 2, "r": 1}, "covers no pixel"),
        (
            {"name": "rect", "x": 3000, "y": 2, "width": 5, "height": 4},
            "reaches 3005, outside the image of 12 x 9",
        ),
    ],
)
def test_faults_name_file_image_and_region(tmp_path: Path, shape: Any, message: str) -> None:
    put(tmp_path / "train", {"0": region(TRIANGLE), "7": region(shape)})
    dataset = balloons(tmp_path)
    with pytest.raises(DataError) as caught:
        dataset[0]
    assert f"{tmp_path / 'train' / 'via_region_data.json'}: image 'a.jpg', region 7" in str(caught.value)
    assert message in str(caught.value)


def test_files_that_are_not_of_via(tmp_path: Path) -> None:
    put(tmp_path / "train", [])
    file = tmp_path / "train" / "via_region_data.json"
    for data, message in (
        ([1], "is not a VIA file"),
        ({"k": {"regions": []}}, "image 'k' has no filename"),
        ({"k": {"filename": "a.jpg"}}, r"image 'a.jpg': regions must be a mapping .*, not None\. Hint"),
        (
            {"k": {"filename": "a.jpg", "regions": []}, "l": {"filename": "a.jpg", "regions": []}},
            "has the image 'a.jpg' twice",
        ),
        ({"k": {"filename": "z.jpg", "regions": []}}, r"names but that do not exist: 1 \(z.jpg\)"),
    ):
        file.write_text(json.dumps(data))
        with pytest.raises(DataError, match=message):
            balloons(tmp_path)
    file.unlink()
    with pytest.raises(DataError, match="via_region_data.json does not exist"):
        balloons(tmp_path)
    with pytest.raises(MissingSplitError, match="has no folder val/"):
        balloons(tmp_path, "val")


def test_the_folder_of_the_archive(tmp_path: Path) -> None:
    put(tmp_path / "balloon" / "val", [region(TRIANGLE)])
    assert len(balloons(tmp_path, "val")) == 1


def test_outlines_of_an_image_that_was_turned_since(tmp_path: Path) -> None:
    wide = {"name": "rect", "x": 1, "y": 1, "width": 17, "height": 8}
    put(tmp_path / "train", [region(TRIANGLE), region(wide)])
    turned = Image.new("RGB", (30, 10))
    exif = Image.Exif()
    exif[0x0112] = 8
    turned.save(tmp_path / "train" / "a.jpg", exif=exif)
    dataset = balloons(tmp_path)
    assert dataset.image_size(0) == (30, 10)  # type: ignore[attr-defined]
    with pytest.raises(DataError, match=r"region 1 reaches 18, outside .* 10 x 30 .*: 2 of 4 points"):
        dataset[0]
    cut = balloons(tmp_path, outside="clip")[0].instances
    assert cut.boxes_xyxy[1].tolist() == [1, 1, 10, 9]


def test_other_names_of_folders_and_images(tmp_path: Path) -> None:
    put(tmp_path / "valid", [region(TRIANGLE)])
    put(tmp_path / "unsorted", [region(TRIANGLE)])
    file = tmp_path / "valid" / "via_region_data.json"
    data = json.loads(file.read_text())
    data["a.jpg123"]["filename"] = "E:\\shots\\a.jpg"
    file.write_text(json.dumps(data))
    cv2.imwrite(str(tmp_path / "valid" / "more.png"), np.zeros((9, 12, 3), np.uint8))
    with noting() as notes:
        dataset = balloons(tmp_path, "val")
    assert dataset.ids == ("shots/a",)
    assert dataset[0].path == str(tmp_path / "valid" / "a.jpg")
    assert list(notes.values()) == [1]
    left = unread(registry.datasets().get("balloon"), tmp_path)
    assert left == ["unsorted/via_region_data.json"]


def test_classes_that_nobody_asked_for_are_not_merged(tmp_path: Path) -> None:
    """Regions that an attribute tells apart are not read as one class without a word."""
    put(tmp_path / "train", [region(TRIANGLE, kind="cat"), region(TRIANGLE, kind={"dog": True})])
    with pytest.raises(DataError, match=r"'kind' with 2 values \(cat, dog\), but all .* as 'balloon'"):
        balloons(tmp_path)
    assert balloons(tmp_path, classes=["animal"])[0].instances.labels.tolist() == [0, 0]
    assert balloons(tmp_path, attribute="kind", classes=["dog", "cat"])[0].instances.labels.tolist() == [1, 0]
    put(tmp_path / "train", [region(TRIANGLE, kind="cat"), region(TRIANGLE, kind="cat "), region(TRIANGLE)])
    assert len(balloons(tmp_path)[0].instances) == 3
    put(tmp_path / "train", [region(TRIANGLE, kind=1), region(TRIANGLE, kind=2)])
    with pytest.raises(
        DataError, match=r"'kind' with 2 values \(1, 2\), .* set attribute=kind 'classes=\[1,2\]'"
    ):
        balloons(tmp_path)
    assert balloons(tmp_path, attribute="kind", classes=["1", "2"])[0].instances.labels.tolist() == [0, 1]


@pytest.mark.parametrize("attributes", [None, [], {}])
def test_regions_for_which_nothing_was_entered(tmp_path: Path, attributes: Any) -> None:
    put(tmp_path / "train", [{"shape_attributes": TRIANGLE, "region_attributes": attributes}])
    assert len(balloons(tmp_path)[0].instances) == 1


@pytest.mark.parametrize("attributes", ["dog", 3, ["dog"]])
@pytest.mark.parametrize("options", [{}, {"attribute": "kind", "classes": ["dog"]}])
def test_what_was_entered_for_a_region_in_another_form(
    tmp_path: Path, attributes: Any, options: dict[str, Any]
) -> None:
    put(tmp_path / "train", [{"shape_attributes": TRIANGLE, "region_attributes": attributes}])
    with pytest.raises(DataError, match=r"region 0 has .* as region_attributes; expected attributes by name"):
        balloons(tmp_path, **options)[0]


def test_projects_of_version_3_are_named(tmp_path: Path) -> None:
    put(tmp_path / "train", [])
    project = {"project": {}, "config": {}, "attribute": {}, "file": {}, "metadata": {}, "view": {}}
    (tmp_path / "train" / "via_region_data.json").write_text(json.dumps(project))
    with pytest.raises(
        DataError, match=r"is a project of VIA 3, which is not supported. Hint: export it in COCO"
    ):
        balloons(tmp_path)


def test_a_check_tells_all_faults_of_a_file(tmp_path: Path) -> None:
    put(tmp_path / "train", [])
    good = {"filename": "a.jpg", "regions": []}
    data = {"a": good, "b": good, "c": {"filename": "", "regions": []}, "d": {"filename": "d.jpg"}, "e": 5}
    (tmp_path / "train" / "via_region_data.json").write_text(json.dumps(data))
    with gathering() as faults:
        assert balloons(tmp_path).ids == ("a",)
    assert len(faults) == 4


@pytest.mark.data
def test_the_real_set(shared_data: Path) -> None:
    """Boxes agree with those of someone else's reading to a pixel, but for spikes thinner than a pixel, in
    which a mask has none.
    """
    with (shared_data / "balloon" / "balloon-data.csv").open() as file:
        rows = {row["fname"]: row for row in csv.DictReader(file)}
    boxes, expected = [], []
    for split, photos in (("train", 61), ("val", 13)):
        dataset = balloons(shared_data / "balloon", split)
        assert len(dataset) == photos
        for index in range(photos):
            path = dataset.image_path(index)  # type: ignore[attr-defined]
            row = rows.pop(path.name)
            size = dataset.image_size(index)  # type: ignore[attr-defined]
            assert size == (int(row["height"]), int(row["width"]))
            boxes.append(to_instances(dataset.regions(index, size), size).boxes_xyxy.numpy())  # type: ignore[attr-defined]
            expected.append(
                np.array(
                    [
                        [box[key] for key in ("xmin", "ymin", "xmax", "ymax")]
                        for box in ast.literal_eval(row["bbox"])
                    ]
                )
            )
    assert rows == {}
    difference = np.abs(np.concatenate(boxes) - np.concatenate(expected))
    assert len(difference) == 305
    assert (difference == 0).all(axis=1).sum() >= 250
    assert (difference <= 1).all(axis=1).sum() >= 300
    assert difference.max() <= 4
    assert len(balloons(shared_data / "balloon", "val")[0].instances) == len(expected[61])
