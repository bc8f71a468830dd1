"""Reads CIFAR-10."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch.nn import functional as F

from toolkit.config import Settings
from toolkit.data.dataset import Dataset
from toolkit.errors import DataError, MissingSplitError
from toolkit.formats.pairs import places_in_split
from toolkit.reading.files import is_there
from toolkit.types import Sample

from .batches import Bytes, read_batch, read_names

FIELD = "class_probabilities"
"""What the task classification learns from: float32 ``[C]``, 1 at the class of the image."""

TRAINING = tuple(f"data_batch_{i}" for i in range(1, 6))

_REPAIR = "toolkit data get cifar10, or unpack the whole archive there"


class CifarSettings(Settings):
    """Options for reading CIFAR-10."""

    val_fraction: float = Field(0.1, gt=0, lt=1)
    """Fraction of the published training set in the split `val`, chosen by a hash of the position; the rest
    is `train`.
    """


def build(folder: Path, split: str, settings: CifarSettings) -> Cifar10:
    """One split of the dataset in ``folder``, or in the folder in it that the archive has.

    Raises:
        DataError: when files are missing or damaged.
        MissingSplitError: when the folder has no files of the split.
    """
    inner = ("", "cifar-10-batches-py", "cifar-10-batches-bin")
    root = next((folder / name for name in inner if _meta(folder / name) is not None), folder)
    return Cifar10(root, split, settings)


class Cifar10(Dataset):
    """One split; its images are kept in memory, and read again in each process.

    Args:
        folder: where the batches are.
        split: which part.
        settings: see ``CifarSettings``.
    """

    def __init__(self, folder: Path, split: str, settings: CifarSettings) -> None:
        meta = _meta(folder)
        if meta is None:
            raise DataError(
                f"{folder} is not CIFAR-10: there is no batches.meta, and no batches.meta.txt. Hint:"
                f" {_REPAIR}"
            )
        self.classes = tuple(read_names(meta))
        self._files = _batches(folder, ("test_batch",) if split == "test" else TRAINING, meta.suffix)
        self._images: Bytes | None
        self._images, self._labels = self._read()
        part = "test" if split == "test" else "train"
        every = [f"{part}-{i:05d}" for i in range(len(self._labels))]
        kept = places_in_split(every, split, settings.val_fraction, folder)
        self._places = np.array(kept)
        self.ids = tuple(every[i] for i in kept)

    def __getstate__(self) -> dict[str, Any]:
        """What another process gets: everything but the images."""
        return vars(self) | {"_images": None}

    def __getitem__(self, index: int) -> Sample:
        """One image."""
        if self._images is None:
            self._images, self._labels = self._read()
        place = int(self._places[index])
        truth = F.one_hot(torch.tensor(int(self._labels[place])), len(self.classes)).float()
        return Sample(self.ids[index], torch.from_numpy(self._images[place].copy()), extras={FIELD: truth})

    def _read(self) -> tuple[Bytes, Bytes]:
        read = [read_batch(path) for path in self._files]
        for path, (_, labels) in zip(self._files, read, strict=True):
            if len(labels) and int(labels.max()) >= len(self.classes):
                raise DataError(
                    f"{path} has the label {int(labels.max())}; expected 0 to {len(self.classes) - 1} for the"
                    f" {len(self.classes)} classes. Hint: {_REPAIR}"
                )
        images, labels = (np.concatenate([batch[i] for batch in read]) for i in (0, 1))
        if not len(images):
            raise DataError(f"{self._files[0].parent} has no images. Hint: {_REPAIR}")
        return images, labels


def _meta(folder: Path) -> Path | None:
    """The file with the names of the classes."""
    return next((folder / n for n in ("batches.meta", "batches.meta.txt") if is_there(folder / n)), None)


def _batches(folder: Path, names: tuple[str, ...], suffix: str) -> tuple[Path, ...]:
    """The files of a split, all of which must be there."""
    ending = ".bin" if suffix == ".txt" else ""
    paths = [folder / f"{name}{ending}" for name in names]
    missing = [path.name for path in paths if not is_there(path)]
    if len(missing) == len(paths):
        raise MissingSplitError(f"{folder} has no {', '.join(missing)}. Hint: {_REPAIR}")
    if missing:
        raise DataError(
            f"{folder} lacks {', '.join(missing)}; metrics on only a part of it cannot be compared with"
            " others."
            f" Hint: {_REPAIR}"
        )
    return tuple(paths)
