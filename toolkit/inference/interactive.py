"""Interactive prompting: set an image once, then point at objects, correct and undo; every answer only runs
the decoder.
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
from toolkit.inference.predictor import ImageLike, Predictor, as_sample
from toolkit.models.capabilities import MaskPromptable, Promptable
from toolkit.models.learned import prompts_not_learned
from toolkit.models.simulated_prompts import BOX, POINT
from toolkit.types import Instances, Masks, Prompts
from toolkit.types.checking import describe


@dataclass(frozen=True)
class _Object:
    """The prompts for one object, and the model's answer to them."""

    class_name: str
    points_xy: tuple[tuple[float, float], ...] = ()
    point_labels: tuple[int, ...] = ()
    box_xyxy: tuple[float, float, float, float] | None = None
    mask: Masks | None = None
    answer: Instances | None = None
    logits: Tensor | None = None


class Session:
    """One image, and the objects that the user points out in it::

        session = toolkit.inference.Session(toolkit.load("runs/sam2-labpics"), "photo.jpg")
        mask = session.point(310, 200)                   # bool [H, W]
        mask = session.point(350, 240, positive=False)   # not that part
        session.undo()
        session.new_object("cup")
        mask = session.box(10, 20, 90, 120)
        session.new_object()
        session.mask(roughly)                            # an approximate mask, bool [H, W]
        session.instances                                # all objects, with masks and scores

    Args:
        predictor: the predictor of a promptable model.
        image: a path, an array, a tensor or a Pillow image, as for ``Predictor.predict``; it is encoded once,
            here.
        refine: whether the model gets its earlier answer with each correction, for models that support it.
            None: as in its training.

    Raises:
        UsageError: when the model takes no prompts, or cannot refine its answers although ``refine`` is set.
    """

    def __init__(self, predictor: Predictor, image: ImageLike, *, refine: bool | None = None) -> None:
        model = predictor.model.capability(Promptable)
        if model is None:
            raise UsageError(
                f"{type(predictor.model).__name__} takes no prompts. Hint: load the run of a promptable"
                " plugin"
            )
        self._model = model
        self._with_masks = predictor.model.capability(MaskPromptable)
        if refine and self._with_masks is None:
            raise UsageError(
                f"refine: {type(model).__name__} cannot take its earlier answers. Hint: leave refine out"
            )
        trained_so = self._with_masks is not None and self._with_masks.refines
        self._refines = trained_so if refine is None else refine
        self._context = predictor.computing
        self._start_weights: Mapping[str, str] = predictor.about.get("start_weights", {})
        sample = as_sample(image)
        self.size = sample.size
        with self._context():
            self._encoded: Any = model.encode([sample])[0]
        self._states: list[tuple[_Object, ...]] = [()]

    def new_object(self, class_name: str = "object") -> None:
        """Start a new object: the next prompts refer to it."""
        self._states.append((*self._states[-1], _Object(class_name)))

    def point(self, x: float, y: float, *, positive: bool = True) -> Tensor:
        """Mark a pixel as on the current object, or off it.

        Returns:
            The object's mask, bool ``[H, W]``.

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
        now = self._current()
        return self._ask(
            replace(
                now,
                points_xy=(*now.points_xy, (float(x), float(y))),
                point_labels=(*now.point_labels, int(positive)),
            )
        )

    def box(self, x0: float, y0: float, x1: float, y1: float) -> Tensor:
        """Set the box of the current object; it replaces an earlier box, and an earlier answer.

        Returns:
            The object's mask, bool ``[H, W]``.

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
        if inside[2] <= inside[0] or inside[3] <= inside[1]:
            raise InvalidDataError(
                f"the box {[x0, y0, x1, y1]} does not overlap the image, which is {width} × {height} pixels"
                " (width × height)"
            )
        return self._ask(replace(self._current(), box_xyxy=inside, logits=None))

    def mask(self, mask: Tensor | NDArray[np.bool_]) -> Tensor:
        """Set an approximate mask of the current object; it replaces an earlier mask, and an earlier answer.

        Args:
            mask: bool ``[H, W]``.

        Returns:
            The object's mask, bool ``[H, W]``.

        Raises:
            InvalidDataError: when it is not of the image's size, or empty.
            UsageError: when the model takes no masks, or was not trained on such prompts.
        """
        if self._with_masks is None:
            raise UsageError(
                f"{type(self._model).__name__} takes no masks as prompts. Hint: use points and boxes"
            )
        self._check_learned("mask")
        given = torch.as_tensor(mask)
        if given.dtype != torch.bool or tuple(given.shape) != self.size or not given.any():
            what = (
                "empty" if given.dtype == torch.bool and tuple(given.shape) == self.size else describe(given)
            )
            raise InvalidDataError(
                f"the mask must be bool [{self.size[0]}, {self.size[1]}] with at least one pixel, not {what}"
            )
        return self._ask(replace(self._current(), mask=Masks.from_dense(given[None]), logits=None))

    def undo(self) -> bool:
        """Undo the last point, box, mask or new object; returns False when there is nothing left to undo."""
        if len(self._states) == 1:
            return False
        self._states.pop()
        return True

    @property
    def classes(self) -> tuple[str, ...]:
        """The names that the labels of ``instances`` stand for."""
        return tuple(dict.fromkeys(each.class_name for each in self._states[-1] if each.answer is not None))

    @property
    def instances(self) -> Instances:
        """All objects that have prompts, in order."""
        named = [(each.class_name, each.answer) for each in self._states[-1] if each.answer is not None]
        if not named:
            return Instances.empty(self.size, with_masks=True, with_scores=True)
        answers = [answer for _, answer in named]
        return Instances(
            self.size,
            torch.cat([answer.boxes_xyxy for answer in answers]),
            torch.tensor([self.classes.index(name) for name, _ in named]),
            Masks.joined(self.size, [answer.masks for answer in answers if answer.masks is not None]),
            torch.cat(
                [torch.ones(len(answer)) if answer.scores is None else answer.scores for answer in answers]
            ),
        )

    def _check_learned(self, kind: str) -> None:
        hint = "show objects as in its training, see model.prompts of the run"
        if reason := prompts_not_learned(self._model, [kind], self._start_weights, hint):
            raise UsageError(reason)

    def _current(self) -> _Object:
        objects = self._states[-1]
        return objects[-1] if objects else _Object("object")

    def _ask(self, now: _Object) -> Tensor:
        prompts = _prompts(now if self._refines else replace(now, logits=None))
        logits = None
        with self._context():
            if self._with_masks is None:
                answer = self._model.answer(self._encoded, prompts)
            else:
                answer, logits = self._with_masks.answer_logits(self._encoded, prompts)
        if answer.masks is None:
            raise InvalidDataError(f"{type(self._model).__name__} answered without a mask")
        self._states.append((*self._states[-1][:-1], replace(now, answer=answer, logits=logits)))
        return answer.masks.dense()[0]


def _prompts(now: _Object) -> Prompts:
    points = torch.tensor([now.points_xy]) if now.points_xy else None
    labels = torch.tensor([now.point_labels]) if now.points_xy else None
    boxes = None if now.box_xyxy is None else torch.tensor([now.box_xyxy])
    # An earlier answer already takes the mask into account.
    masks = now.mask if now.logits is None else None
    return Prompts(points, labels, boxes, torch.zeros(1, dtype=torch.int64), masks, now.logits)
