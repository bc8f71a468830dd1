"""Panoptic predictors, whose two models predict window by window."""

from __future__ import annotations

from support.seams import CLASSES, Regions

from toolkit.inference import Tiling
from toolkit.inference.panoptic import PairPredictor
from toolkit.models.sliding_window import windowed


def test_the_window_is_that_of_the_parts() -> None:
    predictor = PairPredictor(Regions(CLASSES), device="cpu")
    assert predictor.window_for_size((200, 300)) is None
    tiling = Tiling(64, 0.25)
    predictor.parts = windowed(Regions(CLASSES), tiling), windowed(Regions(CLASSES), tiling)
    assert predictor.window_for_size((200, 300)) == 64
    assert predictor.window_for_size((50, 60)) is None
