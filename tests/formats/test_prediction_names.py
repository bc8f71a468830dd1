"""Predictions are matched to images by name: never one for two, and never one of two at random."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from toolkit.errors import DataError
from toolkit.formats.prediction_names import Names
from toolkit.formats.predictions import PredictionFiles

SOURCE = Path("results")

MATCHES = [
    (["a", "b"], ["b", "a"], {"a": "a", "b": "b"}),
    (["a", "b"], ["a.jpg", "b.PNG"], {"a": "a.jpg", "b": "b.PNG"}),
    (["a.jpg", "a.png"], ["a.png", "a.jpg"], {"a.jpg": "a.jpg", "a.png": "a.png"}),
    (["a.jpg", "a.png"], ["a.png"], {"a.png": "a.png"}),
    (["x/a", "y/a"], ["y/a", "x/a"], {"x/a": "x/a", "y/a": "y/a"}),
    (["x/a", "y/b"], ["a", "b.jpg"], {"x/a": "a", "y/b": "b.jpg"}),
    (["a", "x/a"], ["a"], {"a": "a"}),
    (["x/a", "a"], ["a.jpg"], {"a": "a.jpg"}),
    (["v1.2", "v1.3"], ["v1.2", "v1.3"], {"v1.2": "v1.2", "v1.3": "v1.3"}),
    (["a"], [], {}),
    ([], ["a"], {}),
]


@pytest.mark.parametrize(("samples", "names", "expected"), MATCHES)
def test_each_has_its_own(samples: list[str], names: list[str], expected: dict[str, str]) -> None:
    found = Names(names, SOURCE)
    assert found.match(samples) == expected
    assert found.others(expected.values()) == [name for name in names if name not in expected.values()]


CLASHES = [
    (["x/a", "y/a"], ["a"], "one prediction, a, that could belong to both x/a and y/a"),
    (["x/a", "y/a"], ["a.jpg"], "could belong to both x/a and y/a"),
    (["a.jpg", "a.png"], ["a"], "could belong to both a.jpg and a.png"),
    (["a"], ["a.jpg", "a.png"], "2 predictions that could belong to the image a: a.jpg, a.png"),
    (["x/a"], ["a.jpg", "a.bmp"], "2 predictions that could belong to the image x/a"),
]


@pytest.mark.parametrize(("samples", "names", "message"), CLASHES)
def test_what_could_be_of_two_is_refused(samples: list[str], names: list[str], message: str) -> None:
    with pytest.raises(DataError, match=f"results has .*{message}.*Hint"):
        Names(names, SOURCE).match(samples)


def label(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((2, 2), value, np.uint8)).save(path)


def document(folder: Path, names: list[str], *, with_objects: bool) -> Path:
    """A predictions.json in which the n-th image has the label n, or an object of width n."""
    images = [{"id": i, "file_name": name, "width": 9, "height": 9} for i, name in enumerate(names)]
    annotations = []
    for i, image in enumerate(images):
        if with_objects:
            box = [0, 0, i + 1, 1]
            annotations.append({"id": i, "image_id": i, "category_id": 1, "bbox": box, "score": 0.5})
        else:
            image["label_map"] = f"labels/{i}.png"
            label(folder / "labels" / f"{i}.png", i)
    categories = [{"id": 1 + i, "name": name} for i, name in enumerate("xyz")]
    path = folder / "predictions.json"
    folder.mkdir(exist_ok=True)
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path


@pytest.mark.parametrize("with_objects", [False, True])
def test_two_images_that_differ_in_the_suffix(tmp_path: Path, with_objects: bool) -> None:
    """As infer writes them for photos called so."""
    path = document(tmp_path, ["a.jpg", "a.png"], with_objects=with_objects)
    files = PredictionFiles(path, ("x", "y", "z"))
    files.require(["a.jpg", "a.png"])
    found = [files.read(name, (9, 9) if with_objects else (2, 2)) for name in ("a.jpg", "a.png")]
    if with_objects:
        assert [len(each.instances) for each in found] == [1, 1]
        assert [float(each.instances.boxes_xyxy[0, 2]) for each in found] == [1, 2]
    else:
        assert [int(each.label_map[0, 0]) for each in found] == [0, 1]
    with pytest.raises(DataError, match="2 predictions that could belong to the image a"):
        PredictionFiles(path, ("x", "y", "z")).require(["a"])


@pytest.mark.parametrize("form", ["folder", "label maps", "objects"])
def test_one_prediction_for_two_images(tmp_path: Path, form: str) -> None:
    if form == "folder":
        path = tmp_path / "labels"
        label(path / "a.png", 1)
        label(path / "b.png", 1)
    else:
        path = document(tmp_path, ["a.jpg", "b.jpg"], with_objects=form == "objects")
    files = PredictionFiles(path, ("x", "y", "z"))
    with pytest.raises(
        DataError, match=r"could belong to both day/a and night/a\. Hint: name predictions after"
    ):
        files.require(["day/a", "night/a", "b"])


@pytest.mark.parametrize("form", ["folder", "label maps", "objects", "results"])
def test_predictions_of_other_images_are_left_out_and_said_to_be(
    tmp_path: Path, form: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "toolkit")
    if form == "folder":
        path = tmp_path / "labels"
        for name in "abc":
            label(path / f"{name}.png", 1)
    elif form == "results":
        path = tmp_path / "results.json"
        box = {"category_id": 1, "bbox": [0, 0, 1, 1], "score": 0.5}
        path.write_text(json.dumps([{"image_id": i, **box} for i in (1, 2, 3, 3)]))
    else:
        path = document(tmp_path, ["a.jpg", "b.jpg", "c.jpg"], with_objects=form == "objects")
    files = PredictionFiles(path, ("x", "y", "z"), image_ids={"a": 1, "b": 2})
    files.require(["a", "b"])
    (line,) = caplog.messages
    assert "1 prediction is ignored, because their images are not in this split: " in line
    assert line.endswith({"folder": " c", "results": " 3"}.get(form, " c.jpg"))
    if form == "results":
        assert [entry["image_id"] for entry in files.results or ()] == [1, 2]
    caplog.clear()
    PredictionFiles(path, ("x", "y", "z"), image_ids={"a": 1, "b": 2, "c": 3}).require(["a", "b", "c"])
    assert caplog.messages == []


def test_results_of_no_image_at_all_are_those_of_another_set(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps([{"image_id": 9, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 0.5}]))
    with pytest.raises(
        DataError, match=r"image_id is 9, which is not one of the dataset's 2\. Hint: .*choose"
    ):
        PredictionFiles(path, ("x",), image_ids={"a": 1, "b": 2})


def test_two_images_of_one_name(tmp_path: Path) -> None:
    path = document(tmp_path, ["a.jpg", "a.jpg"], with_objects=True)
    with pytest.raises(DataError, match=r"has two images called 'a\.jpg'\. Hint: rename one"):
        PredictionFiles(path, ("x", "y", "z"))
