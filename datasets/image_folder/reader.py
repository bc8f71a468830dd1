"""Reads folders of images whose names are classes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch.nn import functional as F

from toolkit.config import ImageSettings
from toolkit.data.dataset import Dataset
from toolkit.data.faults import fault
from toolkit.data.folders import is_data
from toolkit.data.images import IMAGE_SUFFIXES
from toolkit.data.notes import note
from toolkit.data.splits import NAMES, split_of, the_one
from toolkit.errors import DataError, MissingSplitError
from toolkit.formats.pairs import hashed_split, images_below, listed
from toolkit.types import Sample

FIELD = "class_probabilities"
"""What the task classification learns from: float32 ``[C]``, 1 at the class of the image."""

_MOVE = "move its images into the other"


class ImageFolderSettings(ImageSettings):
    """Options for reading a folder of images in folders of classes."""

    split_by: Literal["auto", "folder", "fraction"] = "auto"
    """What decides which images are in which split: `folder` (train/, val/ and test/ with the classes in
    them), `fraction` (a hash of the name), or `auto`: folders if there is a folder train/ with folders in it.
    """
    classes: tuple[str, ...] | None = None
    """Names of the folders of classes, in the order of the labels; `null` means all, sorted, with numbers by
    their value.
    """
    val_fraction: float = Field(0.1, ge=0, lt=1)
    """Fraction of the images held out for validation if the folder does not define splits."""
    test_fraction: float = Field(0.1, ge=0, lt=1)
    """Fraction of the images held out for testing if the folder does not define splits."""

    @model_validator(mode="after")
    def _usable(self) -> ImageFolderSettings:
        if self.val_fraction + self.test_fraction >= 1:
            raise ValueError(
                f"val_fraction {self.val_fraction} and test_fraction {self.test_fraction} leave no training"
                " images"
            )
        if self.classes is not None and (not self.classes or len({*self.classes}) < len(self.classes)):
            raise ValueError(f"classes must be one or more different names, not {list(self.classes)}")
        return self


def build(folder: Path, split: str, settings: ImageFolderSettings) -> ImageFolder:
    """One split of the dataset in ``folder``.

    Raises:
        DataError: when there are no folders of classes, or no images, or the splits have different classes.
        MissingSplitError: when the folder does not have this split.
    """
    by_folder = _split_folders(folder, settings)
    if by_folder is not None:
        return _of_folders(folder, split, by_folder, settings)
    classes = _chosen(_folders(folder), settings, folder)
    images = _images(folder, classes)
    if not images:
        raise DataError(_nothing(folder, classes))
    fractions = {"test": settings.test_fraction, "val": settings.val_fraction}
    own = {name: path for name, path in images.items() if hashed_split(name, fractions) == split}
    if not own:
        raise MissingSplitError(
            f"{folder} has no split {split!r}: none of its {len(images)} images falls into it by the hash of"
            f" its name. Hint: set another data.options.{'val' if split == 'val' else 'test'}_fraction, or"
            " sort the images into train/, val/ and test/"
        )
    return ImageFolder(classes, own)


def unread(folder: Path, settings: ImageFolderSettings) -> list[str]:
    """The images that are of no class and no split: beside the folders, or in folders of other names."""
    by_folder = _split_folders(folder, settings)
    left = _loose(folder)
    if by_folder is None:
        every = _folders(folder)
        chosen = every if settings.classes is None else settings.classes
        left += [_count(folder / name) for name in every if name not in chosen]
    else:
        left += [_count(folder / name) for name in _folders(folder) if split_of(name) is None]
        for path in by_folder.values():
            left += _loose(path)
            left += [
                _count(path / name)
                for name in _folders(path)
                if settings.classes is not None and name not in settings.classes
            ]
    return [line for line in left if line]


class ImageFolder(Dataset):
    """One split.

    Args:
        classes: the names of the folders, in the order of the labels.
        images: path of each image by id, which is ``CLASS/ID``.
    """

    def __init__(self, classes: Sequence[str], images: Mapping[str, Path]) -> None:
        self.classes = tuple(classes)
        self.ids = tuple(images)
        self._paths = tuple(images.values())
        places = {name: i for i, name in enumerate(self.classes)}
        self._labels = tuple(places[name.partition("/")[0]] for name in self.ids)

    def __getitem__(self, index: int) -> Sample:
        """Read one image."""
        path = self._paths[index]
        truth = F.one_hot(torch.tensor(self._labels[index]), len(self.classes)).float()
        return Sample(self.ids[index], self.read_image(path), path=str(path), extras={FIELD: truth})


def _of_folders(
    folder: Path, split: str, by_folder: Mapping[str, Path], settings: ImageFolderSettings
) -> ImageFolder:
    if split not in by_folder:
        raise MissingSplitError(
            f"{folder} has no split {split!r}: there are"
            f" {', '.join(path.name for path in by_folder.values())}. Hint: put images into"
            f" {folder / split}/CLASS/"
            + ("; or train without validation: data.val_split=" if split == "val" else "")
        )
    # the classes are those of the images to learn from
    first = by_folder.get("train", by_folder[split])
    classes = _chosen(_folders(first), settings, first)
    here = by_folder[split]
    more = [name for name in _folders(here) if name not in classes and settings.classes is None]
    if more:
        what = listed(f"folders in {here} that are no classes of {first}", more)
        fault(DataError(f"{what}. Hint: rename them, or add such a folder with images to {first}"))
    images = _images(here, classes)
    if not images:
        raise DataError(_nothing(here, classes))
    return ImageFolder(classes, images)


def _split_folders(folder: Path, settings: ImageFolderSettings) -> dict[str, Path] | None:
    """The folder of each split that there is; None where a fraction decides.

    Raises:
        DataError: when two folders are of one split, or there is none although folders are to decide.
    """
    if settings.split_by == "fraction":
        return None
    there = {name.lower(): folder / name for name in _folders(folder) if split_of(name) is not None}
    found = {split: the_one(there, split, str(folder), _MOVE) for split in NAMES}
    chosen = {split: path for split, path in found.items() if path is not None}
    is_split = "train" in chosen and bool(_folders(chosen["train"]))
    if settings.split_by == "folder" and not is_split:
        raise DataError(
            f"{folder} has no folder train/ with folders of classes in it. Hint: sort the images into"
            " train/CLASS/ and val/CLASS/, or set data.options.split_by=fraction"
        )
    return chosen if is_split else None


def _chosen(names: Sequence[str], settings: ImageFolderSettings, folder: Path) -> tuple[str, ...]:
    """The classes among the folders that are there."""
    if not names:
        raise DataError(
            f"{folder} has no folders; expected one for each class, named after it. Hint: sort the images"
            " into CLASS/ID.jpg, or give the right folder with --data-dir"
        )
    if settings.classes is None:
        return tuple(names)
    missing = [name for name in settings.classes if name not in names]
    if missing:
        raise DataError(
            f"{listed(f'classes without a folder in {folder}', missing)}; there are {', '.join(names)}. Hint:"
            " correct data.options.classes"
        )
    return settings.classes


def _folders(folder: Path) -> list[str]:
    """The names of the folders of data in a folder, numbers by their value."""
    try:
        names = [path.name for path in folder.iterdir() if path.is_dir() and is_data(path.name)]
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}. Hint: change its permissions") from error
    return sorted(names, key=_by_value)


def _by_value(name: str) -> tuple[list[tuple[bool, int, str]], str]:
    """A key by which 2 comes before 10."""
    parts = re.findall(r"[0-9]{1,18}|[^0-9]+|[0-9]+", name)
    return [(not p.isdecimal(), int(p) if p.isdecimal() and len(p) < 19 else 0, p) for p in parts], name


def _images(folder: Path, classes: Sequence[str]) -> dict[str, Path]:
    """The images in the folders of the classes by ``CLASS/ID``, class by class."""
    found: dict[str, Path] = {}
    empty = []
    for name in classes:
        inside = images_below(folder / name) if (folder / name).is_dir() else {}
        if not inside:
            empty.append(name)
        found |= {f"{name}/{key}": path for key, path in inside.items()}
    if empty and found:
        note(f"classes without images in {folder.name} ({', '.join(empty)})", len(empty), log=True)
    return found


def _nothing(folder: Path, classes: Sequence[str]) -> str:
    kinds = ", ".join(sorted(IMAGE_SUFFIXES))
    return (
        f"{folder} has no images ({kinds}) in the folders of its classes: {', '.join(classes)}. Hint: put the"
        " images of each class into its folder"
    )


def _loose(folder: Path) -> list[str]:
    """A line about images that lie in a folder itself."""
    loose = [
        path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and is_data(path.name)
    ]
    return [f"{folder} ({len(loose)} images outside of the folders of classes)"] if loose else []


def _count(folder: Path) -> str:
    """A line about a folder with images; empty when there are none."""
    count = len(images_below(folder))
    return f"{folder} ({count} images)" if count else ""
