"""What the reader of PASCAL VOC promises, on a small copy of its layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from toolkit.datasets.voc.reader import OBJECTS
from toolkit.datasets.voc.sample import write_sample
from torchvision.models.segmentation import DeepLabV3_ResNet50_Weights

from toolkit import registry
from toolkit.data.checks import check_split
from toolkit.data.dataset import Dataset, open_dataset
from toolkit.errors import DataError, MissingSplitError, OutputError
from toolkit.types import VOID
from toolkit.visualization.palettes import voc_colors

IDS = {
    "train": ["2007_000032", "2007_000039"],
    "val": ["2008_000001"],
    "trainval": ["2007_000032", "2007_000039", "2008_000001"],
}
CLASSES_MAP = np.array([[0, 0, 15, 15], [0, 255, 15, 255], [1, 255, 15, 15], [1, 1, 15, 0]], np.uint8)
OBJECTS_MAP = np.array([[0, 0, 1, 1], [0, 255, 1, 255], [2, 255, 3, 3], [2, 2, 3, 3]], np.uint8)


def voc(folder: Path, split: str = "train", **options: Any) -> Dataset:
    return open_dataset(registry.datasets().get("voc"), folder, split, options)


def save(path: Path, values: np.ndarray) -> None:
    """As PNG with the published palette, as VOC's are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(values)
    image.putpalette(voc_colors(256).tobytes())
    image.save(path)


def write(root: Path) -> None:
    (root / "ImageSets" / "Segmentation").mkdir(parents=True)
    (root / "JPEGImages").mkdir()
    for split, names in IDS.items():
        (root / "ImageSets" / "Segmentation" / f"{split}.txt").write_text("\n".join(names) + "\n")
    for name in IDS["trainval"]:
        cv2.imwrite(str(root / "JPEGImages" / f"{name}.jpg"), np.full((4, 4, 3), (10, 20, 200), np.uint8))
        save(root / "SegmentationClass" / f"{name}.png", CLASSES_MAP)
        save(root / "SegmentationObject" / f"{name}.png", OBJECTS_MAP)


@pytest.fixture(params=["VOCdevkit/VOC2012", "VOC2012", ""])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    write(tmp_path / request.param)
    return tmp_path


def root_of(folder: Path) -> Path:
    return next(folder.rglob("JPEGImages")).parent


def test_the_classes_are_those_that_torchvision_learned() -> None:
    assert list(OBJECTS) == DeepLabV3_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1.meta["categories"][1:]


@pytest.mark.parametrize("split", IDS)
def test_label_maps(folder: Path, split: str) -> None:
    dataset = voc(folder, split)
    assert list(dataset.ids) == IDS[split]
    assert dataset.classes == ("background", *OBJECTS)
    assert dataset.palette == tuple(map(tuple, voc_colors(21).tolist()))
    sample = dataset[0]
    assert np.array_equal(sample.label_map.numpy(), CLASSES_MAP), "values are class indexes, and 255 is void"
    assert (sample.image.float().mean((1, 2)) - torch.tensor([200.0, 20, 10])).abs().max() < 5


def test_without_a_background(folder: Path) -> None:
    dataset = voc(folder, background=False)
    assert dataset.classes == OBJECTS
    assert dataset.palette == tuple(map(tuple, voc_colors(21)[1:].tolist()))
    expected = CLASSES_MAP.astype(int) - 1
    expected[(CLASSES_MAP == 0) | (CLASSES_MAP == 255)] = VOID
    assert np.array_equal(dataset[0].label_map.numpy(), expected)
    assert [dataset.classes[label] for label in dataset[0].instances.labels] == [
        "person",
        "aeroplane",
        "person",
    ]


