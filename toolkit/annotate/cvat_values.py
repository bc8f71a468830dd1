"""Masks and images as CVAT's SDK has them."""

from __future__ import annotations

import numpy as np
from PIL import Image

from toolkit.annotate.shapes import Shape
from toolkit.config.scale import Scale
from toolkit.formats.cvat_masks import encode_cvat_mask
from toolkit.inference.image_likes import ImageLike

PURPOSE = "annotating with CVAT"
"""What needs the SDK, for messages."""


def mask_points(shape: Shape) -> list[int]:
    """A mask as CVAT's interfaces have it: its run lengths, and the first and last column and row."""
    assert shape.box_xyxy is not None
    x0, y0, x1, y1 = map(int, shape.box_xyxy)
    return [*encode_cvat_mask(shape.mask()[y0:y1, x0:x1]), x0, y0, x1 - 1, y1 - 1]


def readable(image: Image.Image, scale: Scale | None = None) -> ImageLike:
    """An image in RGB; those of 16 or 32 bits, which have no fixed range, by their highest value, unless the
    model has a scale for them.
    """
    if scale is not None or not image.mode.startswith(("I", "F")):
        return image
    values = np.nan_to_num(np.asarray(image, np.float64)).clip(0)
    scaled = values * (255 / max(values.max(), 255.0))
    return Image.fromarray(scaled.round().astype(np.uint8)).convert("RGB")
