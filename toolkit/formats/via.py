"""Files of the VGG Image Annotator (VIA), versions 1 and 2: https://www.robots.ox.ac.uk/~vgg/software/via/.

A file maps a key to each image: ``{"filename": …, "regions": …}``. In version 1 the regions are a mapping
from "0", "1", … to regions, in version 2 a list; a project of version 2 has the same structure below
``_via_img_metadata``. A region has ``shape_attributes`` (its outline) and ``region_attributes`` (what the
user entered for it).

VIA draws its shapes on an HTML canvas over the image, where whole coordinates are between pixels;
so they are used as they are, without the half pixel that Detectron2's balloon tutorial adds. Then a polygon
from 2 to 5 covers the pixels 2, 3 and 4, and the box of the mask is that of the points.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.data.faults import fault, usable
from toolkit.errors import DataError
from toolkit.formats.bounds import Bounds, Outside
from toolkit.formats.regions import Polygon, Region, ellipse, numbers, polygon, rectangle
from toolkit.reading.fields import shown
from toolkit.reading.json_text import load_json
from toolkit.types import Size
from toolkit.wording import list_setting, some

SHAPES = ("polygon", "polyline", "rect", "circle", "ellipse")
VIA_3 = frozenset({"project", "file", "metadata", "view"})
"""The top-level keys of a project of version 3."""


@dataclass(frozen=True)
class ViaOptions:
    """How regions are read.

    Attributes:
        classes: names of the classes.
        attribute: which of a region's attributes contains the name of the class; empty if all regions are of
            the first class.
        outside: how to handle objects that extend beyond the image.
    """

    classes: tuple[str, ...]
    attribute: str = ""
    outside: Outside = "error"


@dataclass(frozen=True)
class ViaImage:
    """The contents of a file for one image.

    Attributes:
        file_name: the image file, relative to the folder of images.
        regions: the records of its regions, by their name in messages.
    """

    file_name: str
    regions: Mapping[str, Any]


def read_via(path: Path) -> list[ViaImage]:
    """The images of a VIA file, in its order, including those without regions.

    Raises:
        DataError: when it is not such a file, or names an image twice.
    """
    data = load_json(path, "annotations of the VGG Image Annotator", DataError)
    if isinstance(data, dict) and set(data) >= VIA_3:
        raise DataError(
            f"{path} is a project of VIA 3, which is not supported. Hint: export it in COCO's format and"
            " use the dataset `coco`, or annotate with VIA 2"
        )
    records = data.get("_via_img_metadata", data) if isinstance(data, dict) else None
    if not isinstance(records, dict):
        raise DataError(
            f"{path} is not a VIA file: it must contain a mapping of images. Hint: export the annotations as"
            " JSON"
        )
    seen: set[str] = set()
    return list(usable(records.items(), lambda each: _image(*each, path, seen)))


def _image(key: str, record: Any, path: Path, seen: set[str]) -> ViaImage:
    """One image of a file; ``seen`` has the names of the images before it."""
    name = record.get("filename") if isinstance(record, dict) else None
    if not isinstance(name, str) or not name:
        raise DataError(f"{path}: image {key!r} has no filename. Hint: export the annotations as JSON")
    if name in seen:
        raise DataError(f"{path} has the image {name!r} twice. Hint: remove one of them")
    seen.add(name)
    return ViaImage(name, _by_name(record.get("regions"), f"{path}: image {name!r}"))


def _by_name(regions: Any, where: str) -> dict[str, Any]:
    if isinstance(regions, dict):
        return regions
    if isinstance(regions, list):
        return {str(index): region for index, region in enumerate(regions)}
    raise DataError(
        f"{where}: regions must be a mapping (VIA 1) or a list (VIA 2), not {shown(regions)}. Hint: export"
        " the annotations as JSON"
    )


def via_regions(image: ViaImage, size: Size, path: Path, options: ViaOptions) -> list[Region]:
    """The objects of an image.

    Args:
        image: from ``read_via``.
        size: height and width of the image.
        path: the VIA file, for messages.
        options: the classes, and how to handle unusual shapes.

    Raises:
        DataError: when a region has a shape without an area, values that are not numbers, or an unknown
            class, or regions are outside the image.
    """
    bounds = Bounds(size, options.outside)
    found = usable(image.regions.items(), lambda each: _region(*each, image, bounds, path, options))
    return bounds.finish(list(found))


def _region(
    name: str, region: Any, image: ViaImage, bounds: Bounds, path: Path, options: ViaOptions
) -> Region:
    where = f"{path}: image {image.file_name!r}, region {name}"
    shape = region.get("shape_attributes") if isinstance(region, dict) else None
    if not isinstance(shape, dict) or shape.get("name") not in SHAPES:
        kind = shape.get("name") if isinstance(shape, dict) else shape
        raise DataError(
            f"{where} is a {kind!r}, which has no area; expected one of {', '.join(SHAPES)}. Hint:"
            " remove it, or draw it again"
        )
    attributes = _attributes(region.get("region_attributes"), where)
    label = _label(attributes, where, options) if options.attribute else 0
    outline = _outline(shape, bounds, where)
    if isinstance(outline, bytes):
        return Region(label, where, code=outline)
    return Region(label, where, (outline,))


def _outline(shape: dict[str, Any], bounds: Bounds, where: str) -> Polygon | bytes:
    """The polygon of a shape, or the run lengths of a round one. A polyline is treated as closed."""

    def value(name: str) -> float:
        return numbers([shape.get(name)], where, f"{name} of the {shape['name']}")[0]

    if shape["name"] in ("polygon", "polyline"):
        xs, ys = (numbers(shape.get(f"all_points_{axis}"), where, f"all_points_{axis}") for axis in "xy")
        if len(xs) != len(ys):
            raise DataError(f"{where} has {len(xs)} values of x, but {len(ys)} of y. Hint: correct the file")
        points = [value for point in zip(xs, ys, strict=True) for value in point]
        return bounds.look(polygon(points, where, f"the {shape['name']}"), where)
    if shape["name"] == "rect":
        x, y = value("x"), value("y")
        corners = rectangle(x, y, x + value("width"), y + value("height"))
        return bounds.look(polygon(list(corners), where, "the rect"), where)
    center = (value("cx"), value("cy"))
    # Only check where it is: a round object that is cut off at the border extends beyond it.
    bounds.look(center, where)
    if shape["name"] == "circle":
        return ellipse(center, (value("r"), value("r")), 0, bounds.size, where)
    theta = value("theta") if "theta" in shape else 0.0  # older versions cannot rotate an ellipse
    return ellipse(center, (value("rx"), value("ry")), theta, bounds.size, where)


def _label(attributes: Mapping[str, Any], where: str, options: ViaOptions) -> int:
    """The class that an attribute names."""
    value = _value(attributes.get(options.attribute))
    if value not in options.classes:
        raise DataError(
            f"{where} has {value!r} as its attribute {options.attribute!r}, which is not a class; expected"
            f" one of {', '.join(options.classes)}. Hint: correct it, or name the classes with 'classes=[…]'"
        )
    return options.classes.index(value)


def _attributes(value: Any, where: str) -> Mapping[str, Any]:
    """What the user entered for a region, by attribute; exporters in PHP write an empty list for nothing."""
    if value is None or value == []:
        return {}
    if not isinstance(value, dict):
        raise DataError(
            f"{where} has {shown(value)} as region_attributes; expected attributes by name. Hint: write"
            " {} if there are none, or export the annotations again"
        )
    return value


def _value(value: Any) -> Any:
    """The value of an attribute: text without blanks around it, a number as text, or the one box that is
    ticked (``{"dog": true}``).
    """
    if isinstance(value, dict):
        ticked = [name for name, on in value.items() if on]
        value = ticked[0] if len(ticked) == 1 else ", ".join(ticked)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    return value.strip() if isinstance(value, str) else value


def check_one_class(images: Sequence[ViaImage], path: Path, name: str) -> None:
    """Check that nothing distinguishes the regions, so that all of them may have the same class.

    Raises:
        DataError: when an attribute has several values.
    """
    values: dict[str, dict[str, None]] = {}
    for image in images:
        for region in image.regions.values():
            given = region.get("region_attributes") if isinstance(region, dict) else None
            for attribute, value in given.items() if isinstance(given, dict) else ():
                if isinstance(text := _value(value), str) and text:
                    values.setdefault(attribute, {})[text] = None
    for attribute, found in values.items():
        if len(found) > 1:
            all_classes = list_setting("classes", found)
            fault(
                DataError(
                    f"{path}: regions have the attribute {attribute!r} with {len(found)} values"
                    f" ({some(found)}), but all would be read as {name!r}."
                    f" Hint: set attribute={attribute} {all_classes}, or name the one class that all regions"
                    f" have, such as {list_setting('classes', ['thing'])}"
                )
            )
            return
