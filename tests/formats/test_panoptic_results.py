"""Panoptic predictions of others: COCO's results, with and without images and categories."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from panoptic_cases import write_shapes

from toolkit.data.dataset import open_dataset
from toolkit.errors import DataError, InvalidDataError
from toolkit.evaluation.runs import evaluate_predictions
from toolkit.formats.panoptic_results import PanopticResults
from toolkit.formats.predictions import PredictionFiles


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("panoptic_results")
    write_shapes(path)
    return path


def results(folder: Path, tmp_path: Path, *without: str, **changes: Any) -> Path:
    """The truth of the split val as a file of results."""
    content = json.loads((folder / "annotations" / "panoptic_val.json").read_text())
    content = {key: value for key, value in content.items() if key not in without} | changes
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(content))
    if not (tmp_path / "mine").exists():
        (tmp_path / "mine").symlink_to(folder / "annotations" / "panoptic_val")
    return path


@pytest.mark.parametrize("without", [(), ("images",), ("categories",), ("images", "categories")])
def test_the_truth_as_results_is_perfect(folder: Path, tmp_path: Path, without: tuple[str, ...]) -> None:
    path = results(folder, tmp_path, *without)
    (report,) = evaluate_predictions(path, data="coco-panoptic", data_dir=str(folder), split="val")
    assert report.name == "pq"
    assert report.metrics["pq"] == report.metrics["pq_things"] == report.metrics["pq_stuff"] == 1


def test_the_classes_are_matched_by_name(folder: Path, tmp_path: Path) -> None:
    content = json.loads((folder / "annotations" / "panoptic_val.json").read_text())
    for category in content["categories"]:
        category["id"] += 50
    for annotation in content["annotations"]:
        for info in annotation["segments_info"]:
            info["category_id"] += 50
    path = results(folder, tmp_path, **content)
    dataset = open_dataset("coco-panoptic", folder, "val")
    files = PredictionFiles(path, dataset.classes)
    files.require(dataset.ids)
    found = files.read(dataset.ids[1], (48, 48))
    truth = dataset[1].extras["panoptic"]
    assert found.fields() == ["panoptic"]
    assert found.extras["panoptic"].segments == truth.segments
    assert torch.equal(found.extras["panoptic"].numbers, truth.numbers)


def test_what_does_not_fit_is_told(folder: Path, tmp_path: Path) -> None:
    dataset = open_dataset("coco-panoptic", folder, "val")
    content = json.loads((folder / "annotations" / "panoptic_val.json").read_text())
    category_ids = range(1, 7)

    def read(image_ids: dict[str, int] | None = None, **changes: Any) -> PanopticResults:
        path = tmp_path / "a.json"
        return PanopticResults(
            path, content | changes, dataset.classes, image_ids=image_ids, category_ids=category_ids
        )

    with pytest.raises(DataError, match="names images by numbers that are not known here. Hint"):
        read(images=[])
    with pytest.raises(DataError, match="4 errors:\n  the image_id 1 belongs to no known image"):
        read({"other": 12}, images=[])
    with pytest.raises(DataError, match=r"has the classes 'fog', which the dataset does not have"):
        read(categories=[{"id": 1, "name": "fog", "isthing": 0}])
    with pytest.raises(DataError, match="annotation 4 has the image_id 1, as annotation 0 has"):
        read(annotations=[*content["annotations"], content["annotations"][0]])
    with pytest.raises(DataError, match="segments_info"):
        read(annotations=[{"image_id": 1, "file_name": "a.png", "segments_info": 3}])
    for wrong in ({}, 0, "", False):
        with pytest.raises(DataError, match="expected a list of image records"):
            read({}, images=wrong)
        with pytest.raises(DataError, match="expected a list of category records"):
            read({}, categories=wrong)
    found = read()
    assert len(found.names) == 4
    assert "nothing" not in found


def test_other_sizes_and_missing_images_are_told(folder: Path, tmp_path: Path) -> None:
    dataset = open_dataset("coco-panoptic", folder, "val")
    files = PredictionFiles(results(folder, tmp_path), dataset.classes)
    with pytest.raises(DataError, match=r"is \[48, 48\] \(height, width\), but the image .* is \[3, 3\]"):
        files.read(dataset.ids[0], (3, 3))
    content = json.loads((folder / "annotations" / "panoptic_val.json").read_text())
    fewer = results(folder, tmp_path, annotations=content["annotations"][1:])
    with pytest.raises(DataError, match="1 of 4 images have no prediction"):
        evaluate_predictions(fewer, data="coco-panoptic", data_dir=str(folder), split="val")
    with pytest.raises(InvalidDataError, match="it has no segments to compare"):
        evaluate_predictions(
            results(folder, tmp_path),
            data="coco-panoptic",
            data_dir=str(folder),
            split="val",
            overrides={"only": "things", "pq": {}},
        )