def test_objects_have_the_class_of_their_pixels_and_no_border(folder: Path) -> None:
    sample = voc(folder)[0]
    assert [voc(folder).classes[label] for label in sample.instances.labels] == [
        "person",
        "aeroplane",
        "person",
    ]
    for object_id, mask in enumerate(sample.instances.masks.dense(), start=1):
        assert np.array_equal(mask.numpy(), object_id == OBJECTS_MAP)
    assert sample.instances.boxes_xyxy.tolist() == [[2, 0, 4, 2], [0, 2, 2, 4], [2, 2, 4, 4]]


def test_photos_without_objects_images_have_no_instances(folder: Path) -> None:
    for path in root_of(folder).glob("SegmentationObject/*"):
        path.unlink()
    assert voc(folder)[0].instances is None


def test_the_augmented_training_set(folder: Path) -> None:
    with pytest.raises(
        MissingSplitError, match=r"expected one of: train, trainval, val\)\. Hint: put SBD's train_aug\.txt"
    ):
        voc(folder, "train_aug")
    root = root_of(folder)
    (root / "ImageSets" / "Segmentation" / "train_aug.txt").write_text("2007_000032\n")
    save(root / "SegmentationClassAug" / "2007_000032.png", np.full((4, 4), 20, np.uint8))
    dataset = voc(folder, "train_aug")
    assert list(dataset.ids) == ["2007_000032"]
    assert (dataset[0].label_map == 20).all()


def test_another_year(tmp_path: Path) -> None:
    write(tmp_path / "VOCdevkit" / "VOC2007")
    (tmp_path / "VOCdevkit" / "VOC2007" / "ImageSets" / "Segmentation" / "test.txt").write_text(
        "2008_000001\n"
    )
    assert list(voc(tmp_path, "test", year="2007").ids) == ["2008_000001"]
    with pytest.raises(
        DataError, match=r"there is no VOCdevkit/VOC2012/JPEGImages in it.* or set data\.options\.year"
    ):
        voc(tmp_path)


def test_faults_are_named(folder: Path) -> None:
    root = root_of(folder)
    with pytest.raises(MissingSplitError, match="there is no split 'test'"):
        voc(folder, "test")
    save(root / "SegmentationClass" / "2007_000032.png", np.full((4, 4), 21, np.uint8))
    with pytest.raises(
        DataError, match=r"2007_000032\.png has the value 21 in 16 pixels.*expected 0…20, 255"
    ):
        voc(folder)[0]
    save(root / "SegmentationClass" / "2007_000032.png", np.zeros((4, 5), np.uint8))
    with pytest.raises(DataError, match="has 5 x 4 pixels, but its image .* has 4 x 4"):
        voc(folder)[0]
    (root / "SegmentationClass" / "2007_000032.png").unlink()
    with pytest.raises(
        DataError, match=r"files of the split missing in .*SegmentationClass: 1 \(2007_000032\.png\)"
    ):
        voc(folder)
    voc(folder, "val")
    for path in root.glob("JPEGImages/*"):
        path.unlink()
    with pytest.raises(
        DataError, match=r"JPEGImages: 3 \(2007_000032\.jpg, 2007_000039\.jpg, 2008_000001\.jpg\)"
    ):
        voc(folder, "trainval")
    (root / "ImageSets" / "Segmentation" / "val.txt").write_text("\n")
    with pytest.raises(DataError, match=r"val\.txt is empty"):
        voc(folder, "val")


def test_a_folder_without_voc(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not PASCAL VOC"):
        voc(tmp_path)


def test_the_stand_in_is_voc(tmp_path: Path) -> None:
    assert write_sample(tmp_path, counts={"train": 5, "val": 2}) == 7
    for split, count in {"train": 5, "val": 2, "trainval": 7}.items():
        report = check_split(voc(tmp_path, split))
        assert report.samples == count
        assert not report.faults
        assert report.instances.sum() > 0
        assert report.void_pixels > 0
    assert (report.pixels > 0).all(), "every class has its turn"
    with pytest.raises(OutputError, match="VOC2012 already exists"):
        write_sample(tmp_path)
