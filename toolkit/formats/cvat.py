"""Files of CVAT (https://www.cvat.ai) in the format "CVAT for images 1.1": ``annotations.xml``.

Coordinates are continuous, as on CVAT's canvas: whole numbers lie on the edges of pixels. Shapes with the
same label and the same ``group_id`` are parts of one object, as in CVAT's own export to COCO.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from xml.etree.ElementTree import Element

from toolkit.data.faults import fault, usable
from toolkit.data.notes import note
from toolkit.errors import DataError
from toolkit.formats.bounds import Bounds, Outside
from toolkit.formats.class_names import class_index, class_name
from toolkit.formats.cvat_shapes import region_of_element
from toolkit.formats.regions import Region, check_stated_size, joined
from toolkit.reading.xml_text import load_xml
from toolkit.types import Size

WITHOUT_OBJECTS = frozenset({"tag", "points", "polyline", "skeleton", "cuboid"})
"""Types of labels that no object with an area can have."""


@dataclass(frozen=True)
class CvatOptions:
    """How shapes are read.

    Attributes:
        classes: class index by name.
        other_shapes: how to handle shapes without an area: points, lines, skeletons and cuboids.
        outside: how to handle objects that extend beyond the image.
    """

    classes: Mapping[str, int]
    other_shapes: Literal["error", "skip"] = "error"
    outside: Outside = "error"


@dataclass(frozen=True)
class CvatImage:
    """The contents of a file for one image.

    Attributes:
        file_name: the image file, as CVAT names it.
        subset: the subset that it belongs to in CVAT; empty if none.
        stated: height and width as written in the file; None where it does not say.
        shapes: the elements of its shapes.
    """

    file_name: str
    subset: str
    stated: tuple[str | None, str | None]
    shapes: Sequence[Element]


@dataclass(frozen=True)
class CvatFile:
    """A file.

    Attributes:
        path: where it is.
        labels: the labels of the task or project that objects can have, in its order; empty if the file does
            not list them.
        images: in its order.
    """

    path: Path
    labels: tuple[str, ...]
    images: tuple[CvatImage, ...]


def read_cvat(path: Path) -> CvatFile:
    """The contents of a file.

    Raises:
        DataError: when it is not such a file, has tracks, or names an image twice.
    """
    root = load_xml(path, "annotations of CVAT", DataError)
    if root.tag != "annotations":
        raise DataError(
            f"{path} has the root element {root.tag!r}; expected 'annotations' of CVAT. Hint: export the task"
            " in the format 'CVAT for images 1.1'"
        )
    tracks = len(root.findall("track"))
    if tracks:
        raise DataError(
            f"{path} has {tracks} tracks of a video, which are not read. Hint: export the task in the format"
            " 'CVAT for images 1.1', which has the objects of each frame, together with the frames"
        )
    seen: set[tuple[str, str]] = set()
    images = usable(enumerate(root.findall("image")), lambda each: _image(*each, path, seen))
    return CvatFile(path, _labels(root, path), tuple(images))


def _image(number: int, element: Element, path: Path, seen: set[tuple[str, str]]) -> CvatImage:
    name, subset = element.get("name", ""), element.get("subset", "")
    if not name:
        raise DataError(f"{path}: image {number} has no name. Hint: export the annotations again")
    if (subset, name) in seen:
        raise DataError(f"{path} has the image {name!r} twice. Hint: remove one of them")
    seen.add((subset, name))
    return CvatImage(name, subset, (element.get("height"), element.get("width")), tuple(element))


def _labels(root: Element, path: Path) -> tuple[str, ...]:
    """The labels that the file lists, without those of parts of skeletons and of things without an area."""
    found: dict[str, None] = {}
    meta = root.find("meta")
    for element in [] if meta is None else meta.iterfind(".//labels/label"):
        if element.find("parent") is None and element.findtext("type", "any") not in WITHOUT_OBJECTS:
            found[class_name(element.findtext("name", ""), f"{path}: a label")] = None
    return tuple(found)


def labels_of_shapes(file: CvatFile) -> tuple[str, ...]:
    """The labels that the objects of a file have, in alphabetical order."""
    shapes = [shape for image in file.images for shape in image.shapes]
    named = (shape.get("label", "").strip() for shape in shapes if shape.tag not in WITHOUT_OBJECTS)
    return tuple(sorted({*named} - {""}))


def cvat_regions(image: CvatImage, size: Size, path: Path, options: CvatOptions) -> list[Region]:
    """The objects of an image, in the order of their first shapes.

    Args:
        image: from ``read_cvat``.
        size: height and width of the image.
        path: the file, for messages.
        options: the classes, and how to handle unusual shapes.

    Raises:
        DataError: when the image has another size, a label is not a class, or a shape cannot be used.
    """
    where = f"{path}: image {image.file_name!r}"
    height, width = (_whole(value) for value in image.stated)
    check_stated_size((height, width), size, where)
    bounds = Bounds(size, options.outside)
    groups: dict[str, tuple[Any, ...]] = {}
    parts: list[Region] = []
    for index, shape in enumerate(image.shapes):
        label = shape.get("label")
        try:
            part = _part(shape, bounds, f"{where}, shape {index} ({label})", options)
        except DataError as error:
            fault(error)
            continue
        if part is not None:
            group = shape.get("group_id", "0")
            key = (part.label, index) if group in ("", "0") else (part.label, "group", group)
            groups[part.where] = key
            parts.append(part)
    return joined(groups, bounds.finish(parts), size)


def _part(shape: Element, bounds: Bounds, where: str, options: CvatOptions) -> Region | None:
    """A shape as a part of an object; None if it is to be left out."""
    if shape.tag == "tag":
        note("tags of images are left out, because they are not objects")
        return None
    if shape.tag in WITHOUT_OBJECTS:
        if options.other_shapes == "error":
            raise DataError(
                f"{where} is a {shape.tag}, which has no area. Hint: remove it, or set other_shapes=skip"
            )
        note("points, lines, skeletons and cuboids are left out (other_shapes=skip)")
        return None
    label = class_index(shape.get("label"), options.classes, where, "correct it, or add it to the classes")
    if shape.find("attribute") is not None:
        note("attributes of objects are left out")
    return region_of_element(shape, bounds, where, label)


def _whole(value: str | None) -> object:
    """A whole number in text; the text itself if it is none."""
    is_whole = value is not None and value.isascii() and value.isdigit() and len(value) < 20
    return int(value) if value is not None and is_whole else value
