"""An image that was encoded once, and objects in it that prompts describe. An object never changes: each
prompt makes a new one, so that older ones can be kept for undo.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toolkit.errors import InvalidDataError, UsageError
from toolkit.inference.image_likes import ImageLike
from toolkit.inference.predictor import Predictor
from toolkit.models.capabilities import MaskPromptable, Promptable
from toolkit.models.learned import prompts_not_learned
from toolkit.models.simulated_prompts import BOX, POINT
from toolkit.types import Instances, Masks, Prompts
from toolkit.types.checking import describe


@dataclass(frozen=True)
class PromptedObject:
    """The prompts for one object, and the model's answer to them.

    Attributes:
        class_name: what the user calls it.
        points_xy, point_labels: the points, in pixels, each 1 on the object or 0 off it.
        box_xyxy: the box, in pixels.
        mask: an approximate mask.
        answer: the object that the model found; None before it was asked.
        logits: float32 ``[1, h, w]``, with which the model refines its answer; None if it does not.
    """

    class_name: str = "object"
    points_xy: tuple[tuple[float, float], ...] = ()
    point_labels: tuple[int, ...] = ()
    box_xyxy: tuple[float, float, float, float] | None = None
    mask: Masks | None = None
    answer: Instances | None = None
    logits: Tensor | None = None


class PromptedImage:
    """An image that a promptable model has encoded.

    Args:
        predictor: the predictor of a promptable model.
        image: a path, an array, a tensor or a Pillow image, as for ``Predictor.predict``; it is encoded once,
            here.
        refine: whether the model gets its earlier answer with each correction, for models that support it.
            None: as in its training.

    Attributes:
        size: height and width of the image, in pixels.
        encoded: what the model keeps of the image.
        refines: whether the model gets its earlier answer with each correction.

    Raises:
        UsageError: when the model takes no prompts, or cannot refine its answers although ``refine`` is set.
    """

    def __init__(self, predictor: Predictor, image: ImageLike, *, refine: bool | None = None) -> None:
        model = predictor.model.capability(Promptable)
        if model is None:
            raise UsageError("this model takes no prompts. Hint: load the run of a promptable plugin")
        self._model = model
        self._with_masks = predictor.model.capability(MaskPromptable)
        if refine and self._with_masks is None:
            raise UsageError("refine: this model cannot take its earlier answers. Hint: leave refine out")
        trained_so = self._with_masks is not None and self._with_masks.refines
        self.refines = trained_so if refine is None else refine
        self._context = predictor.computing
        self._start_weights: Mapping[str, str] = predictor.about.get("start_weights", {})
        sample = predictor.sample(image)
        self.size = sample.size
        with self._context():
            self.encoded: Any = model.encode([sample])[0]

    def with_point(self, now: PromptedObject, x: float, y: float, *, positive: bool = True) -> PromptedObject:
        """The object with a further point, not yet answered.

        Raises:
            InvalidDataError: when the point is outside the image.
            UsageError: when the model was not trained on such prompts.
        """
        self._check_learned(POINT)
        height, width = self.size
        if not (0 <= x < width and 0 <= y < height):
            raise InvalidDataError(
                f"the point ({x:g}, {y:g}) lies outside the image, which is {width} × {height} pixels (width"
                " × height)"
            )
        return replace(
            now,
            points_xy=(*now.points_xy, (float(x), float(y))),
            point_labels=(*now.point_labels, int(positive)),
        )

    def with_box(self, now: PromptedObject, x0: float, y0: float, x1: float, y1: float) -> PromptedObject:
        """The object with this box, which replaces an earlier box, and an earlier answer; not yet answered.

        Raises:
            InvalidDataError: when the box is empty or outside the image.
            UsageError: when the model was not trained on such prompts.
        """
        self._check_learned(BOX)
        height, width = self.size
        inside = (
            max(0.0, float(x0)),
            max(0.0, float(y0)),
            min(float(x1), float(width)),
            min(float(y1), float(height)),
        )
        if not (inside[2] > inside[0] and inside[3] > inside[1]):
            raise InvalidDataError(
                f"the box {[x0, y0, x1, y1]} does not overlap the image, which is {width} × {height} pixels"
                " (width × height)"
            )
        return replace(now, box_xyxy=inside, logits=None)

    def with_mask(self, now: PromptedObject, mask: Tensor | NDArray[np.bool_]) -> PromptedObject:
        """The object with this approximate mask, bool ``[H, W]``, which replaces an earlier mask, and an
        earlier answer; not yet answered.

        Raises:
            InvalidDataError: when it is not of the image's size, or empty.
            UsageError: when the model takes no masks, or was not trained on such prompts.
        """
        if self._with_masks is None:
            raise UsageError("this model takes no masks as prompts. Hint: use points and boxes")
        self._check_learned("mask")
        given = torch.as_tensor(mask)
        if given.dtype != torch.bool or tuple(given.shape) != self.size or not given.any():
            what = (
                "empty" if given.dtype == torch.bool and tuple(given.shape) == self.size else describe(given)
            )
            raise InvalidDataError(
                f"the mask must be bool [{self.size[0]}, {self.size[1]}] with at least one pixel, not {what}"
            )
        return replace(now, mask=Masks.from_dense(given[None]), logits=None)

    def answered(self, now: PromptedObject) -> PromptedObject:
        """The object with the model's answer to its prompts; one run of the decoder.

        Raises:
            InvalidDataError: when the model answers without a mask.
        """
        prompts = _prompts(now if self.refines else replace(now, logits=None))
        logits = None
        with self._context():
            if self._with_masks is None:
                answer = self._model.answer(self.encoded, prompts)
            else:
                answer, logits = self._with_masks.answer_logits(self.encoded, prompts)
        if answer.masks is None:
            raise InvalidDataError("the model answered without a mask")
        return replace(now, answer=answer, logits=logits)

    def _check_learned(self, kind: str) -> None:
        hint = "show objects as in its training, see model.prompts of the run"
        if reason := prompts_not_learned(self._model, [kind], self._start_weights, hint):
            raise UsageError(reason)


def _prompts(now: PromptedObject) -> Prompts:
    points = torch.tensor([now.points_xy]) if now.points_xy else None
    labels = torch.tensor([now.point_labels]) if now.points_xy else None
    boxes = None if now.box_xyxy is None else torch.tensor([now.box_xyxy])
    # An earlier answer already takes the mask into account.
    masks = now.mask if now.logits is None else None
    return Prompts(points, labels, boxes, torch.zeros(1, dtype=torch.int64), masks, now.logits)
