"""Prepares prompts for the network: checks them, groups them by their number of points, and collects those
for each object in a video.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from toolkit.errors import InvalidDataError
from toolkit.types import Prompts, Size

from .clicks import BOTTOM_RIGHT, TOP_LEFT

PADDING = -1
INSIDE, OUTSIDE = 10.0, -10.0
"""Logits of a mask given as a prompt, as used by SAM 2's authors in videos."""
MOST = 32.0
"""Bound of the logits of an earlier answer, as in ``SAM2ImagePredictor``."""


@dataclass(frozen=True)
class PromptGroup:
    """Prompts for one image that have the same number of points, and either all or none have a box.

    Attributes:
        rows: indexes of these prompts, int64 ``[P]``.
        points: float32 ``[P, K, 2]`` in pixels of the image; the corners of a box come first.
        labels: int64 ``[P, K]``: 1 on the object, 0 off it, 2 and 3 the corners of a box.
        is_ambiguous: whether each is a single point and nothing else, which may mean an object or a part of
            it.
    """

    rows: Tensor
    points: Tensor
    labels: Tensor
    is_ambiguous: bool


def grouped(prompts: Prompts, name: str, size: Size) -> Iterator[PromptGroup]:
    """The prompts for an image in groups. Padding is removed: it would change the answer, and groups do not
    need it.

    Args:
        prompts: in pixels of the image.
        name: the name of the image, for messages.
        size: height and width of the image.

    Raises:
        InvalidDataError: when a prompt is empty, or does not fit the image; names both.
    """
    _check(prompts, name, size)
    counts = torch.zeros(len(prompts), dtype=torch.int64)
    if prompts.point_labels is not None:
        counts = (prompts.point_labels != PADDING).sum(1)
    for count in sorted(set(counts.tolist())):
        rows = (counts == count).nonzero()[:, 0]
        points, labels = torch.zeros(len(rows), 0, 2), torch.zeros(len(rows), 0, dtype=torch.int64)
        if count and prompts.points_xy is not None and prompts.point_labels is not None:
            given = prompts.point_labels[rows] != PADDING
            points = prompts.points_xy[rows][given].view(len(rows), count, 2)
            labels = prompts.point_labels[rows][given].view(len(rows), count)
        if prompts.boxes_xyxy is not None:
            points = torch.cat([prompts.boxes_xyxy[rows].view(-1, 2, 2), points], dim=1)
            labels = torch.cat(
                [torch.tensor([[TOP_LEFT, BOTTOM_RIGHT]]).expand(len(rows), -1), labels], dim=1
            )
        yield PromptGroup(rows, points, labels, labels.shape[1] == 1 and not prompts.has_masks)


def mask_input(prompts: Prompts, side: int) -> Tensor | None:
    """Masks or earlier answers in the form that the prompt encoder expects: logits ``[N, 1, side, side]``, or
    None.
    """
    if prompts.masks is not None:
        logits = prompts.masks.dense().float() * (INSIDE - OUTSIDE) + OUTSIDE
    elif prompts.logits is not None:
        logits = prompts.logits.clamp(-MOST, MOST)
    else:
        return None
    if logits.shape[1:] == (side, side) or not len(logits):
        return logits[:, None]
    return F.interpolate(logits[:, None], (side, side), mode="bilinear", align_corners=False, antialias=True)


@dataclass(frozen=True)
class ObjectPrompt:
    """The prompt for one object in one frame of a video.

    Attributes:
        points, labels: as in ``PromptGroup``, without ``P``.
        mask: bool ``[H, W]``, given instead of points and box, or None.
    """

    points: Tensor
    labels: Tensor
    mask: Tensor | None = None


def by_object(prompts: Mapping[int, Sequence[Prompts]], size: Size) -> list[dict[int, ObjectPrompt]]:
    """For each object of a video, its prompts by the number of the frame; the objects in the order of their
    first prompts.

    Args:
        prompts: by the number of the frame; rows with the same id are one object, and without ids each row is
            an object.
        size: height and width of the frames.

    Raises:
        InvalidDataError: when a prompt does not fit the frame, or an object has two in one frame.
    """
    objects: dict[object, dict[int, ObjectPrompt]] = {}
    for index in sorted(prompts):
        for given in prompts[index]:
            for row, prompt in enumerate(_in_order(given, f"frame {index}", size)):
                key = object() if given.ids is None else given.ids[row]
                entries = objects.setdefault(key, {})
                if index in entries:
                    raise InvalidDataError(
                        f"frame {index} has two prompts for the object {key!r}; expected one. Hint: give its"
                        " points and its box in one prompt"
                    )
                entries[index] = prompt
    return list(objects.values())


def _in_order(prompts: Prompts, name: str, size: Size) -> list[ObjectPrompt]:
    """The prompts of one ``Prompts``, row by row."""
    found: dict[int, ObjectPrompt] = {}
    for group in grouped(prompts, name, size):
        for row, points, labels in zip(group.rows.tolist(), group.points, group.labels, strict=True):
            mask = None if prompts.masks is None else prompts.masks[[row]].dense()[0]
            if prompts.logits is not None or (mask is not None and len(points)):
                raise InvalidDataError(
                    f"{name}: prompt {row} is an earlier answer, or a mask with points or a box; in a video,"
                    " prompt an object with points and a box, or with a mask. Hint: leave one out"
                )
            found[row] = ObjectPrompt(points, labels, mask)
    return [found[row] for row in range(len(prompts))]


def _check(prompts: Prompts, name: str, size: Size) -> None:
    height, width = size
    where = f"{name}, of {width} × {height} pixels (width × height):"
    if prompts.points_xy is not None and prompts.point_labels is not None:
        inside = ((prompts.points_xy >= 0) & (prompts.points_xy <= torch.tensor([width, height]))).all(2)
        for row, column in (~inside & (prompts.point_labels != PADDING)).nonzero()[:1].tolist():
            raise InvalidDataError(
                f"{where} prompt {row} has a point outside the image:"
                f" {prompts.points_xy[row, column].tolist()}"
            )
        if prompts.boxes_xyxy is None and not prompts.has_masks:
            for row in (prompts.point_labels == PADDING).all(1).nonzero()[:1, 0].tolist():
                raise InvalidDataError(f"{where} prompt {row} has neither a point nor a box. Hint: remove it")
    if prompts.boxes_xyxy is not None:
        x0, y0, x1, y1 = prompts.boxes_xyxy.T
        usable = (x0 <= width) & (y0 <= height) & (x1 >= 0) & (y1 >= 0)
        for row in (~usable).nonzero()[:1, 0].tolist():
            raise InvalidDataError(
                f"{where} prompt {row} has a box (x0, y0, x1, y1) outside the image:"
                f" {prompts.boxes_xyxy[row].tolist()}"
            )
    if prompts.masks is not None and prompts.masks.size != size:
        raise InvalidDataError(
            f"{where} its masks are of {prompts.masks.size[1]} × {prompts.masks.size[0]} pixels; expected the"
            " image's size"
        )
