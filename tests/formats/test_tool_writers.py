"""What is written for CVAT and Label Studio is what they read: by CVAT's SDK, by the description of the
formats, and by our own readers, pixel by pixel. Conversions in general are tried in ``test_convert.py``.
"""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
import torch
from cvat_sdk.masks import decode_mask

from toolkit import registry
from toolkit.data.dataset import Dataset, open_dataset
from toolkit.errors import DataError
from toolkit.formats.brush import decode_brush
from toolkit.formats.convert import Losses, convert_split
from toolkit.types import Instances, Masks, Sample

SIZE = (24, 30)


class Given(Dataset):
    """One sample with masks."""

    def __init__(self, masks: np.ndarray, name: str = "a", classes: tuple[str, ...] = ("cat", "dog")) -> None:
        self.classes, self.ids = classes, [name]
        encoded = Masks.from_dense(masks)
        labels = torch.arange(len(masks)) % len(classes)
        self.sample = Sample(
            name,
            torch.full((3, *SIZE), 90, dtype=torch.uint8),
            instances=Instances(SIZE, encoded.boxes_xyxy(), labels, encoded),
        )

    def __getitem__(self, index: int) -> Sample:
        return self.sample


def blobs(count: int) -> np.ndarray:
    """Masks with parts, holes and overlaps."""
    rng = np.random.default_rng(5)
    noise = np.stack([cv2.GaussianBlur(rng.random(SIZE), (0, 0), 1.5) for _ in range(count)])
    return noise > np.quantile(noise, 0.6, axis=(1, 2), keepdims=True)


def write(dataset: Dataset, target: str, folder: Path) -> None:
    list(convert_split(dataset, "train", folder, target, Losses()))


def test_cvats_sdk_decodes_the_masks(tmp_path: Path) -> None:
    masks = blobs(5)
    write(Given(masks, "sub/ä & b"), "cvat", tmp_path)
    root = ElementTree.parse(tmp_path / "train/annotations.xml").getroot()
    assert root.findtext("version") == "1.1"
    assert [each.findtext("name") for each in root.iterfind("meta/task/labels/label")] == ["cat", "dog"]
    (image,) = root.findall("image")
    assert (image.get("name"), image.get("width"), image.get("height")) == ("sub/ä & b.png", "30", "24")
    assert (tmp_path / "train/images" / image.get("name", "")).is_file()
    for number, shape in enumerate(image):
        assert (shape.tag, shape.get("label")) == ("mask", ["cat", "dog"][number % 2])
        left, top, width, height = (int(shape.get(name, "")) for name in ("left", "top", "width", "height"))
        lengths = [int(word) for word in shape.get("rle", "").split(",")]
        code = [*lengths, left, top, left + width - 1, top + height - 1]
        assert (decode_mask(code, image_width=30, image_height=24) == masks[number]).all()


def test_tasks_of_label_studio(tmp_path: Path) -> None:
    masks = blobs(3)
    write(Given(masks, "sub/ä & b"), "label-studio", tmp_path)
    (task,) = json.loads((tmp_path / "train/tasks.json").read_text())
    prefix, _, name = task["data"]["image"].partition("?d=")
    assert prefix == "/data/local-files/"
    assert (tmp_path / unquote(name)).is_file()
    results = task["annotations"][0]["result"]
    assert len({each["id"] for each in results}) == 3
    for number, each in enumerate(results):
        assert (each["type"], each["original_width"], each["original_height"]) == ("brushlabels", 30, 24)
        assert each["value"]["brushlabels"] == [["cat", "dog"][number % 2]]
        assert (decode_brush(each["value"]["rle"], SIZE, "a") == masks[number]).all()


@pytest.mark.parametrize("target", ["cvat", "label-studio"])
def test_polygons_come_back_pixel_by_pixel(tmp_path: Path, target: str) -> None:
    """Also where their corners are at the border between two pixels by COCO's rule."""
    rng = np.random.default_rng(1)
    polygons = [[[round(value / 10, 2) for value in rng.integers(0, 240, 8).tolist()]] for _ in range(60)]
    polygons = [one for one in polygons if Masks.from_polygons([one], SIZE).areas()[0]]
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in/a.png"), np.zeros((*SIZE, 3), np.uint8))
    records = [
        {"id": number, "image_id": 1, "category_id": 1, "segmentation": one}
        for number, one in enumerate(polygons, 1)
    ]
    document = {"images": [{"id": 1, "file_name": "a.png"}], "categories": [{"id": 1, "name": "cat"}]}
    (tmp_path / "in/train.json").write_text(json.dumps({**document, "annotations": records}))
    source = open_dataset(registry.datasets().get("coco"), tmp_path / "in", "train")
    write(source, target, tmp_path / "out")
    back = open_dataset(registry.datasets().get(target), tmp_path / "out", "train")
    assert back[0].instances.masks == source[0].instances.masks
    parts = [region.polygons for region in back.regions(0, SIZE)]  # type: ignore[attr-defined]
    assert sum(map(bool, parts)) == len(polygons)


@pytest.mark.parametrize("target", ["cvat", "label-studio"])
def test_names_that_xml_cannot_hold(tmp_path: Path, target: str) -> None:
    with pytest.raises(DataError, match=r"'c\\x01t' has a character that XML cannot hold"):
        write(Given(blobs(1), classes=("c\x01t",)), target, tmp_path)
