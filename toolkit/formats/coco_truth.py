"""The truth in a COCO file, for evaluators that take the file itself: checked like its samples, and complete.

Files leave out what can be computed, such as ``area`` or ``bbox``, but the libraries that match detections do
not compute it: they treat missing values as zero, or fail with errors of their own. So both ways of
evaluating go through the same rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from toolkit.errors import DataError, InvalidDataError
from toolkit.formats.bounds import Bounds, Outside
from toolkit.formats.coco import SMALLEST_POLYGON, encloses, marked_points
from toolkit.formats.coco_schema import CocoAnnotation, CocoImage, RunLengths
from toolkit.formats.turned_boxes import rotation_of
from toolkit.reading.memory import uncollected
from toolkit.reading.records import check_unique, fault_list, name_of, records
from toolkit.types import Masks, Size
from toolkit.types.run_lengths import MOST_OUTLINE, polygon_fault

FLAT = 1e-6
"""In square pixels."""


@uncollected()
def complete_truth(
    document: Mapping[str, Any],
    path: Path,
    degenerate: Literal["error", "skip"] = "error",
    outside: Outside = "error",
) -> dict[str, Any] | None:
    """The document with every ``bbox``, ``area``, ``iscrowd`` and ``id``, with the file's own numbers where
    it has them.

    Args:
        document: contents of the file; its images and categories have been checked.
        path: the file, for messages.
        degenerate: whether objects without an area are an error or are left out.
        outside: whether objects that extend beyond the image are an error or are clipped.

    Returns:
        None if the samples have to be read: an image has no size, a box is rotated, or an object has to be
        clipped at the border of the image.

    Raises:
        DataError: with all errors.
    """
    source = str(path)
    images = records(document["images"], CocoImage, source=source, kind="image", error=DataError)
    sizes = {image.id: (image.height, image.width) for image in images if image.height and image.width}
    if len(sizes) < len(images):
        return None
    annotations = records(
        document["annotations"], CocoAnnotation, source=source, kind="annotation", error=DataError
    )
    check_unique(
        [annotation.id for annotation in annotations if annotation.id is not None],
        source,
        "annotation",
        DataError,
    )
    numbered = all(isinstance(annotation.id, int) for annotation in annotations)
    faults: list[str] = []
    complete: list[dict[str, Any]] = []
    masked: dict[int | str, bool] = {}
    bounds: dict[int | str, Bounds] = {}
    for position, annotation in enumerate(annotations):
        name = name_of(document["annotations"][position], position, "annotation")
        if rotation_of(document["annotations"][position], f"{source}: {name}"):
            return None
        size = sizes.get(annotation.image_id)
        if size is None:
            faults.append(f"{name}: image_id is {annotation.image_id!r}, which the file does not have")
            continue
        try:
            entry = _complete(annotation, size, degenerate)
        except InvalidDataError as error:
            faults.append(f"{name}: {error}")
            continue
        if entry is None:
            if degenerate == "error":
                faults.append(f"{name} has no area")
            continue
        in_image = bounds.setdefault(annotation.image_id, Bounds(size, outside))
        _look(annotation, in_image, f"{source}: {name}")
        has_mask = "segmentation" in entry
        if masked.setdefault(annotation.image_id, has_mask) != has_mask:
            faults.append(f"{name} has {'a' if has_mask else 'no'} mask, unlike other objects of the image")
        complete.append(entry | {"id": annotation.id if numbered else position + 1})
    if outside == "clip" and any(each.has_strays for each in bounds.values()):
        return None
    for each in bounds.values():
        each.finish([])
    if faults:
        raise DataError(
            fault_list(source, faults, "correct the file, or leave out what has no area: degenerate=skip")
        )
    return {**document, "images": [_plain(image) for image in images], "annotations": complete}


def _look(annotation: CocoAnnotation, bounds: Bounds, where: str) -> None:
    if annotation.bbox is not None:
        x, y, width, height = annotation.bbox
        bounds.look_box((x, y, x + width, y + height), where)
    for part in annotation.segmentation if isinstance(annotation.segmentation, list) else ():
        if len(part) >= SMALLEST_POLYGON and not len(part) % 2:
            bounds.note(part, where)
    if annotation.keypoints is not None:
        bounds.note(marked_points(annotation.keypoints), where)


def _plain(image: CocoImage) -> dict[str, Any]:
    return {"id": image.id, "file_name": image.file_name, "width": image.width, "height": image.height}


def _complete(annotation: CocoAnnotation, size: Size, degenerate: str) -> dict[str, Any] | None:
    """An annotation with all its fields; None when it has no area.

    Raises:
        InvalidDataError: when its mask does not fit the image, or it has neither mask nor box.
    """
    parts, box, area = annotation.segmentation, annotation.bbox, annotation.area
    if parts is None and box is None:
        raise InvalidDataError("has neither segmentation nor bbox")
    if box is not None and (min(box[2:]) <= 0 or not _touches(box, size)):
        return None
    mask = None
    if isinstance(parts, RunLengths):
        mask = Masks.from_coco([parts.model_dump()], size)
    elif parts is not None:
        parts = _usable(parts, size, degenerate)
        if not parts:
            return None
        # Rasterizing all of them takes longer than matching.
        mask = Masks.from_polygons([parts], size) if box is None or area is None else None
    if mask is not None and (box is None or area is None):
        covered = float(mask.areas()[0])
        if box is None:
            if not covered:
                return None
            x0, y0, x1, y1 = mask.boxes_xyxy()[0].tolist()
            box = [x0, y0, x1 - x0, y1 - y0]
        area = covered if area is None else area
    assert box is not None  # it was given, or computed from the mask
    entry: dict[str, Any] = {
        "image_id": annotation.image_id,
        "category_id": annotation.category_id,
        "bbox": box,
        "area": box[2] * box[3] if area is None else area,
        "iscrowd": annotation.iscrowd,
    }
    if parts is not None:
        entry["segmentation"] = parts.model_dump() if isinstance(parts, RunLengths) else parts
    if annotation.keypoints is not None:
        seen = sum(visibility > 0 for visibility in annotation.keypoints[2::3])
        entry |= {"keypoints": annotation.keypoints, "num_keypoints": seen}
    return entry


def _usable(parts: list[list[float]], size: Size, degenerate: str) -> list[list[float]]:
    """The polygons that enclose an area; none if one does not, and that is an error.

    Raises:
        InvalidDataError: when one is far larger than the image.
    """
    usable = [part for part in parts if len(part) >= SMALLEST_POLYGON and _encloses(part)]
    for part in usable:
        # The outline of most is clearly short enough, and checking that takes a tenth of the time.
        is_small = len(part) % 2 == 0 and (max(part) - min(part)) * len(part) < MOST_OUTLINE
        fault = "" if is_small else polygon_fault(part, size)
        if fault:
            raise InvalidDataError(f"segmentation: a polygon {fault}")
    return usable if len(usable) == len(parts) or degenerate == "skip" else []


def _encloses(part: list[float]) -> bool:
    """Whether the points do not all lie on one line; mostly the first three do not."""
    x0, y0, x1, y1, x2, y2 = part[:6]
    first = abs((x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)) > FLAT
    return first or (len(part) % 2 == 0 and encloses(tuple(part)))


def _touches(box: list[float], size: Size) -> bool:
    x, y, width, height = box
    return x < size[1] and y < size[0] and x + width > 0 and y + height > 0
