"""What the types have in common: sizes, void, the names of fields."""

from __future__ import annotations

from typing import TypeAlias

VOID = 255
"""The value in a label map for pixels that belong to no class; so a label map has at most 255 classes."""

BACKGROUND = "background"
"""The class that pixels outside all objects belong to, where the classes name one so."""

CONFIDENCE = "confidence"
"""The name in ``Prediction.extras`` of a ``PixelMap`` with the probability, from 0 to 1, of each pixel's
class in the label map.
"""

Size: TypeAlias = tuple[int, int]
"""Height and width in pixels."""

FIELDS = ("label_map", "instances")
"""What a sample and a prediction may both have beside the ``extras`` of tasks that plugins bring."""
