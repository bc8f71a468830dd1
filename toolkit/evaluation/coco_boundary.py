"""Boundary AP: masks compared along their boundaries, after Cheng et al., "Boundary IoU" (CVPR 2021).

The overlap of two masks is the smaller of their mask IoU and the IoU of their boundaries: the pixels of a
mask that lie within 2 % of the image's diagonal from its outline. Crowds have no outline of an object, so
their overlap is that of the masks alone. Everything else is as for masks.
pycocotools does the matching, so this is as slow as pycocotools.
"""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Sequence
from typing import Any

import cv2
import hotcoco
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

DILATION = 0.02
"""Width of a boundary, relative to the diagonal of the image."""


def boundary(code: dict[str, Any]) -> dict[str, Any]:
    """The boundary of a mask, both as COCO run lengths: the pixels that erosion removes. The image border
    counts as an outline.
    """
    height, width = code["size"]
    steps = max(1, round(DILATION * math.hypot(height, width)))
    x, y, w, h = (int(value) for value in coco_mask.toBbox(code))
    edge: NDArray[np.uint8] = np.zeros((height, width), dtype=np.uint8, order="F")
    if w and h:
        inside = np.ascontiguousarray(coco_mask.decode(code)[y : y + h, x : x + w])
        eroded = cv2.erode(
            inside, np.ones((3, 3), np.uint8), iterations=steps, borderType=cv2.BORDER_CONSTANT, borderValue=0
        )
        edge[y : y + h, x : x + w] = inside - eroded
    encoded: dict[str, Any] = coco_mask.encode(edge)
    return encoded


class _BoundaryEval(COCOeval):  # type: ignore[misc]
    """pycocotools' evaluation of masks with the boundary overlap."""

    def computeIoU(self, imgId: int, catId: int) -> Any:  # noqa: N802, N803 - as pycocotools calls it
        overlap = super().computeIoU(imgId, catId)
        if not len(overlap):
            return overlap
        truth, found = self._gts[imgId, catId], self._dts[imgId, catId]
        ordinary = [place for place, each in enumerate(truth) if not each["iscrowd"]]
        if ordinary:
            best = np.argsort([-each["score"] for each in found], kind="mergesort")
            best = best[: self.params.maxDets[-1]]
            edges = [
                [boundary(part[place]["segmentation"]) for place in places]
                for part, places in ((found, best), (truth, ordinary))
            ]
            along = coco_mask.iou(*edges, [0] * len(ordinary))
            overlap[:, ordinary] = np.minimum(overlap[:, ordinary], along)
        return overlap


def evaluate_boundaries(
    truth: hotcoco.COCO, detections: hotcoco.COCO, max_detections: Sequence[int]
) -> COCOeval:
    """The accumulated evaluation of the masks of truth and detections."""
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints
        evaluation = _BoundaryEval(_for_pycocotools(truth), _for_pycocotools(detections), "segm")
        evaluation.params.maxDets = list(max_detections)
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


def _for_pycocotools(source: hotcoco.COCO) -> COCO:
    """The same with what pycocotools needs: ids from 1, since it takes 0 for "no match", and a crowd flag and
    an area, which files may leave out.
    """
    copy = COCO()
    document = source.dataset
    annotations = [
        {**each, "id": place, "iscrowd": int(each.get("iscrowd") or 0)}
        for place, each in enumerate(document["annotations"], start=1)
    ]
    copy.dataset = document | {"annotations": annotations}
    copy.createIndex()
    for each in annotations:
        if each.get("area") is None:
            each["area"] = float(coco_mask.area(copy.annToRLE(each)))
    return copy
