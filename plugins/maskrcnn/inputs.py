"""Preprocessing of images: resized as in Detectron2, normalized, padded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from toolkit.types import Size

from .settings import InputSettings

DIVISOR = 32
"""The network halves the resolution five times."""


def network_size(size: Size, short_side: int, long_side: int) -> Size:
    """The network's input size for an image of ``size``: its shorter side at ``short_side`` (0: unchanged),
    the longer at most ``long_side``.
    """
    if short_side == 0:
        return size
    # in Detectron2's order of operations, for identical rounding
    scale = short_side / min(size)
    height, width = (
        (float(short_side), scale * size[1]) if size[0] < size[1] else (scale * size[0], float(short_side))
    )
    if max(height, width) > long_side:
        shrink = long_side / max(height, width)
        height, width = height * shrink, width * shrink
    return max(1, int(height + 0.5)), max(1, int(width + 0.5))


def draw_short_side(settings: InputSettings) -> int:
    """The length for the shorter side of one training image, from torch's global generator; 0 leaves the
    image unchanged.
    """
    sides = settings.short_side_train
    if settings.short_side_sampling == "range":
        return int(torch.randint(sides[0], sides[1] + 1, ()))
    return sides[int(torch.randint(len(sides), ()))] if len(sides) > 1 else (sides or (0,))[0]


def resize(image: Tensor, size: Size) -> Tensor:
    """An image uint8 ``[3, H, W]`` at another size, by Pillow's bilinear filter (which averages when
    downscaling), as in Detectron2.
    """
    if tuple(image.shape[1:]) == size:
        return image
    picture = Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())
    resized = np.array(picture.resize((size[1], size[0]), Image.Resampling.BILINEAR))
    return torch.from_numpy(resized).permute(2, 0, 1)


def nearest_pixels(length: int, new_length: int) -> NDArray[np.int32]:
    """The index among ``length`` pixels that each of ``new_length`` pixels shows, as in Pillow's nearest
    filter, including its rounding of ties.
    """
    picture = Image.fromarray(np.arange(length, dtype=np.int32)[None])
    return np.asarray(picture.resize((new_length, 1), Image.Resampling.NEAREST), dtype=np.int32).reshape(-1)


def pad_to(image: Tensor, size: Size) -> Tensor:
    """A normalized image ``[3, H, W]`` with zeros below and to the right."""
    return F.pad(image, (0, size[1] - image.shape[2], 0, size[0] - image.shape[1]))


def network_input(image: Tensor, size: Size, padded: Size, settings: InputSettings) -> Tensor:
    """An image uint8 ``[3, H, W]``, resized, normalized and padded: float32 ``[3, *padded]`` on the CPU."""
    image = resize(image, size)
    if settings.format == "BGR":
        image = image.flip(0)
    mean, std = (torch.tensor(values)[:, None, None] for values in (settings.pixel_mean, settings.pixel_std))
    return pad_to((image - mean) / std, padded)


def padded_size(sizes: Sequence[Size]) -> Size:
    """The smallest size with sides that are multiples of 32 into which all of ``sizes`` fit."""
    height, width = (-(-max(side) // DIVISOR) * DIVISOR for side in zip(*sizes, strict=True))
    return height, width
