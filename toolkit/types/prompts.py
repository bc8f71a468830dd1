"""Prompts: what a user points at."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import torch
from torch import Tensor

from toolkit.errors import InvalidDataError
from toolkit.types.checking import (
    check,
    check_boxes,
    check_ids,
    check_labels,
    check_tensor,
    check_type,
    describe,
)
from toolkit.types.equality import ByValue
from toolkit.types.masks import Masks


@dataclass(frozen=True, eq=False)
class Prompts(ByValue):
    """Prompts for ``N`` objects of one image: points, boxes or masks.

    Attributes:
        points_xy: float32 ``[N, K, 2]`` in pixels, or None.
        point_labels: int64 ``[N, K]``: 1 on the object, 0 off it, -1 padding; None exactly when ``points_xy``
            is.
        boxes_xyxy: float32 ``[N, 4]`` in pixels, or None.
        labels: int64 ``[N]``, the class that each prompt stands for, or None.
        masks: ``N`` approximate masks of the image's size, or None. For models with the capability
            ``MaskPromptable``, as are ``logits``.
        logits: float32 ``[N, h, w]``, an earlier answer of the same model for the whole image, to be refined;
            None if there is none. Cannot be combined with ``masks``.
        ids: ``N`` different names of the objects, by which they are recognized in results and in the prompts
            for other frames of a video; None if they have no names.

    Raises:
        InvalidDataError: when shapes, dtypes or values do not fit, or there is nothing to prompt with.
    """

    points_xy: Tensor | None = None
    point_labels: Tensor | None = None
    boxes_xyxy: Tensor | None = None
    labels: Tensor | None = None
    masks: Masks | None = None
    logits: Tensor | None = None
    ids: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        check_type("Prompts", "masks", self.masks, Masks)
        given = self._given()
        if given is None:
            raise InvalidDataError(
                "Prompts needs points_xy with point_labels, or boxes_xyxy, or both; it got neither, and no"
                " masks or logits"
            )
        n = len(given) if isinstance(given, Masks) or (isinstance(given, Tensor) and given.dim()) else None
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
        _check_masks(self.masks, self.logits, n)
        if self.ids is not None:
            check_ids("Prompts", self.ids, n)
            twice = next((each for each, times in Counter(self.ids).items() if times > 1), None)
            check(twice is None, f"Prompts.ids has {twice!r} more than once; expected different names")

    def _given(self) -> Tensor | Masks | None:
        """The first prompt that is given."""
        choices = (self.points_xy, self.boxes_xyxy, self.masks, self.logits)
        return next((each for each in choices if each is not None), None)

    def __len__(self) -> int:
        given = self._given()
        assert given is not None  # __post_init__ checked it
        return len(given)

    @property
    def has_masks(self) -> bool:
        """Whether there are masks or logits, which not every promptable model takes."""
        return self.masks is not None or self.logits is not None


def _check_points(points: Tensor, labels: Tensor | None) -> None:
    assert labels is not None  # the caller checked it
    for label in labels[(labels < -1) | (labels > 1)][:1].tolist():
        raise InvalidDataError(
            f"Prompts.point_labels must be 1 (on the object), 0 (off it) or -1 (padding), not {label}"
        )
    finite = torch.isfinite(points).all(dim=2) | (labels == -1)
    check(bool(finite.all()), "Prompts.points_xy has NaN or infinite values outside the padding")


def _check_masks(masks: Masks | None, logits: Tensor | None, n: int | None) -> None:
    check(
        masks is None or logits is None,
        "Prompts has masks and logits; expected one of them. Hint: give logits to correct an earlier answer",
    )
    if masks is not None:
        check(len(masks) == n, f"Prompts.masks must be {n} masks, not {len(masks)}")
    if logits is not None:
        check_tensor("Prompts", "logits", logits, torch.float32, (n, None, None))
        check(
            logits.shape[1] > 0 and logits.shape[2] > 0,
            f"Prompts.logits must have pixels, not {describe(logits)}",
        )
        check(bool(torch.isfinite(logits).all()), "Prompts.logits has NaN or infinite values")
