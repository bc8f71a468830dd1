"""Draws maps over images, and grids of feature maps and kernels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toolkit.explaining.types import Explanation
from toolkit.types import Size, Target
from toolkit.visualization.labels import Caption, Color, Picture, fitting_letters, place_labels
from toolkit.visualization.scaling import scale_image

_STRONGEST = 99.5
"""Percentile of a map that is drawn in the strongest color, so that single pixels do not dim the rest."""
_COVER = 0.75
"""How much of the photo the strongest color covers."""
_LONGEST_GRID = 4096
"""Longest side of a grid, in pixels."""

_LEAST_TILE = 48
"""Side to which smaller tiles of a grid are enlarged, in pixels, by a whole number of times."""

Corner: TypeAlias = tuple[int, int]


def heat_map(image: Tensor, values: Tensor) -> Picture:
    """A map over its image: the larger a value, the more its color covers the image; values up to 0 leave the
    image as it is.

    Args:
        image: uint8 ``[3, H, W]``, RGB.
        values: float32 ``[H, W]``.

    Returns:
        uint8 ``[H, W, 3]``, RGB, a new array.
    """
    strength = strengths(values)
    picture = image.permute(1, 2, 0).numpy().astype(np.float32)
    colors = cv2.applyColorMap((strength * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    cover = (_COVER * np.sqrt(strength))[..., None]
    return np.asarray(picture * (1 - cover) + colors * cover + 0.5, np.uint8)


def strengths(values: Tensor) -> NDArray[np.float32]:
    """A map from 0 to 1, float32 ``[H, W]``: 1 for the largest values, 0 for those up to 0."""
    positive = values.clamp(min=0).numpy()
    above = positive[positive > 0]
    if not len(above):
        return np.zeros_like(positive)
    largest = max(float(np.percentile(positive, _STRONGEST)), float(np.percentile(above, 50)))
    return np.asarray(np.clip(positive / largest, 0, 1), np.float32)


def draw_target(picture: Picture, target: Target, size: Size) -> Picture:
    """Outline a target in place: the mask, the box of an object, the points and the box of a prompt.

    Args:
        picture: the image, at any scale.
        target: in pixels of the image.
        size: height and width of the image.

    Returns:
        The picture.
    """
    height, width = picture.shape[:2]
    line = max(1, round(min(height, width) / 300))
    by = torch.tensor([width / size[1], height / size[0]])
    if target.mask is not None:
        mask = target.mask.numpy().astype(np.uint8)
        if mask.shape != (height, width):
            mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST).astype(np.uint8)
        outlines, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        _contrasting(lambda color, width: cv2.drawContours(picture, outlines, -1, color, width), line)
    boxes, points = _marks(target)
    for x0, y0, x1, y1 in (boxes * by.repeat(2)).round().int().tolist():
        corners = (x0, y0), (x1 - 1, y1 - 1)
        _contrasting(partial(_rectangle, picture, *corners), line)
    for x, y in (points * by).round().int().tolist():
        _contrasting(partial(_cross, picture, (x, y), 8 * line), line)
    return picture


def _marks(target: Target) -> tuple[Tensor, Tensor]:
    """The boxes ``[N, 4]`` and points ``[N, 2]`` of a target."""
    prompts = target.prompts
    boxes = [target.box_xyxy[None]] if target.box_xyxy is not None else []
    boxes += [prompts.boxes_xyxy] if prompts is not None and prompts.boxes_xyxy is not None else []
    points = [prompts.points_xy[0]] if prompts is not None and prompts.points_xy is not None else []
    return torch.cat([*boxes, torch.zeros(0, 4)]), torch.cat([*points, torch.zeros(0, 2)])


def _rectangle(picture: Picture, start: Corner, end: Corner, color: Color, width: int) -> None:
    cv2.rectangle(picture, start, end, color, width)


def _cross(picture: Picture, at: Corner, side: int, color: Color, width: int) -> None:
    cv2.drawMarker(picture, at, color, cv2.MARKER_CROSS, side, width)


def _contrasting(draw: Callable[[Color, int], object], line: int) -> None:
    """Draw in white on a darker rim, which is visible on any image."""
    draw((0, 0, 0), 3 * line)
    draw((255, 255, 255), line)


def fitted(image: Tensor, values: Tensor, target: Target, cell: int) -> tuple[Tensor, Tensor]:
    """For a contact sheet, an image with its target outlined, and the map over it, at most ``cell`` pixels
    wide and high; uint8 ``[3, h, w]`` both.
    """
    height, width = image.shape[1:]
    scale = min(cell / width, cell / height)
    size = max(1, round(height * scale)), max(1, round(width * scale))
    small = scale_image(image, size)
    outlined = draw_target(np.array(small.permute(1, 2, 0).numpy(), order="C"), target, (height, width))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    scaled = torch.from_numpy(cv2.resize(values.numpy(), size[::-1], interpolation=how))
    return _tensor(outlined), _tensor(heat_map(small, scaled))


def _tensor(picture: Picture) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)


def captioned(picture: Picture, words: Sequence[str]) -> Picture:
    """Write words into a corner of a picture, in place, as far as there is room."""
    height, width = picture.shape[:2]
    captions = [Caption(each, "", (0, 0, width, height)) for each in words]
    for label in place_labels(captions, (height, width), fitting_letters((height, width))):
        if label is not None:
            label.draw(picture, (200, 30, 30))
    return picture


def sheet_title(explanation: Explanation, words: str) -> str:
    """The line above a row of a contact sheet: the image, its target and its score."""
    return ", ".join([explanation.sample_id, words, f"score {explanation.score:.3g}"])


def channel_grid(maps: Tensor) -> Picture:
    """The channels of feature maps as a grid, in reading order, each from its smallest value (dark) to its
    largest (bright); a channel that is the same everywhere is dark.

    Args:
        maps: floating ``[C, h, w]``.

    Returns:
        uint8 ``[H, W, 3]``, RGB.
    """
    low, high = maps.flatten(1).amin(1), maps.flatten(1).amax(1)
    span = (high - low).clamp(min=1e-12)
    levels = ((maps - low[:, None, None]) / span[:, None, None] * 255).round().to(torch.uint8).cpu().numpy()
    tiles = [cv2.applyColorMap(level, cv2.COLORMAP_VIRIDIS)[..., ::-1] for level in levels]
    return _grid(tiles)


def kernel_grid(kernels: Tensor) -> Picture:
    """The kernels of a layer that sees the image, in color: gray for 0, all on one scale.

    Args:
        kernels: floating ``[K, 3, h, w]``, RGB.

    Returns:
        uint8 ``[H, W, 3]``, RGB.
    """
    largest = float(kernels.abs().max()) or 1.0
    levels = (127.5 + 127.5 * kernels / largest).round().to(torch.uint8)
    return _grid(list(levels.permute(0, 2, 3, 1).cpu().numpy()))


def _grid(tiles: Sequence[Picture]) -> Picture:
    """Tiles of one size in rows and columns, enlarged to be visible or shrunk to fit."""
    columns = math.ceil(math.sqrt(len(tiles)))
    rows = math.ceil(len(tiles) / columns)
    height, width = tiles[0].shape[:2]
    largest = max(height, width)
    scale: float = max(1, _LEAST_TILE // largest)
    scale = min(scale, (_LONGEST_GRID / columns - 2) / largest)
    size = max(1, int(height * scale)), max(1, int(width * scale))
    how = cv2.INTER_NEAREST if size[0] >= height else cv2.INTER_AREA
    picture = np.full((rows * (size[0] + 2) + 2, columns * (size[1] + 2) + 2, 3), 255, np.uint8)
    for number, tile in enumerate(tiles):
        top, left = 2 + number // columns * (size[0] + 2), 2 + number % columns * (size[1] + 2)
        resized = cv2.resize(np.ascontiguousarray(tile), size[::-1], interpolation=how)
        picture[top : top + size[0], left : left + size[1]] = resized
    return picture
