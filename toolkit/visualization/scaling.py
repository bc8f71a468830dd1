"""Resizes an image with its annotations, so that it is drawn at the size at which it is displayed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from torch import Tensor

from toolkit.types import Instances, Masks, PanopticMap, PixelMap, Prediction, Sample, Size


def scale_image(image: Tensor, size: Size) -> Tensor:
    """An image (uint8 ``[3, H, W]``) resized to another height and width: averaged when downscaling,
    otherwise interpolated.
    """
    shrinks = size[0] * size[1] < image.shape[1] * image.shape[2]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    pixels = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
    scaled = cv2.resize(pixels, size[::-1], interpolation=method)
    return torch.from_numpy(scaled).permute(2, 0, 1).contiguous()


def scale_labeled(labeled: Sample | Prediction, size: Size) -> Sample | Prediction:
    """A sample or prediction resized to another height and width; label maps and masks use the nearest pixel.

    Everything that is not drawn is dropped: the prompts of a sample, and stored areas.
    """
    label_map = instances = None
    if labeled.label_map is not None:
        label_map = torch.from_numpy(_nearest(labeled.label_map.numpy(), size))
    if labeled.instances is not None:
        instances = _scale_instances(labeled.instances, size)
    extras = {name: _scale_extra(value, size) for name, value in labeled.extras.items()}
    if isinstance(labeled, Prediction):
        return replace(labeled, size=size, label_map=label_map, instances=instances, extras=extras)
    image = scale_image(labeled.image, size)
    return replace(
        labeled, image=image, label_map=label_map, instances=instances, prompts=None, extras=extras
    )


def _scale_extra(value: Any, size: Size) -> Any:
    """A map resized by the nearest pixel; anything else stays as it is."""
    if not isinstance(value, (PixelMap, PanopticMap)):
        return value
    rows, columns = (
        ((torch.arange(new) + 0.5) * old / new).long() for new, old in zip(size, value.size, strict=True)
    )
    if isinstance(value, PanopticMap):
        return PanopticMap.compacted(value.numbers[rows][:, columns], value.segments)
    return PixelMap(value.values[rows][:, columns])


def _scale_instances(instances: Instances, size: Size) -> Instances:
    by_y, by_x = size[0] / instances.size[0], size[1] / instances.size[1]
    keypoints = instances.keypoints
    return replace(
        instances,
        size=size,
        boxes_xyxy=instances.boxes_xyxy * torch.tensor([by_x, by_y, by_x, by_y]),
        masks=None if instances.masks is None else _scale_masks(instances.masks, size),
        keypoints=None if keypoints is None else keypoints * torch.tensor([by_x, by_y, 1.0]),
        areas=None,
    )


def _scale_masks(masks: Masks, size: Size) -> Masks:
    """Decodes one mask at a time, since all of them may not fit into memory."""
    counts: list[bytes] = []
    for code in masks.to_coco():  # pixels are decoded column by column, so transposing copies nothing
        scaled = _nearest(coco_mask.decode(code).T, size[::-1]).T
        counts += Masks.from_dense(scaled[None]).counts
    return Masks.encoded(size, counts)


def _nearest(pixels: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    scaled = cv2.resize(np.ascontiguousarray(pixels), size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    return np.asarray(scaled, np.uint8)
