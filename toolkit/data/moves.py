"""Augmentations as moves: functions of torchvision's transforms v2 with their random parameters drawn."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from toolkit.config import Settings
from toolkit.config.augmentations import Blur, Color, Crop, Elastic, Flip, Resize, Rotate, Scale
from toolkit.types import Size


@dataclass(frozen=True)
class Move:
    """One augmentation with its random parameters drawn; ``apply`` takes a torchvision ``Image``, ``Mask`` or
    ``BoundingBoxes``.

    Attributes:
        apply: applies it.
        geometric: whether it changes positions.
        mirror: the settings, if it mirrors the image.
    """

    apply: Callable[[Any], Any]
    geometric: bool = True
    mirror: Flip | None = None


def draw_move(settings: Settings, size: Size, rng: Generator) -> Move | None:
    """Draw the random parameters of an augmentation for an image of ``size``; None if it is not applied."""
    return _DRAW[type(settings)](settings, size, rng)


def _uniform(rng: Generator, low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand((), generator=rng))


def _integer(rng: Generator, low: int, high: int) -> int:
    """From low to high, both inclusive."""
    return int(torch.randint(low, high + 1, (), generator=rng))


def _draw_flip(settings: Flip, size: Size, rng: Generator) -> Move | None:
    if _uniform(rng, 0, 1) >= settings.p:
        return None
    return Move(F.horizontal_flip if settings.direction == "horizontal" else F.vertical_flip, mirror=settings)


def _draw_rotate(settings: Rotate, size: Size, rng: Generator) -> Move | None:
    if _uniform(rng, 0, 1) >= settings.p:
        return None
    angle = _uniform(rng, -settings.degrees, settings.degrees)
    return Move(lambda x: F.rotate(x, angle, interpolation=InterpolationMode.BILINEAR))


def _draw_scale(settings: Scale, size: Size, rng: Generator) -> Move | None:
    scaled = _scaled(size, _uniform(rng, settings.min, settings.max))
    resize = resize_move(scaled)
    if not settings.keep_size:
        return resize
    crop = _draw_crop(Crop(size=size), scaled, rng)
    return Move(lambda x: crop.apply(resize.apply(x)))


def _draw_resize(settings: Resize, size: Size, rng: Generator) -> Move | None:
    if settings.size is not None:
        return resize_move(settings.size)
    if settings.long_side is not None:
        return resize_move(_scaled(size, settings.long_side / max(size)))
    assert settings.short_side is not None  # the settings ensure that one is given
    return resize_move(_scaled(size, settings.short_side / min(size)))


def _scaled(size: Size, factor: float) -> Size:
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def resize_move(size: Size) -> Move:
    """Resize everything to ``size``."""

    def resize(x: Any) -> Any:
        if isinstance(x, tv_tensors.Mask):
            # torchvision resizes masks by "nearest", which is offset from the bilinear image by up to half a
            # pixel; "nearest-exact" is not.
            plain = F.resize_image(
                x.as_subclass(Tensor), list(size), interpolation=InterpolationMode.NEAREST_EXACT
            )
            return tv_tensors.Mask(plain)
        if isinstance(x, tv_tensors.Image) and size == (
            1,
            1,
        ):  # torch 2.15 fails to shrink whole-number images to a single pixel
            return tv_tensors.Image(
                x.as_subclass(Tensor).float().mean(dim=(1, 2), keepdim=True).round().to(torch.uint8)
            )
        return F.resize(x, list(size), interpolation=InterpolationMode.BILINEAR, antialias=True)

    return Move(resize)


def draw_crop_place(settings: Crop, size: Size, rng: Generator) -> tuple[int, int]:
    """The first row and column of a random crop in an image of ``size``; a negative one is a margin: the
    image lies somewhere inside the window.
    """
    top, left = (
        _integer(rng, min(0, have - want), max(0, have - want))
        for have, want in zip(size, settings.size, strict=True)
    )
    return top, left


def _draw_crop(settings: Crop, size: Size, rng: Generator) -> Move:
    top, left = draw_crop_place(settings, size, rng)
    height, width = settings.size
    return Move(lambda x: F.crop(x, top, left, height, width))


def _draw_elastic(settings: Elastic, size: Size, rng: Generator) -> Move | None:
    if _uniform(rng, 0, 1) >= settings.p:
        return None
    height, width = size
    nodes = [math.ceil(side / settings.spacing) + 1 for side in size]
    coarse = torch.randn((1, 2, *nodes), generator=rng) * settings.amplitude
    field = torch.nn.functional.interpolate(
        coarse, size=size, mode="bicubic", align_corners=True
    )  # [1, 2, H, W] as x, y in pixels
    displacement = field.permute(0, 2, 3, 1) * torch.tensor(
        [2 / width, 2 / height]
    )  # torchvision counts -1…1 across the image
    return Move(lambda x: F.elastic(x, displacement, interpolation=InterpolationMode.BILINEAR))


def _draw_color(settings: Color, size: Size, rng: Generator) -> Move | None:
    if _uniform(rng, 0, 1) >= settings.p:
        return None
    steps: list[Callable[[Any], Any]] = []
    for amount, adjust in (
        (settings.brightness, F.adjust_brightness),
        (settings.contrast, F.adjust_contrast),
        (settings.saturation, F.adjust_saturation),
    ):
        if amount:
            steps.append(_with_factor(adjust, _uniform(rng, 1 - amount, 1 + amount)))
    if settings.hue:
        steps.append(_with_factor(F.adjust_hue, _uniform(rng, -settings.hue, settings.hue)))

    def adjust_all(image: Any) -> Any:
        for step in steps:
            image = step(image)
        return image

    return Move(adjust_all, geometric=False)


def _with_factor(adjust: Callable[[Any, float], Any], factor: float) -> Callable[[Any], Any]:
    return lambda image: adjust(image, factor)


def _draw_blur(settings: Blur, size: Size, rng: Generator) -> Move | None:
    if _uniform(rng, 0, 1) >= settings.p:
        return None
    sigma = _uniform(rng, 0.1, settings.max_sigma)
    radius = min(
        math.ceil(3 * sigma), min(size) - 1
    )  # the kernel mirrors the edge, so it must not reach beyond the image
    if radius == 0:
        return None
    return Move(lambda x: F.gaussian_blur(x, [2 * radius + 1] * 2, [sigma, sigma]), geometric=False)


_DRAW: dict[type[Settings], Callable[[Any, Size, Generator], Move | None]] = {
    Flip: _draw_flip,
    Rotate: _draw_rotate,
    Scale: _draw_scale,
    Resize: _draw_resize,
    Crop: _draw_crop,
    Elastic: _draw_elastic,
    Color: _draw_color,
    Blur: _draw_blur,
}
