"""Training targets: the objects of an image in the network's grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from pycocotools import mask as coco_mask
from torch import Tensor
from torchvision.ops import roi_align

from toolkit.errors import InvalidDataError
from toolkit.types import Masks, Sample, Size
from toolkit.types.run_lengths import decode_counts

from .boxes import are_larger
from .inputs import nearest_pixels

_DEVICE_PIXELS = 1 << 25
"""Pixels of masks that a device decodes at once; each takes some six bytes of its memory meanwhile."""

_LEAST_SIDE = 1e-5
"""Boxes with a shorter side, in pixels, are ignored in training."""


@dataclass(frozen=True)
class Targets:
    """The ``M`` objects of one image that are used in training.

    Attributes:
        size: height and width of the network's input, before padding.
        boxes: float32 ``[M, 4]`` in that grid, on the model's device.
        labels: int64 ``[M]``, on the model's device.
        masks: in the sample's own grid, or None if they are not used.
        keypoints: float32 ``[M, K, 3]`` as x, y, visibility in the network's grid, on the model's device, or
            None.
    """

    size: Size
    boxes: Tensor
    labels: Tensor
    masks: Masks | None = None
    keypoints: Tensor | None = None


def make_targets(
    sample: Sample,
    size: Size,
    *,
    class_count: int,
    with_masks: bool,
    keypoint_count: int,
    device: torch.device,
) -> Targets:
    """Convert the objects of a sample to the network's grid of ``size``. Crowds, boxes without
    area and masks without a remaining pixel in that grid are left out, as Detectron2's mapper does.

    Raises:
        InvalidDataError: when the sample has no instances, masks or keypoints to train on, or labels out of
            range.
    """
    instances = sample.instances
    if instances is None:
        raise InvalidDataError(
            f"sample {sample.id!r} has no instances to train Mask R-CNN on. Hint: use a dataset with"
            " the task 'instance' (an image without objects has empty Instances)"
        )
    if len(instances) and int(instances.labels.max()) >= class_count:
        raise InvalidDataError(
            f"sample {sample.id!r} has an object with label {int(instances.labels.max())}, but there are"
            f" {class_count} classes (0 to {class_count - 1})"
        )
    scale = torch.tensor([size[1] / sample.size[1], size[0] / sample.size[0]], dtype=torch.float64)
    limit = torch.tensor([size[1], size[0]], dtype=torch.float64)
    boxes = torch.minimum(
        (instances.boxes_xyxy.double() * scale.repeat(2)).clamp(min=0), limit.repeat(2)
    ).float()
    keep = are_larger(boxes, _LEAST_SIDE)
    if instances.is_crowd is not None:
        keep &= ~instances.is_crowd
    masks = _masks(sample) if with_masks else None
    if masks is not None:
        keep &= are_visible(masks, size)
    keypoints = _keypoints(sample, keypoint_count, scale, limit) if keypoint_count else None
    return Targets(
        size,
        boxes[keep].to(device, non_blocking=True),
        instances.labels[keep].to(device, non_blocking=True),
        None if masks is None else masks[keep],
        None if keypoints is None else keypoints[keep].to(device, non_blocking=True),
    )


def _masks(sample: Sample) -> Masks:
    instances = sample.instances
    assert instances is not None  # ensured by the caller
    if instances.masks is not None:
        return instances.masks
    if not len(instances):
        return Masks(sample.size)
    raise InvalidDataError(
        f"the {len(instances)} objects of sample {sample.id!r} have boxes but no masks. Hint: set"
        " model.masks=false to train on boxes only, or provide masks"
    )


def _keypoints(sample: Sample, count: int, scale: Tensor, limit: Tensor) -> Tensor:
    """Keypoints in the network's grid; those outside it are marked as unlabeled."""
    instances = sample.instances
    assert instances is not None  # ensured by the caller
    if instances.keypoints is None:
        if not len(instances):
            return torch.zeros(0, count, 3)
        raise InvalidDataError(
            f"the objects of sample {sample.id!r} have no keypoints. Hint: set model.keypoint_count=0, or"
            " provide keypoints"
        )
    if instances.keypoints.shape[1] != count:
        raise InvalidDataError(
            f"the objects of sample {sample.id!r} have {instances.keypoints.shape[1]} keypoints each, but"
            f" model.keypoint_count is {count}"
        )
    points = instances.keypoints.double()
    xy = points[..., :2] * scale
    visibility = torch.where(((xy >= 0) & (xy <= limit)).all(dim=-1), points[..., 2], 0.0)
    return (torch.cat([xy, visibility[..., None]], dim=-1) * (visibility > 0)[..., None]).float()


