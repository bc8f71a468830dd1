"""Reads the Oxford-IIIT Pet dataset."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from toolkit.config import ImageSettings
from toolkit.data.dataset import Dataset
from toolkit.data.label_maps import read_label_map
from toolkit.errors import DataError, MissingSplitError
from toolkit.formats.label_images import labeled_sample, values_to_label_map
from toolkit.formats.pairs import complete, places_in_split, read_lines
from toolkit.types import VOID, Sample

BREEDS = (
    *(
        "Abyssinian",
        "american_bulldog",
        "american_pit_bull_terrier",
        "basset_hound",
        "beagle",
        "Bengal",
        "Birman",
        "Bombay",
        "boxer",
    ),
    *(
        "British_Shorthair",
        "chihuahua",
        "Egyptian_Mau",
        "english_cocker_spaniel",
        "english_setter",
        "german_shorthaired",
    ),
    *(
        "great_pyrenees",
        "havanese",
        "japanese_chin",
        "keeshond",
        "leonberger",
        "Maine_Coon",
        "miniature_pinscher",
        "newfoundland",
    ),
    *(
        "Persian",
        "pomeranian",
        "pug",
        "Ragdoll",
        "Russian_Blue",
        "saint_bernard",
        "samoyed",
        "scottish_terrier",
        "shiba_inu",
        "Siamese",
    ),
    *("Sphynx", "staffordshire_bull_terrier", "wheaten_terrier", "yorkshire_terrier"),
)
"""In the order of the class ids in the lists, from 1. Breeds of cats begin with a capital letter, breeds of
dogs with a lower-case one.
"""

PET, BACKGROUND, BORDER = 1, 2, 3
"""The values of a trimap."""

_REPAIR = (
    "unpack images.tar.gz and annotations.tar.gz side by side; metrics on only a part of it cannot be"
    " compared with others"
)


class PetsSettings(ImageSettings):
    """Options for reading the Oxford-IIIT Pet dataset."""

    classes: Literal["pet", "species", "breeds"] = "pet"
    """Classes besides the background: one for all pets, cat and dog, or the 37 breeds."""
    border: Literal["void", "pet", "background"] = "void"
    """How to treat the border around the animal, which the trimaps leave undecided."""
    val_fraction: float = Field(0.1, gt=0, lt=1)
    """Fraction of the published trainval in the split `val`, chosen by a hash of the photo's name; the rest
    is `train`.
    """


def build(folder: Path, split: str, settings: PetsSettings) -> Pets:
    """One split of the dataset in ``folder``.

    Raises:
        DataError: when the folder is not the dataset, or files of the split are missing.
        MissingSplitError: when the folder has no list for the split.
    """
    trimaps = folder / "annotations" / "trimaps"
    if not trimaps.is_dir():
        raise DataError(f"{folder} is not Oxford-IIIT Pet: there is no {trimaps}. Hint: {_REPAIR}")
    path = folder / "annotations" / ("test.txt" if split == "test" else "trainval.txt")
    if not path.is_file():
        raise MissingSplitError(f"{path} does not exist. Hint: {_REPAIR}")
    names = _names(path)
    if split in ("train", "val"):
        names = [names[i] for i in places_in_split(names, split, settings.val_fraction, path)]
    return Pets(folder, names, settings)


def _names(path: Path) -> list[str]:
    """The first word of each line; the second is the class id, which is that of the breed in the name."""
    names = []
    for line in read_lines(path):
        if line.startswith("#"):
            continue
        words = line.split()
        breed = _breed(words[0])
        if breed not in BREEDS or words[1:2] != [str(BREEDS.index(breed) + 1)]:
            raise DataError(
                f"{path} has the line {line!r}; expected a name such as Abyssinian_1, then the id of its"
                f" breed, 1 to {len(BREEDS)}. Hint: restore the file from annotations.tar.gz"
            )
        names.append(words[0])
    return names


def _breed(name: str) -> str:
    return name.rpartition("_")[0]


class Pets(Dataset):
    """One split of the Oxford-IIIT Pet dataset."""

    def __init__(self, folder: Path, names: Sequence[str], settings: PetsSettings) -> None:
        self._pets = {"pet": ("pet",), "species": ("cat", "dog"), "breeds": BREEDS}[settings.classes]
        self.classes = ("background", *self._pets)
        self._images, self._trimaps = folder / "images", folder / "annotations" / "trimaps"
        self._border = settings.border
        self.ids = complete(self._images, "{}.jpg", names, _REPAIR)
        self.ids = complete(self._trimaps, "{}.png", self.ids, _REPAIR)

    def __getitem__(self, index: int) -> Sample:
        """Read one photo with its trimap."""
        name = self.ids[index]
        image_path, label_path = self._images / f"{name}.jpg", self._trimaps / f"{name}.png"
        pet = self._label(_breed(name))
        border = {"void": VOID, "pet": pet, "background": 0}[self._border]
        table = {PET: pet, BACKGROUND: 0, BORDER: border}
        return labeled_sample(
            name,
            image_path,
            label_path,
            lambda path: values_to_label_map(read_label_map(path), table, path),
            self.scale,
        )

    def _label(self, breed: str) -> int:
        """The class index of an animal of this breed."""
        if self._pets is BREEDS:
            return 1 + BREEDS.index(breed)
        return 1 if len(self._pets) == 1 or breed[0].isupper() else 2
