"""Sentences about errors and suspicions."""

from __future__ import annotations

import pytest
from report_cases import A

from toolkit.reporting.cases import KINDS, Case
from toolkit.reporting.suspected_labels import SUSPECTS
from toolkit.reporting.words import case_in_words, errors_in_words, suspect_in_words

CLASSES = ("cat", "dog")


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_names_its_class(kind: str) -> None:
    assert "cat" in case_in_words(Case(kind, 0, A, 0, None, 0.9, 0.6), CLASSES)
    words = case_in_words(Case("confused", 0, A, 0, 1, 0.9, 0.6), CLASSES)
    assert words == "cat found as dog (score 0.90), IoU 0.60"


@pytest.mark.parametrize("kind", SUSPECTS)
def test_every_suspicion_names_its_class(kind: str) -> None:
    said = {suspect_in_words(Case(each, 0, A, 0, None, 0.9, 0.6), CLASSES) for each in SUSPECTS}
    assert len(said) == len(SUSPECTS)
    assert "cat" in suspect_in_words(Case(kind, 0, A, 0, 1, 0.9, 0.6), CLASSES)


def test_a_class_that_there_is_not_is_a_number() -> None:
    assert case_in_words(Case("missed", 0, A, 7), CLASSES) == "7 not found"


def test_a_region_is_told_with_its_probability() -> None:
    case = Case("missed", 0, A, 0, 1, probability=0.875)
    assert case_in_words(case, CLASSES) == "cat not found, taken for dog (probability 0.88)"
    said = suspect_in_words(Case("region", 0, A, 0, 1, probability=0.875), CLASSES)
    assert said == "labeled cat, but the model sees dog in the whole region, with probability 0.88"


def test_errors_are_told_by_how_many_there_are() -> None:
    assert errors_in_words({"right": 1, "missed": 2, "invented": 5}, 0.5) == (
        "With scores of at least 0.5, 1 detection is right;"
        " 5 detections have no object, 2 objects were missed."
    )
    assert errors_in_words({"right": 3}, 0.25).endswith("3 detections are right; nothing is wrong.")
    assert errors_in_words({"right": 0}, 0.5) == errors_in_words({"missed": 3}, 0.5) == ""
