"""LabPics V1 Simple: for each photo one PNG of ids, and a PNG for each class."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from toolkit.data.faults import fault
from toolkit.data.folders import is_data
from toolkit.data.images import IMAGE_SUFFIXES
from toolkit.errors import DataError
from toolkit.formats.label_images import instances_from_id_map, majority_labels
from toolkit.formats.pairs import some
from toolkit.types import VOID, Instances

from .classes import V1_NAMES, Scheme
from .layout import Annotation, Layout, foreground, read_marks

UNSEGMENTED = 254
"""The id of regions that were not outlined."""
IGNORE = 5
_PAINT_ORDER = (1, 16, 15, 6, 10, 7, 8, 9, 11, 12, 13, 14)
"""V1's semantic maps overlap: materials lie over vessels, precise classes over general ones (a suspension is
a liquid, too).
"""


class Simple(Layout):
    """``Train/Image/NAME.jpg`` with ``Train/Instance/NAME.png``: the blue channel contains ids of materials,
    the red one ids of vessels.
    """

    version = 1
    roots: ClassVar[tuple[str, ...]] = ("", "Simple", "LabPicsV1/Simple", "LabPicsV1")

    @classmethod
    def is_at(cls, root: Path) -> bool:
        """Whether a part has a folder of photos next to one of ids."""
        return any(
            (folder / "Image").is_dir() and (folder / "Instance").is_dir() for folder in _parts(cls(root))
        )

    def images(self, part: str) -> dict[str, Path]:
        """The photos by name, each with a file of ids."""
        folder = self.folder(part)
        if folder is None or not (folder / "Image").is_dir():
            return {}
        found: dict[str, Path] = {}
        for path in sorted((folder / "Image").iterdir()):
            if path.suffix.lower() not in IMAGE_SUFFIXES or not is_data(path.name):
                continue
            if path.stem in found:
                raise DataError(
                    f"{found[path.stem]} and {path} share one file of ids. Hint: rename or remove one of them"
                )
            found[path.stem] = path
        missing = [path for path in found.values() if not _beside(path, "Instance").is_file()]
        if missing:
            what = f"{missing[0]} has no file of ids: {_beside(missing[0], 'Instance')} does not exist"
            others = some([path.name for path in missing[1:]])
            more = f" (and {len(missing) - 1} more such photos: {others})" if others else ""
            fault(DataError(f"{what}{more}. Hint: unpack the whole archive, or remove the photo"))
        return {name: path for name, path in found.items() if path not in missing}

    def check(self, scheme: Scheme) -> None:
        """Only the semantic maps give the kind of a material."""
        if len(scheme.materials) > 1 and not any(_class_folders(folder) for folder in _parts(self)):
            raise DataError(
                f"{self.root} has no Semantic/ next to Instance/, so the kinds of its materials are"
                " unknown. Hint: unpack the whole archive, or set data.options.classes=coarse"
            )

    def read(self, path: Path, scheme: Scheme, image: Tensor) -> Annotation:
        """Read the ids and the semantic maps of a photo."""
        materials, vessels = self._ids(path, image)
        unsegmented = ((materials == UNSEGMENTED) & bool(scheme.materials)) | (
            (vessels == UNSEGMENTED) & bool(scheme.vessels)
        )
        label_map, ignored = self._semantic(path, image, scheme)
        kinds: dict[int, int] = {}
        if label_map is not None and len(scheme.materials) > 1:
            of_material = label_map > len(scheme.vessels)  # void, 255, is included, but does not vote
            kinds = majority_labels(materials, torch.where(of_material, label_map, VOID))
        empty = Instances.empty((image.shape[1], image.shape[2]), with_masks=True)
        return Annotation(
            image,
            _objects(vessels, scheme.vessel(()), {}) if scheme.vessels else empty,
            _objects(materials, scheme.material(()), kinds) if scheme.materials else empty,
            ignored,
            unsegmented,
            label_map,
        )

    def _ids(self, path: Path, image: Tensor) -> tuple[Tensor, Tensor]:
        """The ids of materials and of vessels, int32 ``[H, W]`` each."""
        ids_path = _beside(path, "Instance")
        ids = read_marks(ids_path, image, path)
        red, green, blue = ids
        if (
            torch.equal(red, green)
            and torch.equal(red, blue)
            and bool(((red != 0) & (red != UNSEGMENTED)).any())
        ):
            raise DataError(
                f"{ids_path} is gray: it has the same ids in all channels. LabPics keeps materials in the"
                " blue channel and vessels in the red one. Hint: write it in color, or use the dataset"
                " `masks` for images with one id per pixel"
            )
        return blue, red

    def _semantic(self, path: Path, image: Tensor, scheme: Scheme) -> tuple[Tensor | None, Tensor | None]:
        """The label map from the semantic maps, if the folder has the required ones, and the region to
        ignore, if it is marked.

        A class that a photo does not show has no file.
        """
        folders = _class_folders(path.parent.parent)
        needed = ([1] if scheme.vessels else []) + ([16] if scheme.materials else [])
        if not any(number in folders for number in (*needed, IGNORE)):
            return None, None
        label_map, beyond = (
            torch.zeros(image.shape[1:], dtype=torch.uint8),
            torch.zeros(image.shape[1:], dtype=torch.bool),
        )
        for number in _PAINT_ORDER:
            names = scheme.vessels if number == 1 else scheme.materials
            file = folders.get(number, path.parent) / f"{path.stem}.png"
            if names and number in folders and file.is_file():
                marks = read_marks(file, image, path)
                label_map[foreground(marks)] = (scheme.vessel if number == 1 else scheme.material)(
                    [V1_NAMES[number]]
                )
                beyond |= marks[2] >= 3
        label_map[beyond & (label_map == 0)] = VOID
        ignore = folders.get(IGNORE, path.parent) / f"{path.stem}.png"
        ignored = (
            foreground(read_marks(ignore, image, path)) if IGNORE in folders and ignore.is_file() else None
        )
        return label_map if all(number in folders for number in needed) else None, ignored


def _parts(layout: Layout) -> list[Path]:
    return [folder for folder in map(layout.folder, ("train", "test")) if folder is not None]


def _beside(image: Path, kind: str) -> Path:
    return image.parent.parent / kind / f"{image.stem}.png"


def _class_folders(part: Path) -> dict[int, Path]:
    """The folders ``Semantic/<number>_<Name>`` by number."""
    folder = part / "Semantic"
    found = [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    numbered = ((path.name.partition("_")[0], path) for path in sorted(found))
    return {int(number): path for number, path in numbered if number.isascii() and number.isdigit()}


def _objects(ids: Tensor, label: int, kinds: dict[int, int]) -> Instances:
    """Every id except 0 and that of unsegmented regions is an object, connected or not; its class is in
    ``kinds``, or ``label``.
    """
    present = [number for number in np.unique(ids.numpy()).tolist() if number not in (0, UNSEGMENTED)]
    return instances_from_id_map(ids, {number: kinds.get(number, label) for number in present})
