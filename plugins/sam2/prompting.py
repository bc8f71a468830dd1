"""Prepares prompts for the network: checks them and groups them by their number of points."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from toolkit.errors import InvalidDataError
from toolkit.types import Prompts, Size

from .clicks import BOTTOM_RIGHT, TOP_LEFT

PADDING = -1


@dataclass(frozen=True)
class PromptGroup:
    """Prompts for one image that have the same number of points, and either all or none have a box.

    Attributes:
        rows: indexes of these prompts, int64 ``[P]``.
        points: float32 ``[P, K, 2]`` in pixels of the image; the corners of a box come first.
        labels: int64 ``[P, K]``: 1 on the object, 0 off it, 2 and 3 the corners of a box.
        is_ambiguous: whether each is a single point, which may mean an object or a part of it.
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
        name: of the image, for messages.
        size: height and width of the image.

    Raises:
        InvalidDataError: when a prompt has no point and no box, or lies outside the image; names both.
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
        yield PromptGroup(rows, points, labels, is_ambiguous=labels.shape[1] == 1)


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
        if prompts.boxes_xyxy is None:
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
