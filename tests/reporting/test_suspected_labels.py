"""Faults of labels that were planted are suspected, each as what it is."""

from __future__ import annotations

import numpy as np
import pytest
from report_cases import A, B, C, Placed, objects

from toolkit.reporting.cases import Case
from toolkit.reporting.matching import match
from toolkit.reporting.suspected_labels import (
    Trust,
    answer_suspects,
    confidence_of,
    object_suspects,
    ranked,
    region_suspects,
)

RIGHT = [(0, A), (1, B)]
"""What all other images have, in truth and prediction."""


def suspects(truth: list[Placed], found: list[Placed], scores: list[float]) -> list[Case]:
    sides = [(objects(RIGHT), objects(RIGHT, [0.9, 0.8])) for _ in range(20)]
    sides.append((objects(truth), objects(found, scores)))
    matched = [match(*pair) for pair in sides]
    trust = Trust.of(matched, 2)
    for pair, each in zip(sides[:-1], matched[:-1], strict=True):
        assert object_suspects(0, *pair, each, trust) == []
    return object_suspects(20, *sides[-1], matched[-1], trust)


@pytest.mark.parametrize(
    ("kind", "truth", "found", "scores"),
    [
        ("missing", [(0, A)], [(0, A), (1, B)], [0.9, 0.9]),
        ("class", [(1, A)], [(0, A)], [0.9]),
        ("shifted", [(0, (12, 5, 32, 25))], [(0, A)], [0.9]),
        ("twice", [(0, A), (0, (6, 5, 26, 25))], [(0, A)], [0.9]),
        ("twice", [(0, A), (1, A)], [(0, A)], [0.9]),
        ("spurious", [(0, A), (1, C)], [(0, A)], [0.9]),
    ],
)
def test_each_fault_is_suspected_as_what_it_is(
    kind: str, truth: list[Placed], found: list[Placed], scores: list[float]
) -> None:
    (case,) = suspects(truth, found, scores)
    assert case.kind == kind
    assert case.image == 20
    assert 0.3 < case.weight <= 1


@pytest.mark.parametrize(
    ("truth", "found", "scores"),
    [
        ([(0, A)], [(0, A), (1, B)], [0.9, 0.3]),
        ([(0, A)], [(0, A), (0, (6, 5, 26, 25))], [0.9, 0.8]),
        ([(0, A)], [(0, (5, 5, 25, 24))], [0.9]),
        ([(0, A)], [(0, A), (1, A)], [0.9, 0.6]),
        ([(0, A)], [(0, (5, 5, 25, 10))], [0.1]),
        ([], [], []),
    ],
)
def test_what_is_no_fault_is_not_suspected_much(
    truth: list[Placed], found: list[Placed], scores: list[float]
) -> None:
    assert all(case.weight < 0.2 for case in suspects(truth, found, scores))


def test_a_model_that_is_often_wrong_is_trusted_less() -> None:
    truth, found = objects(RIGHT), objects([(1, C)], [0.9])
    poor = Trust.of([match(truth, found)] * 5 + [match(truth, objects(RIGHT, [0.9, 0.9]))], 2)
    good = Trust.of([match(truth, objects(RIGHT, [0.9, 0.9]))] * 5, 2)
    assert poor.at(0.85) == pytest.approx(2 / 7)
    assert good.at(0.85) == 1
    assert poor.recall.tolist() == pytest.approx([1 / 6, 1 / 6])
    assert good.recall.tolist() == [1, 1]
    assert good.oddness(0.4) > 0.9 > good.oddness(0.99) > good.oddness(1.0) == 0


def test_without_detections_nothing_is_trusted() -> None:
    trust = Trust.of([], 3)
    assert (trust.at(0.9), trust.typical_iou, trust.recall.tolist()) == (0, 1, [0, 0, 0])


def test_regions_weigh_by_how_often_the_model_is_right() -> None:
    cases = [Case("confused", 0, A, 0, 1, weight=0.5), Case("missed", 1, A, 0, 2, weight=0.5)]
    found = region_suspects(cases, np.array([1.0, 0.8, np.nan]))
    assert [(case.kind, case.weight) for case in found] == [("region", 0.4), ("region", 0.0)]


def test_a_region_that_the_model_is_sure_of_ranks_above_one_that_it_is_not() -> None:
    cases = [
        Case("confused", image, A, 0, 1, weight=thickness, probability=probability)
        for image, (thickness, probability) in enumerate([(0.3, 0.45), (0.2, 0.97), (0.1, None), (0.2, 0.6)])
    ]
    precision, certainty = np.array([0.9, 0.9]), np.array([0.9, 0.95])
    assert [case.image for case in ranked(region_suspects(cases, precision, certainty), 4)] == [1, 2, 3, 0]
    # thickness alone decides where the model gives no probabilities
    unknown = np.array([np.nan, np.nan])
    assert [case.image for case in ranked(region_suspects(cases, precision, unknown), 4)] == [0, 1, 3, 2]


def test_confidence_is_measured_by_what_is_usual_for_the_class() -> None:
    assert confidence_of(0.95, 0.9) == confidence_of(0.9, 0.9) == 1
    assert confidence_of(0.6, 0.6) == 1 > confidence_of(0.6, 0.9) > confidence_of(0.45, 0.9) > 0
    assert confidence_of(0.45, 0.9) < 0.1
    assert confidence_of(0.3, float("nan")) == confidence_of(0.3, 0.0) == 1


def test_answers_are_suspected_where_the_model_is_sure() -> None:
    cases = [
        Case("outlined", 0, A, 0, score=score, iou=iou)
        for score, iou in [(0.9, 0.5), (0.4, 0.5), (0.9, 0.1), (None, 0.5)]
    ]
    assert [(case.kind, case.weight) for case in answer_suspects(cases)] == [("shifted", 0.45)]


def test_the_strongest_suspicion_is_first() -> None:
    cases = [Case("class", image, A, 0, weight=w) for image, w in enumerate([0.1, 0.9, 0.5])]
    assert [case.image for case in ranked(cases, 2)] == [1, 2]
