"""Draws maps over images, and grids of feature maps and kernels."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toolkit.explaining.types import Explanation
from toolkit.types import Size, Target
from toolkit.visualization.labels import Caption, Picture, fitting_letters, place_labels
from toolkit.visualization.scaling import scale_image

_STRONGEST = 99.5
"""Percentile of a map that is drawn in the strongest color, so that single pixels do not dim the rest."""
_COVER = 0.75
"""How much of the photo the strongest color covers."""
_LONGEST_GRID = 4096
"""Longest side of a grid, in pixels."""


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


def draw_target(picture: Picture, target: Target) -> Picture:
    """Outline a target in place: the mask, the box of an object, the points and the box of a prompt."""
    line = max(1, round(min(picture.shape[:2]) / 200))
    if target.mask is not None:
        mask = target.mask.numpy().astype(np.uint8)
        outlines, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        _contrasting(lambda color, width: cv2.drawContours(picture, outlines, -1, color, width), line)
    boxes = [target.box_xyxy] if target.box_xyxy is not None else []
    prompts = target.prompts
    if prompts is not None and prompts.boxes_xyxy is not None:
        boxes.append(prompts.boxes_xyxy[0])
    for box in boxes:
        x0, y0, x1, y1 = (round(value) for value in box.tolist())
        _contrasting(
            lambda color, width, a=(x0, y0), b=(x1 - 1, y1 - 1): cv2.rectangle(picture, a, b, color, width),
            line,
        )
    if prompts is not None and prompts.points_xy is not None:
        for x, y in prompts.points_xy[0].round().int().tolist():
            _contrasting(
                lambda color, width, at=(x, y): cv2.drawMarker(
                    picture, at, color, cv2.MARKER_CROSS, 8 * line, width
                ),
                line,
            )
    return picture


def _contrasting(draw: object, line: int) -> None:
    """Draw in white on a darker rim, which is visible on any image."""
    assert callable(draw)
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
    outlined = draw_target(np.ascontiguousarray(small.permute(1, 2, 0).numpy()), scaled_target(target, size))
    values = torch.from_numpy(cv2.resize(values.numpy(), size[::-1], interpolation=cv2.INTER_AREA))
    return tuple(  # type: ignore[return-value]
        torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)
        for picture in (outlined, heat_map(small, values))
    )


def scaled_target(target: Target, size: Size) -> Target:
    """What ``draw_target`` draws of a target, in an image of another size; a mask must tell the old size."""
    if target.mask is None:
        return Target("class", target.label or 0)
    old = target.mask.shape
    mask = cv2.resize(target.mask.numpy().astype(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST)
    by = torch.tensor([size[1] / old[1], size[0] / old[0]])
    box = None if target.box_xyxy is None else target.box_xyxy * by.repeat(2)
    prompts = target.prompts
    if prompts is not None and prompts.boxes_xyxy is not None:
        box = prompts.boxes_xyxy[0] * by.repeat(2)
    return Target("class", target.label or 0, torch.from_numpy(mask.astype(bool)), box)


def captioned(picture: Picture, words: Sequence[str]) -> Picture:
    """Write words into a corner of a picture, in place, as far as there is room."""
    height, width = picture.shape[:2]
    captions = [Caption(each, "", (0, 0, width, height)) for each in words]
    for label in place_labels(captions, (height, width), fitting_letters((height, width))):
        if label is not None:
            label.draw(picture, (200, 30, 30))
    return picture


def sheet_title(explanation: Explanation, words: str, notes: Sequence[str] = ()) -> str:
    """The line above a row of a contact sheet: the image, its target, its score, and notes."""
    return ", ".join([explanation.sample_id, words, f"score {explanation.score:.3g}", *notes])


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
    scale = max(1, 48 // max(height, width))
    scale_down = min(1.0, (_LONGEST_GRID / columns - 2) / max(height, width))
    size = (
        (height * scale, width * scale)
        if scale_down >= scale
        else (max(1, int(height * min(scale, scale_down))), max(1, int(width * min(scale, scale_down))))
    )
    how = cv2.INTER_NEAREST if size[0] >= height else cv2.INTER_AREA
    picture = np.full((rows * (size[0] + 2) + 2, columns * (size[1] + 2) + 2, 3), 255, np.uint8)
    for number, tile in enumerate(tiles):
        top, left = 2 + number // columns * (size[0] + 2), 2 + number % columns * (size[1] + 2)
        resized = cv2.resize(np.ascontiguousarray(tile), size[::-1], interpolation=how)
        picture[top : top + size[0], left : left + size[1]] = resized
    return picture
