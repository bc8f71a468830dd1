"""Objects painted into label maps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pycocotools import mask as coco_mask
from torch import Tensor

from toolkit.errors import InvalidDataError
from toolkit.types import BACKGROUND, VOID, Instances


def instances_to_label_map(instances: Instances, classes: Sequence[str]) -> Tensor:
    """Paint instances over one another into a label map.

    Predictions are painted by score, so that the highest wins; truth by area, so that a small object lies on
    top of a large one and, among equals, a later one on an earlier. A pixel under no instance is
    ``background`` where a class has that name, and ``VOID`` otherwise. Crowd regions lie below everything and
    are ``VOID``: what is in them is not known in detail.

    Args:
        instances: with masks; labels index ``classes``.
        classes: the names that labels stand for.

    Returns:
        uint8 ``[H, W]`` of indexes into ``classes``.

    Raises:
        InvalidDataError: when there are no masks, or a label is beyond the classes.
    """
    masks = instances.masks
    if masks is None and len(instances):
        raise InvalidDataError(
            f"a label map needs masks, but these {len(instances)} instances have only boxes"
        )
    if len(instances) and int(instances.labels.max()) >= len(classes):
        raise InvalidDataError(
            f"an instance has label {int(instances.labels.max())}, but there are {len(classes)} classes: 0 …"
            f" {len(classes) - 1}"
        )
    height, width = instances.size
    uncovered = classes.index(BACKGROUND) if BACKGROUND in classes else VOID
    painted = torch.full((width, height), uncovered, dtype=torch.uint8)  # transposed, as run-length codes are
    if masks is None:
        return painted.T.contiguous()
    labels = instances.labels
    key = -masks.areas().double() if instances.scores is None else instances.scores.double()
    if instances.is_crowd is not None:
        labels = torch.where(instances.is_crowd, VOID, labels)
        key = torch.where(instances.is_crowd, -torch.inf, key)
    boxes = masks.boxes_xyxy().long()
    codes = masks.to_coco()
    for i in key.argsort(stable=True).tolist():
        x0, y0, x1, y1 = boxes[i].tolist()
        inside = torch.from_numpy(coco_mask.decode(codes[i]).T)[x0:x1, y0:y1] != 0
        painted[x0:x1, y0:y1].masked_fill_(inside, int(labels[i]))
    return painted.T.contiguous()
