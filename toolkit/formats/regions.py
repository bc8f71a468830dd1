"""Objects as annotation tools write them: polygons or run lengths, a class, and other attributes.

The readers of COCO, VIA, LabelMe and YOLO files turn each record into a ``Region``; the rest is the same for
all. Coordinates are in pixels from the top-left corner of the image, so integers lie on pixel edges, and
polygons are filled by COCO's rule.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from toolkit.data.dataset import C, Dataset
from toolkit.data.images import IMAGE_SUFFIXES, image_size
from toolkit.data.parts import PartReadable, cut_instances
from toolkit.data.tiff_windows import TiffWindows
from toolkit.errors import DataError
from toolkit.reading.fields import are_numbers, is_number, shown
from toolkit.types import Instances, Masks, Sample, Size
from toolkit.types.pixel_runs import Rectangle

Polygon: TypeAlias = tuple[float, ...]
"""``x0, y0, x1, y1, …`` in pixels."""

Box: TypeAlias = tuple[float, float, float, float]
"""``x0, y0, x1, y1`` in pixels, the last two exclusive."""


@dataclass(frozen=True)
class Region:
    """One object of one image.

    Attributes:
        label: the index of its class.
        where: file and record, for messages.
        polygons: its parts; the object is their union.
        code: compressed COCO run lengths of an object that is not a polygon, or if they are already known.
        box_xyxy: the box in the file; None for the box of its mask.
        is_crowd: whether it is a crowd of objects.
        keypoints: ``x, y, visibility`` of all keypoints, concatenated; None if there are none.
        area: in square pixels, as stored in the file; None for the area of the mask.
    """

    label: int
    where: str
    polygons: tuple[Polygon, ...] = ()
    code: bytes | None = None
    box_xyxy: Box | None = None
    is_crowd: bool = False
    keypoints: tuple[float, ...] | None = None
    area: float | None = None

    @property
    def has_mask(self) -> bool:
        """Whether more than a box is known."""
        return bool(self.polygons) or self.code is not None

    def counts(self, size: Size) -> bytes:
        """The mask as compressed COCO run lengths.

        Raises:
            DataError: when it covers no pixels and the file gives no box either.
        """
        counts = self.code if self.code is not None else Masks.from_polygons([self.polygons], size).counts[0]
        if self.box_xyxy is None and not coco_mask.area({"size": list(size), "counts": counts}):
            raise DataError(
                f"{self.where} covers no pixels of the image ({size[1]} x {size[0]}). Hint: remove it, or"
                " draw it again"
            )
        return counts


class RegionDataset(Dataset, PartReadable):
    """A split whose objects are built from ``Region`` records, read on demand.

    Attributes:
        num_keypoints: number of keypoints of each object; 0 for none.
    """

    num_keypoints = 0

    @abstractmethod
    def image_path(self, index: int) -> Path:
        """The file of the image."""

    @abstractmethod
    def regions(self, index: int, size: Size) -> list[Region]:
        """The objects of the image of this size.

        Raises:
            DataError: when a record cannot be used; names the file and the record, with a hint.
        """

    def image_size(self, index: int) -> Size:
        """Height and width of the image in pixels, from its header."""
        return image_size(self.image_path(index))

    def image(self, index: int) -> torch.Tensor:
        """The image without its objects."""
        return self.read_image(self.image_path(index))

    def capability(self, kind: type[C]) -> C | None:
        """Parts cannot be read where a subclass reads samples in its own way."""
        if kind is PartReadable and type(self).__getitem__ is not RegionDataset.__getitem__:
            return None
        return super().capability(kind)

    def part_path(self, index: int) -> Path:
        """The file of the image."""
        return self.image_path(index)

    def part(self, index: int, reader: TiffWindows, place: Rectangle) -> Sample:
        """The image in a rectangle with the parts of its objects; objects elsewhere are not painted."""
        every = self.regions(index, reader.size)
        near = [region for region in every if _may_touch(region, place)]
        found = to_instances(near, reader.size, self.num_keypoints, like=every)
        path = str(self.image_path(index))
        return Sample(self.ids[index], reader.read(place), instances=cut_instances(found, place), path=path)

    def __getitem__(self, index: int) -> Sample:
        """Read one image with its objects."""
        image = self.image(index)
        size = (int(image.shape[1]), int(image.shape[2]))
        return Sample(
            self.ids[index],
            image,
            instances=to_instances(self.regions(index, size), size, self.num_keypoints),
            path=str(self.image_path(index)),
        )


def _may_touch(region: Region, place: Rectangle) -> bool:
    """Whether a region may have pixels in a rectangle, by the corners of its polygons or its box."""
    if region.polygons:
        xs = [x for polygon in region.polygons for x in polygon[::2]]
        ys = [y for polygon in region.polygons for y in polygon[1::2]]
        box = min(xs), min(ys), max(xs), max(ys)
    elif region.code is None and region.box_xyxy is not None:
        box = region.box_xyxy
    else:
        return True
    # painted pixels may lie beyond the corners by a rounding
    return (
        box[0] <= place.right + 1
        and box[1] <= place.bottom + 1
        and box[2] >= place.left - 1
        and box[3] >= place.top - 1
    )


def to_instances(
    regions: Sequence[Region],
    size: Size,
    num_keypoints: int = 0,
    *,
    like: Sequence[Region] | None = None,
) -> Instances:
    """Convert regions to ``Instances``; masks are None if the file has only boxes.

    Args:
        regions: the regions.
        size: height and width of the image.
        num_keypoints: of each object; 0 for none.
        like: all regions of the image, if these are some of them; they decide which fields there are.

    Raises:
        DataError: when a mask covers no pixels, or some objects of the image have masks and others do not.
    """
    masks = None
    every = regions if like is None else like
    without = [region for region in every if not region.has_mask]
    if not without:
        masks = Masks(size, tuple(region.counts(size) for region in regions))
    elif len(without) < len(every):
        raise DataError(
            f"{without[0].where} has no mask, but other objects of the image have one. Hint: add a mask, or"
            " remove the object; to train on boxes alone, remove the masks of all objects"
        )
    boxes = torch.zeros((len(regions), 4)) if masks is None else masks.boxes_xyxy()
    for index, region in enumerate(regions):
        if region.box_xyxy is not None:
            boxes[index] = torch.tensor(region.box_xyxy)
    crowds = torch.tensor([region.is_crowd for region in regions], dtype=torch.bool)
    return Instances(
        size,
        boxes,
        torch.tensor([region.label for region in regions], dtype=torch.int64),
        masks,
        keypoints=_keypoints(regions, num_keypoints) if num_keypoints else None,
        is_crowd=crowds if any(region.is_crowd for region in every) else None,
        areas=_areas(regions, boxes, masks) if any(region.area is not None for region in every) else None,
    )


def _areas(regions: Sequence[Region], boxes: torch.Tensor, masks: Masks | None) -> torch.Tensor:
    """float64 ``[N]``: the stored areas, else those of the masks or boxes."""
    widths, heights = (boxes[:, 2:] - boxes[:, :2]).double().unbind(dim=1)
    measured = (widths * heights if masks is None else masks.areas()).tolist()
    stated = [
        own if region.area is None else region.area for region, own in zip(regions, measured, strict=True)
    ]
    return torch.tensor(stated, dtype=torch.float64)


def _keypoints(regions: Sequence[Region], count: int) -> torch.Tensor:
    """float32 ``[N, count, 3]``; zeros (COCO's "not labeled") for missing keypoints."""
    keypoints = torch.zeros((len(regions), count * 3))
    for row, region in zip(keypoints, regions, strict=True):
        if region.keypoints is not None:
            row[: len(region.keypoints)] = torch.tensor(region.keypoints)
    return keypoints.view(len(regions), count, 3)


def numbers(values: Any, where: str, what: str) -> tuple[float, ...]:
    """Check that a value from a file is a list of finite numbers.

    Raises:
        DataError: when it is not; ``what`` names the value.
    """
    if not isinstance(values, list):
        raise DataError(f"{where}: {what} must be a list of numbers, not {shown(values)}")
    if not are_numbers(values):
        odd = next(value for value in values if not is_number(value))
        raise DataError(f"{where}: {what} has {shown(odd)} among its numbers. Hint: correct the file")
    return tuple(float(value) for value in values)


def check_stated_size(stated: tuple[object, object], size: Size, where: str) -> None:
    """Check the height and width that a file says an image has; None if it does not say.

    Raises:
        DataError: when they are not whole numbers, or not those of the image.
    """
    known: list[int] = []
    for name, value, actual in zip(("height", "width"), stated, size, strict=True):
        if value is None:
            known.append(actual)
        elif isinstance(value, (int, float)) and is_number(value) and int(value) == value:
            known.append(int(value))
        else:
            raise DataError(
                f"{where} has {shown(value)} as the {name} of the image; expected a whole number of pixels."
                " Hint: correct the file"
            )
    if (known[0], known[1]) != size:
        raise DataError(
            f"{where} should have {known[1]} x {known[0]} pixels, but the file has {size[1]} x {size[0]}."
            " Hint: use the image that was annotated (check whether it has been rotated or resized since),"
            " or annotate it again"
        )


def polygon(values: Any, where: str, what: str = "the polygon") -> Polygon:
    """Check a polygon from a file; ``toolkit.formats.bounds`` checks its position.

    Raises:
        DataError: when it is not a list of finite numbers, or has fewer than three points or an odd number of
            values.
    """
    flat = numbers(values, where, what)
    if len(flat) < 6 or len(flat) % 2:
        raise DataError(
            f"{where}: {what} has {len(flat)} numbers; expected x, y for at least three points. Hint: remove"
            " it, or draw it again"
        )
    return flat


def ellipse(
    center: tuple[float, float], radii: tuple[float, float], theta: float, size: Size, where: str
) -> bytes:
    """The pixels whose centers lie in an ellipse, as compressed COCO run lengths.

    Args:
        center: x and y in pixels.
        radii: semi-axes in pixels, along x and y before rotation.
        theta: rotation in radians, from x toward y (clockwise on the screen).
        size: height and width of the image.
        where: file and record, for messages.

    Raises:
        DataError: when a number is not finite, or a radius is not above 0.
    """
    if not all(map(math.isfinite, (*center, *radii, theta))) or min(radii) <= 0:
        raise DataError(
            f"{where}: the center {center}, radii {radii} and angle {theta:g} do not form an ellipse. Hint:"
            " correct the file"
        )
    ys, xs = np.ogrid[0.5 : size[0] : 1, 0.5 : size[1] : 1]
    dx, dy = xs - center[0], ys - center[1]
    # A file may contain numbers of any size; anything infinitely far away is outside.
    with np.errstate(over="ignore", invalid="ignore"):
        along = (dx * math.cos(theta) + dy * math.sin(theta)) / radii[0]
        across = (dy * math.cos(theta) - dx * math.sin(theta)) / radii[1]
        inside: NDArray[np.bool_] = along**2 + across**2 <= 1
    return Masks.from_dense(inside[None]).counts[0]


def joined(groups: Mapping[str, Hashable], parts: Sequence[Region], size: Size) -> list[Region]:
    """Objects from their parts, in the order of their first parts.

    Args:
        groups: by the ``where`` of each part: what the parts of one object have in common.
        parts: the parts.
        size: height and width of the image.
    """
    objects: dict[Hashable, list[Region]] = {}
    for part in parts:
        objects.setdefault(groups[part.where], []).append(part)
    return [_union(parts, size) for parts in objects.values()]


def _union(parts: list[Region], size: Size) -> Region:
    first = parts[0]
    if len(parts) == 1:
        return first
    if all(part.polygons for part in parts):
        return Region(first.label, first.where, tuple(one for part in parts for one in part.polygons))
    codes = [{"size": list(size), "counts": part.counts(size)} for part in parts]
    return Region(first.label, first.where, code=coco_mask.merge(codes)["counts"])


def rectangle(x0: float, y0: float, x1: float, y1: float) -> Polygon:
    """The polygon of a rectangle."""
    return (x0, y0, x1, y0, x1, y1, x0, y1)


def sample_id(file_name: str) -> str:
    """The id of an image: its path without suffix."""
    path = Path(file_name)
    return path.with_suffix("").as_posix() if path.suffix.lower() in IMAGE_SUFFIXES else path.as_posix()


def unique_ids(file_names: Sequence[str]) -> tuple[str, ...]:
    """The ids of the images of a split; if two images differ only in the suffix, their ids keep it."""
    short = [sample_id(name) for name in file_names]
    uses = Counter(short)
    return tuple(
        Path(name).as_posix() if uses[one] > 1 else one for name, one in zip(file_names, short, strict=True)
    )
