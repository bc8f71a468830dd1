"""Detections are matched with objects as COCO does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from report_cases import A, B, objects

from toolkit.reporting.matching import NONE, match, paired_overlaps, truth_overlaps


def test_the_best_score_takes_the_object_and_the_class_must_be_its_own() -> None:
    truth = objects([(0, A), (1, B)])
    found = objects([(0, (5, 5, 25, 20)), (0, A), (0, B), (1, B)], [0.5, 0.9, 0.8, 0.1])
    matched = match(truth, found)
    assert matched.order.tolist() == [1, 2, 0, 3]
    assert matched.match.tolist() == [0, NONE, NONE, 1]
    assert matched.overlaps[2].tolist() == [0.75, 0.0]


def test_a_naive_loop_agrees_on_generated_cases() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        sides = []
        for count in rng.integers(0, 7, 2):
            corners = rng.integers(0, 30, (count, 2))
            sides.append(
                [(int(rng.integers(2)), (int(x), int(y), int(x) + 20, int(y) + 20)) for x, y in corners]
            )
        scores = rng.permutation(len(sides[1])) / 10
        truth, found = objects(sides[0]), objects(sides[1], scores.tolist())
        taken = dict[int, int]()
        for place in sorted(range(len(scores)), key=lambda i: -scores[i]):
            options = [
                (iou(box, sides[0][g][1]), -g)
                for label, box in [sides[1][place]]
                for g in range(len(sides[0]))
                if sides[0][g][0] == label and g not in taken.values()
            ]
            if options and max(options)[0] >= 0.5:
                taken[place] = -max(options)[1]
        matched = match(truth, found)
        pairs = zip(matched.order.tolist(), matched.match.tolist(), strict=True)
        assert {place: target for place, target in pairs if target != NONE} == taken


def iou(a: tuple[int, ...], b: tuple[int, ...]) -> float:
    pixels = [{(x, y) for x in range(c[0], c[2]) for y in range(c[1], c[3])} for c in (a, b)]
    return len(pixels[0] & pixels[1]) / len(pixels[0] | pixels[1])


def test_a_detection_in_a_crowd_is_neither_right_nor_wrong() -> None:
    truth = replace(objects([(0, A)]), is_crowd=torch.tensor([True]))
    matched = match(truth, objects([(0, (10, 10, 20, 20)), (1, A)], [0.9, 0.8]))
    assert matched.ignored.tolist() == [True, False]
    assert matched.match.tolist() == [NONE, NONE]


def test_boxes_are_compared_where_one_side_has_no_masks() -> None:
    truth = objects([(0, A)], with_masks=False)
    assert match(truth, objects([(0, A)], [1.0])).overlaps.tolist() == [[1.0]]


def test_nothing_matches_nothing() -> None:
    matched = match(objects([]), objects([], []))
    assert matched.overlaps.shape == (0, 0)
    assert match(objects([(0, A)]), objects([], [])).overlaps.shape == (0, 1)
    assert match(objects([]), objects([(0, A)], [1.0])).match.tolist() == [NONE]
    assert truth_overlaps(objects([])).shape == (0, 0)


def test_overlaps_of_objects_with_each_other_and_with_answers() -> None:
    truth = objects([(0, A), (1, (5, 5, 25, 15))])
    assert truth_overlaps(truth).tolist() == [[1.0, 0.5], [0.5, 1.0]]
    assert paired_overlaps(truth, objects([(0, A), (0, A)])).tolist() == [1.0, 0.5]
