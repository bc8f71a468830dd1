"""Intervals of differences: resampled figures against samples that are really repeated, and how often an
interval holds the truth.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from toolkit.evaluation.base import Evaluator
from toolkit.evaluation.bootstrap import Difference, difference, draws, resampled_metrics
from toolkit.evaluation.coco import Coco, CocoSettings
from toolkit.evaluation.iou import IoU, IoUSettings
from toolkit.evaluation.objects import Objects, ObjectsSettings
from toolkit.evaluation.protocols import Measurement
from toolkit.types import Instances, Masks, Prediction, Sample

CLASSES = ("background", "a", "b")


def case(index: int) -> tuple[Sample, Prediction]:
    """An image with a few objects and a prediction that is partly right; some images have none."""
    rng = np.random.default_rng(index)
    count = index % 4
    dense = np.zeros((count, 24, 30), bool)
    for mask in dense:
        y, x = rng.integers(0, 16, 2)
        mask[y : y + 8, x : x + 8] = True
    labels = torch.from_numpy(rng.integers(1, 3, count))
    truth = Masks.from_dense(torch.from_numpy(dense))
    found = Masks.from_dense(torch.from_numpy(np.roll(dense, rng.integers(0, 4), axis=2)))
    scores = torch.from_numpy(rng.choice([0.6, 0.8, 0.9], count).astype(np.float32))  # with ties
    image = torch.zeros(3, 24, 30, dtype=torch.uint8)
    sample = Sample(f"image {index}", image, instances=Instances((24, 30), truth.boxes_xyxy(), labels, truth))
    return sample, Prediction(
        sample.id, sample.size, instances=Instances((24, 30), found.boxes_xyxy(), labels, found, scores)
    )


EVALUATORS: dict[str, Any] = {
    "iou": lambda: IoU(IoUSettings(), CLASSES),
    "coco": lambda: Coco(CocoSettings(), CLASSES),
    "objects": lambda: Objects(ObjectsSettings(), CLASSES),
}


@pytest.mark.parametrize("name", EVALUATORS)
def test_a_draw_is_measured_as_images_that_really_come_so_often(name: str) -> None:
    cases = [case(i) for i in range(9)]
    evaluator: Evaluator = EVALUATORS[name]()
    states = []
    for sample, prediction in cases:
        evaluator.reset()
        evaluator.update([sample], [prediction])
        states.append(evaluator.state())
    counts = draws(len(cases), 6, seed=1)
    found = resampled_metrics(evaluator, states, counts)
    for row, times in enumerate(counts.tolist()):
        naive: Evaluator = EVALUATORS[name]()
        for (sample, prediction), count in zip(cases, times, strict=True):
            for copy in range(count):
                other = f"{sample.id}, copy {copy}"
                naive.update(
                    [sample.with_(id=other)],
                    [Prediction(other, prediction.size, instances=prediction.instances)],
                )
        metrics = naive.report().metrics
        assert found.keys() == metrics.keys()
        for metric, value in metrics.items():
            assert found[metric][row] == pytest.approx(value, abs=1e-12, nan_ok=True), metric


def test_the_metrics_of_a_protocol_are_drawn_under_its_name() -> None:
    cases = [case(i) for i in range(5)]
    measurement, plain = (
        Measurement(Coco(CocoSettings(iou_types=("segm",)), CLASSES), p) for p in ("auto", "")
    )
    found = []
    for each in (measurement, plain):
        states = []
        for sample, prediction in cases:
            each.evaluator.reset()
            labels = torch.zeros_like(sample.instances.labels) if sample.instances is not None else None
            one = (
                sample.with_(instances=replace(sample.instances, labels=labels)) if each is plain else sample
            )
            guess = replace(prediction, instances=replace(prediction.instances, labels=labels))
            each.update([one], {each.protocol: [guess]})
            states.append(each.evaluator.state())
        found.append(resampled_metrics(each.evaluator, states, draws(len(cases), 4, seed=1), each.report))
    assert len(found[0]) > 5
    for name, values in found[1].items():
        np.testing.assert_array_equal(found[0][f"auto/{name}"], values)


def test_copies_do_not_change_the_order_among_equal_scores() -> None:
    """Detections of equal score count in the order of the dataset, whatever the ids are."""
    evaluator = Coco(CocoSettings(iou_types=("bbox",)), ("a",))
    states = []
    for name, hit in (("z", True), ("a", False)):
        box = torch.tensor([[0.0, 0.0, 8.0, 8.0]])
        truth = Instances((9, 9), box, torch.tensor([0]))
        found = Instances(
            (9, 9), box if hit else box[:, [0, 1, 3, 3]] / 4, torch.tensor([0]), scores=torch.tensor([0.5])
        )
        evaluator.reset()
        sample = Sample(name, torch.zeros(3, 9, 9, dtype=torch.uint8), instances=truth)
        evaluator.update([sample], [Prediction(name, (9, 9), instances=found)])
        states.append(evaluator.state())
    evaluator._order = {"z": 1, "a": 2}
    evaluator.merge(states)
    whole = evaluator.report().metrics
    evaluator.merge_repeated(states, [1, 1])
    assert evaluator.report().metrics == pytest.approx(dict(whole), nan_ok=True)


def test_draws_are_of_as_many_images_and_repeat_by_seed() -> None:
    counts = draws(40, 500, seed=3)
    assert counts.shape == (500, 40)
    assert (counts.sum(1) == 40).all()
    assert np.array_equal(counts, draws(40, 500, seed=3))
    assert not np.array_equal(counts, draws(40, 500, seed=4))
    assert counts.mean(0) == pytest.approx(np.ones(40), abs=0.25)


def test_an_interval_holds_the_true_difference_as_often_as_it_says() -> None:
    """Two models of which one is better by 0.1 on average, on images that are hard or easy for both."""
    rng = np.random.default_rng(0)
    held, paired, unpaired = 0, [], []
    for trial in range(300):
        hardness = rng.normal(0, 0.3, 50)
        first, second = hardness + rng.normal(0.5, 0.1, 50), hardness + rng.normal(0.6, 0.1, 50)
        counts = draws(50, 300, seed=trial)
        found = difference(second.mean(), first.mean(), counts @ second / 50, counts @ first / 50)
        held += found.low <= 0.1 <= found.high
        paired.append(found.high - found.low)
        other = difference(
            second.mean(), first.mean(), draws(50, 300, seed=trial + 999) @ second / 50, counts @ first / 50
        )
        unpaired.append(other.high - other.low)
    assert 0.90 <= held / 300 <= 0.98
    assert np.mean(paired) < np.mean(unpaired) / 2, "on the same images, what is hard for both cancels out"


def test_undefined_draws_are_left_out() -> None:
    values, first = np.array([1.0, np.nan, 3.0]), np.array([0.0, 0.0, 1.0])
    found = difference(2.5, 0.5, values, first)
    assert (found.value, found.low, found.high) == (2.0, pytest.approx(1.025), pytest.approx(1.975))
    nothing = difference(2.5, 0.5, np.full(3, np.nan), first)
    assert nothing.value == 2.0
    assert math.isnan(nothing.low)
    assert not nothing.is_clear
    assert Difference(1, 0.5, 2).is_clear
    assert Difference(-1, -2, -0.5).is_clear
    assert not Difference(1, -0.5, 2).is_clear
