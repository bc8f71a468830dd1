"""Reads MNIST and what has its format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch.nn import functional as F

from toolkit.config import Settings
from toolkit.data.dataset import Dataset
from toolkit.errors import DataError, MissingSplitError
from toolkit.formats.pairs import places_in_split
from toolkit.reading.files import is_there
from toolkit.types import Sample

from .idx import read_idx

FIELD = "class_probabilities"
"""What the task classification learns from: float32 ``[C]``, 1 at the class of the image."""

DIGITS = tuple("0123456789")

_REPAIR = "toolkit data get mnist, or put the four files there"


class MnistSettings(Settings):
    """Options for reading MNIST and other data in its format."""

    classes: tuple[str, ...] = Field(DIGITS, min_length=1)
    """Names of the labels from 0 on, for other data than digits, such as those of Fashion-MNIST."""
    val_fraction: float = Field(0.1, gt=0, lt=1)
    """Fraction of the published training set in the split `val`, chosen by a hash of the position; the rest
    is `train`.
    """


def build(folder: Path, split: str, settings: MnistSettings) -> Mnist:
    """One split of the dataset in ``folder``.

    Raises:
        DataError: when files are missing, damaged, or do not belong together.
        MissingSplitError: when the folder has no files of the split.
    """
    return Mnist(folder, split, settings)


class Mnist(Dataset):
    """One split; its images are kept in memory, and read again in each process.

    Args:
        folder: where the files are.
        split: which part.
        settings: see ``MnistSettings``.
    """

    def __init__(self, folder: Path, split: str, settings: MnistSettings) -> None:
        self.classes = settings.classes
        part = "t10k" if split == "test" else "train"
        self._files = tuple(_find(folder, f"{part}-{what}") for what in ("images-idx3", "labels-idx1"))
        self._images: NDArray[np.uint8] | None
        self._images, self._labels = self._read()
        every = [f"{part}-{i:05d}" for i in range(len(self._labels))]
        kept = places_in_split(every, split, settings.val_fraction, self._files[0])
        self._places = np.array(kept)
        self.ids = tuple(every[i] for i in kept)

    def __getstate__(self) -> dict[str, Any]:
        """What another process gets: everything but the images."""
        return vars(self) | {"_images": None}

    def __getitem__(self, index: int) -> Sample:
        """One image, with three equal channels."""
        if self._images is None:
            self._images, self._labels = self._read()
        place = int(self._places[index])
        pixels = torch.from_numpy(self._images[place].copy()).expand(3, -1, -1).contiguous()
        truth = F.one_hot(torch.tensor(int(self._labels[place])), len(self.classes)).float()
        return Sample(self.ids[index], pixels, extras={FIELD: truth})

    def _read(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        images, labels = (read_idx(path, axes) for path, axes in zip(self._files, (3, 1), strict=True))
        if len(images) != len(labels):
            raise DataError(
                f"{self._files[0]} has {len(images):,} images, but {self._files[1]} {len(labels):,} labels."
                " Hint:"
                f" {_REPAIR}"
            )
        if images.size == 0:
            raise DataError(f"{self._files[0]} has no images. Hint: {_REPAIR}")
        if int(labels.max()) >= len(self.classes):
            raise DataError(
                f"{self._files[1]} has the label {int(labels.max())}; expected 0 to {len(self.classes) - 1}"
                " for"
                f" {len(self.classes)} classes. Hint: name all of them with 'data.options.classes=[…]'"
            )
        return images, labels


def _find(folder: Path, name: str) -> Path:
    """The file of this name, however it goes: with a hyphen or a dot before ``idx``, gzipped or not."""
    names = [
        f"{stem}-ubyte{suffix}" for stem in (name, name.replace("-idx", ".idx")) for suffix in ("", ".gz")
    ]
    for each in names:
        if is_there(folder / each):
            return folder / each
    message = f"{folder} has no {names[0]} (or {names[1]}). Hint: {_REPAIR}"
    has_others = any(is_there(path) for path in folder.glob("*ubyte*"))
    raise MissingSplitError(message) if has_others else DataError(message)
