"""Answers to points and boxes on images that were encoded once, for tools that send all prompts each time."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from toolkit.annotate.shapes import Shape, region_of
from toolkit.errors import InvalidDataError, UsageError
from toolkit.inference.image_likes import ImageLike
from toolkit.inference.predictor import Predictor
from toolkit.models.capabilities import Promptable
from toolkit.models.learned import prompts_not_learned
from toolkit.models.simulated_prompts import BOX, POINT
from toolkit.types import Prompts, Size

MOST_ENCODED = 4
"""Number of encoded images that are kept."""


@dataclass(frozen=True)
class Encoded:
    """An image that prompts can be answered for.

    Attributes:
        size: its height and width, in pixels.
        data: what the model made of it.
    """

    size: Size
    data: Any


class Prompting:
    """Answers prompts with a promptable model, in any thread.

    Args:
        predictor: the predictor of a promptable model.
        lock: held while the model computes.

    Raises:
        UsageError: when the model takes no prompts.
    """

    def __init__(self, predictor: Predictor, lock: threading.Lock | None = None) -> None:
        model = predictor.model.capability(Promptable)
        if model is None:
            raise UsageError(
                f"{predictor.name or type(predictor.model).__name__} takes no prompts. Hint: use the run of a"
                " promptable plugin, such as sam2"
            )
        self._model, self._predictor = model, predictor
        self._lock = lock or threading.Lock()
        self._kept: OrderedDict[Hashable, Encoded] = OrderedDict()

    def encode(self, image: ImageLike) -> Encoded:
        """Encode an image, once for all prompts."""
        sample = self._predictor.sample(image)
        with self._lock, self._predictor.computing():
            return Encoded(sample.size, self._model.encode([sample])[0])

    def encoded(self, key: Hashable, read: Callable[[], ImageLike]) -> Encoded:
        """The encoded image of a key, which is read and encoded if it is not among the last few."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        found = self.encode(read())
        with self._lock:
            self._kept[key] = found
            while len(self._kept) > MOST_ENCODED:
                self._kept.popitem(last=False)
        return found

    def answer(
        self,
        encoded: Encoded,
        name: str,
        points: Sequence[tuple[float, float]],
        labels: Sequence[int],
        box: Sequence[float] | None,
    ) -> Shape | None:
        """The object that points and a box indicate.

        Args:
            encoded: from ``encode``.
            name: the name of its class.
            points: x and y in pixels.
            labels: for each point: 1 on the object, 0 off it.
            box: ``x0, y0, x1, y1`` in pixels, or None; it is clipped at the border.

        Returns:
            The object; None where the mask is empty.

        Raises:
            InvalidDataError: when a point or the box is outside the image, or there are neither.
            UsageError: when the model was not trained on such prompts.
        """
        prompts = _prompts(encoded.size, points, labels, box)
        kinds = [POINT] * (len(points) > 0) + [BOX] * (box is not None)
        start = self._predictor.about.get("start_weights", {})
        hint = "show objects as in its training, see model.prompts of the run"
        if reason := prompts_not_learned(self._model, kinds, start, hint):
            raise UsageError(reason)
        with self._lock, self._predictor.computing():
            found = self._model.answer(encoded.data, prompts)
        assert found.masks is not None  # as promptable models promise
        score = None if found.scores is None else float(found.scores[0])
        return region_of(found.masks[[0]], name, score)


def _prompts(
    size: Size, points: Sequence[tuple[float, float]], labels: Sequence[int], box: Sequence[float] | None
) -> Prompts:
    height, width = size
    image = f"the image, which is {width} × {height} pixels (width × height)"
    if not points and box is None:
        raise InvalidDataError("there is neither a point nor a box to answer. Hint: mark the object")
    for x, y in points:
        if not (0 <= x < width and 0 <= y < height):
            raise InvalidDataError(f"the point ({x:g}, {y:g}) lies outside {image}")
    inside = None
    if box is not None:
        x0, y0, x1, y1 = map(float, box)
        inside = [max(0.0, x0), max(0.0, y0), min(float(width), x1), min(float(height), y1)]
        if not all(map(math.isfinite, box)) or inside[2] <= inside[0] or inside[3] <= inside[1]:
            raise InvalidDataError(f"the box {[x0, y0, x1, y1]} does not overlap {image}")
    return Prompts(
        torch.tensor([list(points)], dtype=torch.float32) if points else None,
        torch.tensor([list(labels)], dtype=torch.int64) if points else None,
        None if inside is None else torch.tensor([inside], dtype=torch.float32),
        torch.zeros(1, dtype=torch.int64),
    )