def are_visible(masks: Masks, size: Size) -> Tensor:
    """Which masks still have a pixel in a grid of ``size`` (height, width) after resizing by nearest
    neighbor: bool ``[N]``. No mask is decoded.
    """
    chosen = [
        np.isin(np.arange(own), nearest_pixels(own, new)) for own, new in zip(masks.size, size, strict=True)
    ]
    # number of pixels that are kept, in the rows above each one and in the columns to the left of each one
    above, left = (np.concatenate([[0], np.cumsum(each)]) for each in chosen)
    in_column = np.append(chosen[1], False)
    visible = torch.zeros(len(masks), dtype=torch.bool)
    for i, code in enumerate(masks.counts):
        # run lengths run down the columns, background first
        column, row = np.divmod(np.cumsum(decode_counts(code)), masks.size[0])
        taken = left[column] * above[-1] + in_column[column] * above[row]
        ends = taken[1::2]
        visible[i] = bool((ends > taken[::2][: len(ends)]).any())
    return visible


def mask_targets(masks: Masks, objects: Tensor, boxes: Tensor, size: Size, side: int) -> Tensor:
    """The crop of each object's mask in its box, as Detectron2 crops a bit mask: RoIAlign, then a threshold
    of 0.5.

    A mask is resized to the network's grid by nearest neighbor, when a box needs it. On a CPU, only one at a
    time is ever dense.

    Args:
        masks: masks in the sample's own grid.
        objects: int64 ``[R]``, the mask that each box belongs to.
        boxes: float32 ``[R, 4]`` in the network's grid.
        size: height and width of the network's grid, before padding.
        side: height and width of a target.

    Returns:
        float32 ``[R, side, side]`` of 0 and 1, on the boxes' device.
    """
    if boxes.device.type != "cpu":
        return mask_targets_on_device(masks, objects, boxes, size, side)
    targets = torch.zeros(len(boxes), side, side)
    rows, columns = (nearest_pixels(own, n) for own, n in zip(masks.size, size, strict=True))
    codes = masks.to_coco()
    frame = torch.zeros(size)  # boxes keep their coordinates, so that rounding decides ties as in Detectron2
    for i in torch.unique(objects).tolist():
        belongs = torch.nonzero(objects == i).squeeze(1)
        mine = boxes[belongs]
        # RoIAlign samples up to half a pixel beyond a box, and uses the neighbors of each sample
        x0, y0 = (mine[:, :2].min(dim=0).values.floor() - 1).clamp(min=0).int().tolist()
        x1, y1 = (mine[:, 2:].max(dim=0).values.ceil() + 1).int().tolist()
        dense = coco_mask.decode(codes[i])
        frame[y0:y1, x0:x1] = torch.from_numpy(dense[np.ix_(rows[y0:y1], columns[x0:x1])])
        targets[belongs] = roi_align(frame[None, None], [mine], side, 1.0, sampling_ratio=0, aligned=True)[
            :, 0
        ]
        frame[y0:y1, x0:x1] = 0
    return (targets >= 0.5).float()


def mask_targets_on_device(masks: Masks, objects: Tensor, boxes: Tensor, size: Size, side: int) -> Tensor:
    """``mask_targets`` with all masks decoded where the boxes are, some at a time."""
    rows, columns = (
        torch.tensor(nearest_pixels(own, n), dtype=torch.int64).to(boxes.device, non_blocking=True)
        for own, n in zip(masks.size, size, strict=True)
    )
    step = max(1, _DEVICE_PIXELS // max(masks.size[0] * masks.size[1], size[0] * size[1]))
    targets = boxes.new_zeros(len(boxes), side, side)
    for first in range(0, len(masks), step):
        some = masks[first : first + step]
        dense = some.dense(boxes.device)[:, rows][:, :, columns].float()[:, None]
        belongs = torch.arange(len(boxes), device=boxes.device)
        if len(some) < len(masks):
            belongs = torch.nonzero((objects >= first) & (objects < first + step)).squeeze(1)
        regions = torch.cat([(objects[belongs] - first)[:, None].to(boxes.dtype), boxes[belongs]], dim=1)
        pooled = roi_align(dense, regions, side, 1.0, sampling_ratio=0, aligned=True)[:, 0]
        targets[belongs] = (pooled >= 0.5).float()
    return targets


def keypoint_targets(keypoints: Tensor, boxes: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """The cell of each keypoint in its box's heat map of ``side`` × ``side``.

    Args:
        keypoints: float32 ``[R, K, 3]`` as x, y, visibility.
        boxes: float32 ``[R, 4]`` in the same grid.
        side: height and width of a heat map.

    Returns:
        the cell's index, int64 ``[R, K]``, and whether the keypoint is labeled and inside its box, bool
        ``[R, K]``.
    """
    start, end = boxes[:, None, :2], boxes[:, None, 2:]
    xy = keypoints[..., :2]
    cell = ((xy - start) * (side / (end - start))).floor().long()
    cell = torch.where(xy == end, side - 1, cell)  # a box's right and lower edge belong to it
    valid = ((cell >= 0) & (cell < side)).all(dim=-1) & (keypoints[..., 2] > 0)
    return (cell[..., 1] * side + cell[..., 0]) * valid, valid
