"""Regions in which label maps disagree."""

from __future__ import annotations

import numpy as np
import pytest

from toolkit.reporting.regions import MOST_REGIONS, region_cases
from toolkit.types import VOID

CLASSES = ("background", "disc", "box")


def test_regions_are_named_by_their_classes_and_thick_ones_weigh_more() -> None:
    truth = np.zeros((60, 80), np.uint8)
    truth[5:25, 5:25] = 1
    truth[30:50, 5:25] = 2
    seen = truth.copy()
    seen[5:25, 5:25] = 0
    seen[30:50, 5:25] = 1
    seen[10:30, 50:70] = 2
    seen[55, 30:78] = 1
    cases = {case.kind: case for case in region_cases(4, truth, seen, CLASSES)[:3]}
    assert (cases["missed"].label, cases["missed"].other) == (1, 0)
    assert (cases["confused"].label, cases["confused"].other) == (2, 1)
    assert (cases["invented"].label, cases["invented"].other) == (0, 2)
    assert cases["confused"].box == (5, 30, 25, 50)
    line = region_cases(4, truth, seen, CLASSES)[3]
    assert line.box == (30, 55, 78, 56)
    assert line.weight < 0.2 * cases["missed"].weight


def test_void_counts_nowhere_and_specks_are_left_out() -> None:
    truth = np.full((20, 20), VOID, np.uint8)
    assert region_cases(0, truth, np.ones_like(truth), CLASSES) == []
    truth = np.zeros((20, 20), np.uint8)
    seen = truth.copy()
    seen[3:6, 3:6] = 1
    assert region_cases(0, truth, seen, CLASSES) == []
    seen[:] = VOID
    (case,) = region_cases(0, truth, seen, ("ground", "disc"))
    assert (case.kind, case.other) == ("missed", None)


def test_only_the_largest_are_looked_at() -> None:
    truth = np.zeros((40, 200), np.uint8)
    seen = truth.copy()
    for place in range(8):
        seen[5 : 12 + place, place * 24 : place * 24 + 10] = 1
    cases = region_cases(0, truth, seen, CLASSES)
    assert [case.box[3] for case in cases] == [19, 18, 17, 16]
    assert len(cases) == MOST_REGIONS


def test_the_middle_of_a_region_says_how_sure_the_model_is() -> None:
    truth = np.zeros((40, 40), np.uint8)
    seen = truth.copy()
    seen[5:25, 5:25] = 1
    probability = np.full(truth.shape, 0.9, np.float32)
    assert region_cases(0, truth, seen, CLASSES)[0].probability is None
    assert region_cases(0, truth, seen, CLASSES, probability)[0].probability == pytest.approx(0.9)
    at_edge, in_middle = probability.copy(), probability.copy()
    at_edge[5:7, 5:25] = 0.4
    in_middle[14:16, 5:25] = 0.4
    edge, middle = (region_cases(0, truth, seen, CLASSES, each)[0] for each in (at_edge, in_middle))
    assert edge.probability is not None
    assert middle.probability is not None
    assert 0.9 > edge.probability > middle.probability > 0.4


def test_where_no_probability_is_known_there_is_none() -> None:
    truth = np.zeros((20, 20), np.uint8)
    seen = np.ones_like(truth)
    unknown = np.full(truth.shape, np.nan, np.float32)
    assert region_cases(0, truth, seen, CLASSES, unknown)[0].probability is None
    unknown[3, 3] = 0.5
    assert region_cases(0, truth, seen, CLASSES, unknown)[0].probability == pytest.approx(0.5)
