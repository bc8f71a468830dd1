"""Finds what looks wrong with the objects of an image: boxes that do not match their masks, objects with no
or hardly any pixels, and objects that occur twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from toolkit.types import Instances

TINY = 16
"""Objects with fewer square pixels are tiny."""

PIXELS_APART, PART_APART = 3.0, 0.1
"""An edge of a box disagrees with its mask if they are further apart than this many pixels and than this
fraction of the longer side.
"""

Kind = Literal["box", "empty", "twice", "tiny"]


@dataclass(frozen=True)
class ObjectFinding:
    """One thing that looks wrong with an object.

    Attributes:
        index: index of the object in its image.
        kind: the kind of finding.
        what: a description.
    """

    index: int
    kind: Kind
    what: str


def object_findings(instances: Instances) -> list[ObjectFinding]:
    """What looks wrong with the objects of an image, in their order, at most one finding per object; crowds
    are skipped.
    """
    if not len(instances):
        return []
    areas, boxes = _areas(instances), instances.boxes_xyxy
    tight = boxes if instances.masks is None else instances.masks.boxes_xyxy()
    apart = (boxes - tight).abs().amax(1)
    sides = (torch.maximum(boxes, tight)[:, 2:] - torch.minimum(boxes, tight)[:, :2]).amax(1)
    disagrees = (apart > PIXELS_APART) & (apart > PART_APART * sides)
    seen: dict[object, int] = {}
    found = []
    for index in range(len(instances)):
        if instances.is_crowd is not None and bool(instances.is_crowd[index]):
            continue
        first = seen.setdefault(_key(instances, index), index)
        if areas[index] <= 0:
            found.append(ObjectFinding(index, "empty", "covers no pixel"))
        elif first != index:
            found.append(ObjectFinding(index, "twice", f"is a duplicate of object {first}"))
        elif disagrees[index]:
            what = f"has the box {_shown(boxes[index])}, but its mask spans {_shown(tight[index])}"
            found.append(ObjectFinding(index, "box", what))
        elif areas[index] < TINY:
            found.append(ObjectFinding(index, "tiny", f"has {float(areas[index]):.3g} square pixels"))
    return found


def _areas(instances: Instances) -> Tensor:
    if instances.masks is not None:
        return instances.masks.areas()
    return (instances.boxes_xyxy[:, 2:] - instances.boxes_xyxy[:, :2]).double().prod(1)


def _key(instances: Instances, index: int) -> object:
    """A key that is equal for identical objects."""
    shape: object = tuple(instances.boxes_xyxy[index].tolist())
    if instances.masks is not None:
        shape = instances.masks.counts[index]
    points = () if instances.keypoints is None else tuple(instances.keypoints[index].flatten().tolist())
    return int(instances.labels[index]), shape, points


def _shown(box: Tensor) -> str:
    x0, y0, x1, y1 = box.tolist()
    return f"({x0:.4g}, {y0:.4g}) to ({x1:.4g}, {y1:.4g})"
