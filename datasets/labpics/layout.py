"""Shared code of the LabPics layouts: finding photos, and the data read for each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from toolkit.data.label_maps import read_channels
from toolkit.errors import DataError
from toolkit.formats.label_images import check_same_size
from toolkit.types import Instances, Masks, Size

from .classes import Scheme

PARTS = {"train": ("Train", "train"), "test": ("Test", "test", "Eval", "eval")}
"""Folder names of the published parts."""


@dataclass(frozen=True)
class Annotation:
    """The data of one photo.

    Attributes:
        image: uint8 ``[3, H, W]``, RGB.
        vessels: whole vessels with their contents; empty if the class scheme has none.
        materials: materials; empty if the class scheme has none.
        ignored: bool ``[H, W]``, where annotation was deliberately omitted; None: nowhere.
        unsegmented: bool ``[H, W]``, where something was seen but not outlined; None: nowhere.
        label_map: uint8 ``[H, W]`` if the layout has its own semantic maps, else None.
    """

    image: Tensor
    vessels: Instances
    materials: Instances
    ignored: Tensor | None = None
    unsegmented: Tensor | None = None
    label_map: Tensor | None = None


class Layout(ABC):
    """One layout of the files below ``root``.

    Attributes:
        version: version of LabPics; determines the fine classes.
        roots: folders in the archives in which the layout is searched.
    """

    version: ClassVar[int]
    roots: ClassVar[tuple[str, ...]]

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    @abstractmethod
    def is_at(cls, root: Path) -> bool:
        """Whether the files below ``root`` have this layout."""

    @abstractmethod
    def images(self, part: str) -> dict[str, Path]:
        """The photos of a published part, ``train`` or ``test``, by name; empty if the part is missing.

        Raises:
            DataError: when a photo has no annotation; names both files.
        """

    @abstractmethod
    def read(self, path: Path, scheme: Scheme, image: Tensor) -> Annotation:
        """Read the annotation of a photo, uint8 ``[3, H, W]``.

        Raises:
            DataError: when a file cannot be used, or a mask and its photo differ in size; names the files.
        """

    def check(self, scheme: Scheme) -> None:  # noqa: B027
        """Raise ``DataError`` if this layout does not provide these classes; most layouts do."""

    def folder(self, part: str) -> Path | None:
        """The folder of a part."""
        return next((self.root / name for name in PARTS[part] if (self.root / name).is_dir()), None)


def find_layout(folder: Path, layouts: Sequence[type[Layout]]) -> Layout:
    """The layout of the files in ``folder``, or in one of the folders that the archives unpack to.

    Raises:
        DataError: when it is none of these; lists the supported layouts.
    """
    for layout in layouts:
        for name in layout.roots:
            if layout.is_at(folder / name):
                return layout(folder / name)
    raise DataError(
        f"{folder} is not LabPics data. It contains none of these:\n"
        "  V1 Simple:  Train/Image/NAME.jpg with Train/Instance/NAME.png\n"
        "  V1 Complex: Train/NAME/Image.png with Train/NAME/Vessel/ or Train/NAME/Material/\n"
        "  V2:         Train/NAME/Image.jpg with Train/NAME/Data.json\n"
        "Hint: unpack the archive there, or pass the folder that contains Train/ as --data-dir"
    )


def objects_from_masks(found: Iterable[tuple[Tensor, int, bool]], size: Size) -> Instances:
    """Objects from masks (bool ``[H, W]``), each with its class and whether it is a crowd; those without
    pixels are left out.

    Masks are encoded one by one, so that only one is in memory.
    """
    codes: list[bytes] = []
    labels: list[int] = []
    crowds: list[bool] = []
    for mask, label, is_crowd in found:
        if bool(mask.any()):
            codes += Masks.from_dense(mask[None]).counts
            labels.append(label)
            crowds.append(is_crowd)
    masks = Masks.encoded(size, codes)
    is_crowd_of = torch.tensor(crowds, dtype=torch.bool) if any(crowds) else None
    return Instances(
        size, masks.boxes_xyxy(), torch.tensor(labels, dtype=torch.int64), masks, is_crowd=is_crowd_of
    )


def read_marks(path: Path, image: Tensor, image_path: Path) -> Tensor:
    """The values of a mask or map, int32 ``[3, H, W]``, checked to have the size of its photo.

    Raises:
        DataError: when the file cannot be read, or has a different size; names both files.
    """
    marks = read_channels(path)
    check_same_size(marks, image, path, image_path)
    return marks


def foreground(marks: Tensor) -> Tensor:
    """The visible region in V1, bool ``[H, W]``: values 1 and 2 in the blue channel, which OpenCV reads
    first. Values from 3 on are outside the region.
    """
    return (marks[2] == 1) | (marks[2] == 2)
