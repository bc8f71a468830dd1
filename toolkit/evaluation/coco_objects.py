"""The data that the evaluator ``coco`` keeps per image, and their conversion for hotcoco."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import hotcoco
import numpy as np
from numpy.typing import NDArray

from toolkit.evaluation.coco_compared import ComparedImage
from toolkit.evaluation.coco_figures import IoUType
from toolkit.evaluation.coco_limits import Densities, most_by_image
from toolkit.evaluation.coco_matching import Found
from toolkit.formats.coco_keypoints import to_indices
from toolkit.types import Instances

Floats = NDArray[np.float64]


@dataclass(eq=False)
class Objects:
    """The objects of one image: copies of what the metrics need, which are converted when they are asked for,
    since most are only needed for all images together. Not frozen, since that makes building one slow.

    Attributes:
        corners: floating ``[N, 4]`` as x0, y0, x1, y1 in pixels.
        labels: int64 ``[N]``, from 0.
        is_truth: whether they are true objects, and no detections.
        stated_areas: float64 ``[N]``, those that are given; None if none are.
        sizes_of_masks: float64 ``[N]``, in pixels; None without masks.
        given_scores: floating ``[N]``; None if there are none.
        given_crowd: bool ``[N]``; None where nothing is a crowd.
        masks: ``N`` compressed run-length encodings, or None.
        keypoints: float64 ``[N, K, 3]``, as in COCO files, or None.
    """

    corners: NDArray[np.floating]
    labels: NDArray[np.int64]
    is_truth: bool
    stated_areas: Floats | None
    sizes_of_masks: Floats | None
    given_scores: NDArray[np.floating] | None
    given_crowd: NDArray[np.bool_] | None
    masks: tuple[bytes, ...] | None
    keypoints: Floats | None

    @cached_property
    def boxes(self) -> Floats:
        """float64 ``[N, 4]`` as x, y, width, height in pixels."""
        return _boxes(self.corners)

    @cached_property
    def areas(self) -> Floats:
        """float64 ``[N]``, the areas that decide whether boxes and keypoints are small or large: those that
        are given, else of true objects those of the masks, else those of the boxes.
        """
        return self.mask_areas if self.is_truth or self.stated_areas is not None else self._box_areas

    @cached_property
    def mask_areas(self) -> Floats:
        """float64 ``[N]``, those that decide whether masks are small or large."""
        if self.stated_areas is not None:
            return self.stated_areas
        return self._box_areas if self.sizes_of_masks is None else self.sizes_of_masks

    @property
    def _box_areas(self) -> Floats:
        areas: Floats = self.boxes[:, 2] * self.boxes[:, 3]
        return areas

    @cached_property
    def scores(self) -> Floats:
        """float64 ``[N]``; zeros for truth."""
        given = self.given_scores
        return np.zeros(len(self.labels)) if given is None else given.astype(np.float64)

    @cached_property
    def crowd(self) -> NDArray[np.bool_]:
        """bool ``[N]``."""
        return np.zeros(len(self.labels), np.bool_) if self.given_crowd is None else self.given_crowd


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
    """Copy what the metrics need."""
    masks, points = instances.masks, instances.keypoints
    return Objects(
        instances.boxes_xyxy.numpy().copy(),
        instances.labels.numpy().copy(),
        is_truth,
        None if instances.areas is None else instances.areas.numpy().astype(np.float64),
        None if masks is None else masks.areas().numpy().astype(np.float64),
        None if instances.scores is None else instances.scores.numpy().copy(),
        None if instances.is_crowd is None else instances.is_crowd.numpy().copy(),
        None if masks is None else masks.counts,
        None if points is None else to_indices(points.numpy().astype(np.float64)),
    )


def _boxes(corners: NDArray[np.floating]) -> Floats:
    boxes = corners.astype(np.float64)
    boxes[:, 2:] -= boxes[:, :2]
    return boxes


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


class Column:
    """The objects of one side, of all images one after another; ``M`` in all.

    Args:
        parts: those of each image.

    Attributes:
        image_ids: int64 ``[M]``, from 1.
    """

    def __init__(self, parts: Sequence[Objects]) -> None:
        self.parts = parts
        self._filled = [part for part in parts if len(part.labels)]
        self.image_ids = np.repeat(np.arange(1, len(parts) + 1), [len(part.labels) for part in parts])

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """int64 ``[M]``, from 0."""
        return self._of("labels").astype(np.int64, copy=False)

    @cached_property
    def boxes(self) -> Floats:
        """float64 ``[M, 4]`` as x, y, width, height in pixels."""
        return _boxes(self._of("corners", (0, 4)))

    @cached_property
    def scores(self) -> NDArray[np.floating]:
        """Floating ``[M]``, of detections."""
        return self._of("given_scores")

    @cached_property
    def crowd(self) -> NDArray[np.bool_]:
        """bool ``[M]``."""
        return self._of("crowd").astype(np.bool_, copy=False)

    @cached_property
    def have_areas_of_boxes(self) -> bool:
        """Whether no object has an area of its own, or one of a mask."""
        return all(part.stated_areas is None and part.sizes_of_masks is None for part in self.parts)

    def areas(self, kind: IoUType) -> Floats:
        """float64 ``[M]``, those that decide whether objects are small or large."""
        if self.have_areas_of_boxes:
            areas: Floats = self.boxes[:, 2] * self.boxes[:, 3]
            return areas
        return self._of("mask_areas" if kind == "segm" else "areas")

    def _of(self, name: str, empty: tuple[int, ...] = (0,)) -> NDArray[Any]:
        values = [getattr(part, name) for part in self._filled]
        return np.concatenate(values) if values else np.zeros(empty)


class Images:
    """The truth and the detections of all images, which are numbered from 1.

    Args:
        images: in the order of the dataset.
    """

    def __init__(self, images: Sequence[ImageRecord]) -> None:
        self._images = images
        self.truth = Column([image.truth for image in images])
        self.found = Column([image.found for image in images])

    def densities(self) -> Densities:
        """How many objects and detections of one class the images have."""
        ordinary = ~self.truth.crowd
        return Densities(
            most_by_image(self.truth.image_ids[ordinary], self.truth.labels[ordinary]),
            most_by_image(self.found.image_ids, self.found.labels),
        )

    def pair(self, kind: IoUType, classes: Sequence[str]) -> tuple[hotcoco.COCO, hotcoco.COCO]:
        """Truth and detections for hotcoco, with classes that are numbered from 1 in the given order."""
        entries = [
            {"id": i, "height": image.size[0], "width": image.size[1]}
            for i, image in enumerate(self._images, start=1)
        ]
        categories = [{"id": i, "name": name} for i, name in enumerate(classes, start=1)]
        truth, found = self.truth, self.found
        if kind == "keypoints":
            annotations = _keypoint_annotations(truth.parts)
            document = {"images": entries, "categories": categories, "annotations": annotations}
            with_keypoints = hotcoco.COCO(document)
            return with_keypoints, with_keypoints.load_res(_keypoint_annotations(found.parts))
        with_masks = kind == "segm"
        gt = hotcoco.COCO.from_arrays(
            entries,
            categories,
            truth.image_ids,
            truth.labels + 1,
            truth.boxes,
            area=truth.areas(kind),
            iscrowd=truth.crowd.astype(np.int64),
            segmentation=_codes(self._images, truth.parts) if with_masks else None,
        )
        rows = np.empty((len(found.boxes), 7))  # in the form (image, box, score, class)
        rows[:, 0], rows[:, 1:5] = found.image_ids, found.boxes
        rows[:, 5], rows[:, 6] = found.scores, found.labels + 1
        dt = gt.load_res(rows, segmentation=_codes(self._images, found.parts) if with_masks else None)
        if len(rows) and not (kind == "bbox" and found.have_areas_of_boxes):
            dt.update_anns(ids=np.arange(1, len(rows) + 1), area=found.areas(kind))
        return gt, dt


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
