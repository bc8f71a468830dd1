"""Precision, recall and F1 over the score, compared with a naive loop."""

from __future__ import annotations

import numpy as np
import pytest
from report_cases import A, B, C, objects

from toolkit.reporting.matching import NONE, match
from toolkit.reporting.score_curves import ALL, score_curves

PLACES = [A, B, C]


def test_a_naive_loop_agrees() -> None:
    rng = np.random.default_rng(0)
    images = []
    for _ in range(12):
        truth = [(int(rng.integers(3)), place) for place in PLACES if rng.random() < 0.7]
        found = [(int(rng.integers(3)), place) for place in PLACES if rng.random() < 0.7]
        images.append(match(objects(truth), objects(found, np.round(rng.random(len(found)), 2).tolist())))
    curves = score_curves(images, ("a", "b", "c", "never"))
    assert curves is not None
    assert [line["name"] for line in curves["lines"]] == [ALL, "a", "b", "c"]
    for line in curves["lines"]:
        mine = line["class"]
        pairs = [
            (float(score), bool(target != NONE))
            for image in images
            for score, label, target in zip(image.scores, image.labels, image.match, strict=True)
            if mine is None or label == mine
        ]
        count = sum(
            int((image.true_labels == mine).sum()) if mine is not None else len(image.true_labels)
            for image in images
        )
        assert line["objects"] == count
        for place, threshold in enumerate(curves["thresholds"]):
            kept = [right for score, right in pairs if score >= threshold - 1e-6]
            if kept:
                assert line["precision"][place] == pytest.approx(sum(kept) / len(kept), abs=1e-4)
            else:
                assert line["precision"][place] is None
            assert line["recall"][place] == pytest.approx(sum(kept) / count, abs=1e-4)
            assert line["f1"][place] == pytest.approx(2 * sum(kept) / (len(kept) + count), abs=1e-4)
        assert line["f1"][line["best"]] == max(line["f1"]) > max(line["f1"][line["best"] + 1 :], default=-1)


def test_a_class_without_objects_has_precision_alone() -> None:
    curves = score_curves([match(objects([]), objects([(0, A)], [0.5]))], ("a",))
    assert curves is not None
    line = curves["lines"][1]
    assert (line["precision"][50], line["precision"][51]) == (0, None)
    assert set(line["recall"]) == set(line["f1"]) == {None}
    assert line["best"] is None


def test_objects_without_detections_are_never_found() -> None:
    curves = score_curves([match(objects([(0, A)]), objects([], []))], ("a",))
    assert curves is not None
    assert set(curves["lines"][0]["recall"]) == {0}
    assert curves["lines"][0]["best"] is None


def test_there_is_nothing_to_draw_without_both_or_with_other_scores() -> None:
    assert score_curves([], ("a",)) is None
    assert score_curves([match(objects([]), objects([], []))], ("a",)) is None
    assert score_curves([match(objects([]), objects([(0, A)], [17.0]))], ("a",)) is None
