"""COCO's panoptic format (https://cocodataset.org/#format-data): PNGs whose colors are the ids of segments,
``R + 256 G + 65536 B``, and a JSON file that describes the segments.

::

    panoptic_val2017.json        images, categories with isthing, annotations with segments_info
    panoptic_val2017/*.png       one per image

The same format is used for truth and predictions; predictions may have scores, and need no images and
categories of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from toolkit.data.faults import fault
from toolkit.data.label_maps import read_channels
from toolkit.errors import DataError
from toolkit.formats.coco_schema import CocoCategory, CocoImage
from toolkit.reading.fields import Count, FileName, Flag, Id, Number, Schema, below
from toolkit.runtime.files import atomic_write
from toolkit.types import PanopticMap, Segment
from toolkit.visualization.palettes import Palette, full_palette

MOST_IDS = 1 << 24
"""Number of ids that the colors of a PNG can encode; 0, which is black, is void."""


class PanopticImage(CocoImage):
    """An entry of ``images``."""


class PanopticCategory(CocoCategory):
    """An entry of ``categories``."""

    isthing: Flag


class SegmentInfo(Schema):
    """An entry of ``segments_info``."""

    id: Annotated[Count, Field(ge=1, lt=MOST_IDS)]
    category_id: Id
    iscrowd: Flag = 0
    score: Number | None = None


class PanopticAnnotation(Schema):
    """An entry of ``annotations``."""

    image_id: Id
    file_name: Annotated[FileName, AfterValidator(below)]
    segments_info: list[SegmentInfo]


@dataclass(frozen=True)
class ClassOfCategory:
    """The class of a category.

    Attributes:
        label: the index of its class.
        is_thing: whether it is a thing class.
    """

    label: int
    is_thing: bool


def read_panoptic(
    path: Path,
    segments: Sequence[SegmentInfo],
    categories: Mapping[Any, ClassOfCategory | None],
    where: str,
) -> PanopticMap:
    """The segments of one image.

    Args:
        path: the PNG.
        segments: the segments listed in the JSON file.
        categories: the classes by category id; segments of a category that is None are void.
        where: the JSON file and the record in it, for messages.

    Raises:
        ImageError: when the PNG cannot be read, or is a JPEG.
        DataError: when an id occurs twice or has no known category, or the ids in the PNG and in the JSON
            file differ. If errors are being collected, segments with errors are left out.
    """
    red, green, blue = read_channels(path).numpy()
    high = int(max(red.max(), green.max(), blue.max()))
    if high > 255:
        raise DataError(
            f"{path} has the value {high} in a channel; expected 8 bits, since colors stand for ids. Hint:"
            " save it with 8 bits per channel"
        )
    ids = red + 256 * green + 65_536 * blue
    infos = _usable(segments, categories, where)
    present, numbers = np.unique(ids, return_inverse=True)
    table = np.zeros(len(present), np.int32)
    places = {int(each): place for place, each in enumerate(present)}
    found: list[Segment] = []
    for info in infos:
        if info.id not in places:
            what = f"{where}: the segment {info.id} has no pixel in {path}"
            fault(DataError(f"{what}. Hint: remove it, or correct the picture"))
            continue
        category = categories[info.category_id]
        if category is None:
            continue
        found.append(Segment(category.label, category.is_thing, bool(info.iscrowd), info.score))
        table[places[info.id]] = len(found)
    known = {info.id for info in segments}
    strange = [each for each in present.tolist() if each and each not in known]
    if strange:
        count = int((ids == strange[0]).sum())
        more = f", and {len(strange) - 1} other ids likewise" if len(strange) > 1 else ""
        fault(
            DataError(
                f"{path} has the id {strange[0]} (color {_color(strange[0])}) in {count} pixels, which"
                f" {where} does not list{more}. Hint: list it, or make these pixels black, which is void"
            )
        )
    return PanopticMap(torch.from_numpy(table[numbers].reshape(ids.shape)), tuple(found))


def _usable(
    segments: Sequence[SegmentInfo], categories: Mapping[Any, ClassOfCategory | None], where: str
) -> list[SegmentInfo]:
    """The segments with a known category and a new id."""
    seen: set[int] = set()
    kept = []
    for info in segments:
        if info.category_id not in categories:
            what = f"the segment {info.id} is of category_id {info.category_id!r}, which does not exist"
        elif info.id in seen:
            what = f"the segment {info.id} occurs twice"
        else:
            seen.add(info.id)
            kept.append(info)
            continue
        fault(DataError(f"{where}: {what}. Hint: correct the file"))
    return kept


def write_panoptic_png(path: Path, panoptic: PanopticMap, palette: Palette) -> list[int]:
    """Write segments as a PNG in which they approximately have the colors of their classes.

    Args:
        path: the file to write.
        panoptic: the segments.
        palette: one RGB color per class.

    Returns:
        The id of each segment, which is its color.

    Raises:
        OutputError: when the file cannot be written.
    """
    colors = _distinct_colors(panoptic, palette)
    table = np.concatenate([np.zeros((1, 3), np.uint8), colors])
    pixels = table[panoptic.numbers.numpy()]
    code = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))[1]
    with atomic_write(path) as file:
        file.write(code.tobytes())
    red, green, blue = colors.astype(np.int64).T
    ids: list[int] = (red + 256 * green + 65_536 * blue).tolist()
    return ids


def _distinct_colors(panoptic: PanopticMap, palette: Palette) -> NDArray[np.uint8]:
    """A unique color for each segment, close to that of its class and never black, uint8 ``[N, 3]``."""
    known = full_palette(palette).astype(np.int64)
    rng = np.random.default_rng(0)
    taken = {(0, 0, 0)}
    colors = []
    for segment in panoptic.segments:
        base = known[segment.label % len(known)]
        color, spread = tuple(base.tolist()), 24
        while color in taken:
            color = tuple(np.clip(base + rng.integers(-spread, spread + 1, 3), 0, 255).tolist())
            spread += 1
        taken.add(color)
        colors.append(color)
    return np.array(colors, np.uint8).reshape(-1, 3)


def segment_records(panoptic: PanopticMap, ids: Sequence[int]) -> list[dict[str, Any]]:
    """The ``segments_info`` of an image; categories count from 1, as in ``predictions.json``.

    Args:
        panoptic: the segments.
        ids: the id of each segment, from ``write_panoptic_png``.
    """
    boxes = panoptic.instances(range(1, len(ids) + 1)).boxes_xyxy.tolist()
    records = []
    for segment, key, area, (x0, y0, x1, y1) in zip(
        panoptic.segments, ids, panoptic.areas().tolist(), boxes, strict=True
    ):
        record: dict[str, Any] = {
            "id": key,
            "category_id": segment.label + 1,
            "iscrowd": int(segment.is_crowd),
            "bbox": [int(x0), int(y0), int(x1 - x0), int(y1 - y0)],
            "area": area,
            "isthing": int(segment.is_thing),
        }
        if segment.score is not None:
            record["score"] = segment.score
        records.append(record)
    return records


def panoptic_categories(classes: Sequence[str], things: Sequence[str]) -> list[dict[str, Any]]:
    """The ``categories`` of a file, numbered from 1.

    Args:
        classes: the names of all classes.
        things: the names of the thing classes.
    """
    known = set(things)
    return [
        {"id": number, "name": name, "isthing": int(name in known)}
        for number, name in enumerate(classes, start=1)
    ]


def _color(key: int) -> tuple[int, int, int]:
    return key % 256, key // 256 % 256, key // 65_536
