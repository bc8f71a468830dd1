"""Pictures for people: predictions drawn over photos, and sheets that put image, truth and prediction side by
side.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from torch import Tensor

from toolkit import registry
from toolkit.errors import OutputError, UsageError
from toolkit.runtime.files import atomic_write
from toolkit.types import VOID, Instances, Prediction, Sample
from toolkit.types.pixel_runs import Rectangle, dense_in, runs_of_code
from toolkit.visualization.labels import Box, Caption, Color, Picture, fitting_letters, place_labels
from toolkit.visualization.legend import draw_legend, legend_entries
from toolkit.visualization.palettes import Palette, default_palette, full_palette

__all__ = ["Picture", "default_palette", "overlay", "write_picture"]

BLEND = 0.45
"""How strongly a class colors its pixels; its outline has the full color."""

DRAW_ABOVE = 0.5
"""The score that a detection needs to be drawn; detectors return many with lower scores, which only a
precision-recall curve needs.
"""

# Pixels of a picture from which on decoding a small mask in all of it takes longer than its runs.
_LARGE = 1 << 20

JPEG_SIDE = 65_500
"""The longest side that a JPEG can have."""


def confident(prediction: Prediction, score_threshold: float = DRAW_ABOVE) -> Prediction:
    """The prediction without the objects with lower scores."""
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
    legend: bool = False,
) -> Picture:
    """Draw what is known about an image over it: each class in its color, objects with their outline, box,
    name and score. Names that are too long are shortened at their end; those for which there is no room are
    left out.

    Args:
        image: uint8 ``[3, H, W]``, RGB.
        labeled: a prediction, or a sample with its truth; everything that a task can draw is drawn. Void
            stays as it is.
        classes: the names that labels stand for; labels beyond them are shown as numbers.
        palette: one RGB color per class.
        letter_height: height of the names, in pixels, if there is room for them; None fits it to the image.
        legend: whether to say in a corner what the colors of a label map mean, if there is room for it.

    Returns:
        uint8 ``[H, W, 3]``, RGB, a new array.
    """
    picture = np.array(image.permute(1, 2, 0).numpy(), order="C")
    drawn = registry.fields_to_draw(labeled.fields())
    for draw in registry.functions_for("draw", drawn):
        picture = draw(picture, labeled, classes, palette, letter_height)
    if legend and labeled.label_map is not None and "label_map" in drawn:
        draw_legend(picture, legend_entries(labeled.label_map, classes, palette), letter_height)
    return picture


def draw_label_map(
    picture: Picture,
    labeled: Prediction | Sample,
    classes: Sequence[str],
    palette: Palette,
    letter_height: int | None = None,
) -> Picture:
    """Draw a label map in place: pixels tinted by their class, borders between classes in full color."""
    if labeled.label_map is None:
        return picture
    label_map = labeled.label_map.numpy()
    paint = cv2.applyColorMap(label_map, full_palette(palette)[:256, None])
    blended = cv2.addWeighted(picture, 1 - BLEND, paint, BLEND, 0)
    edges = cv2.morphologyEx(label_map, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    cv2.copyTo(paint, edges, blended)
    cv2.copyTo(blended, (label_map != VOID).view(np.uint8), picture)
    return picture


def draw_objects(
    picture: Picture,
    labeled: Prediction | Sample,
    classes: Sequence[str],
    palette: Palette,
    letter_height: int | None = None,
) -> Picture:
    """Draw objects in place: masks, boxes, and names with scores on top."""
    if labeled.instances is None:
        return picture
    colors = full_palette(palette)
    draw_regions(picture, labeled.instances, colors)
    draw_labels(
        picture, labeled.instances, classes, colors, letter_height or fitting_letters(picture.shape[:2])
    )
    return picture


def draw_regions(picture: Picture, instances: Instances, colors: NDArray[np.uint8]) -> None:
    """Draw masks and boxes of objects in place, the best last so that they are on top."""
    line = max(1, round(min(picture.shape[:2]) / 400))
    for i in reversed(_best_first(instances)):
        color = _color_of(i, instances, colors)
        if instances.masks is not None:
            code = {"size": list(instances.size), "counts": instances.masks.counts[i]}
            _blend_mask(picture, code, color, line)
        x0, y0, x1, y1 = _whole_pixels(instances.boxes_xyxy[i])
        cv2.rectangle(picture, (x0, y0), (x1 - 1, y1 - 1), color, line)


def draw_labels(
    picture: Picture,
    instances: Instances,
    classes: Sequence[str],
    colors: NDArray[np.uint8],
    letter_height: int,
) -> None:
    """Draw names and scores of objects in place, after all masks so that none is hidden."""
    order = _best_first(instances)
    captions = [_caption(i, instances, classes) for i in order]
    labels = place_labels(captions, instances.size, letter_height)
    for i, label in zip(order, labels, strict=True):
        if label is not None:
            label.draw(picture, _color_of(i, instances, colors))


def _best_first(instances: Instances) -> list[int]:
    if instances.scores is None:
        return list(reversed(range(len(instances))))
    return list(reversed(torch.argsort(instances.scores, stable=True).tolist()))


def _caption(i: int, instances: Instances, classes: Sequence[str]) -> Caption:
    label = int(instances.labels[i])
    name = classes[label] if label < len(classes) else str(label)
    score = "" if instances.scores is None else f"{instances.scores[i]:.2f}"
    return Caption(name, score, _whole_pixels(instances.boxes_xyxy[i]))


def _color_of(i: int, instances: Instances, colors: NDArray[np.uint8]) -> Color:
    return rgb(colors[int(instances.labels[i]) % len(colors)])


def _whole_pixels(box: Tensor) -> Box:
    x0, y0, x1, y1 = (round(v) for v in box.tolist())
    return x0, y0, x1, y1


def _blend_mask(picture: Picture, code: dict[str, Any], color: Color, line: int) -> None:
    """Blend one mask in place, in its own crop of the picture."""
    x, y, width, height = (int(v) for v in coco_mask.toBbox(code))
    if width == 0 or height == 0:
        return
    inside = (slice(y, y + height), slice(x, x + width))
    if picture.shape[0] * picture.shape[1] > _LARGE:
        runs = runs_of_code(code["counts"], code["size"])
        mask = dense_in(runs, Rectangle(y, x, y + height, x + width))
    else:
        mask = np.ascontiguousarray(coco_mask.decode(code)[inside])
    crop = picture[inside]
    tinted = cv2.addWeighted(crop, 1 - BLEND, np.full_like(crop, color), BLEND, 0)
    cv2.copyTo(tinted, mask, crop)
    outlines, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(crop, outlines, -1, color, line)


def rgb(color: NDArray[np.uint8]) -> Color:
    red, green, blue = (int(v) for v in color)
    return red, green, blue


def write_picture(path: str | os.PathLike[str], picture: Picture) -> None:
    """Write a picture in the format of the suffix (JPEG at quality 90, PNG, …), completely or not at all.

    Raises:
        UsageError: when no picture format has this suffix.
        OutputError: when the file cannot be written, or its format does not support so many pixels.
    """
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in (".jpg", ".jpeg", ".png", ".webp", ".bmp"):
        raise UsageError(f"{path}: a picture must end in .jpg, .png, .webp or .bmp, not {suffix!r}")
    try:
        code = encode_picture(picture, suffix)
    except OutputError as error:
        raise OutputError(f"{path} cannot be written: {error}. Hint: use .png") from None
    with atomic_write(path) as file:
        file.write(code)


def fit_jpeg(picture: Picture) -> Picture:
    """A picture, shrunk where it is larger than a JPEG can be."""
    height, width = picture.shape[:2]
    scale = JPEG_SIDE / max(height, width)
    if scale >= 1:
        return picture
    size = max(1, int(width * scale)), max(1, int(height * scale))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def encode_picture(picture: Picture, suffix: str) -> bytes:
    """A picture in the format of a suffix, JPEG at quality 90.

    Raises:
        OutputError: when the format does not support so many pixels.
    """
    options = [cv2.IMWRITE_JPEG_QUALITY, 90] if suffix in (".jpg", ".jpeg") else []
    try:
        done, code = cv2.imencode(suffix, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options)
    except cv2.error as error:
        done, reason = False, error.err
    else:
        reason = "the encoder refused it"
    if not done:
        height, width = picture.shape[:2]
        raise OutputError(f"a {suffix} of {width} x {height} pixels cannot be encoded ({reason})")
    return code.tobytes()
