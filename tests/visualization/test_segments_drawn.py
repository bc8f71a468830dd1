from __future__ import annotations

import numpy as np
import torch

from toolkit import registry
from toolkit.types import PanopticMap, Prediction, Sample, Segment
from toolkit.visualization.drawing import overlay
from toolkit.visualization.palettes import default_palette
from toolkit.visualization.segments import draw_segments

CLASSES = ("sky", "cup")
PALETTE = ((0, 0, 255), (255, 0, 0))


def panoptic() -> PanopticMap:
    numbers = torch.zeros((60, 80), dtype=torch.int32)
    numbers[:30], numbers[35:55, 10:40] = 1, 2
    return PanopticMap(numbers, (Segment(0, False), Segment(1, True, score=0.75)))


def test_stuff_and_things_are_tinted_and_void_stays() -> None:
    picture = np.full((60, 80, 3), 100, np.uint8)
    drawn = draw_segments(
        picture, Prediction("a", (60, 80), extras={"panoptic": panoptic()}), CLASSES, PALETTE, 1
    )
    assert drawn is picture
    assert drawn[28, 78].argmax() == 2
    assert drawn[45, 38].argmax() == 0
    assert (drawn[58, 60:] == 100).all()


def test_segments_stand_for_the_label_map_and_the_objects() -> None:
    """They would be drawn twice, one over the other."""
    segments = panoptic()
    image = torch.full((3, 60, 80), 100, dtype=torch.uint8)
    whole = Sample("a", image, segments.label_map(), segments.things(), extras={"panoptic": segments})
    assert registry.fields_to_draw(whole.fields()) == ["panoptic"]
    assert registry.fields_to_draw(["label_map", "instances"]) == ["label_map", "instances"]
    alone = Sample("a", image, extras={"panoptic": segments})
    one, other = (overlay(image, each, CLASSES, PALETTE, legend=True) for each in (whole, alone))
    assert np.array_equal(one, other)
    assert not np.array_equal(one, np.full((60, 80, 3), 100))


def test_empty_maps_and_unknown_classes_are_drawn_too() -> None:
    image = torch.full((3, 20, 20), 100, dtype=torch.uint8)
    empty = Sample("a", image, extras={"panoptic": PanopticMap(torch.zeros((20, 20), dtype=torch.int32))})
    assert (overlay(image, empty, CLASSES, PALETTE) == 100).all()
    far = PanopticMap(torch.ones((20, 20), dtype=torch.int32), (Segment(400, False),))
    drawn = overlay(image, Sample("a", image, extras={"panoptic": far}), CLASSES, default_palette(2))
    assert not (drawn == 100).all()
