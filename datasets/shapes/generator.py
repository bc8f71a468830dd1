"""Draws textured scenes with colored shapes that overlap, for demos and for tests of semantic, instance and
promptable models.

Everything is drawn from one NumPy generator per image, seeded by (seed, split, index), and computed in
integers, so an image is bit-identical in every process and on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import Field

from toolkit.config import Settings
from toolkit.data.dataset import Dataset
from toolkit.formats.label_images import instances_from_id_map
from toolkit.types import Sample

CLASSES = ("background", "circle", "triangle", "square", "ring", "star")
"""Names of the label indexes, in both the label map and the instances; no instance is ever ``background``."""

PALETTE = ((0, 0, 0), (225, 55, 55), (60, 185, 75), (60, 85, 230), (240, 190, 45), (220, 60, 215))
_COLOR_SPREAD = 45
"""Maximum deviation of a shape from the color of its class, per channel: large enough that some look like
another class.
"""
SPLIT_NUMBERS = {"train": 0, "val": 1, "test": 2}


class ShapesSettings(Settings):
    """Options of the generated images."""

    size: int = Field(128, ge=32, le=4096)
    """Height and width of the images, in pixels."""
    train: int = Field(320, ge=1)
    """Number of images in the split `train`."""
    val: int = Field(80, ge=1)
    """Number of images in the split `val`."""
    test: int = Field(80, ge=1)
    """Number of images in the split `test`."""
    max_shapes: int = Field(6, ge=1, le=100)
    """Maximum number of shapes per image; the number is drawn from 1 to this value."""
    noise: float = Field(0.5, ge=0, le=1)
    """Noise level from 0 (none) to 1 (stronger than many contrasts)."""
    empty_fraction: float = Field(0.05, ge=0, le=1)
    """Fraction of the images without any shapes."""
    seed: int = Field(0, ge=0)
    """Seed of the generator; different seeds give different images."""


def build(folder: Path | None, split: str, settings: ShapesSettings) -> Shapes:
    """One split; ``folder`` is not used."""
    return Shapes(split, settings)


class Shapes(Dataset):
    """One split of generated images, each with a label map and instances (visible parts only: overlapped
    pixels belong to the shape on top).
    """

    def __init__(self, split: str, settings: ShapesSettings) -> None:
        self.classes = CLASSES
        self.palette = PALETTE
        self.ids = tuple(f"{split}-{index:05d}" for index in range(getattr(settings, split)))
        self._settings = settings
        self._split = split

    def __getitem__(self, index: int) -> Sample:
        """Draw one image."""
        index = range(len(self.ids))[index]  # negative indexes, and IndexError beyond the end
        settings = self._settings
        rng = np.random.default_rng([settings.seed, SPLIT_NUMBERS[self._split], index])
        scene = Scene(rng, settings.size)
        if rng.random() >= settings.empty_fraction:
            for _ in range(int(rng.integers(1, settings.max_shapes + 1))):
                scene.add(label=int(rng.integers(1, len(CLASSES))))
        labels = np.array([0, *scene.labels], np.uint8)
        return Sample(
            self.ids[index],
            torch.from_numpy(scene.photograph(settings.noise)).permute(2, 0, 1).contiguous(),
            torch.from_numpy(labels[scene.ids]),
            instances_from_id_map(torch.from_numpy(scene.ids), dict(enumerate(scene.labels, start=1))),
        )


class Scene:
    """An image under construction: ``image`` uint8 ``[size, size, 3]`` and ``ids`` uint8 ``[size, size]``,
    where 0 is background.
    """

    def __init__(self, rng: Generator, size: int) -> None:
        self.labels: list[int] = []
        self.ids = np.zeros((size, size), np.uint8)
        self.image = cv2.add(_texture(rng, size, 3, 60, 160), _texture(rng, size, size // 8, 0, 50))
        self._rng = rng
        self._own_areas = [0]  # the area of each id by itself, in pixels; that of the background is not used

    def add(self, label: int) -> None:
        """Draw a shape at a random position, unless eight positions in a row would cover too much of another
        shape."""
        rng, size = self._rng, len(self.ids)
        visible = np.bincount(self.ids.ravel(), minlength=len(self._own_areas))
        for _ in range(8):
            radius = int(rng.integers(size // 9, size // 4))
            x, y = rng.integers(radius // 2, size - radius // 2, 2).tolist()
            mask = np.zeros_like(self.ids)
            _DRAW[CLASSES[label]](mask, (x, y), radius, int(rng.integers(0, 360)))
            inside = mask != 0
            remaining = visible - np.bincount(self.ids[inside], minlength=len(visible))
            if all(
                5 * now >= 2 * own
                for now, own in zip(remaining[1:].tolist(), self._own_areas[1:], strict=True)
            ):
                self.labels.append(label)
                self._own_areas.append(int(inside.sum()))
                self.ids[inside] = len(self.labels)
                self._paint(inside, label)
                return

    def _paint(self, inside: NDArray[np.bool_], label: int) -> None:
        """Fill a shape with a textured color near that of its class."""
        rng = self._rng
        color = np.array(PALETTE[label]) + rng.integers(-_COLOR_SPREAD, _COLOR_SPREAD + 1, 3)
        texture = _texture(rng, len(self.ids), 6, 0, 60)[inside].astype(np.int64) - 30
        self.image[inside] = np.clip(color + texture, 0, 255)

    def photograph(self, noise: float) -> NDArray[np.uint8]:
        """The image with noise of this strength, 0 to 1."""
        amplitude = round(100 * noise)
        grain = self._rng.integers(-amplitude, amplitude + 1, self.image.shape, dtype=np.int16)
        noisy: NDArray[np.uint8] = np.clip(self.image + grain, 0, 255).astype(np.uint8)
        return noisy


def _texture(rng: Generator, size: int, cells: int, low: int, high: int) -> NDArray[np.uint8]:
    """Random colors on a coarse grid, interpolated by OpenCV's exact integer interpolation."""
    coarse = rng.integers(low, high, (cells + 1, cells + 1, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (size, size), interpolation=cv2.INTER_LINEAR_EXACT), dtype=np.uint8)


