"""What names mean: every evaluator's own metrics are explained, and nothing that is not there."""

from __future__ import annotations

import pytest
from coco_cases import make_case, measure

from toolkit.reporting.glossary import (
    meanings,
    meanings_of_images,
    protocol_in_words,
    short_name,
    title_of,
)


def test_only_what_a_table_has_is_explained() -> None:
    assert meanings([]) == meanings(["own/metric"]) == []
    (ap,) = meanings(["AP"])
    assert ap.startswith("AP is the mean")
    assert [line.split()[0] for line in meanings(["segm/ECE", "segm/F1"])] == ["segm", "F1", "ECE"]
    assert meanings_of_images(["segm/wrong", "bbox/wrong"]) == [
        "wrong counts such detections that are not right."
    ]


def test_charts_of_coco_have_titles_that_say_what_they_show() -> None:
    report = measure(make_case(3, with_masks=True))
    names = [*report.curves, *report.matrices]
    known = [name for name in names if title_of(name) != name]
    assert {name for name in names if not name.endswith(" by score")} == set(known)
    assert title_of("own/curve") == "own/curve"


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        ("coco", []),
        ("objects, protocol box", ["The prompt for each object is its box."]),
        ("objects, protocol point", ["The prompt for each object is one point in it."]),
        (
            "objects, protocol point+1",
            ["The prompt for each object is one point in it, then 1 click where the answer is wrong."],
        ),
        ("coco, protocol auto", ["Without prompts: the model finds all objects by itself."]),
    ],
)
def test_protocols_are_explained(report: str, expected: list[str]) -> None:
    assert protocol_in_words(report) == expected


def test_costs_of_errors_share_a_short_name() -> None:
    assert [short_name(name) for name in ("segm/dAP_missed", "ECE", "segm/AP")] == ["dAP", "ECE", "AP"]
