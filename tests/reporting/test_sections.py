"""The sections of a page, from documents."""

from __future__ import annotations

from typing import Any

from report_cases import EVERY_KIND, findings_of

from toolkit.evaluation.bootstrap import Difference
from toolkit.evaluation.report import Curve, Matrix, Report
from toolkit.reporting import sections
from toolkit.reporting.document import build_document
from toolkit.reporting.findings import Findings, Reference
from toolkit.reporting.parts import Figure, Note, Source, Table

AP = Report("coco", {"AP": 0.5, "AR": 0.25}, {"AP": [0.5, float("nan")]}, ("a", "b"))


def document_of(*reports: Report, **changes: Any) -> dict[str, Any]:
    findings = findings_of(("a", "b"), EVERY_KIND, reports)
    return build_document(Findings(**{**vars(findings), **changes}))[0]


def test_the_headline_has_intervals_where_there_are_any() -> None:
    section = sections.headline(document_of(AP), {})
    assert section is not None
    (table,) = section.parts
    assert isinstance(table, Table)
    assert (list(table.columns), table.rows[0]) == (["metric", "value"], ["AP", 0.5])
    section = sections.headline(document_of(AP, intervals={"AP": (0.4, 0.6)}), {})
    assert section is not None
    (table,) = section.parts
    assert isinstance(table, Table)
    assert [row[2] for row in table.rows] == ["0.4000 … 0.6000", "–"]


def test_the_headline_has_differences_to_a_reference() -> None:
    differences = {"AP": Difference(0.1, 0.05, 0.15), "AR": Difference(-0.1, -0.2, 0.1)}
    reference = Reference("old", {"AP": 0.4, "AR": 0.35}, differences)
    for intervals in ({}, {"AP": (0.4, 0.6)}):
        section = sections.headline(document_of(AP, reference=reference, intervals=intervals), {})
        assert section is not None
        (table,) = section.parts
        assert isinstance(table, Table)
        assert {len(row) for row in table.rows} == {len(table.columns)}
        assert [row[-3:] for row in table.rows] == [
            [0.4, "+0.1000", "+0.0500 … +0.1500 *"],
            [0.35, "-0.1000", "-0.2000 … +0.1000"],
        ]


def test_what_an_evaluator_says_in_words_comes_first_and_details_have_a_table() -> None:
    document = document_of(AP)
    document["reports"][0] |= {"summary": ["Half of it is localization."], "details": ["AR"]}
    section = sections.errors(document, {})
    assert section is not None
    assert section.lead[0] == "Half of it is localization."
    assert section.parts[0] == Table("coco: details", ["metric", "value"], [["AR", 0.25]], notes=[])
    headline = sections.headline(document, {})
    assert headline is not None
    assert isinstance(headline.parts[0], Table)
    assert [row[0] for row in headline.parts[0].rows] == ["AP"]


def test_every_curve_and_matrix_is_drawn_but_for_those_that_the_slider_shows() -> None:
    curves = {
        name: Curve("x", "y", [0.0, 1.0], {"a": [0.1, 0.2]}) for name in ("PR", "F1 by score", "reliability")
    }
    curves["undefined"] = Curve("x", "y", [0.0], {"a": [float("nan")]})
    matrices = {
        "confusion": Matrix("true", "seen", ["a", "b"], ["a", "b"], [[3, 1], [0, 2]]),
        "empty": Matrix("true", "seen", ["a"], ["a"], [[0]]),
    }
    document = document_of(Report("own", {"x": 1.0}, curves=curves, matrices=matrices))
    shown = sections.curves(document, {})
    assert shown is not None
    assert [part.title for part in shown.parts if isinstance(part, Figure)] == [
        "PR: precision over recall, mean of the classes",
        "reliability: are scores what they promise?",
    ]
    shown = sections.errors(document, {})
    assert shown is not None
    assert [part.title for part in shown.parts if isinstance(part, Figure)] == [
        "confusion: which classes are confused"
    ]
    assert [part for part in shown.parts if isinstance(part, Note)] == [
        Note(["Most often confused: 25% of a as b."])
    ]


def test_classes_have_their_counts() -> None:
    section = sections.classes(document_of(AP), {})
    assert section is not None
    (table,) = section.parts
    assert isinstance(table, Table)
    assert table.sortable
    assert table.rows == [["a", 5, 0.5], ["b", 2, None]]
    assert sections.classes(document_of(Report("own", {"x": 1.0})), {}) is None


def test_settings_are_folded_away() -> None:
    section = sections.about(document_of(settings={"train": {"steps": 5}}), {})
    assert section is not None
    source = section.parts[-1]
    assert isinstance(source, Source)
    assert "steps: 5" in source.text
    section = sections.about(document_of(), {})
    assert section is not None
    assert not isinstance(section.parts[-1], Source)
