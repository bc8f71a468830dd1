"""Each kind of error is called by its name."""

from __future__ import annotations

from report_cases import EVERY_KIND, A, B, C, objects

from toolkit.reporting.cases import KINDS, Case, answer_cases, most_telling, object_cases
from toolkit.reporting.matching import match


def cases_of(truth: list, found: list, scores: list, threshold: float = 0.5) -> list[Case]:
    sides = objects(truth), objects(found, scores)
    return object_cases(0, *sides, match(*sides), threshold)


def test_an_image_with_each_kind() -> None:
    for sample, prediction in EVERY_KIND:
        assert sample.instances is not None
        assert prediction.instances is not None
        matched = match(sample.instances, prediction.instances)
        cases = object_cases(7, sample.instances, prediction.instances, matched, 0.5)
        assert [case.kind for case in cases] == ([sample.id] if sample.id in KINDS else [])
        assert all(case.image == 7 for case in cases)


def test_a_detection_below_the_threshold_is_none() -> None:
    assert [case.kind for case in cases_of([(0, A)], [(0, A), (1, B)], [0.4, 0.3])] == ["missed"]
    assert cases_of([(0, A)], [(0, A), (1, B)], [0.4, 0.3], threshold=0.35) == []


def test_an_object_whose_error_is_explained_is_not_missed_as_well() -> None:
    (case,) = cases_of([(0, A)], [(1, A)], [0.9])
    assert (case.kind, case.label, case.other, case.box) == ("confused", 0, 1, A)
    (case,) = cases_of([(0, A)], [(0, (5, 5, 25, 13))], [0.9])
    assert (case.kind, case.other, case.iou) == ("outlined", None, 0.4)


def test_answers_that_overlap_too_little() -> None:
    truth = objects([(0, A), (1, B)])
    answers = objects([(0, A), (1, (40, 5, 60, 15))], [0.9, 0.8])
    (case,) = answer_cases(3, truth, answers, [1.0, 0.5])
    assert (case.image, case.label, case.iou, round(case.score or 0, 2)) == (3, 1, 0.5, 0.8)
    assert answer_cases(3, truth, answers, [1.0, 0.8]) == []


def test_the_most_telling_are_the_heaviest_and_not_all_of_one_image() -> None:
    cases = [Case("missed", image, C, 0, weight=w) for image, w in [(0, 5), (0, 4), (0, 3), (1, 1), (2, 0.5)]]
    cases.append(Case("invented", 0, C, 0, weight=9))
    chosen = most_telling(cases, each=4, per_image=2)
    assert [(case.kind, case.weight) for case in chosen] == [
        *(("missed", weight) for weight in (5, 4, 1, 0.5)),
        ("invented", 9),
    ]
    assert most_telling([], each=4) == []
