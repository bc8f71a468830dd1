"""Files of the VGG Image Annotator (VIA), versions 1 and 2: https://www.robots.ox.ac.uk/~vgg/software/via/.

A file maps a key to each image: ``{"filename": …, "regions": …}``. In version 1 the regions are a mapping
from "0", "1", … to regions, in version 2 a list; a project of version 2 has the same below
``_via_img_metadata``. A region has ``shape_attributes`` (its outline) and ``region_attributes`` (what the
user entered for it).

VIA draws its shapes on an HTML canvas that lies over the image, where whole coordinates lie between pixels;
so they are taken as they are, without the half pixel that Detectron2's balloon tutorial adds. Then a polygon
from 2 to 5 covers the pixels 2, 3 and 4, and the box of the mask is that of the points.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.data.faults import usable
from toolkit.errors import DataError
from toolkit.formats.regions import Polygon, Region, ellipse, numbers, polygon, read_json, rectangle
from toolkit.types import Size

SHAPES = ("polygon", "polyline", "rect", "circle", "ellipse")


@dataclass(frozen=True)
class ViaImage:
    """What a file says of one image.

    Attributes:
        file_name: of the image, relative to the folder of images.
        regions: the records of its regions, by their name in messages.
    """

    file_name: str
    regions: Mapping[str, Any]


def read_via(path: Path) -> list[ViaImage]:
    """The images of a VIA file, in its order; those without regions too.

    Raises:
        DataError: when it is no such file, or names an image twice.
    """
    data = read_json(path, "annotations of the VGG Image Annotator")
    records = data.get("_via_img_metadata", data) if isinstance(data, dict) else None
    if not isinstance(records, dict):
        raise DataError(
            f"{path} is not a VIA file: it must hold a mapping of images. Hint: export the annotations as"
            " JSON"
        )
    images: dict[str, ViaImage] = {}
    for key, record in records.items():
        name = record.get("filename") if isinstance(record, dict) else None
        if not isinstance(name, str) or not name:
            raise DataError(f"{path}: image {key!r} has no filename. Hint: export the annotations as JSON")
        if name in images:
            raise DataError(f"{path} has the image {name!r} twice. Hint: remove one of them")
        images[name] = ViaImage(name, _by_name(record.get("regions"), f"{path}: image {name!r}"))
    return list(images.values())


def _by_name(regions: Any, where: str) -> dict[str, Any]:
    if isinstance(regions, dict):
        return regions
    if isinstance(regions, list):
        return {str(index): region for index, region in enumerate(regions)}
    raise DataError(
        f"{where}: regions must be a mapping (VIA 1) or a list (VIA 2), not {type(regions).__name__}"
    )


def via_regions(
    image: ViaImage, size: Size, path: Path, classes: Sequence[str], attribute: str
) -> list[Region]:
    """The objects of an image.

    Args:
        image: from ``read_via``.
        size: of the image.
        path: the VIA file, for messages.
        classes: names of the classes.
        attribute: which of the region's attributes has the name of the class; empty when all are of the first
            class.

    Raises:
        DataError: when a region has a shape without an area, values that are no numbers, or an unknown class.
    """
    return list(
        usable(
            image.regions.items(),
            lambda each: _region(*each, image, size, path, classes, attribute),
        )
    )


def _region(
    name: str, region: Any, image: ViaImage, size: Size, path: Path, classes: Sequence[str], attribute: str
) -> Region:
    where = f"{path}: image {image.file_name!r}, region {name}"
    shape = region.get("shape_attributes") if isinstance(region, dict) else None
    if not isinstance(shape, dict) or shape.get("name") not in SHAPES:
        kind = shape.get("name") if isinstance(shape, dict) else shape
        raise DataError(
            f"{where} is a {kind!r}, which has no area; expected one of {', '.join(SHAPES)}. Hint:"
            " remove it, or draw it again"
        )
    label = _label(region.get("region_attributes"), where, classes, attribute) if attribute else 0
    outline = _outline(shape, size, where)
    if isinstance(outline, bytes):
        return Region(label, where, code=outline)
    return Region(label, where, (outline,))


def _outline(shape: dict[str, Any], size: Size, where: str) -> Polygon | bytes:
    """The polygon of a shape, or the run lengths of a round one. A polyline encloses what it would when
    closed.
    """

    def value(name: str) -> float:
        return numbers([shape.get(name)], where, f"{name} of the {shape['name']}")[0]

    if shape["name"] in ("polygon", "polyline"):
        xs, ys = (numbers(shape.get(f"all_points_{axis}"), where, f"all_points_{axis}") for axis in "xy")
        if len(xs) != len(ys):
            raise DataError(f"{where} has {len(xs)} values of x, but {len(ys)} of y. Hint: correct the file")
        return polygon(
            [value for point in zip(xs, ys, strict=True) for value in point],
            size,
            where,
            f"the {shape['name']}",
        )
    if shape["name"] == "rect":
        x, y = value("x"), value("y")
        return polygon(
            list(rectangle(x, y, x + value("width"), y + value("height"))), size, where, "the rect"
        )
    center = (value("cx"), value("cy"))
    if shape["name"] == "circle":
        return ellipse(center, (value("r"), value("r")), 0, size, where)
    theta = value("theta") if "theta" in shape else 0.0  # older versions cannot turn an ellipse
    return ellipse(center, (value("rx"), value("ry")), theta, size, where)


def _label(attributes: Any, where: str, classes: Sequence[str], attribute: str) -> int:
    """The class that an attribute names: as text, or as the one box that is ticked (``{"dog": true}``)."""
    value = attributes.get(attribute) if isinstance(attributes, dict) else None
    if isinstance(value, dict):
        ticked = [name for name, on in value.items() if on]
        value = ticked[0] if len(ticked) == 1 else ", ".join(ticked)
    if value not in classes:
        raise DataError(
            f"{where} has {value!r} as its attribute {attribute!r}, which is no class; expected one of"
            f" {', '.join(classes)}. Hint: correct it, or name the classes with classes=[…]"
        )
    return classes.index(value)
