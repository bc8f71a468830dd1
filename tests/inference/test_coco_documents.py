from __future__ import annotations

import json

import torch

from toolkit.inference.coco_documents import coco_categories, coco_document
from toolkit.types import VOID, Instances, Masks, Prediction


def test_a_document_has_one_image_its_classes_and_its_objects() -> None:
    dense = torch.zeros((2, 6, 9), dtype=torch.bool)
    dense[0, 1:4, 2:7] = True
    masks = Masks.from_dense(dense)
    found = Instances((6, 9), masks.boxes_xyxy(), torch.tensor([1, 0]), masks, torch.tensor([0.5, 1.0]))
    document = coco_document(
        Prediction("a", (6, 9), instances=found), ("cat", "dog"), file_name="a.jpg", about={"model": "x"}
    )
    assert json.loads(json.dumps(document)) == document
    assert document["info"] == {"model": "x"}
    assert document["images"] == [{"id": 1, "file_name": "a.jpg", "width": 9, "height": 6}]
    assert document["categories"] == [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    assert [(entry["id"], entry["image_id"]) for entry in document["annotations"]] == [(1, 1), (2, 1)]
    first, empty = document["annotations"]
    assert first["category_id"] == 2
    assert first["bbox"] == [2, 1, 5, 3]
    assert first["area"] == 15
    assert first["score"] == 0.5
    assert empty["area"] == 0
    assert Masks.from_coco([first["segmentation"]], (6, 9)).dense().equal(dense[:1])


def test_a_label_map_becomes_a_region_a_class() -> None:
    label_map = torch.tensor([[0, 2, 2], [VOID, 0, 2]], dtype=torch.uint8)
    document = coco_document(Prediction("a", (2, 3), label_map), ("x", "y", "z"))
    assert document["images"][0]["file_name"] == "a"
    assert [entry["category_id"] for entry in document["annotations"]] == [1, 3]
    for entry, label in zip(document["annotations"], (0, 2), strict=True):
        region = Masks.from_coco([entry["segmentation"]], (2, 3)).dense()[0]
        assert region.equal(label_map == label)
        assert entry["area"] == int((label_map == label).sum())
        assert "score" not in entry
    assert document["annotations"][1]["bbox"] == [1, 0, 2, 2]


def test_nothing_predicted_is_an_empty_list() -> None:
    void = Prediction("a", (2, 2), torch.full((2, 2), VOID, dtype=torch.uint8))
    none = Prediction("a", (2, 2), instances=Instances.empty((2, 2)))
    assert coco_document(void, ("x",))["annotations"] == []
    assert coco_document(none, ())["annotations"] == []
    assert coco_categories(()) == []
