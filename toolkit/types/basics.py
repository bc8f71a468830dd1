"""Shared parts of the types: sizes, void, the names of fields."""

from __future__ import annotations

from typing import TypeAlias

VOID = 255
"""The value in a label map for pixels that belong to no class; so a label map has at most 255 classes."""

BACKGROUND = "background"
"""The class of pixels outside all objects, if the classes include one of this name."""

CONFIDENCE = "confidence"
"""The name in ``Prediction.extras`` of a ``PixelMap`` with the probability, from 0 to 1, of each pixel's
class in the label map.
"""

Size: TypeAlias = tuple[int, int]
"""Height and width in pixels."""

FIELDS = ("label_map", "instances")
"""The fields that samples and predictions may have in addition to the ``extras`` of tasks from plugins."""
