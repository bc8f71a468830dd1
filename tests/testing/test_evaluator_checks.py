"""Each check of an evaluator finds the fault that is planted for it, and finds nothing where there is
none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from toolkit import Evaluator, Prediction, Report, Sample
from toolkit.errors import InvalidDataError
from toolkit.testing import EVALUATOR_CHECKS, EvaluatorCase
from toolkit.testing.evaluator_checks import imperfect

BY_NAME = {check.__name__: check for check in EVALUATOR_CHECKS}


class Agreement(Evaluator):
    """The part of the pixels that agree."""

    def __init__(self, fault: str) -> None:
        self.fault, self.right, self.pixels, self.reports = fault, torch.zeros(1), torch.zeros(1), 0
        self.last = 0.0

    def reset(self) -> None:
        if self.fault != "reset_forgets":
            self.right, self.pixels = torch.zeros(1), torch.zeros(1)

    def _update(self, sample: Sample, prediction: Prediction) -> None:
        if sample.label_map is None and self.fault == "takes what lacks labels":
            return
        if sample.label_map is None or prediction.label_map is None:
            raise InvalidDataError(
                "a label map is missing"
                if self.fault == "names no sample"
                else f"sample {sample.id!r} has no label map"
            )
        right = (sample.label_map == prediction.label_map).sum()
        self.last = float(right) / sample.label_map.numel()
        self.right += right
        self.pixels += sample.label_map.numel()

    def state(self) -> tuple[torch.Tensor, torch.Tensor]:
        return self.right, self.pixels

    def merge(self, states: Sequence[Any]) -> None:
        if self.fault == "own state zeroed":
            self.right.zero_()
        if self.fault == "parts_merge_to_the_whole":
            states = states[1:]
        self.right = torch.stack([right for right, _ in states]).sum(0)
        self.pixels = torch.stack([pixels for _, pixels in states]).sum(0)

    def report(self) -> Report:
        self.reports += self.fault == "reporting_changes_nothing"
        value = (
            float(self.right / self.pixels)
            if self.pixels or self.fault != "nothing_measured_is_undefined"
            else 0.0
        )
        if self.fault == "order_does_not_matter":
            value = self.last
        if self.fault == "perfect_predictions_are_best":
            value = 1 - value
        value += self.reports
        name = "agreement" if self.pixels or self.fault != "other names before" else "nothing"
        return Report(
            "agreement", {name: torch.tensor(value) if self.fault == "reports_are_complete" else value}
        )  # type: ignore[dict-item]


class Case(EvaluatorCase):
    """The evaluator above with a fault."""

    measures = ("label_map",)

    def build(self) -> Evaluator:
        evaluator = Agreement(self.evaluator)
        evaluator.reset()
        return evaluator


PLANTED = [
    ("reports_are_complete", "reports_are_complete", r"the metrics \['agreement'\] are not floats"),
    (
        "nothing_measured_is_undefined",
        "nothing_measured_is_undefined",
        r"before the first update \['agreement'\] have values",
    ),
    (
        "nothing_measured_is_undefined",
        "other names before",
        "before the first update the report has no 'agreement'",
    ),
    (
        "parts_merge_to_the_whole",
        "parts_merge_to_the_whole",
        r"merged from parts of \[3, 3\] samples, and from the whole: agreement is",
    ),
    ("parts_merge_to_the_whole", "own state zeroed", "merged from parts"),
    ("order_does_not_matter", "order_does_not_matter", "with the samples in reverse order: agreement is"),
    (
        "perfect_predictions_are_best",
        "perfect_predictions_are_best",
        "agreement is 0 for perfect predictions and",
    ),
    ("reset_forgets", "reset_forgets", "after reset, and in a new evaluator: agreement is"),
    (
        "reporting_changes_nothing",
        "reporting_changes_nothing",
        "with a report after each sample, and with one at the end",
    ),
    ("what_does_not_fit_is_refused", "takes what lacks labels", "a sample without any label is accepted"),
    ("what_does_not_fit_is_refused", "names no sample", "does not name the sample 'generated-0-0'"),
]


@pytest.mark.parametrize(
    "check",
    [
        check
        for check in EVALUATOR_CHECKS
        if check.__name__ not in ("manifest_holds", "settings_are_documented")
    ],
)
def test_an_evaluator_without_faults_passes(check: Any) -> None:
    check(Case("none"))


@pytest.mark.parametrize(("check", "fault", "message"), PLANTED)
def test_each_fault_is_found_by_its_check(check: str, fault: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        BY_NAME[check](Case(fault))


def test_every_check_is_tried_with_a_fault() -> None:
    assert {check for check, _, _ in PLANTED} | {"manifest_holds", "settings_are_documented"} == set(BY_NAME)


def test_the_trial_predictions_are_wrong_in_part() -> None:
    """So that what is compared is neither 0 nor 1."""
    report = Case("none").measured(Case("none").pairs())
    assert 0.3 < report.metrics["agreement"] < 0.99
    assert not math.isnan(report.metrics["agreement"])


def test_what_is_about_the_image_as_a_whole_is_wrong_in_part_too() -> None:
    """It cannot be shifted, so every third prediction has that of another sample."""
    image = torch.zeros(3, 4, 5, dtype=torch.uint8)
    one, other = (Sample(name, image, extras={"count": value}) for name, value in (("a", 1), ("b", 2)))
    found = [imperfect(one, seed, other).extras["count"] for seed in range(6)]
    assert found == [1, 1, 2, 1, 1, 2]
    assert imperfect(one, 2, Sample("b", image)).extras["count"] == 1
