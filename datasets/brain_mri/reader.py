"""Reads the LGG set of brain scans. A patient is never in two splits, since slices are similar."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import Field, model_validator
from torch import Tensor

from toolkit.config import ImageSettings
from toolkit.data.dataset import Dataset
from toolkit.data.label_maps import read_label_map
from toolkit.data.label_values import LabelValues
from toolkit.errors import DataError, MissingSplitError
from toolkit.formats.label_images import labeled_sample, values_to_label_map
from toolkit.formats.pairs import check_pairs, hashed_split, images_below
from toolkit.types import Sample

MASK_ENDING = "_mask"
MASK_VALUES = {0: 0, 1: 1, 255: 1}
_ROOTS = ("kaggle_3m", "lgg-mri-segmentation/kaggle_3m")


class BrainMriSettings(ImageSettings):
    """Options for reading the LGG dataset."""

    val_fraction: float = Field(0.15, ge=0, lt=1)
    """Fraction of the patients in the split `val`, chosen by a hash of the patient's name."""
    test_fraction: float = Field(0.15, ge=0, lt=1)
    """Fraction of the patients in the split `test`."""

    @model_validator(mode="after")
    def _something_to_learn_from(self) -> BrainMriSettings:
        if self.val_fraction + self.test_fraction >= 1:
            raise ValueError(
                f"val_fraction {self.val_fraction} and test_fraction {self.test_fraction} leave no"
                " training images"
            )
        return self


def build(folder: Path, split: str, settings: BrainMriSettings) -> BrainMri:
    """One split of the dataset in ``folder``.

    Raises:
        DataError: when the folder has no patients, or slices and masks do not match.
        MissingSplitError: when no patient falls into the split.
    """
    root = next((folder / name for name in _ROOTS if (folder / name).is_dir()), folder)
    files = {name: path for name, path in images_below(root).items() if "/" in name}
    masks = {
        name.removesuffix(MASK_ENDING): path for name, path in files.items() if name.endswith(MASK_ENDING)
    }
    slices = {name: path for name, path in files.items() if not name.endswith(MASK_ENDING)}
    if not files:
        raise DataError(
            f"{root} has no folders of patients with .tif files. Hint: unpack the archive there, so that "
            f"{root / 'TCGA_CS_4941_19960909' / 'TCGA_CS_4941_19960909_1.tif'} exists"
        )
    check_pairs(
        slices,
        masks,
        root,
        root,
        hint=f"unpack the whole archive; the mask of NAME.tif is called NAME{MASK_ENDING}.tif",
    )
    fractions = {"test": settings.test_fraction, "val": settings.val_fraction}
    ids = [name for name in slices if name in masks and hashed_split(patient_of(name), fractions) == split]
    if not ids:
        count = len({patient_of(name) for name in slices})
        raise MissingSplitError(
            f"none of the {count} patients in {root} falls into the split {split!r} by the hash of the name. "
            "Hint: set data.options.val_fraction and data.options.test_fraction"
        )
    return BrainMri(slices, masks, ids)


def patient_of(name: str) -> str:
    """The patient of a slice: its folder without the date of the scan, so that two scans of a patient
    stay together.
    """
    return re.sub(r"_\d{8}$", "", name.split("/")[0])


class BrainMri(Dataset):
    """Slices with masks of the tumor (the FLAIR abnormality). The channels of a slice are pre-contrast,
    FLAIR and post-contrast.
    """

    classes = ("background", "tumor")
    label_values = LabelValues((0, 255), void=None)

    def __init__(self, slices: Mapping[str, Path], masks: Mapping[str, Path], ids: Iterable[str]) -> None:
        self.ids = tuple(sorted(ids, key=_by_number))
        self._files = {name: (slices[name], masks[name]) for name in self.ids}

    def __getitem__(self, index: int) -> Sample:
        """Read one slice with its mask."""
        name = self.ids[index]
        image_path, mask_path = self._files[name]
        return labeled_sample(name, image_path, mask_path, _read_mask, self.scale)


def _read_mask(path: Path) -> Tensor:
    return values_to_label_map(read_label_map(path), MASK_VALUES, path)


def _by_number(name: str) -> tuple[str, int, str]:
    """Slices in the order of the scan: 2 before 10."""
    folder, _, file = name.rpartition("/")
    number = re.search(r"\d+$", file)
    return folder, int(number[0]) if number else -1, file
