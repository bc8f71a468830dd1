"""Label Studio's results become objects with exactly their pixels, and faults name file, task and result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toolkit.data.faults import gathering
from toolkit.data.notes import noting
from toolkit.errors import DataError
from toolkit.formats.brush import encode_brush
from toolkit.formats.label_studio import (
    LabelStudioOptions,
    label_studio_regions,
    labels_of_tasks,
    read_label_studio,
)
from toolkit.formats.regions import Region, to_instances

SIZE = (20, 40)
CLASSES = {"cat": 0, "dog": 1}


def result(kind: str, label: str | None = "cat", **fields: Any) -> dict[str, Any]:
    """A result as Label Studio exports it; what is no field of a result belongs to its value."""
    outer = {"id": "x1", "type": kind, "from_name": "tag", "to_name": "img", "origin": "manual"}
    outer |= {"original_width": 40, "original_height": 20, "image_rotation": 0}
    outer |= {key: fields.pop(key) for key in [*outer] if key in fields}
    return outer | {"value": fields if label is None else {**fields, kind: [label]}}


def put(folder: Path, *results: Any, **fields: Any) -> Path:
    path = folder / "project.json"
    annotation = {"id": 5, "result": list(results), "was_cancelled": False, "ground_truth": False}
    task = {
        "id": 7,
        "data": {"image": "/data/upload/1/0a1b2c3d-a.png"},
        "annotations": [annotation],
        "predictions": [],
    }
    path.write_text(json.dumps([task | fields]))
    return path


def regions(folder: Path, *results: Any, skip: bool = False, clip: bool = False) -> list[Region]:
    (task,) = read_label_studio(put(folder, *results))
    options = LabelStudioOptions(CLASSES, "skip" if skip else "error", "clip" if clip else "error")
    return label_studio_regions(task, SIZE, options)


def masks(folder: Path, *results: Any) -> np.ndarray:
    found = to_instances(regions(folder, *results), SIZE).masks
    assert found is not None
    return found.dense().numpy()


def filled(y0: int, y1: int, x0: int, x1: int) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[y0:y1, x0:x1] = True
    return mask


def test_brushes_polygons_and_rectangles(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    brush = rng.random(SIZE) < 0.4
    found = masks(
        tmp_path,
        result("brushlabels", format="rle", rle=encode_brush(brush)),
        result("polygonlabels", "dog", points=[[10, 25], [50, 25], [50, 75], [10, 75]], closed=True),
        result("rectanglelabels", x=5.0, y=10.0, width=25.0, height=50.0, rotation=0),
    )
    assert (found == [brush, filled(5, 15, 4, 20), filled(2, 12, 2, 12)]).all()


def test_rectangles_turn_about_their_corner_and_ellipses_about_their_center(tmp_path: Path) -> None:
    found = masks(
        tmp_path,
        result("rectanglelabels", x=50, y=25, width=20, height=20, rotation=90),
        result("rectanglelabels", x=50, y=25, width=20, height=20, rotation=-90 + 360 * 3),
        result("ellipselabels", x=50, y=50, radiusX=20, radiusY=10, rotation=90),
    )
    assert (found[0] == filled(5, 13, 16, 20)).all()
    assert (found[1] == filled(0, 5, 20, 24)).sum() > 780
    assert np.flatnonzero(found[2].any(1)).tolist() == [*range(2, 18)]
    assert np.flatnonzero(found[2].any(0)).tolist() == [*range(18, 22)]


def test_tags_with_separate_labels(tmp_path: Path) -> None:
    box = {"x": 5.0, "y": 10.0, "width": 25.0, "height": 50.0, "rotation": 0}
    found = regions(
        tmp_path,
        result("rectangle", None, id="a", **box),
        result("labels", None, id="a", labels=["dog"], **box),
        result("brush", None, id="b", format="rle", rle=encode_brush(filled(0, 3, 0, 3))),
        result("labels", None, id="b", labels=["cat"], format="rle", rle=[]),
    )
    assert [region.label for region in found] == [1, 0]


def test_what_is_left_out(tmp_path: Path) -> None:
    results = [
        result("choices", None, choices=["good"]),
        {"type": "relation", "from_id": "a", "to_id": "b", "direction": "right"},
        result("keypointlabels", x=1, y=2, width=0.5),
        result("rectanglelabels", x=5, y=10, width=25, height=50),
    ]
    with noting() as notes:
        assert len(regions(tmp_path, *results, skip=True)) == 1
    assert notes == {
        "results of the type 'choices' are left out, because they are not objects": 1,
        "results of the type 'relation' are left out, because they are not objects": 1,
        "key points and lines, which have no area, are left out (other_shapes=skip)": 1,
    }
    with pytest.raises(
        DataError, match=r"task 7, result 2 is keypointlabels, which has no area.*other_shapes=skip"
    ):
        regions(tmp_path, *results)


BOX = {"x": 5, "y": 10, "width": 25, "height": 50}


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (3, "is not a record with a type"),
        ({}, "is not a record with a type"),
        (
            result("rectanglelabels", "cow", **BOX),
            r"result 0 \(rectanglelabels\) has no known class; expected one of cat, dog",
        ),
        (result("rectanglelabels", None, **BOX), "has no label; expected one label"),
        (
            result("rectanglelabels", None, rectanglelabels=["cat", "dog"], **BOX),
            r"\['cat', 'dog'\]; expected one label",
        ),
        (result("rectangle", None, **BOX), "has no label"),
        (result("rectanglelabels", image_rotation=90, **BOX), "rotated by 90 degrees"),
        (
            result("rectanglelabels", original_width=41, **BOX),
            "should have 41 x 20 pixels, but the file has 40 x 20",
        ),
        (result("rectanglelabels", original_height="20", **BOX), "'20' as the height"),
        (result("rectanglelabels", x=5, y=10, width=25), "height has None among its numbers"),
        (result("rectanglelabels", x=5, y=1e300, width=25, height=1), "outside the image"),
        (result("rectanglelabels", x=5, y=float("nan"), width=25, height=1), "nan among its numbers"),
        (result("rectanglelabels", x=5, y=10, width=0, height=0), "covers no pixels"),
        (result("polygonlabels", points=[[1, 1], [2, 2]]), "at least three points"),
        (result("polygonlabels", points=[1, 1]), r"points must be a list of \[x, y\]"),
        (result("polygonlabels", points=[[1, 1], [2, 2], [900, 1]]), "reaches 360, outside the image"),
        (result("brushlabels", format="png", rle=[1]), "in the format 'png'"),
        (result("brushlabels", format="rle"), "rle must be a list"),
        (result("brushlabels", format="rle", rle=[1, 2]), "has 2 bytes and is cut off"),
        (result("brushlabels", format="rle", rle=[1, 999]), "whole numbers from 0 to 255"),
        (
            result("brushlabels", format="rle", rle=encode_brush(np.ones((20, 41), bool))),
            "of 3,280 values, but the image has 3,200",
        ),
        (result("brushlabels", format="rle", rle=encode_brush(np.zeros(SIZE, bool))), "covers no pixels"),
        (result("ellipselabels", x=1, y=1, radiusX=-1, radiusY=2), "do not form an ellipse"),
        ({"type": "brushlabels", "value": []}, "no label"),
    ],
)
def test_faults(tmp_path: Path, broken: Any, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        masks(tmp_path, broken)
    assert "project.json: task 7" in str(caught.value)
    assert "Hint" in str(caught.value)
    with gathering() as faults:
        good = regions(tmp_path, broken, result("rectanglelabels", "dog", **BOX))
        assert [region.label for region in good][-1:] == [1]
        assert len(faults) + len(good) >= 2


def task(number: int, **fields: Any) -> dict[str, Any]:
    return {"id": number, "data": {"image": f"{number}.png"}, **fields}


def annotation(name: str, **fields: Any) -> dict[str, Any]:
    return {"result": [result("rectanglelabels", name, **BOX)]} | fields


def test_which_annotation_counts(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    old, new = {"updated_at": "2024-01-01T00:00:00Z"}, {"updated_at": "2025-01-01T00:00:00Z"}
    tasks = [
        task(1, annotations=[annotation("new", **new), annotation("old", **old)]),
        task(2, annotations=[annotation("true", ground_truth=True, **old), annotation("new", **new)]),
        task(3, annotations=[annotation("no", was_cancelled=True)]),
        task(4, annotations=[]),
        task(5, annotations=[{"result": []}]),
        task(6, predictions=[annotation("guess")], annotations=[annotation("last"), annotation("later")]),
        task(7),
        task(8, completions=[annotation("early version")]),
    ]
    path.write_text(json.dumps(tasks))
    with noting() as notes:
        found = read_label_studio(path)
    assert [each.image for each in found] == ["1.png", "2.png", "5.png", "6.png", "8.png"]
    assert labels_of_tasks(found) == ("early version", "later", "new", "true")
    assert notes == {
        "further annotations of tasks are left out; ground truth, or the newest, counts": 3,
        "annotations that were skipped by the annotator are left out": 1,
        "tasks without an annotation are left out": 3,
        "predictions of models are left out": 1,
    }


def test_the_key_of_the_image(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    done = {"annotations": [{"result": []}]}
    path.write_text(json.dumps([{"data": {"text": "hi", "url": "https://x/a.JPG?size=3"}, **done}]))
    assert read_label_studio(path)[0].image == "https://x/a.JPG?size=3"
    path.write_text(json.dumps([{"data": {"a": "x.png", "b": "y.png"}, **done}]))
    with pytest.raises(DataError, match="no image under image; its data have a, b.*image_key"):
        read_label_studio(path)
    assert read_label_studio(path, "b")[0].image == "y.png"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "expected a list of tasks"),
        ("[3]", "expected a list of tasks"),
        ('[{"image": "a.png", "label": []}]', "not JSON-MIN"),
        ('[{"data": 3, "annotations": [{"result": []}]}]', "no image under image"),
        ('[{"data": {"image": "a.png"}, "annotations": 3}]', "not records"),
        ('[{"data": {"image": "a.png"}, "annotations": [3]}]', "not records"),
        ('[{"data": {"image": "a.png"}, "annotations": [{"result": 3}]}]', "result must be a list"),
        ('[{"data": {"image": "a.png"}, "annotations": [{}]}]', "result must be a list"),
    ],
)
def test_other_files(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match=message):
        read_label_studio(tmp_path / "a.json")
