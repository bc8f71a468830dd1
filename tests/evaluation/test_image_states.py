"""States of single images add up to the whole, and make draws of images."""

from __future__ import annotations

import numpy as np
import pytest

from toolkit.data.generated import GeneratedSamples
from toolkit.evaluation.driver import PredictedBatch
from toolkit.evaluation.image_states import ImageStates
from toolkit.evaluation.iou import IoU, IoUSettings
from toolkit.evaluation.protocols import PLAIN, Measurement
from toolkit.types import Prediction

CLASSES = ("background", "disc")


def seen(images: int) -> tuple[ImageStates, IoU]:
    """States of predictions that are right but for one class, and an evaluator that has seen all at once."""
    dataset = GeneratedSamples(CLASSES, [(20, 30)] * images)
    samples = [dataset[i] for i in range(images)]
    predictions = []
    for i, sample in enumerate(samples):
        assert sample.label_map is not None
        label_map = sample.label_map.clone()
        label_map[: i + 1] = 0
        predictions.append(Prediction(sample.id, sample.size, label_map))
    states = ImageStates([Measurement(IoU(IoUSettings(), CLASSES))], dataset)
    for first in range(0, images, 2):
        part = slice(first, first + 2)
        states.add(PredictedBatch(0, first, samples[part], {PLAIN: predictions[part]}, {}, 0.0))
    whole = IoU(IoUSettings(), CLASSES)
    whole.update(samples, predictions)
    return states, whole


def test_the_whole_is_that_of_all_images_at_once() -> None:
    states, whole = seen(5)
    (report,) = states.reports()
    assert report.metrics == whole.report().metrics


def test_draws_are_the_same_however_long_they_may_take() -> None:
    states, _ = seen(5)
    many = states.spreads(40, seed=3)
    few = states.spreads(40, seed=3, seconds=0.0)
    assert set(map(len, many.values())) == {40}
    assert set(map(len, few.values())) == {2}
    for name, values in few.items():
        assert np.array_equal(values, many[name][:2], equal_nan=True)
    some = states.spreads(40, seed=3, seconds=1e-6, fewest=7)
    assert set(map(len, some.values())) == {2}, "they would take far too long"
    some = states.spreads(40, seed=3, seconds=1e6, fewest=7)
    assert set(map(len, some.values())) == {40}
    assert many["mean_iou"].std() > 0
    states, _ = seen(5)
    assert states.spreads(40, seed=4)["mean_iou"].tolist() != many["mean_iou"].tolist()


@pytest.mark.parametrize("images", [0, 1])
def test_one_image_cannot_be_drawn_from(images: int) -> None:
    assert seen(images)[0].spreads(10) == {}
