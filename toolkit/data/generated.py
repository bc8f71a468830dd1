"""Small generated samples with every kind of label, so that contract tests need neither files nor another
plugin."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from toolkit.data.dataset import Dataset
from toolkit.types import BACKGROUND, VOID, Instances, Masks, Sample, Size


class GeneratedSamples(Dataset):
    """Discs and boxes on a dark or gray background, colored by class, with label maps, instances and masks;
    the same every time.

    Args:
        classes: the names that labels stand for; objects have any class except ``background``.
        sizes: height and width of each image, in pixels.
        objects: maximum number of objects per image; 0 for none.
        seed: different seeds give different images.
    """

    def __init__(
        self, classes: Sequence[str], sizes: Sequence[Size], *, objects: int = 3, seed: int = 0
    ) -> None:
        self.classes = tuple(classes)
        self.ids = [f"generated-{seed}-{i}" for i in range(len(sizes))]
        self._sizes, self._objects, self._seed = list(sizes), objects, seed

    def __getitem__(self, index: int) -> Sample:
        """Draw one image."""
        sample_id, size = self.ids[index], self._sizes[index]
        rng = np.random.default_rng([self._seed, index])
        has_background = self.classes[0] == BACKGROUND and len(self.classes) > 1
        labels: list[int] = []
        ids = np.zeros(size, np.uint8)
        for number in range(1, self._objects + 1):
            ids[_shape(rng, size, is_disc=number % 2 == 1)] = number
            labels.append(has_background + (number - 1) % (len(self.classes) - has_background))
        visible = [number for number in range(1, self._objects + 1) if (ids == number).any()]
        label_map = np.full(size, 0 if has_background else VOID, np.uint8)
        image = (
            rng.integers(0, 60, (*size, 3)) + (index % 2) * 80
        )  # two background colors, so that mixed-up images are noticed
        for number in visible:
            inside = ids == number
            label_map[inside] = labels[number - 1]
            image[inside] = _color(labels[number - 1], len(self.classes)) + rng.integers(
                -20, 21, (int(inside.sum()), 3)
            )
        masks = Masks.from_dense(np.stack([ids == number for number in visible])) if visible else Masks(size)
        instances = Instances(
            size,
            masks.boxes_xyxy(),
            torch.tensor([labels[number - 1] for number in visible], dtype=torch.int64),
            masks,
        )
        pixels = torch.from_numpy(image.clip(0, 255).astype(np.uint8)).permute(2, 0, 1).contiguous()
        return Sample(sample_id, pixels, torch.from_numpy(label_map), instances)


def generate(
    classes: Sequence[str], sizes: Sequence[Size], *, objects: int = 3, seed: int = 0
) -> list[Sample]:
    """All samples of ``GeneratedSamples``."""
    dataset = GeneratedSamples(classes, sizes, objects=objects, seed=seed)
    return [dataset[index] for index in range(len(dataset))]


def _shape(rng: np.random.Generator, size: Size, *, is_disc: bool) -> NDArray[np.bool_]:
    """The pixels of a disc or box at a random position, with a radius of an eighth to a quarter of the
    image."""
    height, width = size
    radius = rng.uniform(min(size) / 8, min(size) / 4)
    y, x = rng.uniform(0.2, 0.8) * height, rng.uniform(0.2, 0.8) * width
    rows, columns = np.mgrid[:height, :width] + 0.5
    down, right = np.abs(rows - y), np.abs(columns - x)
    inside: NDArray[np.bool_] = (
        down**2 + right**2 <= radius**2 if is_disc else np.maximum(down, right) <= radius
    )
    return inside


def _color(label: int, classes: int) -> NDArray[np.int64]:
    return (np.array(colorsys.hsv_to_rgb(label / classes, 0.8, 0.9)) * 255).astype(np.int64)
