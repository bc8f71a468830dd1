"""What a user points at."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from toolkit.errors import InvalidDataError
from toolkit.types.checking import check, check_boxes, check_labels, check_tensor


@dataclass(frozen=True)
class Prompts:
    """What a user points at, for ``N`` objects of one image.

    Attributes:
        points_xy: float32 ``[N, K, 2]`` in pixels, or None.
        point_labels: int64 ``[N, K]``: 1 on the object, 0 off it, -1 padding; None exactly when ``points_xy``
            is.
        boxes_xyxy: float32 ``[N, 4]`` in pixels, or None.
        labels: int64 ``[N]``, the class each prompt stands for, or None.

    Raises:
        InvalidDataError: when shapes, dtypes or values do not fit, or there is neither a point nor a box.
    """

    points_xy: Tensor | None = None
    point_labels: Tensor | None = None
    boxes_xyxy: Tensor | None = None
    labels: Tensor | None = None

    def __post_init__(self) -> None:
        given = self.points_xy if self.points_xy is not None else self.boxes_xyxy
        if given is None:
            raise InvalidDataError(
                "Prompts needs points_xy with point_labels, or boxes_xyxy, or both; it got neither"
            )
        n = len(given) if isinstance(given, Tensor) and given.dim() else None
        if self.points_xy is not None:
            check_tensor("Prompts", "points_xy", self.points_xy, torch.float32, (n, None, 2))
            check_tensor(
                "Prompts", "point_labels", self.point_labels, torch.int64, (n, self.points_xy.shape[1])
            )
            _check_points(self.points_xy, self.point_labels)
        else:
            check(self.point_labels is None, "Prompts.point_labels is given without points_xy")
        if self.boxes_xyxy is not None:
            check_tensor("Prompts", "boxes_xyxy", self.boxes_xyxy, torch.float32, (n, 4))
            check_boxes("Prompts", self.boxes_xyxy)
        if self.labels is not None:
            check_tensor("Prompts", "labels", self.labels, torch.int64, (n,))
            check_labels("Prompts", self.labels)

    def __len__(self) -> int:
        given = self.points_xy if self.points_xy is not None else self.boxes_xyxy
        assert given is not None  # __post_init__ saw to it
        return len(given)


def _check_points(points: Tensor, labels: Tensor | None) -> None:
    assert labels is not None  # the caller saw to it
    for label in labels[(labels < -1) | (labels > 1)][:1].tolist():
        raise InvalidDataError(
            f"Prompts.point_labels must be 1 (on the object), 0 (off it) or -1 (padding), not {label}"
        )
    finite = torch.isfinite(points).all(dim=2) | (labels == -1)
    check(bool(finite.all()), "Prompts.points_xy has NaN or infinite values outside the padding")
