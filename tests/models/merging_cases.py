"""Generated objects of all kinds, and models that return what a window shows of them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from toolkit.models.contract import Model
from toolkit.models.window_grid import Window
from toolkit.types import Instances, Masks, Prediction, Sample, Size
from toolkit.types.pixel_runs import Rectangle, Runs, area_of, bounds_of, code_of_runs, cropped, runs_of_code

CLASSES = ("one", "two")
LEAST = 9


def blob(size: Size, center: Sequence[float], axes: Sequence[float], angle: float = 0.0) -> NDArray[np.bool_]:
    mask = np.zeros(size, np.uint8)
    middle = (int(center[1]), int(center[0]))
    cv2.ellipse(mask, middle, (int(axes[1]), int(axes[0])), angle, 0, 360, 1, -1)
    return mask.astype(bool)


def horseshoe(size: Size, top: int, left: int, height: int, width: int, thick: int) -> NDArray[np.bool_]:
    """A U: two prongs that only meet at the bottom."""
    mask = np.zeros(size, bool)
    mask[top : top + height, left : left + thick] = True
    mask[top : top + height, left + width - thick : left + width] = True
    mask[top + height - thick : top + height, left : left + width] = True
    return mask


def snake(size: Size, thick: int) -> NDArray[np.bool_]:
    """A thin object through the whole image, longer than any window."""
    mask = np.zeros(size, np.uint8)
    x = np.linspace(0, size[1] - 1, 200)
    y = size[0] * (0.5 + 0.35 * np.sin(x / size[1] * 9))
    cv2.polylines(mask, [np.stack([x, y], axis=1).astype(np.int32)], False, 1, thick)
    return mask.astype(bool)


def scene(size: Size, seed: int, count: int = 40) -> tuple[list[NDArray[np.bool_]], list[int]]:
    """Objects that do not overlap, many of which touch, and their classes. Each is connected, and none
    is a few pixels only.
    """
    random = np.random.default_rng(seed)
    height, width = size
    shapes = [
        snake(size, 5),
        horseshoe(size, height // 8, width // 8, height // 2, width // 2, 12),
        horseshoe(size, height // 2, width // 2, height // 3, width // 3, 7),
    ]
    for _ in range(count):
        center = random.uniform(0, 1, 2) * size
        shapes.append(blob(size, center, random.uniform(3, min(size) / 8, 2), random.uniform(0, 180)))
    touching = blob(size, (height * 0.8, width * 0.25), (25, 40))
    shapes += [touching & (np.indices(size)[1] < width // 4), touching & (np.indices(size)[1] >= width // 4)]
    taken = np.zeros(size, bool)
    masks, labels = [], []
    for shape in shapes:
        for piece in pieces(shape & ~taken):
            taken |= piece
            masks.append(piece)
            labels.append(int(random.integers(len(CLASSES))))
    return masks, labels


def pieces(mask: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """Connected pieces of ``LEAST`` pixels and more."""
    count, numbers = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    found = [numbers == i for i in range(1, count)]
    return [piece for piece in found if piece.sum() >= LEAST]


def as_runs(masks: Sequence[NDArray[np.bool_]]) -> list[Runs]:
    return [runs_of_code(Masks.from_dense(mask[None]).counts[0], mask.shape) for mask in masks]


class Oracle(Model):
    """Returns what a window shows of known objects. The red and green channels of an image say where its
    pixels are, so it needs no other word of the window.

    Args:
        size: of the whole image.
        masks, labels: the objects.
        split: return each connected piece in a window as an object of its own, as a detector would.
        boxes_only: return no masks.
        shake: change the outline of each object in each window by up to this many pixels.
        least: leave out pieces with fewer pixels.
    """

    def __init__(
        self,
        size: Size,
        masks: Sequence[NDArray[np.bool_]],
        labels: Sequence[int],
        *,
        split: bool = False,
        boxes_only: bool = False,
        shake: int = 0,
        least: int = 1,
    ) -> None:
        super().__init__(CLASSES)
        self.size, self.labels = size, labels
        self.split, self.boxes_only, self.shake, self.least = split, boxes_only, shake, least
        self.runs = as_runs(masks)
        self.bounds = [bounds_of(runs) for runs in self.runs]
        self.random = np.random.default_rng(0)

    def image(self) -> torch.Tensor:
        rows, columns = np.indices(self.size)
        coarse = (rows // 256 * 16 + columns // 256).astype(np.uint8)
        return torch.from_numpy(np.stack([rows % 256, columns % 256, coarse]).astype(np.uint8))

    def show(self, window: Window) -> Instances:
        codes: list[bytes] = []
        labels: list[int] = []
        for runs, bounds, label in zip(self.runs, self.bounds, self.labels, strict=True):
            if bounds.intersection(window.place).is_empty:
                continue
            found = self._shown(
                cropped(runs, window.place) - [window.place.left, *[window.place.top] * 2], window
            )
            codes += found
            labels += [label] * len(found)
        masks = Masks.encoded(window.size, codes)
        return Instances(
            window.size,
            masks.boxes_xyxy(),
            torch.tensor(labels, dtype=torch.int64),
            None if self.boxes_only else masks,
            torch.clamp(masks.areas() / (window.size[0] * window.size[1]), 0, 1).float(),
        )

    def _shown(self, runs: Runs, window: Window) -> list[bytes]:
        """The codes of the pieces of an object."""
        if not self.shake and not self.split:
            return [code_of_runs(runs, window.size)] if area_of(runs) >= self.least else []
        shown = np.zeros(window.size, bool)
        for column, start, stop in runs:
            shown[start:stop, column] = True
        if self.shake:
            shown = self._shaken(shown)
        found = [
            piece for piece in (pieces_of(shown) if self.split else [shown]) if piece.sum() >= self.least
        ]
        return [code for piece in found for code in Masks.from_dense(piece[None]).counts]

    def _shaken(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        reach = int(self.random.integers(-self.shake, self.shake + 1))
        kernel = np.ones((2 * abs(reach) + 1,) * 2, np.uint8)
        change = cv2.dilate if reach > 0 else cv2.erode
        changed: NDArray[np.bool_] = (
            change(mask.astype(np.uint8), kernel, borderValue=0 if reach > 0 else 1) > 0
        )
        return changed

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        found = []
        for sample in samples:
            rows, columns, coarse = (int(value) for value in sample.image[:, 0, 0])
            top, left = coarse // 16 * 256 + rows, coarse % 16 * 256 + columns
            window = at(top, left, sample.size, self.size)
            found.append(Prediction(sample.id, sample.size, instances=self.show(window)))
        return found


def at(top: int, left: int, size: Size, image: Size) -> Window:
    place = Rectangle(top, left, top + size[0], left + size[1])
    return Window(place, place, image)


def pieces_of(mask: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    count, numbers = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    return [numbers == i for i in range(1, count)]


def separate_blobs(size: Size, seed: int, pitch: int = 60) -> list[NDArray[np.bool_]]:
    """Ellipses that neither overlap nor touch."""
    random = np.random.default_rng(seed)
    found = []
    for row in range(pitch // 2, size[0] - pitch // 2, pitch):
        for column in range(pitch // 2, size[1] - pitch // 2, pitch):
            center = np.array([row, column]) + random.integers(-4, 5, 2)
            found.append(blob(size, center, random.uniform(9, pitch / 2 - 6, 2), random.uniform(0, 180)))
    return found
