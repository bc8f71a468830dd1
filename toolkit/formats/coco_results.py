"""COCO results files (https://cocodataset.org/#format-results): lists of detections, each with its image,
class and score.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from toolkit.errors import DataError, InvalidDataError
from toolkit.formats.coco import decode_counts
from toolkit.formats.coco_keypoints import from_indices
from toolkit.formats.prediction_names import say_left_out
from toolkit.types import Instances, Masks, Size

logger = logging.getLogger("toolkit")

SHAPES = ("bbox", "segmentation", "keypoints")


def check_results(
    results: Sequence[Any], path: Path, image_ids: Collection[int], category_ids: Collection[int]
) -> list[dict[str, Any]]:
    """Check that every detection has an image, a known class and a valid score and shape.

    Args:
        results: content of the file.
        path: the file, for messages.
        image_ids, category_ids: the ids that the dataset has.

    Returns:
        The detections in images that the dataset has. Those in others are left out, which is said, as it is
        of predictions that are named.

    Raises:
        DataError: for the first invalid detection, or when none is in an image of the dataset; says what was
            found and what was expected.
    """
    images, categories = set(image_ids), set(category_ids)
    others = dict.fromkeys(found for found in map(_image_id, results) if found not in images)
    if others and None not in others:
        known = [entry for entry in results if entry["image_id"] in images]
        if known:
            say_left_out(logger.warning, path, [str(found) for found in others])
            results = known
    if _plainly_right(results, images, categories):
        return list(results)
    for position, entry in enumerate(results):
        fault = _fault(entry, images, categories)
        if fault:
            raise DataError(f"{path}: results[{position}] {fault}")
    return list(results)


def _image_id(entry: Any) -> int | None:
    """The image that a detection is in; None where it names none."""
    found = entry.get("image_id") if isinstance(entry, dict) else None
    return found if isinstance(found, int) else None


def check_mask_sizes(results: Sequence[Mapping[str, Any]], path: Path, sizes: Mapping[int, Size]) -> None:
    """Check that every run-length encoded mask has the size of its image and covers exactly its pixels.

    Args:
        results: checked by ``check_results``.
        path: the file, for messages.
        sizes: height and width by image id.

    Raises:
        DataError: for the first invalid mask.
    """
    for position, entry in enumerate(results):
        mask, size = entry.get("segmentation"), sizes.get(entry["image_id"])
        fault = _mask_fault(mask, size) if size is not None and isinstance(mask, dict) else ""
        if fault:
            raise DataError(f"{path}: results[{position}] has a mask {fault}")


def _mask_fault(code: Mapping[str, Any], size: Size) -> str:
    """What is wrong with run lengths; pycocotools would read out of bounds if they were too long."""
    if list(code.get("size") or ()) != list(size):
        return f"of size {code.get('size')}, but its image has {list(size)} (height, width)"
    counts = code.get("counts")
    if isinstance(counts, str) and counts.isascii():
        lengths = decode_counts(counts.encode())
    elif isinstance(counts, list) and all(isinstance(count, int) for count in counts):
        lengths = np.array(counts, dtype=np.int64)
    else:
        return "whose counts are neither text nor a list of integers"
    if (lengths < 0).any() or int(lengths.sum()) != size[0] * size[1]:
        return (
            f"whose run lengths cover {int(lengths.sum())} pixels, but its image has {size[0] * size[1]}."
            " Hint: encode it again; is it cut off?"
        )
    return ""


def _plainly_right(results: Sequence[Any], images: set[int], categories: set[int]) -> bool:
    """Whether all are valid boxes, checked column by column, five times as fast as one by one; False means
    that they must be checked one by one.
    """
    try:
        known = {entry["image_id"] for entry in results} <= images and {
            entry["category_id"] for entry in results
        } <= categories
        scores = np.array([entry["score"] for entry in results])
        boxes = np.array([entry["bbox"] for entry in results])
    except (TypeError, KeyError, ValueError):
        return False
    numeric = (
        scores.dtype.kind in "if"
        and boxes.dtype.kind in "if"
        and boxes.shape == (len(results), 4)
        and scores.ndim == 1
    )
    if not (
        known
        and numeric
        and np.isfinite(scores).all()
        and np.isfinite(boxes).all()
        and (boxes[:, 2:] >= 0).all()
    ):
        return False
    return not any("keypoints" in entry for entry in results)


def _fault(entry: Any, images: set[int], categories: set[int]) -> str:
    """What is wrong with a detection; empty if it is valid."""
    if not isinstance(entry, dict):
        return (
            "must be an object with image_id, category_id, score and bbox, segmentation or keypoints, not"
            f" {entry!r}"
        )
    for key, known in (("image_id", images), ("category_id", categories)):
        if not isinstance(entry.get(key), int) or entry[key] not in known:
            return (
                f"has the {key} {entry.get(key)!r}, which is none of the dataset's {len(known)}."
                " Hint: choose the dataset and split that these results belong to"
            )
    if not _finite(entry.get("score")):
        return f"has the score {entry.get('score')!r}; expected a finite number"
    if not any(key in entry for key in SHAPES):
        return "has neither bbox nor segmentation nor keypoints"
    box = entry.get("bbox")
    if box is not None and not (
        isinstance(box, list) and len(box) == 4 and all(map(_finite, box)) and box[2] >= 0 and box[3] >= 0
    ):
        return f"has the bbox {box!r}; expected finite x, y, width, height, with width and height at least 0"
    points = entry.get("keypoints")
    if points is not None and not (
        isinstance(points, list) and points and len(points) % 3 == 0 and all(map(_finite, points))
    ):
        return f"has the keypoints {points!r}; expected finite x, y, score for each"
    return ""


def _finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


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
    if given["keypoints"]:
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
    )


def _masks(codes: Sequence[Any], size: Size) -> Masks:
    """Masks from run lengths (compressed or not) or polygons."""
    for code in codes:
        fault = _mask_fault(code, size) if isinstance(code, dict) else ""
        if fault:
            raise InvalidDataError(f"a mask {fault}")
    parts = (
        Masks.from_coco([code], size) if isinstance(code, dict) else Masks.from_polygons([code], size)
        for code in codes
    )
    return Masks(size, tuple(part.counts[0] for part in parts))
