"""The types of data: ``Sample`` goes in, ``Prediction`` comes out, and both contain ``Instances``.

All arrays are CPU tensors, never modified in place by convention, and checked when built. Pixel coordinates
have their origin at the top-left corner of the top-left pixel; boxes are ``x0, y0, x1, y1`` in pixels with
``x1, y1`` exclusive.
"""

from toolkit.types.basics import BACKGROUND, CONFIDENCE, FIELDS, VOID, Size
from toolkit.types.instances import Instances
from toolkit.types.masks import Index, Masks
from toolkit.types.panoptic import PanopticMap, Segment
from toolkit.types.prompts import Prompts
from toolkit.types.samples import PixelMap, Prediction, Sample
from toolkit.types.targets import Target, TargetKind, TargetPart
from toolkit.types.whole_images import ClassScores, class_scores

__all__ = [
    "BACKGROUND",
    "CONFIDENCE",
    "FIELDS",
    "VOID",
    "ClassScores",
    "Index",
    "Instances",
    "Masks",
    "PanopticMap",
    "PixelMap",
    "Prediction",
    "Prompts",
    "Sample",
    "Segment",
    "Size",
    "Target",
    "TargetKind",
    "TargetPart",
    "class_scores",
]
