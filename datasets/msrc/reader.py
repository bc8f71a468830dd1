"""Reads MSRC v2 in its original layout and as PNG files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch import Tensor

from toolkit.config import ImageSettings
from toolkit.data.dataset import Dataset
from toolkit.data.images import read_image
from toolkit.data.label_maps import read_label_map
from toolkit.data.label_values import LabelValues
from toolkit.errors import DataError
from toolkit.formats.label_images import (
    colors_to_label_map,
    labeled_sample,
    values_to_label_map,
    with_objects,
)
from toolkit.formats.pairs import REPAIR, complete
from toolkit.types import VOID, Sample

from .splits import ids_of

COLORS: dict[str, tuple[int, int, int]] = {
    "building": (128, 0, 0),
    "grass": (0, 128, 0),
    "tree": (128, 128, 0),
    "cow": (0, 0, 128),
    "horse": (128, 0, 128),
    "sheep": (0, 128, 128),
    "sky": (128, 128, 128),
    "mountain": (64, 0, 0),
    "aeroplane": (192, 0, 0),
    "water": (64, 128, 0),
    "face": (192, 128, 0),
    "car": (64, 0, 128),
    "bicycle": (192, 0, 128),
    "flower": (64, 128, 128),
    "sign": (192, 128, 128),
    "bird": (0, 64, 0),
    "book": (128, 64, 0),
    "chair": (0, 192, 0),
    "road": (128, 64, 128),
    "cat": (0, 192, 128),
    "dog": (128, 192, 128),
    "body": (64, 64, 0),
    "boat": (192, 64, 0),
}
"""The 23 classes in the order of the published table, with their colors in the ground truth. Void is black.
"""

RARE = ("horse", "mountain")
ARCHIVE_FOLDER = "MSRC_ObjCategImageDatabase_v2"


class MsrcSettings(ImageSettings):
    """Options for reading MSRC v2."""

    num_classes: Literal[21, 23] = 21
    """21 is the published protocol, in which horse and mountain (too few examples) count as void; 23 keeps
    them.
    """


@dataclass(frozen=True)
class Layout:
    """Where the files of one photo are, relative to the dataset's folder."""

    image: str
    label: str
    color_coded: bool


ORIGINAL = Layout("Images/{}.bmp", "GroundTruth/{}_GT.bmp", color_coded=True)
PNG = Layout("images/{}.png", "labels/{}.png", color_coded=False)


def build(folder: Path, split: str, settings: MsrcSettings) -> Msrc:
    """One split of the dataset in ``folder``.

    Raises:
        DataError: when the folder has neither layout, or photos of the split are missing.
    """
    for root in (folder, folder / ARCHIVE_FOLDER):
        for layout in (ORIGINAL, PNG):
            if (root / layout.label).parent.is_dir():
                return Msrc(root, layout, split, settings.num_classes)
    raise DataError(
        f"{folder} is not MSRC v2: it has neither GroundTruth/ next to Images/ nor labels/ next to images/. "
        f"Hint: unpack the archive there, so that {folder / 'Images' / '1_10_s.bmp'} exists"
    )


class Msrc(Dataset):
    """One split of MSRC v2, with a label map and, if ``instances/`` has an image of segment ids,
    instances.
    """

    def __init__(self, root: Path, layout: Layout, split: str, num_classes: int) -> None:
        self.classes = tuple(name for name in COLORS if num_classes == 23 or name not in RARE)
        self.palette = tuple(COLORS[name] for name in self.classes)
        self.ids = ids_of(split)
        self._root = root
        self._layout = layout
        index = {name: i for i, name in enumerate(self.classes)}
        self._values = {0: VOID} | {
            value: index.get(name, VOID) for value, name in enumerate(COLORS, start=1)
        }
        if not layout.color_coded:
            self.label_values = LabelValues.of_table(self._values, len(self.classes))
        self._colors = {(0, 0, 0): VOID} | {color: index.get(name, VOID) for name, color in COLORS.items()}
        for template in (layout.image, layout.label):
            self.ids = complete((root / template).parent, Path(template).name, self.ids, REPAIR)

    def __getitem__(self, index: int) -> Sample:
        """Read one photo with its labels."""
        name = self.ids[index]
        image_path = self._root / self._layout.image.format(name)
        label_path = self._root / self._layout.label.format(name)
        sample = labeled_sample(name, image_path, label_path, self._read_label_map, self.scale)
        ids_path = self._root / "instances" / f"{name}.png"
        if not ids_path.is_file():
            return sample
        return with_objects(sample, read_label_map(ids_path), ids_path)

    def _read_label_map(self, path: Path) -> Tensor:
        if self._layout.color_coded:
            return colors_to_label_map(read_image(path), self._colors, path)
        return values_to_label_map(read_label_map(path), self._values, path)
