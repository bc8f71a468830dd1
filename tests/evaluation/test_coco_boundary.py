"""Boundary AP is that of Cheng et al.: the smaller of two overlaps for objects, and that of the masks alone
for crowds.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from coco_cases import Case, assert_same_figures, document, make_case, measure, reference, results
from pycocotools import mask as coco_mask
from pycocotools.cocoeval import COCOeval

from toolkit.evaluation.coco import Coco, CocoSettings
from toolkit.evaluation.coco_boundary import boundary
from toolkit.types import Instances, Masks, Prediction, Sample


def naive_boundary(mask: np.ndarray, width: int) -> np.ndarray:
    """The pixels of a mask from which a square of this half-width reaches outside of it, or of the image."""
    padded = np.pad(mask, width)
    inside = np.ones_like(mask)
    for dy in range(2 * width + 1):
        for dx in range(2 * width + 1):
            inside &= padded[dy : dy + mask.shape[0], dx : dx + mask.shape[1]]
    return mask & ~inside


def test_boundaries_are_what_erosion_takes_away() -> None:
    for seed in range(10):
        for instances in (each.instances for each in make_case(seed, with_masks=True).samples):
            assert instances is not None
            assert instances.masks is not None
            for mask, code in zip(instances.masks.dense().numpy(), instances.masks.to_coco(), strict=True):
                assert (
                    coco_mask.decode(boundary(code)) == naive_boundary(mask, 4)
                ).all()  # 2% of a diagonal of 200


class NaiveBoundaryEval(COCOeval):
    """pycocotools with an overlap worked out pixel by pixel."""

    def computeIoU(self, imgId: int, catId: int) -> Any:  # noqa: N802, N803
        truth, found = self._gts[imgId, catId], self._dts[imgId, catId]
        if not truth or not found:
            return []
        overlaps = np.zeros((len(found), len(truth)))
        for d, det in enumerate(sorted(found, key=lambda each: -each["score"])):
            for g, gt in enumerate(truth):
                a, b = (coco_mask.decode(each["segmentation"]).astype(bool) for each in (det, gt))
                if gt["iscrowd"]:
                    overlaps[d, g] = (a & b).sum() / max(a.sum(), 1)
                else:
                    pairs = ((a, b), (naive_boundary(a, 4), naive_boundary(b, 4)))
                    overlaps[d, g] = min((x & y).sum() / max((x | y).sum(), 1) for x, y in pairs)
        return overlaps


def test_boundary_ap_equals_a_plain_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coco_cases.COCOeval", NaiveBoundaryEval)
    with_crowds = 0
    for seed in range(24):
        case = make_case(seed, with_masks=True)
        truth = document(case)
        report = measure(case, boundary=True)
        assert_same_figures(
            report, reference(truth, results(case, boxes=False), "segm"), "boundary", f"seed {seed}"
        )
        with_crowds += any(each["iscrowd"] for each in truth["annotations"])
    assert with_crowds > 5


def rectangles(size: tuple[int, int], *corners: tuple[int, int, int, int]) -> Masks:
    """Masks filled between x0, y0 and x1, y1."""
    dense = torch.zeros(len(corners), *size, dtype=torch.bool)
    for mask, (x0, y0, x1, y1) in zip(dense, corners, strict=True):
        mask[y0:y1, x0:x1] = True
    return Masks.from_dense(dense)


def one_image(truth: Masks, crowd: list[bool], found: Masks, scores: list[float]) -> Case:
    """A single sample with one class."""

    def instances(masks: Masks, **fields: Any) -> Instances:
        labels = torch.zeros(len(masks), dtype=torch.int64)
        return Instances(masks.size, masks.boxes_xyxy(), labels, masks, **fields)

    image = torch.zeros((3, *truth.size), dtype=torch.uint8)
    sample = Sample("a", image, instances=instances(truth, is_crowd=torch.tensor(crowd, dtype=torch.bool)))
    prediction = Prediction("a", truth.size, instances=instances(found, scores=torch.tensor(scores)))
    return Case(("thing",), [sample], [prediction])


def test_a_detection_deep_inside_a_crowd_is_no_false_positive() -> None:
    """Its outline is far from that of the crowd."""
    size = (150, 200)
    case = one_image(
        rectangles(size, (0, 0, 30, 40), (60, 20, 200, 150)),
        [False, True],
        rectangles(size, (110, 70, 140, 100), (0, 0, 30, 40)),
        [0.95, 0.6],
    )
    metrics = measure(case, boundary=True).metrics
    assert metrics["boundary/AP"] == metrics["segm/AP"] == pytest.approx(1.0)


def test_a_detection_deep_inside_an_object_is_a_false_positive() -> None:
    size = (150, 200)
    case = one_image(
        rectangles(size, (60, 20, 200, 150)), [False], rectangles(size, (65, 25, 195, 145)), [0.95]
    )
    metrics = measure(case, boundary=True).metrics
    assert metrics["segm/AP50"] == pytest.approx(1.0)
    assert metrics["boundary/AP50"] == 0


@pytest.mark.parametrize("crowd", [True, False])
def test_images_without_detections_or_objects(crowd: bool) -> None:
    size = (60, 80)
    nothing, something = rectangles(size), rectangles(size, (10, 10, 40, 50))
    missed = measure(one_image(something, [crowd], nothing, []), boundary=True).metrics["boundary/AP"]
    assert np.isnan(missed) if crowd else missed == 0
    assert np.isnan(measure(one_image(nothing, [], something, [0.5]), boundary=True).metrics["boundary/AP"])


def test_files_may_leave_out_what_can_be_known() -> None:
    """Ids from 0, which pycocotools takes for "no match", and annotations without iscrowd or area."""
    for seed in range(10):
        case = make_case(seed, with_masks=True)
        full, found = document(case), results(case, boxes=False)
        for each in full["annotations"]:
            each["iscrowd"] = 0
            each["area"] = float(coco_mask.area(each["segmentation"]))
        bare = json.loads(json.dumps(full))
        for place, each in enumerate(bare["annotations"]):
            del each["iscrowd"], each["area"]
            each["id"] = place
        reports = [
            Coco(CocoSettings(boundary=True), case.classes).report_document(
                truth, json.loads(json.dumps(found)), range(1, len(case.classes) + 1)
            )
            for truth in (full, bare)
        ]
        assert reports[0].to_dict() == reports[1].to_dict(), f"seed {seed}"


def test_boundary_without_masks_says_so() -> None:
    report = measure(make_case(0, with_masks=False), boundary=True)
    assert (
        "Boundary metrics were left out, because they need masks in both truth and predictions."
        in report.notes
    )
