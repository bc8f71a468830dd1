"""Crops of large TIFFs: the same samples as from whole images, of which only the tiles below are decoded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
import torch
from pycocotools import mask as coco_mask

import toolkit
from toolkit.config import Settings
from toolkit.config.augmentations import Color, Crop, Flip, Rotate, Scale
from toolkit.data import parts
from toolkit.data.dataset import Dataset, InMemory
from toolkit.data.label_maps import write_id_map, write_label_map
from toolkit.data.loader import training_batches
from toolkit.data.parts import PartReaders, cut_instances
from toolkit.data.tiff_windows import TiffWindows
from toolkit.data.transforms import Augmenter
from toolkit.types import Instances, Masks, Sample
from toolkit.types.pixel_runs import Rectangle

SIZE = (300, 420)
CROP = Crop(size=(96, 128))
STEPS: dict[str, tuple[Settings, ...]] = {
    "crop alone": (CROP,),
    "others after it": (CROP, Flip(p=1, keypoint_pairs=((0, 1),)), Rotate(p=1, degrees=20), Color()),
    "larger afterwards": (CROP, Scale(min=2, max=3, keep_size=True)),
}


def pixels(seed: int, size: tuple[int, int] = SIZE) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(0, 4096, (*size, 3)).astype(np.uint16)


def outline(random: np.random.Generator) -> tuple[list[float], np.ndarray[Any, Any]]:
    """A polygon, and the points as whole numbers."""
    center = random.uniform((0, 0), SIZE[::-1])
    angles = np.sort(random.uniform(0, 2 * np.pi, 9))
    points = center + random.uniform(4, 60) * np.stack([np.cos(angles), np.sin(angles)], 1)
    points = points.clip((0, 0), SIZE[::-1])
    return points.ravel().round(2).tolist(), points.astype(np.int32)


def coco(folder: Path, *, with_masks: bool = True) -> Dataset:
    """Two images with 40 objects each: polygons, a crowd, stated areas and keypoints; or boxes alone."""
    (folder / "images").mkdir(parents=True)
    random = np.random.default_rng(5)
    images, annotations = [], []
    for number in range(2):
        name = f"{number}.tif"
        how: dict[str, Any] = {"tile": (32, 48)} if number else {"rowsperstrip": 16}
        tifffile.imwrite(folder / "images" / name, pixels(number), photometric="rgb", metadata=None, **how)
        images.append({"id": number, "file_name": name, "height": SIZE[0], "width": SIZE[1]})
        for place in range(40):
            flat, points = outline(random)
            x, y, width, height = (float(each) for each in cv2.boundingRect(points))
            box = [x, y, min(width, SIZE[1] - x), min(height, SIZE[0] - y)]
            one = {"id": len(annotations), "image_id": number, "category_id": 1, "bbox": box}
            one |= {"iscrowd": 0, "area": 7.5 + place}
            if with_masks:
                one["segmentation"] = [flat]
                seen = [value for point in points[:2].clip(0) for value in (*point.tolist(), 2)]
                one |= {"keypoints": seen, "num_keypoints": 2}
            annotations.append(one)
        if with_masks:
            dense = np.zeros(SIZE, np.uint8, order="F")
            dense[20:150, 30:300] = 1
            code = coco_mask.encode(dense)
            crowd = {"size": list(SIZE), "counts": code["counts"].decode()}
            annotations.append(
                {"id": len(annotations), "image_id": number, "category_id": 1, "bbox": [30, 20, 270, 130]}
                | {"iscrowd": 1, "area": 35100, "segmentation": crowd, "keypoints": [0] * 6}
            )
    category = {"id": 1, "name": "cell"} | ({"keypoints": ["left", "right"]} if with_masks else {})
    document = {"images": images, "annotations": annotations, "categories": [category]}
    (folder / "instances.json").write_text(json.dumps(document))
    options = {"train": "instances.json", "images": "images", "degenerate": "skip"}
    options |= {"scale": {"range": [0, 4095]}}
    return toolkit.open_dataset("coco", folder, "train", options)


def masks(folder: Path) -> Dataset:
    """A tiled TIFF with a label map and ids of objects."""
    (folder / "images").mkdir(parents=True)
    how: dict[str, Any] = {"photometric": "rgb", "metadata": None, "tile": (32, 48)}
    tifffile.imwrite(folder / "images/a.tif", pixels(0), **how)
    random = np.random.default_rng(3)
    ids = np.zeros(SIZE, np.int32)
    for number in range(1, 30):
        cv2.fillPoly(ids, [outline(random)[1]], number)
    labels = np.where(ids > 0, 1 + ids % 2, 0).astype(np.uint8)
    labels[:40, :40] = 255
    write_label_map(folder / "labels/a.png", torch.from_numpy(labels), [(0, 0, 0)])
    write_id_map(folder / "instances/a.png", torch.from_numpy(ids))
    (folder / "classes.txt").write_text("ground\none\ntwo\n")
    (folder / "train.txt").write_text("a\n")
    return toolkit.open_dataset("masks", folder, "train", {"scale": {"percentiles": [1, 99]}})


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Dataset]:
    folder = tmp_path_factory.mktemp("large")
    made = {"coco": coco(folder / "coco"), "boxes": coco(folder / "boxes", with_masks=False)}
    return made | {"masks": masks(folder / "masks")}


def assert_same(one: Sample, other: Sample) -> None:
    assert torch.equal(one.image, other.image)
    assert (one.label_map is None) == (other.label_map is None)
    if one.label_map is not None and other.label_map is not None:
        assert torch.equal(one.label_map, other.label_map)
    first, second = one.instances, other.instances
    assert first is not None
    assert second is not None
    assert torch.equal(first.labels, second.labels)
    assert torch.allclose(first.boxes_xyxy, second.boxes_xyxy, atol=1e-4)
    assert (first.masks is None) == (second.masks is None)
    if first.masks is not None and second.masks is not None:
        assert first.masks.counts == second.masks.counts
    for name in ("keypoints", "is_crowd", "areas"):
        mine, others = getattr(first, name), getattr(second, name)
        assert (mine is None) == (others is None), name
        if mine is not None:
            assert torch.allclose(mine, others, rtol=1e-5), name


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("name", ["coco", "boxes", "masks"])
def test_crops_of_files_are_crops_of_whole_images(
    datasets: dict[str, Dataset], name: str, steps: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, augmenter = datasets[name], Augmenter(STEPS[steps])
    samples = [dataset[index] for index in range(len(dataset))]
    monkeypatch.setattr(type(dataset), "__getitem__", None)  # no image is read as a whole
    monkeypatch.setattr("toolkit.formats.regions.RegionDataset.__getitem__", None)
    found = 0
    for seed in range(12):
        index = seed % len(dataset)
        expected = augmenter(samples[index], seed)
        assert_same(augmenter.read(dataset, index, seed), expected)
        assert expected.instances is not None
        found += len(expected.instances)
    assert found > 20


@pytest.mark.parametrize("factor", [1, 4])
def test_what_is_decoded_does_not_grow_with_the_image(
    tmp_path: Path, factor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = SIZE[0] * factor, SIZE[1] * factor
    (tmp_path / "images").mkdir()
    tifffile.imwrite(
        tmp_path / "images/a.tif", np.zeros((*size, 3), np.uint8), tile=(32, 32), photometric="rgb"
    )
    document = {
        "images": [{"id": 1, "file_name": "a.tif", "height": size[0], "width": size[1]}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9], "area": 81, "iscrowd": 0}
        ],
        "categories": [{"id": 1, "name": "cell"}],
    }
    (tmp_path / "instances.json").write_text(json.dumps(document))
    dataset = toolkit.open_dataset("coco", tmp_path, "train", {"train": "instances.json", "images": "images"})
    decoded = []
    read = TiffWindows._data
    monkeypatch.setattr(TiffWindows, "_data", lambda *given: decoded.append(given) or read(*given))
    monkeypatch.setattr(parts, "READERS", PartReaders())
    monkeypatch.setattr("toolkit.data.transforms.READERS", parts.READERS)
    Augmenter((Crop(size=(64, 64)),)).read(dataset, 0, 1)
    assert 4 <= len(decoded) <= 9


def test_whole_images_are_read_where_parts_cannot_be(datasets: dict[str, Dataset]) -> None:
    dataset = datasets["coco"]
    for steps in ((Flip(p=1, keypoint_pairs=()), CROP), (Crop(size=(400, 96)),), ()):
        augmenter = Augmenter(steps)
        assert_same(augmenter.read(dataset, 1, 7), augmenter(dataset[1], 7))
    kept = InMemory(dataset)
    augmenter = Augmenter((CROP,))
    assert_same(augmenter.read(kept, 1, 7), augmenter(dataset[1], 7))
    assert 1 in kept._kept


def test_loader_processes_read_the_same_samples(datasets: dict[str, Dataset]) -> None:
    dataset, augmenter = datasets["coco"], Augmenter((CROP,))
    augmenter.read(dataset, 0, 1)  # the files are open when the processes start
    how = {"seed": 3, "batch_size": 2, "accumulate": 1, "rank": 0, "world": 1, "start": 0, "steps": 6}
    here = list(training_batches(dataset, augmenter, workers=0, **how))
    there = list(training_batches(dataset, augmenter, workers=2, **how))
    for ours, theirs in zip(here, there, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            assert_same(one, other)


def test_only_a_few_files_stay_open_and_values_are_counted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from toolkit.config import Scale as PixelScale

    scale, readers = PixelScale(percentiles=(0, 100)), PartReaders()
    counted = []
    inside = TiffWindows.inside
    monkeypatch.setattr(TiffWindows, "inside", lambda *given: counted.append(1) or inside(*given))
    for turn in range(2):
        for number in range(4):
            path = tmp_path / f"{number}.tif"
            if not turn:
                tifffile.imwrite(path, pixels(number, (64, 64)), tile=(32, 32), photometric="rgb")
            reader = readers.reader(path, scale)
            assert reader is not None
            reader.read(Rectangle(0, 0, 8, 8))
            assert len(readers._open) <= parts.MOST_READERS
    assert len(counted) == 4 * 4
    assert readers.reader(tmp_path / "a.png", scale) is None


def test_cut_objects_are_slices_of_their_masks() -> None:
    random = np.random.default_rng(0)
    dense = torch.from_numpy(random.random((12, 40, 50)) < 0.02)
    whole = Masks.from_dense(dense)
    objects = Instances((40, 50), whole.boxes_xyxy(), torch.arange(12), whole)
    place = Rectangle(7, 11, 19, 30)
    cut = cut_instances(objects, place)
    slices = dense[:, 7:19, 11:30]
    expected = slices.flatten(1).any(dim=1)
    assert cut.labels.tolist() == expected.nonzero()[:, 0].tolist()
    assert cut.masks is not None
    assert torch.equal(cut.masks.dense(), slices[expected])
