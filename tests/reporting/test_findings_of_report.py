"""What a report is made of."""

from __future__ import annotations

from report_cases import EVERY_KIND, findings_of

from toolkit.evaluation.bootstrap import Difference
from toolkit.reporting.document import build_document
from toolkit.reporting.findings import Reference


def test_all_but_the_measured_may_be_missing() -> None:
    findings = findings_of(("a", "b"), EVERY_KIND)
    document, _ = build_document(findings)
    assert document["reference"] is None
    assert document["settings"] == document["model"] == document["intervals"] == {}
    assert document["training"] == document["notes"] == []


def test_a_reference_keeps_what_is_undefined() -> None:
    nan = float("nan")
    reference = Reference("other", {"iou": nan}, {"iou": Difference(nan, nan, nan)})
    findings = findings_of(("a", "b"), EVERY_KIND)
    document, _ = build_document(type(findings)(**{**vars(findings), "reference": reference}))
    assert document["reference"] == {
        "name": "other",
        "metrics": {"iou": None},
        "differences": {"iou": {"value": None, "low": None, "high": None}},
    }
