"""Prompting by hand: set an image once, then point at objects, correct and undo; every answer takes only the
decoder's time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from toolkit.errors import InvalidDataError, UsageError
from toolkit.inference.predictor import ImageLike, Predictor, as_sample
from toolkit.models.capabilities import Promptable
from toolkit.types import Instances, Masks, Prompts


@dataclass(frozen=True)
class _Object:
    """What was said about one object, and the model's answer to it."""

    class_name: str
    points_xy: tuple[tuple[float, float], ...] = ()
    point_labels: tuple[int, ...] = ()
    box_xyxy: tuple[float, float, float, float] | None = None
    answer: Instances | None = None


class Session:
    """One image, and the objects that are pointed out in it::

        session = toolkit.inference.Session(toolkit.load("runs/sam2-labpics"), "photo.jpg")
        mask = session.point(310, 200)                   # bool [H, W]
        mask = session.point(350, 240, positive=False)   # not that part
        session.undo()
        session.new_object("cup")
        mask = session.box(10, 20, 90, 120)
        session.instances                                # all objects, with masks and scores

    Args:
        predictor: of a promptable model.
        image: a path, an array, a tensor or a Pillow image, as for ``Predictor.predict``; it is encoded once,
            here.

    Raises:
        UsageError: when the model takes no prompts.
    """

    def __init__(self, predictor: Predictor, image: ImageLike) -> None:
        model = predictor.model.capability(Promptable)
        if model is None:
            raise UsageError(
                f"{type(predictor.model).__name__} takes no prompts. Hint: load the run of a promptable"
                " plugin"
            )
        self._model = model
        self._context = predictor.computing
        sample = as_sample(image)
        self.size = sample.size
        with self._context():
            self._encoded: Any = model.encode([sample])[0]
        self._states: list[tuple[_Object, ...]] = [()]

    def new_object(self, class_name: str = "object") -> None:
        """What is pointed out next is another object."""
        self._states.append((*self._states[-1], _Object(class_name)))

    def point(self, x: float, y: float, *, positive: bool = True) -> Tensor:
        """Say that a pixel is on the present object, or off it.

        Returns:
            The object's mask, bool ``[H, W]``.

        Raises:
            InvalidDataError: when the point lies outside the image.
        """
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
        """Say which box the present object fills; it replaces an earlier one.

        Returns:
            The object's mask, bool ``[H, W]``.

        Raises:
            InvalidDataError: when the box is empty or lies outside the image.
        """
        height, width = self.size
        inside = (
            max(0.0, float(x0)),
            max(0.0, float(y0)),
            min(float(x1), float(width)),
            min(float(y1), float(height)),
        )
        if inside[2] <= inside[0] or inside[3] <= inside[1]:
            raise InvalidDataError(
                f"the box {[x0, y0, x1, y1]} covers nothing of the image, which is {width} × {height} pixels"
                " (width × height)"
            )
        return self._ask(replace(self._current(), box_xyxy=inside))

    def undo(self) -> bool:
        """Take back the last point, box or new object; False when there is nothing left to take back."""
        if len(self._states) == 1:
            return False
        self._states.pop()
        return True

    @property
    def classes(self) -> tuple[str, ...]:
        """What the labels of ``instances`` stand for."""
        return tuple(dict.fromkeys(each.class_name for each in self._states[-1] if each.answer is not None))

    @property
    def instances(self) -> Instances:
        """All objects that something was said about, in order."""
        named = [(each.class_name, each.answer) for each in self._states[-1] if each.answer is not None]
        if not named:
            return Instances.empty(self.size, with_masks=True, with_scores=True)
        answers = [answer for _, answer in named]
        return Instances(
            self.size,
            torch.cat([answer.boxes_xyxy for answer in answers]),
            torch.tensor([self.classes.index(name) for name, _ in named]),
            Masks(
                self.size, tuple(code for answer in answers if answer.masks for code in answer.masks.counts)
            ),
            torch.cat(
                [torch.ones(len(answer)) if answer.scores is None else answer.scores for answer in answers]
            ),
        )

    def _current(self) -> _Object:
        objects = self._states[-1]
        return objects[-1] if objects else _Object("object")

    def _ask(self, now: _Object) -> Tensor:
        with self._context():
            answer = self._model.answer(self._encoded, _prompts(now))
        if answer.masks is None:
            raise InvalidDataError(f"{type(self._model).__name__} answered without a mask")
        self._states.append((*self._states[-1][:-1], replace(now, answer=answer)))
        return answer.masks.dense()[0]


def _prompts(now: _Object) -> Prompts:
    points = torch.tensor([now.points_xy]) if now.points_xy else None
    labels = torch.tensor([now.point_labels]) if now.points_xy else None
    boxes = None if now.box_xyxy is None else torch.tensor([now.box_xyxy])
    return Prompts(points, labels, boxes, torch.zeros(1, dtype=torch.int64))
