"""What the reader of the Oxford-IIIT Pet dataset promises, on a small copy of its layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from toolkit.datasets.oxford_pets.reader import BREEDS
from toolkit.datasets.oxford_pets.sample import write_sample

from toolkit import registry
from toolkit.data.checks import check_split
from toolkit.data.dataset import Dataset, open_dataset
from toolkit.errors import ConfigError, DataError, MissingSplitError, OutputError
from toolkit.types import VOID

TRIMAP = np.array([[2, 2, 3, 3], [2, 3, 1, 1], [2, 3, 1, 1]], np.uint8)
TRAINVAL = [f"{breed}_{n}" for breed in ("Abyssinian", "beagle", "yorkshire_terrier") for n in range(1, 9)]
TEST = ["Sphynx_201", "american_bulldog_7"]


def pets(folder: Path, split: str = "trainval", **options: Any) -> Dataset:
    return open_dataset(registry.datasets().get("oxford-pets"), folder, split, options)


def line(name: str) -> str:
    breed = name.rpartition("_")[0]
    return f"{name} {BREEDS.index(breed) + 1} {1 if name[0].isupper() else 2} 1\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for each in ("images", "annotations/trimaps"):
        (tmp_path / each).mkdir(parents=True)
    (tmp_path / "annotations" / "trainval.txt").write_text(
        "#Image CLASS-ID SPECIES BREED ID\n" + "".join(map(line, TRAINVAL))
    )
    (tmp_path / "annotations" / "test.txt").write_text("".join(map(line, TEST)))
    for name in TRAINVAL + TEST:
        cv2.imwrite(str(tmp_path / "images" / f"{name}.jpg"), np.zeros((3, 4, 3), np.uint8))
        cv2.imwrite(str(tmp_path / "annotations" / "trimaps" / f"{name}.png"), TRIMAP)
        (tmp_path / "annotations" / "trimaps" / f"._{name}.png").write_bytes(
            b"left behind by a Mac, as in the archive"
        )
    return tmp_path


def test_the_breeds_are_in_the_order_of_their_ids() -> None:
    """12 breeds of cats and 25 of dogs, in the order of the alphabet whatever the case."""
    assert len(BREEDS) == 37
    assert list(BREEDS) == sorted(BREEDS, key=str.lower)
    assert sum(breed[0].isupper() for breed in BREEDS) == 12


@pytest.mark.parametrize(("border", "value"), [("void", VOID), ("pet", 1), ("background", 0)])
def test_trimaps(folder: Path, border: str, value: int) -> None:
    dataset = pets(folder, border=border)
    assert dataset.classes == ("background", "pet")
    assert list(dataset.ids) == TRAINVAL
    expected = np.choose(TRIMAP - 1, [1, 0, value])
    assert np.array_equal(dataset[0].label_map.numpy(), expected)


def test_species_and_breeds(folder: Path) -> None:
    species, breeds = pets(folder, "test", classes="species"), pets(folder, "test", classes="breeds")
    assert species.classes == ("background", "cat", "dog")
    assert breeds.classes == ("background", *BREEDS)
    for index, (kind, breed) in enumerate([("cat", "Sphynx"), ("dog", "american_bulldog")]):
        assert species.classes[int(species[index].label_map[1, 2])] == kind
        assert breeds.classes[int(breeds[index].label_map[1, 2])] == breed
        assert set(breeds[index].label_map.flatten().tolist()) == {0, VOID, breeds.classes.index(breed)}


def test_train_and_val_are_parts_of_the_published_trainval(folder: Path) -> None:
    train, val = pets(folder, "train", val_fraction=0.3), pets(folder, "val", val_fraction=0.3)
    assert sorted([*train.ids, *val.ids]) == sorted(TRAINVAL)
    assert 0 < len(val) < len(train)
    assert not set(TEST) & {*train.ids, *val.ids}
    assert list(pets(folder, "test").ids) == TEST
    with pytest.raises(
        MissingSplitError, match=r"falls into the split 'val'\. Hint: set another data\.options\.val_fraction"
    ):
        pets(folder, "val", val_fraction=1e-9)
    with pytest.raises(ConfigError, match="val_fraction"):
        pets(folder, "val", val_fraction=1)


def test_faults_are_named(folder: Path) -> None:
    trimap = folder / "annotations" / "trimaps" / "Sphynx_201.png"
    cv2.imwrite(str(trimap), np.zeros((3, 4), np.uint8))
    with pytest.raises(DataError, match=r"Sphynx_201\.png has the value 0 in 12 pixels.*expected 1…3"):
        pets(folder, "test")[0]
    cv2.imwrite(str(trimap), np.ones((4, 3), np.uint8))
    with pytest.raises(DataError, match="has 3 x 4 pixels, but its image .* has 4 x 3"):
        pets(folder, "test")[0]
    trimap.unlink()
    with pytest.raises(DataError, match=r"missing in .*trimaps: 1 \(Sphynx_201\.png\)"):
        pets(folder, "test")
    (folder / "images" / "Sphynx_201.jpg").unlink()
    with pytest.raises(DataError, match=r"missing in .*images: 1 \(Sphynx_201\.jpg\)"):
        pets(folder, "test")
    for wrong in ("Sphynx_201 1 1 1", "poodle_1 38 2 1", "Sphynx_201"):
        (folder / "annotations" / "test.txt").write_text(f"{wrong}\n")
        with pytest.raises(
            DataError, match=rf"test\.txt has the line '{wrong}'; expected a name such as Abyssinian_1"
        ):
            pets(folder, "test")
    (folder / "annotations" / "test.txt").unlink()
    with pytest.raises(MissingSplitError, match=r"test\.txt does not exist"):
        pets(folder, "test")


def test_a_folder_without_pets(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is not Oxford-IIIT Pet: there is no .*trimaps\. Hint: unpack"):
        pets(tmp_path)


def test_the_stand_in_is_the_dataset(tmp_path: Path) -> None:
    assert write_sample(tmp_path, photos=1) == 74
    for split in ("train", "val", "trainval", "test"):
        report = check_split(pets(tmp_path, split, classes="breeds", val_fraction=0.2))
        assert not report.faults
        assert report.void_pixels > 0
    assert (report.pixels > 0).all(), "every breed is there"
    with pytest.raises(OutputError, match="annotations already exists"):
        write_sample(tmp_path)
