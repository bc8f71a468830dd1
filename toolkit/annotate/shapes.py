"""What a model found in an image, in the form that annotation tools need: named masks, boxes and classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from toolkit.inference.predictor import Predictor
from toolkit.measuring.polygons import polygons_of
from toolkit.types import BACKGROUND, VOID, Masks, PanopticMap, Prediction, Size, class_scores
from toolkit.visualization.drawing import confident

Kind: TypeAlias = Literal["mask", "rectangle", "tag"]
"""What a model gives for each object, or ``tag`` for a class of the image as a whole."""

SLACK = 1.2
"""By how many pixels a simplified polygon may leave the outline of its mask."""


@dataclass(frozen=True)
class Shape:
    """One object, the region of a class, or the class of the image as a whole.

    Attributes:
        name: the name of its class.
        size: height and width of the image.
        score: from 0 to 1; None where the model gives none.
        code: its mask as compressed COCO run lengths; None if there is none.
        box_xyxy: in pixels; None for the class of an image.
    """

    name: str
    size: Size
    score: float | None = None
    code: bytes | None = None
    box_xyxy: tuple[float, float, float, float] | None = None

    @property
    def kind(self) -> Kind:
        """What is known about it."""
        return "mask" if self.code is not None else "rectangle" if self.box_xyxy is not None else "tag"

    def mask(self) -> NDArray[np.bool_]:
        """The mask, bool ``[H, W]``."""
        assert self.code is not None
        dense: NDArray[np.bool_] = Masks.encoded(self.size, [self.code]).dense()[0].numpy()
        return dense

    def polygons(self) -> list[list[tuple[float, float]]]:
        """The outer outlines of the parts of the mask, simplified; holes are filled, and parts that are so
        thin that nothing is left of them are dropped.
        """
        assert self.box_xyxy is not None
        x0, y0, x1, y1 = map(int, self.box_xyxy)
        found = []
        for outer, *_ in polygons_of(self.mask()[y0:y1, x0:x1].astype(np.uint8)):
            line = cv2.approxPolyDP(np.array(outer, np.int32)[:, None], SLACK, closed=True)[:, 0]
            if len(line) >= 3:
                found.append([(float(x + x0), float(y + y0)) for x, y in line.tolist()])
        return found


def shapes_of(prediction: Prediction, classes: tuple[str, ...], above: float) -> list[Shape]:
    """The objects of a prediction with at least a score, the regions of the classes of a label map other than
    the background, or the most probable class of an image.

    Args:
        prediction: of any kind.
        classes: the names that labels stand for.
        above: the minimum score of objects.
    """
    panoptic = next((each for each in prediction.extras.values() if isinstance(each, PanopticMap)), None)
    if panoptic is not None:
        return _segments(panoptic, classes)
    found = confident(prediction, above).instances
    if found is not None:
        scores = [None] * len(found) if found.scores is None else found.scores.tolist()
        labels = found.labels.tolist()
        if found.masks is not None:
            return [
                shape
                for index, label in enumerate(labels)
                for shape in _region(classes[label], found.masks[[index]], scores[index])
            ]
        boxes = found.boxes_xyxy.tolist()
        return [
            Shape(classes[label], found.size, score, box_xyxy=(box[0], box[1], box[2], box[3]))
            for label, score, box in zip(labels, scores, boxes, strict=True)
        ]
    if prediction.label_map is not None:
        return _regions(prediction, classes)
    scores_of_classes = class_scores(prediction, len(classes))
    if scores_of_classes is None:
        return []
    best = int(scores_of_classes.values.argmax())
    score = float(scores_of_classes.values[best])
    return [Shape(classes[best], prediction.size, score)] if score >= above else []


def kind_of(predictor: Predictor) -> Kind:
    """What a model gives for each object, by what it predicts for an empty image."""
    blank = np.zeros((64, 64, 3), np.uint8)
    prediction = predictor.predict(blank)
    if prediction.label_map is not None or any(
        isinstance(each, PanopticMap) for each in prediction.extras.values()
    ):
        return "mask"
    if prediction.instances is not None:
        return "rectangle" if prediction.instances.masks is None else "mask"
    return "tag"


def names_of_objects(predictor: Predictor) -> tuple[str, ...]:
    """The classes that shapes can have: all but the background of a label map."""
    return tuple(name for name in predictor.classes if name != BACKGROUND)


def region_of(masks: Masks, name: str, score: float | None) -> Shape | None:
    """The only one of some masks as a shape; None if it covers no pixels."""
    return next(iter(_region(name, masks, score)), None)


def _region(name: str, masks: Masks, score: float | None) -> list[Shape]:
    if not int(masks.areas()[0]):
        return []
    x0, y0, x1, y1 = masks.boxes_xyxy()[0].tolist()
    return [Shape(name, masks.size, score, masks.counts[0], (x0, y0, x1, y1))]


def _regions(prediction: Prediction, classes: tuple[str, ...]) -> list[Shape]:
    label_map = prediction.label_map
    assert label_map is not None
    labels = [label for label in torch.unique(label_map).tolist() if label != VOID]
    return [
        shape
        for label in labels
        if classes[label] != BACKGROUND
        for shape in _region(classes[label], Masks.from_dense((label_map == label)[None]), None)
    ]


def _segments(panoptic: PanopticMap, classes: tuple[str, ...]) -> list[Shape]:
    return [
        shape
        for number, segment in enumerate(panoptic.segments, start=1)
        if classes[segment.label] != BACKGROUND
        for shape in _region(
            classes[segment.label], Masks.from_dense((panoptic.numbers == number)[None]), segment.score
        )
    ]
