"""Pictures for people: predictions drawn over photos, and sheets that put image, truth and prediction side by
side.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from torch import Tensor

from toolkit.errors import OutputError, UsageError
from toolkit.runtime.files import atomic_write
from toolkit.types import VOID, Instances, Prediction, Sample
from toolkit.visualization.palettes import Palette, default_palette, full_palette

__all__ = ["default_palette", "overlay", "write_picture"]

Picture: TypeAlias = NDArray[np.uint8]
"""uint8 ``[H, W, 3]``, RGB."""

BLEND = 0.45
"""How strongly a class colors its pixels; its outline has the full color."""

_FONT = cv2.FONT_HERSHEY_SIMPLEX
WHITE, BLACK = (255, 255, 255), (0, 0, 0)


DRAW_ABOVE = 0.5
"""The score that a detection needs to be drawn; detectors give many of lower scores, which only a
precision-recall curve wants.
"""


def confident(prediction: Prediction, score_threshold: float = DRAW_ABOVE) -> Prediction:
    """The prediction without the objects of a lower score."""
    found = prediction.instances
    if found is None or found.scores is None:
        return prediction
    return replace(prediction, instances=found[found.scores >= score_threshold])


def overlay(
    image: Tensor,
    labeled: Prediction | Sample,
    classes: Sequence[str],
    palette: Palette,
    *,
    letter_height: int | None = None,
) -> Picture:
    """Draw what is known about an image over it: each class in its color, objects with outline, box, name and
    score.

    Args:
        image: uint8 ``[3, H, W]``, RGB.
        labeled: a prediction, or a sample with its truth; a label map, instances or both. Void stays as it
            is.
        classes: the names that labels stand for; labels beyond them are shown as numbers.
        palette: one RGB color a class.
        letter_height: of the names, in pixels; None fits it to the image.

    Returns:
        uint8 ``[H, W, 3]``, RGB, a new array.
    """
    picture = np.array(image.permute(1, 2, 0).numpy(), order="C")
    colors = full_palette(palette)
    if labeled.label_map is not None:
        picture = _blend_label_map(picture, labeled.label_map.numpy(), colors)
    if labeled.instances is not None:
        lettering = Lettering(letter_height or round(min(max(min(picture.shape[:2]) / 45, 9), 40)))
        _draw_instances(picture, labeled.instances, classes, colors, lettering)
    return picture


def _blend_label_map(picture: Picture, label_map: NDArray[np.uint8], colors: NDArray[np.uint8]) -> Picture:
    paint = cv2.applyColorMap(label_map, colors[:256, None])
    blended = cv2.addWeighted(picture, 1 - BLEND, paint, BLEND, 0)
    edges = cv2.morphologyEx(label_map, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    cv2.copyTo(paint, edges, blended)
    void = (label_map == VOID).view(np.uint8)
    if void.any():
        cv2.copyTo(picture, void, blended)
    return np.asarray(blended, np.uint8)


def _draw_instances(
    picture: Picture,
    instances: Instances,
    classes: Sequence[str],
    colors: NDArray[np.uint8],
    lettering: Lettering,
) -> None:
    """Draw objects in place, the best last so that they lie on top; names come after all masks so that none
    is hidden.
    """
    order = (
        range(len(instances))
        if instances.scores is None
        else torch.argsort(instances.scores, stable=True).tolist()
    )
    line = max(1, round(min(picture.shape[:2]) / 400))
    for i in order:
        color = rgb(colors[int(instances.labels[i]) % len(colors)])
        if instances.masks is not None:
            _blend_mask(
                picture, {"size": list(instances.size), "counts": instances.masks.counts[i]}, color, line
            )
        x0, y0, x1, y1 = (round(v) for v in instances.boxes_xyxy[i].tolist())
        cv2.rectangle(picture, (x0, y0), (x1 - 1, y1 - 1), color, line)
    for i in order:
        label = int(instances.labels[i])
        name = classes[label] if label < len(classes) else str(label)
        text = name if instances.scores is None else f"{name} {instances.scores[i]:.2f}"
        x0, y0 = (round(v) for v in instances.boxes_xyxy[i, :2].tolist())
        _write_label(picture, text, (x0, y0), rgb(colors[label % len(colors)]), lettering)


def _blend_mask(picture: Picture, code: dict[str, Any], color: tuple[int, int, int], line: int) -> None:
    """Blend one mask in place, in its own crop of the picture."""
    x, y, width, height = (int(v) for v in coco_mask.toBbox(code))
    if width == 0 or height == 0:
        return
    inside = (slice(y, y + height), slice(x, x + width))
    mask = np.ascontiguousarray(coco_mask.decode(code)[inside])
    crop = picture[inside]
    tinted = cv2.addWeighted(crop, 1 - BLEND, np.full_like(crop, color), BLEND, 0)
    cv2.copyTo(tinted, mask, crop)
    outlines, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(crop, outlines, -1, color, line)


def rgb(color: NDArray[np.uint8]) -> tuple[int, int, int]:
    red, green, blue = (int(v) for v in color)
    return red, green, blue


@dataclass(frozen=True)
class Lettering:
    """Text of a height in pixels."""

    height: int

    @property
    def weight(self) -> int:
        return max(1, self.height // 12)

    @property
    def scale(self) -> float:
        return float(cv2.getFontScaleFromHeight(_FONT, self.height, self.weight))

    def width(self, text: str) -> int:
        return int(cv2.getTextSize(text, _FONT, self.scale, self.weight)[0][0])

    def write(self, picture: Picture, text: str, x: int, baseline: int, color: tuple[int, int, int]) -> None:
        cv2.putText(picture, text, (x, baseline), _FONT, self.scale, color, self.weight, cv2.LINE_AA)

    def shortened(self, text: str, room: int) -> str:
        """``text``, or as much of it as fits, with an ellipsis."""
        if self.width(text) <= room:
            return text
        while text and self.width(text + "...") > room:
            text = text[:-1]
        return text + "..."


def _write_label(
    picture: Picture, text: str, corner: tuple[int, int], color: tuple[int, int, int], lettering: Lettering
) -> None:
    """Write on a patch of the object's color: above the box where there is room, else inside it, never beyond
    the picture.
    """
    margin = max(2, lettering.height // 4)
    width, height = lettering.width(text) + 2 * margin, lettering.height + 2 * margin
    x = max(0, min(corner[0], picture.shape[1] - width))
    y = corner[1] - height if corner[1] >= height else max(0, corner[1])
    cv2.rectangle(picture, (x, y), (x + width - 1, y + height - 1), color, cv2.FILLED)
    lettering.write(picture, text, x + margin, y + height - 1 - margin, _readable_on(color))


def _readable_on(color: tuple[int, int, int]) -> tuple[int, int, int]:
    """Black or white, by the luma of the background (ITU-R BT.601)."""
    red, green, blue = color
    return BLACK if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else WHITE


def write_picture(path: str | os.PathLike[str], picture: Picture) -> None:
    """Write a picture as the suffix says (JPEG at quality 90, PNG, …), whole or not at all.

    Raises:
        UsageError: when no picture format has this suffix.
        OutputError: when the file cannot be written, or its format cannot hold so many pixels.
    """
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in (".jpg", ".jpeg", ".png", ".webp", ".bmp"):
        raise UsageError(f"{path}: a picture must end in .jpg, .png, .webp or .bmp, not {suffix!r}")
    options = [cv2.IMWRITE_JPEG_QUALITY, 90] if suffix in (".jpg", ".jpeg") else []
    try:
        done, code = cv2.imencode(suffix, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options)
    except cv2.error as error:
        done, reason = False, error.err
    else:
        reason = "the encoder refused it"
    if not done:
        height, width = picture.shape[:2]
        raise OutputError(
            f"{path} cannot be written: a {suffix} of {width} x {height} pixels cannot be encoded ({reason})."
            " Repair: use .png"
        )
    with atomic_write(path) as file:
        file.write(code)
