"""The numbers of COCO's files: those of the file that a dataset comes from, or else places from 1."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from toolkit import registry
from toolkit.data.dataset import Dataset, InMemory, open_dataset
from toolkit.data.painting import ObjectsAsClasses
from toolkit.evaluation.runs import evaluate_predictions
from toolkit.formats.coco_numbers import CocoNumbered, CocoNumbers, coco_numbers
from toolkit.types import Sample


class Plain(Dataset):
    """Samples of no file."""

    classes: tuple[str, ...] = ("cat", "dog")
    ids: Sequence[str] = ("b", "a/c", "a")

    def __getitem__(self, index: int) -> Sample:
        return Sample(self.ids[index], torch.zeros((3, 2, 2), dtype=torch.uint8))


class Numbered(Plain, CocoNumbered):
    """Samples of a COCO file with gaps in its numbers, which are in another order."""

    coco_image_ids = {"a": 70, "a/c": 7, "b": 900}  # noqa: RUF012 - as a dataset of files would have it
    coco_category_ids = (18, 3)

    def coco_document(self) -> dict[str, Any]:
        return {"images": [], "categories": [], "annotations": ["as in the file"]}


class NotFromCoco(Numbered):
    """Of a class that may come from a COCO file, and this time does not."""

    coco_image_ids = None  # type: ignore[assignment]


def as_it_is(dataset: Dataset) -> Dataset:
    return dataset


def twice(dataset: Dataset) -> Dataset:
    return InMemory(InMemory(dataset))


@pytest.mark.parametrize("wrap", [as_it_is, InMemory, twice])
def test_numbers_are_those_of_the_file_also_where_it_is_kept_in_memory(
    wrap: Callable[[Dataset], Dataset],
) -> None:
    numbers = coco_numbers(wrap(Numbered()))
    assert numbers.image_ids == {"a": 70, "a/c": 7, "b": 900}
    assert list(numbers.category_ids) == [18, 3]
    assert numbers.document is not None
    assert numbers.document()["annotations"] == ["as in the file"]


@pytest.mark.parametrize("wrap", [as_it_is, InMemory, twice])
@pytest.mark.parametrize("dataset", [Plain(), NotFromCoco()])
def test_without_a_file_they_are_places_from_1(dataset: Dataset, wrap: Callable[[Dataset], Dataset]) -> None:
    numbers = coco_numbers(wrap(dataset))
    assert numbers == CocoNumbers({"b": 1, "a/c": 2, "a": 3}, range(1, 3))
    assert numbers.document is None, "nothing stands for the truth but the samples"


def test_an_empty_dataset_has_no_numbers_for_images() -> None:
    empty = Plain()
    empty.ids = ()
    assert coco_numbers(empty).image_ids == {}
    assert list(coco_numbers(empty).category_ids) == [1, 2]


def test_objects_painted_into_label_maps_are_no_longer_those_of_the_file() -> None:
    """Their classes may be others, so the file's numbers and document do not fit them."""
    numbers = coco_numbers(ObjectsAsClasses(Numbered()))
    assert numbers.image_ids == {"b": 1, "a/c": 2, "a": 3}
    assert list(numbers.category_ids) == [1, 2, 3]
    assert numbers.document is None


def coco_folder(folder: Path) -> dict[str, Any]:
    """Two images and two classes with odd numbers, and detections that hit all three objects exactly."""
    (folder / "val").mkdir(parents=True)
    boxes = {(900, 18): [2, 2, 8, 6], (900, 3): [10, 4, 5, 9], (7, 3): [1, 1, 12, 12]}
    for name in ("x.png", "y.png"):
        cv2.imwrite(str(folder / "val" / name), np.full((20, 24, 3), 90, np.uint8))
    document = {
        "images": [
            {"id": number, "file_name": name, "height": 20, "width": 24}
            for number, name in ((900, "x.png"), (7, "y.png"))
        ],
        "categories": [{"id": 18, "name": "dog"}, {"id": 3, "name": "cat"}],
        "annotations": [
            {
                "id": i,
                "image_id": image,
                "category_id": category,
                "bbox": box,
                "area": box[2] * box[3],
                "iscrowd": 0,
                "segmentation": [[box[0], box[1], box[0] + box[2], box[1], box[0] + box[2], box[1] + box[3]]],
            }
            for i, ((image, category), box) in enumerate(boxes.items(), start=1)
        ],
    }
    results = [
        {"image_id": image, "category_id": category, "bbox": box, "score": 0.9}
        for (image, category), box in boxes.items()
    ]
    (folder / "annotations.json").write_text(json.dumps(document))
    (folder / "results.json").write_text(json.dumps(results))
    return {"val": "annotations.json", "images": "val"}


def test_a_results_file_is_read_by_the_numbers_of_the_datasets_own_file(tmp_path: Path) -> None:
    options = coco_folder(tmp_path)
    dataset = open_dataset(registry.datasets().get("coco"), tmp_path, "val", options)
    numbers = coco_numbers(InMemory(dataset))
    assert set(numbers.image_ids.values()) == {7, 900}
    assert dict(zip(dataset.classes, numbers.category_ids, strict=True)) == {"dog": 18, "cat": 3}
    assert numbers.document is not None
    assert {each["id"] for each in numbers.document()["annotations"]} == {1, 2, 3}
    overrides = {"data": {"options": options}, "evaluators": {"coco": {"iou_types": ["bbox"]}}}
    (report,) = evaluate_predictions(
        tmp_path / "results.json", data="coco", data_dir=str(tmp_path), split="val", overrides=overrides
    )
    assert report.metrics["bbox/AP"] == pytest.approx(1.0)
