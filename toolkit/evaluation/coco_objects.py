"""The data that the evaluator ``coco`` keeps per image, and their conversion for hotcoco."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import hotcoco
import numpy as np
from numpy.typing import NDArray

from toolkit.evaluation.coco_compared import ComparedImage
from toolkit.evaluation.coco_figures import IoUType
from toolkit.evaluation.coco_matching import Found
from toolkit.formats.coco_keypoints import to_indices
from toolkit.types import Instances

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Objects:
    """The objects of one image: arrays, and masks in run-length codes.

    Attributes:
        boxes: float64 ``[N, 4]`` as x, y, width, height in pixels.
        labels: int64 ``[N]``, from 0.
        areas: float64 ``[N]``, the areas that decide whether boxes and keypoints are small or large;
            ``mask_areas`` for masks.
        scores: float64 ``[N]``; zeros for truth.
        crowd: bool ``[N]``.
        masks: ``N`` compressed run-length encodings, or None.
        keypoints: float64 ``[N, K, 3]``, as in COCO files, or None.
    """

    boxes: Floats
    labels: NDArray[np.int64]
    areas: Floats
    mask_areas: Floats
    scores: Floats
    crowd: NDArray[np.bool_]
    masks: tuple[bytes, ...] | None
    keypoints: Floats | None


@dataclass(frozen=True)
class ImageRecord(ComparedImage):
    """The data kept of one image."""

    size: tuple[int, int]
    truth: Objects
    found: Objects
    known: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)

    def sides(self, kind: IoUType) -> tuple[Found, Found]:
        """Objects and detections."""
        return self._side(self.truth, kind), self._side(self.found, kind)

    def _side(self, part: Objects, kind: IoUType) -> Found:
        codes = _codes([self], [part]) if kind == "segm" else None
        areas = part.mask_areas if kind == "segm" else part.areas
        return Found(part.boxes, part.labels, part.scores, part.crowd, codes, areas)


def objects(instances: Instances, *, is_truth: bool) -> Objects:
    """Copy what the metrics need; an area is the stored one if there is one, else that of the mask (of a
    detection's box, when boxes are compared).
    """
    corners = instances.boxes_xyxy.numpy()
    boxes = corners.astype(np.float64)
    boxes[:, 2:] -= corners[:, :2]
    n = len(boxes)
    box_areas = boxes[:, 2] * boxes[:, 3]
    mask_areas = box_areas if instances.masks is None else instances.masks.areas().numpy().astype(np.float64)
    areas = mask_areas if is_truth else box_areas
    if instances.areas is not None:
        areas = mask_areas = instances.areas.numpy().copy()
    return Objects(
        boxes,
        instances.labels.numpy().copy(),
        areas,
        mask_areas,
        np.zeros(n) if instances.scores is None else instances.scores.numpy().astype(np.float64),
        np.zeros(n, np.bool_) if instances.is_crowd is None else instances.is_crowd.numpy().copy(),
        None if instances.masks is None else instances.masks.counts,
        None if instances.keypoints is None else to_indices(instances.keypoints.numpy().astype(np.float64)),
    )


def kinds_of(images: Sequence[ImageRecord]) -> list[IoUType]:
    """What both truth and predictions have; an image without objects is compatible with everything."""
    every = [each for image in images for each in (image.truth, image.found)]

    def given(attribute: str) -> bool:
        lacking = any(len(each.labels) and getattr(each, attribute) is None for each in every)
        return not lacking and any(getattr(each, attribute) is not None for each in every)

    kinds: list[IoUType] = ["bbox"]
    kinds += ["segm"] if given("masks") else []
    kinds += ["keypoints"] if given("keypoints") else []
    return kinds


def coco_pair(
    images: Sequence[ImageRecord], kind: IoUType, classes: Sequence[str]
) -> tuple[hotcoco.COCO, hotcoco.COCO]:
    """Truth and detections for hotcoco; images and classes are numbered from 1 in the given order."""
    entries = [
        {"id": i, "height": image.size[0], "width": image.size[1]} for i, image in enumerate(images, start=1)
    ]
    categories = [{"id": i, "name": name} for i, name in enumerate(classes, start=1)]
    truth, found = [image.truth for image in images], [image.found for image in images]
    if kind == "keypoints":
        document = {"images": entries, "categories": categories, "annotations": _keypoint_annotations(truth)}
        with_keypoints = hotcoco.COCO(document)
        return with_keypoints, with_keypoints.load_res(_keypoint_annotations(found))
    codes = (_codes(images, truth), _codes(images, found)) if kind == "segm" else (None, None)

    def areas(each: Objects) -> Floats:
        return each.mask_areas if kind == "segm" else each.areas

    boxes = _column(truth, lambda each: each.boxes, (0, 4))
    gt = hotcoco.COCO.from_arrays(
        entries,
        categories,
        _image_ids(truth),
        _column(truth, lambda each: each.labels + 1),
        boxes,
        area=_column(truth, areas),
        iscrowd=_column(truth, lambda each: each.crowd.astype(np.int64)),
        segmentation=codes[0],
    )
    rows = [
        _image_ids(found)[:, None],
        _column(found, lambda each: each.boxes, (0, 4)),
        _column(found, lambda each: each.scores)[:, None],
        (_column(found, lambda each: each.labels) + 1)[:, None],
    ]
    dt = gt.load_res(
        np.concatenate(rows, axis=1, dtype=np.float64), segmentation=codes[1]
    )  # in the form (image, box, score, class)
    stated = _column(found, areas)
    if len(stated):
        dt.update_anns(ids=np.arange(1, len(stated) + 1), area=stated)
    return gt, dt


def _image_ids(parts: Sequence[Objects]) -> NDArray[np.int64]:
    return np.repeat(np.arange(1, len(parts) + 1), [len(part.labels) for part in parts])


def _column(
    parts: Sequence[Objects], get: Callable[[Objects], NDArray[Any]], empty: tuple[int, ...] = (0,)
) -> NDArray[Any]:
    values = [get(part) for part in parts if len(part.labels)]
    return np.concatenate(values) if values else np.zeros(empty)


def _codes(images: Sequence[ImageRecord], parts: Sequence[Objects]) -> list[Any]:
    """The masks of images as COCO run-length dictionaries."""
    found: list[Any] = []
    for image, part in zip(images, parts, strict=True):
        size = list(image.size)
        found += [{"size": size, "counts": code} for code in part.masks or ()]
    return found


def _keypoint_annotations(parts: Sequence[Objects]) -> list[dict[str, Any]]:
    annotations: list[dict[str, Any]] = []
    for image_id, part in enumerate(parts, start=1):
        for i in range(len(part.labels)):
            points = part.keypoints[i] if part.keypoints is not None else np.zeros((0, 3))
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": int(part.labels[i]) + 1,
                    "bbox": part.boxes[i].tolist(),
                    "area": float(part.areas[i]),
                    "iscrowd": int(part.crowd[i]),
                    "keypoints": points.reshape(-1).tolist(),
                    "num_keypoints": int((points[:, 2] > 0).sum()),
                    "score": float(part.scores[i]),
                }
            )
    return annotations
