"""Converts detections in the network's grid to instances in the image's own grid."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from toolkit.types import Instances, Size

from .boxes import are_larger, clip
from .ops.paste import paste_masks, sample_masks
from .roi_heads import Detections


def to_instances(
    found: Detections, network_size: Size, size: Size, threshold: float, *, pastes: bool = True
) -> Instances:
    """Detections in the grid of an image of ``size``, on the CPU; those without area there are dropped.

    Args:
        found: the detections in the network's grid.
        network_size: height and width of the network's input, before padding.
        size: height and width of the image.
        threshold: minimum probability of a pixel on the object.
        pastes: whether to convert masks directly to run-length encodings.
    """
    scale = torch.tensor([size[1] / network_size[1], size[0] / network_size[0]])
    boxes = clip(found.boxes.cpu() * scale.repeat(2), size)
    keep = are_larger(boxes, 0)
    boxes = boxes[keep]
    masks = keypoints = None
    if found.masks is not None:
        masks = (paste_masks if pastes else sample_masks)(found.masks.cpu()[keep], boxes, size, threshold)
    if found.heatmaps is not None:
        keypoints = keypoints_from(found.heatmaps.cpu()[keep], found.boxes.cpu()[keep])
        keypoints[..., :2] *= scale
    return Instances(size, boxes, found.labels.cpu()[keep], masks, found.scores.cpu()[keep], keypoints)


def keypoints_from(heatmaps: Tensor, boxes: Tensor) -> Tensor:
    """The highest point of each heat map, upsampled bicubically to one cell per pixel.

    Args:
        heatmaps: logits, float32 ``[N, K, m, m]``.
        boxes: float32 ``[N, 4]`` in pixels.

    Returns:
        float32 ``[N, K, 3]`` as x, y, score; the score is the softmax value there, taken over the heat map's
        own cells.
    """
    keypoints = torch.zeros(*heatmaps.shape[:2], 3)
    for i, (maps, box) in enumerate(zip(heatmaps, boxes, strict=True)):
        extent = (box[2:] - box[:2]).clamp(min=1)
        cells_x, cells_y = extent.ceil().int().tolist()
        large = F.interpolate(maps[None], size=(cells_y, cells_x), mode="bicubic", align_corners=False)[
            0
        ].flatten(1)
        highest, position = large.max(dim=1)
        cell = torch.stack([position % cells_x, position // cells_x], dim=1)
        keypoints[i, :, :2] = (cell + 0.5) * (extent / extent.ceil()) + box[:2]
        keypoints[i, :, 2] = 1 / (maps.flatten(1) - highest[:, None]).exp().sum(dim=1)
    return keypoints