# --- the shapes: each fills a mask with 1 ---

Point = tuple[int, int]


def _circle(mask: NDArray[np.uint8], center: Point, radius: int, angle: int) -> None:
    cv2.circle(mask, center, radius, 1, cv2.FILLED)


def _ring(mask: NDArray[np.uint8], center: Point, radius: int, angle: int) -> None:
    cv2.circle(mask, center, radius, 1, cv2.FILLED)
    cv2.circle(mask, center, radius // 2, 0, cv2.FILLED)


def _polygon(mask: NDArray[np.uint8], center: Point, radii: Sequence[int], angle: int) -> None:
    """Fill a polygon whose corners are evenly spaced around the center, at these distances."""
    turns = [math.radians(angle + 360 * i / len(radii)) for i in range(len(radii))]
    corners = [
        (center[0] + round(r * math.cos(t)), center[1] + round(r * math.sin(t)))
        for r, t in zip(radii, turns, strict=True)
    ]
    cv2.fillPoly(mask, [np.array(corners, np.int32)], 1)


def _triangle(mask: NDArray[np.uint8], center: Point, radius: int, angle: int) -> None:
    _polygon(mask, center, [radius * 5 // 4] * 3, angle)


def _square(mask: NDArray[np.uint8], center: Point, radius: int, angle: int) -> None:
    _polygon(mask, center, [radius] * 4, angle)


def _star(mask: NDArray[np.uint8], center: Point, radius: int, angle: int) -> None:
    _polygon(mask, center, [radius * 5 // 4, radius // 2] * 5, angle)


_DRAW: dict[str, Callable[[NDArray[np.uint8], Point, int, int], None]] = {
    "circle": _circle,
    "triangle": _triangle,
    "square": _square,
    "ring": _ring,
    "star": _star,
}
