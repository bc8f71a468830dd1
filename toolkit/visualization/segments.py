"""Draws the segments of an image over it: stuff as regions, things as objects."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from toolkit.types import VOID, Instances, PanopticMap, Prediction, Sample
from toolkit.visualization.drawing import Picture, draw_label_map, draw_regions, rgb
from toolkit.visualization.labels import Caption, fitting_letters, place_labels
from toolkit.visualization.palettes import Palette, full_palette

SMALLEST_NAMED = 0.01
"""The fraction of an image that a region of stuff has to cover to be named."""


def draw_segments(
    picture: Picture,
    labeled: Prediction | Sample,
    classes: Sequence[str],
    palette: Palette,
    letter_height: int | None = None,
) -> Picture:
    """Draw a panoptic map in place: stuff tinted by its class and named, then things with outline, box, name
    and score; void stays as it is.
    """
    panoptic = labeled.get("panoptic")
    if not isinstance(panoptic, PanopticMap):
        return picture
    colors = full_palette(palette)
    draw_label_map(picture, Prediction("stuff", panoptic.size, _stuff(panoptic)), classes, palette)
    draw_regions(picture, panoptic.things(), colors)
    named = _named(panoptic)
    boxes = panoptic.instances(named)
    captions = [_caption(panoptic, number, i, boxes, classes) for i, number in enumerate(named)]
    labels = place_labels(captions, panoptic.size, letter_height or fitting_letters(picture.shape[:2]))
    for number, label in zip(named, labels, strict=True):
        if label is not None:
            label.draw(picture, rgb(colors[panoptic.segments[number - 1].label % len(colors)]))
    return picture


def _stuff(panoptic: PanopticMap) -> torch.Tensor:
    """The class of every pixel of stuff; colors repeat beyond the 255 classes of a label map."""
    tints = [VOID, *(VOID if s.is_thing else s.label % VOID for s in panoptic.segments)]
    return torch.tensor(tints, dtype=torch.uint8)[panoptic.numbers.long()]


def _named(panoptic: PanopticMap) -> list[int]:
    """The numbers of the segments that get a name: things by score, then stuff by area, both descending."""
    areas = panoptic.areas().tolist()
    least = SMALLEST_NAMED * panoptic.numbers.numel()
    things, stuff = [], []
    for number, (segment, area) in enumerate(zip(panoptic.segments, areas, strict=True), start=1):
        if segment.is_thing:
            things.append((-(segment.score or 0.0), number))
        elif area >= least:
            stuff.append((-area, number))
    return [number for _, number in [*sorted(things), *sorted(stuff)]]


def _caption(
    panoptic: PanopticMap, number: int, index: int, boxes: Instances, classes: Sequence[str]
) -> Caption:
    segment = panoptic.segments[number - 1]
    name = classes[segment.label] if segment.label < len(classes) else str(segment.label)
    score = "" if segment.score is None else f"{segment.score:.2f}"
    x0, y0, x1, y1 = (round(value) for value in boxes.boxes_xyxy[index].tolist())
    return Caption(name, score, (x0, y0, x1, y1))
