"""Data augmentation that moves image, label map, masks and boxes together.

Built on the functions of torchvision's transforms v2: they come with torch, are maintained with it, and one
call moves an image, a mask or a box by the same rule. The alternative, albumentations, is archived under the
MIT license, and its successor is AGPL.

Every random choice is drawn from a generator of its own, first on the image; the drawn moves are then
replayed on the labels. So the same sample and seed give the same result in any process, torch's global random
state is never touched, and masks are decoded a few at a time, and only when something moved.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from toolkit.config import Settings
from toolkit.config.augmentations import (
    AugmentSettings,
    Blur,
    Color,
    Crop,
    Elastic,
    Flip,
    Resize,
    Rotate,
    Scale,
)
from toolkit.errors import InvalidDataError
from toolkit.types import Instances, Masks, PixelMap, Sample, Size

__all__ = ["AugmentSettings", "Augmenter", "build_transform", "resize_sample"]

_CHUNK_PIXELS = 2**26
"""Mask pixels decoded at once: a thousand objects in a large photo must not cost gigabytes."""


@dataclass(frozen=True)
class Move:
    """One augmentation with its random choices made; ``apply`` takes a torchvision ``Image``, ``Mask`` or
    ``BoundingBoxes``.
    """

    apply: Callable[[Any], Any]
    geometric: bool = True


@dataclass(frozen=True)
class Augmenter:
    """A list of augmentations, applied in order. Can be sent to another process."""

    steps: tuple[Settings, ...]

    def __call__(self, sample: Sample, seed: int) -> Sample:
        """Augment a sample; the same sample and seed give the same result.

        Instances that leave the image are dropped with all their fields; boxes are recomputed from the masks
        where there are any.

        Raises:
            InvalidDataError: when a geometric augmentation meets prompts, or a mirror image meets keypoints.
        """
        rng = torch.Generator().manual_seed(seed)
        image = tv_tensors.Image(sample.image)
        moves = []
        for settings in self.steps:
            move = _DRAW[type(settings)](settings, (image.shape[1], image.shape[2]), rng)
            if move is not None:
                image = move.apply(image)
                moves += [move] if move.geometric else []
        return _replay(sample, image.as_subclass(Tensor).contiguous(), moves)


def build_transform(settings: Sequence[Settings]) -> Callable[[Sample, int], Sample]:
    """What a recipe lists under ``augment`` as one function of a sample and a seed; an empty list changes
    nothing.
    """
    return Augmenter(tuple(settings))


def resize_sample(sample: Sample, size: Size) -> Sample:
    """The sample with its image and labels brought to ``size`` (height, width)."""
    if sample.size == size:
        return sample
    move = _resize_move(size)
    image = move.apply(tv_tensors.Image(sample.image))
    return _replay(sample, image.as_subclass(Tensor).contiguous(), [move])


# --- replaying the moves on the labels ---


def _replay(sample: Sample, image: Tensor, moves: Sequence[Move]) -> Sample:
    if not moves:
        return sample.with_(image=image)
    if sample.prompts is not None:
        raise InvalidDataError(
            f"sample {sample.id!r} has prompts, which augmentation does not move. Hint: draw the prompts"
            " after augmenting"
        )
    label_map = None
    if sample.label_map is not None:
        # Everything fills with 0 outside. Shifted by one, with uint8 wrapping around, void (255) is 0 and
        # survives that.
        shifted = (sample.label_map + 1)[None]
        label_map = _moved_masks(shifted, moves)[0] - 1
    instances = None
    if sample.instances is not None:
        instances = _moved_instances(sample, sample.instances, moves, (image.shape[1], image.shape[2]))
    extras = {
        name: _moved_map(value, moves) if isinstance(value, PixelMap) else value
        for name, value in sample.extras.items()
    }
    return sample.with_(image=image, label_map=label_map, instances=instances, extras=extras)


def _moved_map(pixel_map: PixelMap, moves: Sequence[Move]) -> PixelMap:
    """Everything fills with 0 outside, so a mask of what is known moves along, and says where to put NaN."""
    known = torch.isfinite(pixel_map.values)
    values = _moved_masks(pixel_map.values.nan_to_num()[None], moves)[0]
    still_known = _moved_masks(known.to(torch.uint8)[None], moves)[0]
    return PixelMap(torch.where(still_known > 0, values, torch.nan))


def _moved_masks(masks: Tensor, moves: Sequence[Move]) -> Tensor:
    """``[N, H, W]`` masks, or maps of numbers, after all moves."""
    moved: Any = tv_tensors.Mask(masks)
    for move in moves:
        moved = move.apply(moved)
    result: Tensor = moved.as_subclass(Tensor)
    return result.contiguous()


def _moved_instances(sample: Sample, instances: Instances, moves: Sequence[Move], size: Size) -> Instances:
    masks = None if instances.masks is None else _moved_rle(instances.masks, moves, size)
    boxes = _moved_boxes(instances.boxes_xyxy, instances.size, moves) if masks is None else masks.boxes_xyxy()
    keypoints = (
        None
        if instances.keypoints is None
        else _moved_keypoints(sample, instances.keypoints, instances.size, moves)
    )
    moved = Instances(size, boxes, instances.labels, masks, instances.scores, keypoints, instances.is_crowd)
    # What is left must cover a pixel; the box of a mask always does, and that of an empty mask is all zeros.
    return moved[((boxes[:, 2:] - boxes[:, :2]) >= 1).all(dim=1)]


def _moved_rle(masks: Masks, moves: Sequence[Move], size: Size) -> Masks:
    chunk = max(1, _CHUNK_PIXELS // (masks.size[0] * masks.size[1]))
    counts: list[bytes] = []
    for start in range(0, len(masks), chunk):
        dense = masks[start : start + chunk].dense().to(torch.uint8)
        counts += Masks.from_dense(_moved_masks(dense, moves)).counts
    return Masks(size, tuple(counts))


def _moved_boxes(boxes: Tensor, size: Size, moves: Sequence[Move]) -> Tensor:
    moved: Any = tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=size)
    for move in moves:
        moved = F.clamp_bounding_boxes(move.apply(moved))
    result: Tensor = moved.as_subclass(Tensor)
    return result.clone()


def _moved_keypoints(sample: Sample, keypoints: Tensor, size: Size, moves: Sequence[Move]) -> Tensor:
    """Keypoints move as boxes without extent: torchvision's own keypoints count from pixel centers, ours from
    pixel corners.
    """
    xy = keypoints[..., :2].reshape(-1, 2)
    visibility = keypoints[..., 2].reshape(-1).clone()
    moved: Any = tv_tensors.BoundingBoxes(
        xy.repeat(1, 2), format="XYXY", canvas_size=size, clamping_mode=None
    )
    for move in moves:
        if move.apply in (F.horizontal_flip, F.vertical_flip):
            raise InvalidDataError(
                f"sample {sample.id!r} has keypoints, and a mirror image swaps those on the left with those"
                " on the right. Hint: leave flip out of augment"
            )
        moved = move.apply(moved)
        height, width = moved.canvas_size
        x, y = moved.as_subclass(Tensor)[:, :2].unbind(1)
        visibility[(x < 0) | (y < 0) | (x >= width) | (y >= height)] = 0
    points = (
        moved.as_subclass(Tensor)[:, :2] * (visibility > 0)[:, None]
    )  # COCO's form of an invisible point: 0, 0, 0
    return torch.cat([points, visibility[:, None]], dim=1).reshape(keypoints.shape)


# --- drawing the moves ---


def _uniform(rng: Generator, low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand((), generator=rng))


def _integer(rng: Generator, low: int, high: int) -> int:
    """From low to high, both included."""
    return int(torch.randint(low, high + 1, (), generator=rng))


def _draw_flip(settings: Flip, size: Size, rng: Generator) -> Move | None:
    if _uniform(rng, 0, 1) >= settings.p:
        return None
    return Move(F.horizontal_flip if settings.direction == "horizontal" else F.vertical_flip)


def _draw_rotate(settings: Rotate, size: Size, rng: Generator) -> Move | None:
    if _uniform(rng, 0, 1) >= settings.p:
        return None
    angle = _uniform(rng, -settings.degrees, settings.degrees)
    return Move(lambda x: F.rotate(x, angle, interpolation=InterpolationMode.BILINEAR))


def _draw_scale(settings: Scale, size: Size, rng: Generator) -> Move | None:
    scaled = _scaled(size, _uniform(rng, settings.min, settings.max))
    resize = _resize_move(scaled)
    if not settings.keep_size:
        return resize
    crop = _draw_crop(Crop(size=size), scaled, rng)
    return Move(lambda x: crop.apply(resize.apply(x)))


def _draw_resize(settings: Resize, size: Size, rng: Generator) -> Move | None:
    if settings.size is not None:
        return _resize_move(settings.size)
    if settings.long_side is not None:
        return _resize_move(_scaled(size, settings.long_side / max(size)))
    assert settings.short_side is not None  # the settings saw to it that one is given
    return _resize_move(_scaled(size, settings.short_side / min(size)))


def _scaled(size: Size, factor: float) -> Size:
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def _resize_move(size: Size) -> Move:
    def resize(x: Any) -> Any:
        if isinstance(x, tv_tensors.Mask):
            # torchvision resizes masks by "nearest", which is off the bilinear image by up to half a pixel;
            # "nearest-exact" is not.
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


def _draw_crop(settings: Crop, size: Size, rng: Generator) -> Move:
    # A negative offset is a margin: the image lies somewhere inside the window, or the window somewhere
    # inside the image.
    top, left = (
        _integer(rng, min(0, have - want), max(0, have - want))
        for have, want in zip(size, settings.size, strict=True)
    )
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
