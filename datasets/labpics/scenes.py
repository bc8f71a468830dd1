"""LabPics V1 Complex and V2: a folder for each photo, with a mask for each object."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor

from toolkit.data.faults import usable
from toolkit.data.folders import is_data
from toolkit.errors import DataError
from toolkit.reading.fields import Flag, Schema, Text
from toolkit.reading.json_text import load_json
from toolkit.reading.records import record

from .classes import V1_NAMES, Scheme
from .layout import Annotation, Layout, foreground, objects_from_masks, read_marks

Found = Iterator[tuple[Tensor, int, bool]]
"""An object as read: mask, class, and whether it is a crowd."""


class SceneFolders(Layout):
    """``Train/NAME/`` with a photo and folders of masks. A folder without Train/ and Test/ counts as
    published training photos.
    """

    image_name: ClassVar[str]

    @classmethod
    def is_at(cls, root: Path) -> bool:
        """Whether any folder below contains a photo with its annotation."""
        layout = cls(root)
        return any(layout._is_scene(scene) for part in ("train", "test") for scene in layout._scenes(part))

    def _scenes(self, part: str) -> list[Path]:
        """The folders of the photos."""
        folder = self.folder(part)
        if folder is None and part == "train" and self.folder("test") is None:
            folder = self.root
        found = folder.iterdir() if folder is not None and folder.is_dir() else ()
        return sorted(path for path in found if path.is_dir() and is_data(path.name))

    def images(self, part: str) -> dict[str, Path]:
        """The photos by the names of their folders."""
        scenes = [scene for scene in self._scenes(part) if (scene / self.image_name).is_file()]
        return {scene.name: scene / self.image_name for scene in usable(scenes, self._with_annotation)}

    def _with_annotation(self, scene: Path) -> Path:
        """The scene itself.

        Raises:
            DataError: when it has no annotation.
        """
        if not self._is_scene(scene):
            raise DataError(
                f"{scene / self.image_name} has no annotation: {self._missing(scene)}. Hint: unpack the whole"
                " archive, or remove the folder"
            )
        return scene

    @abstractmethod
    def _is_scene(self, scene: Path) -> bool:
        """Whether a folder has a photo with its annotation."""

    @abstractmethod
    def _missing(self, scene: Path) -> str:
        """A description of the missing annotation."""

    @abstractmethod
    def _objects(self, scene: Path, image: Tensor, scheme: Scheme, kind: str) -> Found:
        """The objects of a kind, ``vessels`` or ``materials``."""

    def read(self, path: Path, scheme: Scheme, image: Tensor) -> Annotation:
        """Read the masks of a photo."""
        scene = path.parent
        size = (image.shape[1], image.shape[2])
        vessels = objects_from_masks(
            self._objects(scene, image, scheme, "vessels") if scheme.vessels else (), size
        )
        materials = objects_from_masks(
            self._objects(scene, image, scheme, "materials") if scheme.materials else (), size
        )
        ignore = scene / "Ignore.png"
        ignored = read_marks(ignore, image, path).any(dim=0) if ignore.is_file() else None
        return Annotation(image, vessels, materials, ignored)


class Complex(SceneFolders):
    """V1 Complex: the classes of an object are numbers in the name of its mask, ``…CatID_6_7.png``."""

    version = 1
    roots: ClassVar[tuple[str, ...]] = ("", "Complex", "LabPicsV1/Complex", "LabPicsV1")
    image_name = "Image.png"

    def _is_scene(self, scene: Path) -> bool:
        return (scene / self.image_name).is_file() and (
            (scene / "Vessel").is_dir() or (scene / "Material").is_dir()
        )

    def _missing(self, scene: Path) -> str:
        return f"there is neither {scene / 'Vessel'} nor {scene / 'Material'}"

    def _objects(self, scene: Path, image: Tensor, scheme: Scheme, kind: str) -> Found:
        folder, label = (
            (scene / "Vessel", scheme.vessel) if kind == "vessels" else (scene / "Material", scheme.material)
        )
        for path in sorted(folder.glob("[!.]*.png"), key=_by_number):
            marks = read_marks(path, image, scene / self.image_name)
            mask = foreground(marks)
            if not bool(mask.any()) and bool((marks == 255).any()):
                raise DataError(
                    f"{path} has no pixel with the value 1 or 2, which mark an object in V1, but pixels"
                    " with 255. Hint: write masks with 1 for the object"
                )
            yield mask, label(_names_in(path.stem)), False


class V2(SceneFolders):
    """V2: ``Data.json`` lists the objects with their classes and masks."""

    version = 2
    roots: ClassVar[tuple[str, ...]] = (
        "",
        "LabPicsChemistry",
        "LabPicsChemistry/LabPicsChemistry",
        "LabPicsMedical",
        "LabPicsMedical/LabPicsMedical",
        "Chemistry",
        "Medical",
    )
    image_name = "Image.jpg"

    def _is_scene(self, scene: Path) -> bool:
        return (scene / self.image_name).is_file() and (scene / "Data.json").is_file()

    def _missing(self, scene: Path) -> str:
        return f"{scene / 'Data.json'} does not exist"

    def _objects(self, scene: Path, image: Tensor, scheme: Scheme, kind: str) -> Found:
        section, label = (
            ("Vessels", scheme.vessel) if kind == "vessels" else ("MaterialsAndParts", scheme.material)
        )
        for number, entry in _entries(scene / "Data.json", section):
            # a clamp or a cork is neither vessel nor material
            if kind == "materials" and entry.is_part:
                continue
            path = scene / section / f"{number}.png"
            if not path.is_file():
                raise DataError(
                    f"{scene / 'Data.json'} lists {section} {number}, but its mask {path} does not exist."
                    " Hint: unpack the whole archive"
                )
            names = (entry.vessel_names if kind == "vessels" else entry.material_names) or ()
            yield (
                read_marks(path, image, scene / self.image_name).any(dim=0),
                label(names),
                entry.is_segmentable == 0,
            )


def _by_number(path: Path) -> tuple[int, str]:
    number = re.match(r"\d+", path.stem)
    return int(number[0]) if number else 0, path.name


def _names_in(stem: str) -> Sequence[str]:
    """The classes given as numbers in the name of a V1 mask."""
    numbers = re.search(r"CatID_(\d+(?:_\d+)*)", stem)
    return [
        V1_NAMES[number]
        for number in map(int, numbers[1].split("_") if numbers else ())
        if number in V1_NAMES
    ]


class SceneObject(Schema):
    """What ``Data.json`` says of an object.

    Attributes:
        is_part: whether it is a part, such as a clamp.
        is_segmentable: whether it is one object, and not a crowd.
        vessel_names, material_names: the names of its kinds, from general to precise.
    """

    is_part: Annotated[Flag | None, Field(alias="IsPart")] = None
    is_segmentable: Annotated[Flag | None, Field(alias="ASegmentableInstance")] = None
    vessel_names: Annotated[list[Text] | None, Field(alias="VesselType_ClassNames")] = None
    material_names: Annotated[list[Text] | None, Field(alias="MaterialType_ClassNames")] = None


def _entries(path: Path, section: str) -> list[tuple[str, SceneObject]]:
    """The objects that a ``Data.json`` lists in a section, by number.

    Raises:
        DataError: when the file is not JSON, or not of this make; or a field is of another type.
    """
    data = load_json(path, "the objects of a photo", DataError)
    found = data.get(section) if isinstance(data, dict) else None
    if not isinstance(found, dict) or not all(isinstance(entry, dict) for entry in found.values()):
        raise DataError(
            f"{path} has no mapping {section!r} of objects by number, as LabPics V2 has. Hint: copy it"
            " again from the archive"
        )
    return [
        (number, record(entry, SceneObject, source=str(path), error=DataError, name=f"{section} {number}"))
        for number, entry in found.items()
    ]
