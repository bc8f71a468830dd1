"""Reads the segmentation part of PASCAL VOC."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from toolkit.config import ImageSettings
from toolkit.data.dataset import Dataset
from toolkit.data.label_maps import read_label_map
from toolkit.data.label_values import LabelValues
from toolkit.errors import DataError, MissingSplitError
from toolkit.formats.label_images import (
    check_same_size,
    instances_from_id_map,
    labeled_sample,
    majority_labels,
    values_to_label_map,
)
from toolkit.formats.pairs import REPAIR, complete, read_lines
from toolkit.types import VOID, Sample
from toolkit.visualization.palettes import default_palette

OBJECTS = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *(
        "diningtable",
        "dog",
        "horse",
        "motorbike",
        "person",
        "pottedplant",
        "sheep",
        "sofa",
        "train",
        "tvmonitor",
    ),
)
"""The classes of objects in the order of their values in the label images, from 1."""

BACKGROUND = "background"
AUGMENTED = "train_aug"


class VocSettings(ImageSettings):
    """Options for reading PASCAL VOC."""

    year: Literal["2007", "2008", "2009", "2010", "2011", "2012"] = "2012"
    """Year of the challenge, which has its own folder in `VOCdevkit/`; 2007 has labels for the split `test`.
    """
    background: bool = True
    """Whether the background is the first of 21 classes, as semantic models need it; false leaves 20 classes,
    and the background is void.
    """


def build(folder: Path, split: str, settings: VocSettings) -> Voc:
    """One split of the dataset in ``folder``.

    Raises:
        DataError: when the folder is not PASCAL VOC, or files of the split are missing.
        MissingSplitError: when the folder has no list for the split.
    """
    name = f"VOC{settings.year}"
    roots = [
        root
        for root in (folder / "VOCdevkit" / name, folder / name, folder)
        if (root / "JPEGImages").is_dir()
    ]
    if not roots:
        raise DataError(
            f"{folder} is not PASCAL VOC: there is no {Path('VOCdevkit', name, 'JPEGImages')} in it. "
            f"Hint: unpack VOCtrainval of {settings.year} there, or set data.options.year"
        )
    root = roots[0]
    path = root / "ImageSets" / "Segmentation" / f"{split}.txt"
    if not path.is_file():
        there = ", ".join(sorted(file.stem for file in path.parent.glob("*.txt"))) or "none"
        raise MissingSplitError(
            f"{path} does not exist, so there is no split {split!r} (expected one of: {there}). Hint: "
            + (
                "put SBD's train_aug.txt and SegmentationClassAug/ there, see the README"
                if split == AUGMENTED
                else "choose another split"
            )
        )
    return Voc(
        root,
        read_lines(path),
        "SegmentationClassAug" if split == AUGMENTED else "SegmentationClass",
        settings.background,
    )


class Voc(Dataset):
    """One split, with a label map and, if ``SegmentationObject/`` has an image of object ids, instances.

    Args:
        root: the folder of one year.
        ids: the ids of the photos.
        labels: folder of the label images.
        background: whether the background is a class.
    """

    def __init__(self, root: Path, ids: Sequence[str], labels: str, background: bool) -> None:
        names = (BACKGROUND, *OBJECTS)
        first = 0 if background else 1
        self.classes = names[first:]
        self.palette = default_palette(len(self.classes), first=first)
        self.ids = tuple(dict.fromkeys(ids))
        self._root, self._labels = root, labels
        self._values = {value: value - first if value >= first else VOID for value in range(len(names))} | {
            255: VOID
        }
        self.label_values = LabelValues.of_table(self._values, len(names) - first, 255)
        for kind, pattern in (("JPEGImages", "{}.jpg"), (labels, "{}.png")):
            self.ids = complete(root / kind, pattern, self.ids, REPAIR)

    def __getitem__(self, index: int) -> Sample:
        """Read one photo with its labels."""
        name = self.ids[index]
        image_path = self._root / "JPEGImages" / f"{name}.jpg"
        label_path = self._root / self._labels / f"{name}.png"
        sample = labeled_sample(name, image_path, label_path, self._read_label_map, self.scale)
        ids_path = self._root / "SegmentationObject" / f"{name}.png"
        if not ids_path.is_file():
            return sample
        ids, label_map = read_label_map(ids_path), sample.label_map
        assert label_map is not None  # as just read
        check_same_size(ids, sample.image, ids_path, image_path)
        # the border between objects is of none of them
        nothing = (label_map == self._values[0]) | (ids == 255)
        of_objects = torch.where(nothing, VOID, label_map)
        ids = torch.where(ids == 255, 0, ids)
        return sample.with_(instances=instances_from_id_map(ids, majority_labels(ids, of_objects)))

    def _read_label_map(self, path: Path) -> Tensor:
        return values_to_label_map(read_label_map(path), self._values, path)
