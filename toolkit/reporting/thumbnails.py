"""Small pictures of a place in an image: the label beside the prediction, as JPEG."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import torch
from pycocotools import mask as coco_mask
from torch import Tensor

from toolkit.reporting.cases import Box
from toolkit.types import Instances, Masks, Prediction, Sample
from toolkit.visualization.drawing import Picture, overlay
from toolkit.visualization.palettes import Palette
from toolkit.visualization.scaling import scale_image, scale_labeled

SIDE = 200
"""Pixels of the longer side of each of the two."""
CONTEXT = 2.0
"""How much larger than the place the shown part of the image is."""
LEAST_PART = 0.25
"""The least part of an image's shorter side that is shown, so that one sees where it is."""
QUALITY = 78
GAP = 4
LETTERS = 9


def thumbnail(
    sample: Sample,
    prediction: Prediction,
    box: Box | None,
    classes: Sequence[str],
    palette: Palette,
) -> str:
    """Label and prediction side by side, as the URI of a JPEG picture; of a prediction that is only a class
    of the whole image, the image alone.

    Args:
        sample: with its truth.
        prediction: of it; only what it has is drawn of the truth, too.
        box: the place that is shown and marked, x0, y0, x1, y1; None for the whole image.
        classes, palette: names and colors of the classes.
    """
    if prediction.instances is None and prediction.label_map is None:
        return side_by_side([sample.image])
    part = window(sample.size, box)
    truth = sample.with_(
        instances=None if prediction.instances is None else sample.instances,
        label_map=None if prediction.label_map is None else sample.label_map,
        prompts=None,
        extras={},
    )
    sides = [_drawn(sample, each, part, box, classes, palette) for each in (truth, prediction)]
    return _joined(sides)


def side_by_side(images: Sequence[Tensor]) -> str:
    """Images side by side, each whole, as the URI of a JPEG picture.

    Args:
        images: uint8 ``[3, H, W]``, RGB, of any sizes.
    """
    scales = [SIDE / max(image.shape[1:]) for image in images]
    sizes = [
        (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[2] * scale)))
        for image, scale in zip(images, scales, strict=True)
    ]
    height = max(rows for rows, _ in sizes)
    sides = []
    for image, (rows, columns) in zip(images, sizes, strict=True):
        side = np.full((height, SIDE, 3), 255, np.uint8)
        side[:rows, :columns] = scale_image(image, (rows, columns)).permute(1, 2, 0).numpy()
        sides.append(side)
    return _joined(sides)


def _joined(sides: Sequence[Picture]) -> str:
    """Pictures of one height side by side, as the URI of a JPEG picture."""
    gap = np.full((sides[0].shape[0], GAP, 3), 255, np.uint8)
    parts = [part for side in sides for part in (gap, side)][1:]
    picture = np.concatenate(parts, axis=1)
    done, code = cv2.imencode(
        ".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
    )
    assert done, "a JPEG of this size can always be encoded"
    return f"data:image/jpeg;base64,{base64.b64encode(code.tobytes()).decode()}"


def window(size: tuple[int, int], box: Box | None) -> tuple[int, int, int, int]:
    """The part of an image that shows a box with what is around it: x0, y0, x1, y1 in whole pixels.

    Args:
        size: height and width of the image.
        box: the place; None for the whole image.
    """
    height, width = size
    if box is None:
        return 0, 0, width, height
    side = max(CONTEXT * max(box[2] - box[0], box[3] - box[1]), LEAST_PART * min(size), 32)
    spans = []
    for low, high, length in ((box[0], box[2], width), (box[1], box[3], height)):
        extent = min(round(side), length)
        start = min(max(0, round((low + high - extent) / 2)), length - extent)
        spans.append((start, start + extent))
    (x0, x1), (y0, y1) = spans
    return x0, y0, x1, y1


def _drawn(
    sample: Sample,
    labeled: Sample | Prediction,
    part: tuple[int, int, int, int],
    box: Box | None,
    classes: Sequence[str],
    palette: Palette,
) -> Picture:
    x0, y0, x1, y1 = part
    image = sample.image[:, y0:y1, x0:x1]
    scale = SIDE / max(image.shape[1:])
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[2] * scale))
    image = scale_image(image, size)
    # a prediction has to have something
    instances = Instances.empty(sample.size) if labeled.instances is None else labeled.instances
    label_map = None if labeled.label_map is None else labeled.label_map[y0:y1, x0:x1]
    shown = Prediction(sample.id, (y1 - y0, x1 - x0), label_map, cropped(instances, part))
    picture = overlay(image, scale_labeled(shown, size), classes, palette, letter_height=LETTERS)
    if box is not None:
        corners = [round((value - start) * scale) for value, start in zip(box, (x0, y0, x0, y0), strict=True)]
        for color, line in (((0, 0, 0), 3), ((255, 255, 255), 1)):
            cv2.rectangle(picture, corners[:2], corners[2:], color, line)
    return picture


def cropped(instances: Instances, part: tuple[int, int, int, int]) -> Instances:
    """The objects of which something lies in a part of the image, in its own coordinates.

    Args:
        instances: of the whole image.
        part: x0, y0, x1, y1 in whole pixels.
    """
    x0, y0, x1, y1 = part
    size = y1 - y0, x1 - x0
    boxes = instances.boxes_xyxy - torch.tensor([x0, y0, x0, y0], dtype=torch.float32)
    boxes = torch.stack([boxes[:, i].clamp(0, size[1] if i % 2 == 0 else size[0]) for i in range(4)], dim=1)
    inside = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    kept = instances[inside]
    masks = None
    if kept.masks is not None:
        # one at a time, since all of them may not fit into memory
        parts = [coco_mask.decode(code)[y0:y1, x0:x1] for code in kept.masks.to_coco()]
        masks = Masks.joined(size, [Masks.from_dense(part[None]) for part in parts])
    return replace(
        kept, size=size, boxes_xyxy=boxes[inside], masks=masks, keypoints=None, areas=None, ids=None
    )
