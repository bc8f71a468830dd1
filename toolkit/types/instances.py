"""The objects of one image."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from toolkit.types.basics import Size
from toolkit.types.checking import (
    check,
    check_boxes,
    check_ids,
    check_labels,
    check_size,
    check_tensor,
    check_type,
    pixels,
)
from toolkit.types.equality import ByValue
from toolkit.types.masks import Index, Masks, positions


@dataclass(frozen=True, eq=False)
class Instances(ByValue):
    """Objects of one image: the same type for truth and predictions. Indexing filters every field at once.

    Attributes:
        size: height and width of the image, in pixels.
        boxes_xyxy: float32 ``[N, 4]``, in pixels, ``x1 >= x0`` and ``y1 >= y0``.
        labels: int64 ``[N]``, indexes into the classes of the dataset or model.
        masks: ``N`` masks of the image's size, or None.
        scores: float32 ``[N]`` for predictions, None for truth. Models give 0…1; scores from files of other
            software may be any finite number, since evaluation only uses their order.
        keypoints: float32 ``[N, K, 3]`` as x, y in pixels, visibility (or score), or None; the center of the
            first pixel is 0.5, 0.5.
        is_crowd: bool ``[N]``; a crowd region counts neither as a miss nor as a false positive. None means no
            crowds.
        areas: float64 ``[N]`` in square pixels, if a file states them, as COCO's do: the evaluator ``coco``
            uses them to distinguish small objects from large ones. None: the areas of the masks, or else of
            the boxes.
        ids: ``N`` names by which a user knows the objects, from the prompts that they answer; None if they
            have none.

    Raises:
        InvalidDataError: when shapes, dtypes or values do not fit, with what was expected and what was given.
    """

    size: Size
    boxes_xyxy: Tensor
    labels: Tensor
    masks: Masks | None = None
    scores: Tensor | None = None
    keypoints: Tensor | None = None
    is_crowd: Tensor | None = None
    areas: Tensor | None = None
    ids: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        check_size("Instances", self.size)
        check_tensor("Instances", "boxes_xyxy", self.boxes_xyxy, torch.float32, (None, 4))
        n = len(self.boxes_xyxy)
        check_tensor("Instances", "labels", self.labels, torch.int64, (n,))
        check_boxes("Instances", self.boxes_xyxy)
        check_labels("Instances", self.labels)
        check_type("Instances", "masks", self.masks, Masks)
        if self.masks is not None:
            check(
                len(self.masks) == n and self.masks.size == self.size,
                f"Instances.masks must be {n} masks of {self.size}, not {len(self.masks)} of"
                f" {self.masks.size}",
            )
        if self.scores is not None:
            check_tensor("Instances", "scores", self.scores, torch.float32, (n,))
            check(bool(torch.isfinite(self.scores).all()), "Instances.scores has NaN or infinite values")
        if self.keypoints is not None:
            check_tensor("Instances", "keypoints", self.keypoints, torch.float32, (n, None, 3))
            check(
                bool(torch.isfinite(self.keypoints).all()), "Instances.keypoints has NaN or infinite values"
            )
        if self.is_crowd is not None:
            check_tensor("Instances", "is_crowd", self.is_crowd, torch.bool, (n,))
        if self.areas is not None:
            check_tensor("Instances", "areas", self.areas, torch.float64, (n,))
            usable = torch.isfinite(self.areas) & (self.areas >= 0)
            check(bool(usable.all()), "Instances.areas must be 0 or more, and neither NaN nor infinite")
        if self.ids is not None:
            check_ids("Instances", self.ids, n)

    @classmethod
    def empty(cls, size: Size, *, with_masks: bool = False, with_scores: bool = False) -> Instances:
        """No objects in an image of this size."""
        return cls(
            size,
            torch.zeros((0, 4)),
            torch.zeros(0, dtype=torch.int64),
            Masks(size) if with_masks else None,
            torch.zeros(0) if with_scores else None,
        )

    def __len__(self) -> int:
        return int(self.boxes_xyxy.shape[0])  # len() of a tensor takes five times as long

    def __repr__(self) -> str:
        has = [
            name for name in ("masks", "scores", "keypoints", "is_crowd", "areas", "ids") if self._has(name)
        ]
        return f"Instances({pixels(self.size)}, {', '.join([str(len(self)), 'boxes', *has])})"

    def _has(self, name: str) -> bool:
        return getattr(self, name) is not None

    def __getitem__(self, index: Index) -> Instances:
        chosen = positions(index, len(self))
        places = torch.tensor(chosen, dtype=torch.int64)

        def pick(value: Tensor | None) -> Tensor | None:
            return None if value is None else value[places]

        return Instances(
            self.size,
            self.boxes_xyxy[places],
            self.labels[places],
            None if self.masks is None else self.masks[places],
            pick(self.scores),
            pick(self.keypoints),
            pick(self.is_crowd),
            pick(self.areas),
            None if self.ids is None else tuple(self.ids[i] for i in chosen),
        )
