"""COCO results files (https://cocodataset.org/#format-results): lists of detections, each with its image,
class and score.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from toolkit.errors import DataError, InvalidDataError
from toolkit.formats.box_results import BoxResults, Columns, columns_of_entries, known_boxes
from toolkit.formats.coco_keypoints import from_indices
from toolkit.formats.coco_schema import CocoResult
from toolkit.formats.prediction_names import say_left_out
from toolkit.reading.fields import shown
from toolkit.reading.memory import uncollected
from toolkit.reading.records import fault_list, name_of, records
from toolkit.types import Instances, Masks, Size
from toolkit.types.run_lengths import counts_fault

logger = logging.getLogger("toolkit")

SHAPES = ("bbox", "segmentation", "keypoints")
HINT = "correct the file, or choose the dataset and split that these results belong to"


def valid_boxes(
    columns: Columns | None, path: Path, image_ids: Collection[int], category_ids: Collection[int]
) -> BoxResults | None:
    """The detections that are boxes alone and all valid, checked column by column, several times as fast as
    one by one; those in images that the dataset does not have are left out, which is said. None means that
    they must be checked one by one.
    """
    checked = None if columns is None else known_boxes(columns, image_ids, category_ids)
    if checked is None:
        return None
    known, others = checked
    if others:
        say_left_out(logger.warning, path, [str(found) for found in others])
    return BoxResults(known)


@uncollected()
def checked_results(
    results: list[Any], path: Path, image_ids: Collection[int], category_ids: Collection[int]
) -> Sequence[dict[str, Any]]:
    """The detections of a file, each with a known image and class, a valid score, and the shapes that it has.

    Args:
        results: content of the file.
        path: the file, for messages.
        image_ids, category_ids: the ids that the dataset has.

    Returns:
        The detections in images that the dataset has. Those in others are left out, which is said, as it is
        of predictions that are named.

    Raises:
        DataError: with all errors (the first 20 in words); says what was found and what was expected.
    """
    if (boxes := valid_boxes(columns_of_entries(results), path, image_ids, category_ids)) is not None:
        return boxes
    images, categories = set(image_ids), set(category_ids)
    others = dict.fromkeys(found for found in map(_image_id, results) if found not in images)
    if others and None not in others:
        known = [entry for entry in results if entry["image_id"] in images]
        if known:
            say_left_out(logger.warning, path, [str(found) for found in others])
            results = known
    found = records(
        results, CocoResult, source=str(path), kind="result", key="image_id", error=DataError, hint=HINT
    )
    cleaned = [entry.model_dump(exclude_none=True) for entry in found]
    faults = [
        f"{name_of(entry, position, 'result', 'image_id')}: {fault}"
        for position, entry in enumerate(cleaned)
        if (fault := _fault(entry, cleaned[0], images, categories))
    ]
    if faults:
        raise DataError(fault_list(str(path), faults, HINT))
    return cleaned


def _image_id(entry: Any) -> int | None:
    """The image that a detection is in; None where it names none."""
    found = entry.get("image_id") if isinstance(entry, dict) else None
    return found if isinstance(found, int) else None


def _fault(entry: Mapping[str, Any], first: Mapping[str, Any], images: set[int], categories: set[int]) -> str:
    """What is wrong with a detection whose fields have the right types; empty if it is valid."""
    for key, known in (("image_id", images), ("category_id", categories)):
        if entry[key] not in known:
            return f"{key} is {shown(entry[key])}, which is not one of the dataset's {len(known)}"
    if not any(key in entry for key in SHAPES):
        return "has neither bbox nor segmentation nor keypoints"
    if ("bbox" in entry) != ("bbox" in first):
        return f"has {'a' if 'bbox' in entry else 'no'} bbox, unlike the first; all must have the same"
    if "bbox" in entry and min(entry["bbox"][2:]) < 0:
        return f"bbox has a width or height below 0: {shown(entry['bbox'])}"
    points, usual = entry.get("keypoints"), first.get("keypoints")
    if points is not None and (not points or (usual is not None and len(points) != len(usual))):
        return f"has {len(points) // 3} keypoints; expected {len(usual or ()) // 3 or 'some'}"
    return ""


@uncollected()
def fitted_results(
    results: Sequence[Mapping[str, Any]], path: Path, sizes: Mapping[int, Size]
) -> Sequence[Mapping[str, Any]]:
    """The same detections with their masks as compressed run lengths that cover exactly their images, whether
    they were polygons or run lengths; nothing else may reach code that is written in C.

    Args:
        results: from ``checked_results``.
        path: the file, for messages.
        sizes: height and width by image id.

    Raises:
        DataError: with all errors.
    """
    if isinstance(results, BoxResults):
        return results
    faults: list[str] = []
    fitted: list[dict[str, Any]] = []
    for position, entry in enumerate(results):
        mask = entry.get("segmentation")
        is_coded = isinstance(mask, Mapping) and isinstance(mask["counts"], str)
        if mask is None or (is_coded and not _code_fault(mask, sizes[entry["image_id"]])):
            fitted.append(dict(entry))
            continue
        try:
            (code,) = _masks([mask], sizes[entry["image_id"]]).to_coco()
        except InvalidDataError as error:
            faults.append(f"{name_of(entry, position, 'result', 'image_id')}: {error}")
            continue
        fitted.append({**entry, "segmentation": code | {"counts": code["counts"].decode()}})
    if faults:
        raise DataError(fault_list(str(path), faults, HINT))
    return fitted


def _code_fault(code: Mapping[str, Any], size: Size) -> bool:
    """Whether compressed run lengths are not of this size, seen without making masks of them."""
    counts: str = code["counts"]
    return code["size"] != list(size) or not counts.isascii() or bool(counts_fault(counts.encode(), size))


def result_instances(
    annotations: Sequence[Mapping[str, Any]], size: Size, *, areas: bool = False
) -> Instances:
    """The detections of one image, whose class index is given as ``label``.

    Args:
        annotations: with ``bbox``, ``segmentation`` or ``keypoints``, the same for all; a missing box is
            computed from the mask or points.
        size: of the image, height and width.
        areas: whether to set areas as pycocotools does for a results file: that of the box if there is one,
            else of the mask.

    Raises:
        InvalidDataError: when a mask or box does not fit the image.
    """
    if not annotations:
        return Instances.empty(size, with_masks=True, with_scores=True)
    given = {key: all(annotation.get(key) is not None for annotation in annotations) for key in SHAPES}
    masks = (
        _masks([annotation["segmentation"] for annotation in annotations], size)
        if given["segmentation"]
        else None
    )
    keypoints = None
    counts = {len(annotation["keypoints"]) for annotation in annotations} if given["keypoints"] else set()
    if len(counts) > 1:
        raise InvalidDataError(
            f"some detections have {min(counts) // 3} keypoints, others {max(counts) // 3}; all must have"
            " the same"
        )
    if counts:
        points = np.array([annotation["keypoints"] for annotation in annotations], np.float64).reshape(
            len(annotations), -1, 3
        )
        keypoints = torch.from_numpy(from_indices(points)).float()
    area = None
    if given["bbox"]:
        x, y, width, height = np.array([annotation["bbox"] for annotation in annotations], dtype=np.float64).T
        boxes = torch.from_numpy(np.stack([x, y, x + width, y + height], axis=1)).float()
        area = torch.from_numpy(width * height)
    elif masks is not None:
        boxes, area = masks.boxes_xyxy(), masks.areas().double()
    elif keypoints is not None:
        boxes = torch.cat([keypoints[:, :, :2].amin(dim=1), keypoints[:, :, :2].amax(dim=1)], dim=1)
    else:
        raise InvalidDataError(
            "some detections have a bbox, others only a mask or keypoints; all must have the same fields"
        )
    return Instances(
        size,
        boxes,
        torch.tensor([annotation["label"] for annotation in annotations]),
        masks,
        torch.tensor([annotation.get("score", 1.0) for annotation in annotations], dtype=torch.float32),
        keypoints,
        areas=area if areas else None,
        ids=_ids(annotations),
    )


def _ids(annotations: Sequence[Mapping[str, Any]]) -> tuple[str, ...] | None:
    """The names of objects that answer prompts or were tracked; None if they have none."""
    names = [annotation.get("object") for annotation in annotations]
    known = tuple(name for name in names if isinstance(name, str))
    return known if len(known) == len(names) else None


def _masks(codes: Sequence[Any], size: Size) -> Masks:
    """Masks from run lengths (compressed or not) or polygons.

    Raises:
        InvalidDataError: when one does not fit the image.
    """
    parts = [
        Masks.from_coco([code], size) if isinstance(code, Mapping) else Masks.from_polygons([code], size)
        for code in codes
    ]
    return Masks.joined(size, parts)
