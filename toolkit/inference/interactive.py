"""Interactive prompting: set an image once, then point at objects, correct and undo; every answer only runs
the decoder.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toolkit.inference.image_likes import ImageLike
from toolkit.inference.predictor import Predictor
from toolkit.inference.prompted_image import PromptedImage, PromptedObject
from toolkit.types import Instances, Masks


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
        self._image = PromptedImage(predictor, image, refine=refine)
        self.size = self._image.size
        self._states: list[tuple[PromptedObject, ...]] = [()]

    def new_object(self, class_name: str = "object") -> None:
        """Start a new object: the next prompts refer to it."""
        self._states.append((*self._states[-1], PromptedObject(class_name)))

    def point(self, x: float, y: float, *, positive: bool = True) -> Tensor:
        """Mark a pixel as on the current object, or off it.

        Returns:
            The object's mask, bool ``[H, W]``.

        Raises:
            InvalidDataError: when the point is outside the image.
            UsageError: when the model was not trained on such prompts.
        """
        return self._ask(self._image.with_point(self._current(), x, y, positive=positive))

    def box(self, x0: float, y0: float, x1: float, y1: float) -> Tensor:
        """Set the box of the current object; it replaces an earlier box, and an earlier answer.

        Returns:
            The object's mask, bool ``[H, W]``.

        Raises:
            InvalidDataError: when the box is empty or outside the image.
            UsageError: when the model was not trained on such prompts.
        """
        return self._ask(self._image.with_box(self._current(), x0, y0, x1, y1))

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
        return self._ask(self._image.with_mask(self._current(), mask))

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

    def _current(self) -> PromptedObject:
        objects = self._states[-1]
        return objects[-1] if objects else PromptedObject()

    def _ask(self, now: PromptedObject) -> Tensor:
        found = self._image.answered(now)
        assert found.answer is not None  # it was just answered
        assert found.answer.masks is not None  # or that would have been an error
        self._states.append((*self._states[-1][:-1], found))
        return found.answer.masks.dense()[0]
