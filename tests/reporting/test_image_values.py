"""The figures of single images: which one ranks them, and how they are distributed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from toolkit.evaluation.report import Report
from toolkit.reporting.image_values import BINS, distributions, main_values, ranking_values

NAN = float("nan")


def report_of(**figures: list[float]) -> dict[str, Any]:
    names = {name.replace("_", "/", 1) if name != "mean_iou" else name: v for name, v in figures.items()}
    images = tuple("abcdefgh"[: len(next(iter(figures.values())))])
    return Report("own", {}, images=images, per_image=names).to_dict()


def test_objects_are_ranked_by_the_f1_of_masks_and_label_maps_by_their_iou() -> None:
    coco = report_of(bbox_F1=[0.1, 0.2], bbox_wrong=[3.0, 0.0], segm_F1=[0.3, NAN], segm_missed=[1.0, 0.0])
    assert main_values(coco) == ("segm/F1", {"a": 0.3, "b": None})
    masks_first = report_of(segm_F1=[0.3, 0.4], segm_wrong=[0.0, 0.0], bbox_F1=[0.1, 0.2])
    assert main_values(masks_first)[0] == "segm/F1"
    assert main_values(report_of(bbox_wrong=[1.0], bbox_F1=[0.1]))[0] == "bbox/F1"
    assert main_values(report_of(mean_iou=[0.5, 0.25])) == ("mean_iou", {"a": 0.5, "b": 0.25})
    assert main_values(Report("pq", {"PQ": 0.5}).to_dict()) == ("", {})


def test_the_first_report_that_has_figures_of_images_ranks_them() -> None:
    reports = [Report("pq", {"PQ": 0.5}).to_dict(), report_of(mean_iou=[0.5]), report_of(bbox_F1=[1.0])]
    assert ranking_values(reports) == ("mean_iou", {"a": 0.5})
    assert ranking_values([]) == ("", {})


@pytest.mark.parametrize("values", [[0.0, 0.05, 0.5, 1.0, NAN], [1.0], [0.0, 0.0, NAN, NAN]])
def test_shares_have_bars_from_0_to_1(values: list[float]) -> None:
    (found,) = distributions([report_of(mean_iou=values)])
    defined = [value for value in values if not np.isnan(value)]
    assert found["edges"] == pytest.approx(np.linspace(0, 1, BINS + 1))
    assert sum(found["counts"]) == found["images"] == len(defined)
    assert found["undefined"] == len(values) - len(defined)
    assert found["quantiles"] == pytest.approx(np.quantile(defined, [0, 0.25, 0.5, 0.75, 1]), abs=1e-4)
    assert found["mean"] == pytest.approx(np.mean(defined), abs=1e-4)


@pytest.mark.parametrize("highest", [3, BINS, BINS + 1, 137])
def test_counts_have_bars_around_whole_numbers(highest: int) -> None:
    _, found = distributions([report_of(bbox_F1=[0.5, 0.5], bbox_wrong=[0.0, float(highest)])])
    edges = np.array(found["edges"])
    assert edges[0] == -0.5
    assert edges[-1] > highest
    assert len(set(np.diff(edges).round(6))) == 1
    assert len(edges) <= BINS + 1
    assert (found["counts"][0], found["counts"][-1]) == (1, 1)


def test_other_numbers_have_bars_from_the_lowest_to_the_highest() -> None:
    (found,) = distributions([report_of(error=[-1.5, 0.25, 7.25])])
    assert (found["edges"][0], found["edges"][-1], len(found["counts"])) == (-1.5, 7.25, BINS)
    assert sum(found["counts"]) == 3


def test_undefined_everywhere_has_no_bars() -> None:
    (found,) = distributions([report_of(mean_iou=[NAN, NAN])])
    assert (found["counts"], found["edges"], found["mean"], found["undefined"]) == ([], [], None, 2)
    assert distributions([Report("own", {"x": 1.0}).to_dict()]) == []
