"""What the reader of MSRC v2 promises, on a small copy in both layouts and, where they are at hand, on the
real photos.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from toolkit.datasets.msrc.reader import COLORS
from toolkit.datasets.msrc.splits import SPLITS, ids_of

from toolkit import registry
from toolkit.data.dataset import Dataset, open_dataset
from toolkit.errors import DataError
from toolkit.types import VOID

NAMES = list(COLORS)


def msrc(folder: Path, split: str = "val", **options: Any) -> Dataset:
    return open_dataset(registry.datasets().get("msrc"), folder, split, options)


def values_of(name: str) -> np.ndarray:
    return np.random.default_rng(len(name) + int(name.split("_")[1])).integers(0, 24, (6, 8), dtype=np.uint8)


@pytest.fixture(params=["png", "original", "archive"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The split val in one of the layouts, with made-up pixels; ``archive`` is the original below the
    archive's own folder.
    """
    root = tmp_path / "MSRC_ObjCategImageDatabase_v2" if request.param == "archive" else tmp_path
    folders = ("images", "labels") if request.param == "png" else ("Images", "GroundTruth")
    for each in folders:
        (root / each).mkdir(parents=True)
    lookup = np.array([(0, 0, 0), *COLORS.values()], np.uint8)
    for name in ids_of("val"):
        values = values_of(name)
        image = np.repeat(values[..., None] * 10, 3, axis=2)
        image[..., 2] = 200  # red, in OpenCV's order
        if request.param == "png":
            cv2.imwrite(str(root / "images" / f"{name}.png"), image)
            cv2.imwrite(str(root / "labels" / f"{name}.png"), values)
        else:
            cv2.imwrite(str(root / "Images" / f"{name}.bmp"), image)
            cv2.imwrite(str(root / "GroundTruth" / f"{name}_GT.bmp"), lookup[values][..., ::-1])
    return tmp_path


def test_the_published_split() -> None:
    assert {split: len(ids_of(split)) for split in SPLITS} == {"train": 276, "val": 59, "test": 256}
    assert len({name for split in SPLITS for name in ids_of(split)}) == 591


def test_all_layouts_read_the_same(folder: Path) -> None:
    dataset = msrc(folder, num_classes=23)
    assert dataset.classes == tuple(NAMES)
    assert len(dataset) == 59
    for index in (0, 30):
        sample = dataset[index]
        values = values_of(sample.id)
        assert sample.image.shape == (3, 6, 8)
        assert (sample.image[0] == 200).all()
        assert np.array_equal(sample.image[1].numpy(), values * 10)
        expected = values.astype(int) - 1
        expected[values == 0] = VOID
        assert np.array_equal(sample.label_map.numpy(), expected)


def test_the_protocol_of_21_classes(folder: Path) -> None:
    dataset = msrc(folder)
    assert len(dataset.classes) == 21
    assert not {"horse", "mountain"} & set(dataset.classes)
    assert dataset.palette is not None
    for name, color in zip(dataset.classes, dataset.palette, strict=True):
        assert COLORS[name] == color
    sample = dataset[3]
    for value, label in zip(
        values_of(sample.id).flatten().tolist(), sample.label_map.flatten().tolist(), strict=True
    ):
        name = "void" if value == 0 else NAMES[value - 1]
        assert label == (VOID if name in ("void", "horse", "mountain") else dataset.classes.index(name))


def test_segments_are_of_their_majority(folder: Path) -> None:
    if not (folder / "labels").is_dir():
        assert msrc(folder)[0].instances is None
        return
    (folder / "instances").mkdir()
    name = ids_of("val")[0]
    values = np.zeros((6, 8), np.uint8)
    values[:, 4:] = 7  # sky
    values[:3, :4] = 5  # horse, which is void among 21 classes
    ids = np.array([[1] * 4 + [2] * 4] * 6, np.uint8)
    ids[5, 7] = 0
    cv2.imwrite(str(folder / "labels" / f"{name}.png"), values)
    cv2.imwrite(str(folder / "instances" / f"{name}.png"), ids)
    with_horse, without = msrc(folder, num_classes=23)[0], msrc(folder)[0]
    assert with_horse.instances.labels.tolist() == [NAMES.index("horse"), NAMES.index("sky")]
    assert without.instances.labels.tolist() == [without_index("sky")]
    assert without.instances.masks.areas().tolist() == [23]


def without_index(name: str) -> int:
    return [n for n in NAMES if n not in ("horse", "mountain")].index(name)


def test_faults_name_the_file(folder: Path) -> None:
    coded = not (folder / "labels").is_dir()
    name = ids_of("val")[0]
    path = next(p for p in folder.rglob(f"{name}*") if p.parent.name in ("labels", "GroundTruth"))
    if coded:
        broken = np.zeros((6, 8, 3), np.uint8)
        broken[2, :5] = (3, 2, 1)
        cv2.imwrite(str(path), broken)
        with pytest.raises(DataError, match=rf"{path.name} has the color \(1, 2, 3\) in 5 pixels"):
            msrc(folder)[0]
    else:
        cv2.imwrite(str(path), np.full((6, 8), 24, np.uint8))
        with pytest.raises(
            DataError,
            match=rf"{path.name} has the value 24 in 48 pixels, which is not a class; expected 0…23",
        ):
            msrc(folder)[0]
    cv2.imwrite(str(path), np.zeros((8, 6, 3) if coded else (8, 6), np.uint8))
    with pytest.raises(DataError, match=r"has 6 x 8 pixels, but its image .* has 8 x 6"):
        msrc(folder)[0]
    path.unlink()
    with pytest.raises(DataError, match=rf"files of the split missing in .*: 1 \({path.name}\)\. Hint"):
        msrc(folder)


def test_a_folder_without_msrc(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="neither GroundTruth/ next to Images/ nor labels/ next to images/"):
        msrc(tmp_path)
    with pytest.raises(DataError, match=r"It must contain: either Images/1_10_s.bmp"):
        msrc(tmp_path / "nowhere")


@pytest.mark.data
def test_the_real_photos(shared_data: Path) -> None:
    folder = shared_data / "msrc_v2"
    present = {path.stem for path in (folder / "images").iterdir()}
    assert {name for split in SPLITS for name in ids_of(split)} == present
    dataset = msrc(folder, "val", num_classes=23)
    for sample in (dataset[i] for i in range(0, len(dataset), 5)):
        ids = cv2.imread(str(folder / "instances" / f"{sample.id}.png"), cv2.IMREAD_UNCHANGED)
        assert len(sample.instances) == len(set(ids[ids > 0].tolist()))
        covered = torch.zeros(sample.size, dtype=torch.bool)
        for mask, label in zip(sample.instances.masks.dense(), sample.instances.labels.tolist(), strict=True):
            assert (sample.label_map[mask] == label).all()
            covered |= mask
        assert torch.equal(covered, sample.label_map != VOID)
