"""Limits of exports: what counts as rounding, and what is found."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from toolkit import Instances, Masks, PixelMap, Prediction
from toolkit.errors import ExportError
from toolkit.export.parity import LIMITS, compare_metrics, compare_predictions, compare_tensors

SIZE = (60, 80)


def detections(count: int = 3, *, shift: float = 0.0, scores: float = 0.0, masks: bool = True) -> Prediction:
    start = torch.arange(count) * 12.0
    boxes = torch.stack([start, start, start + 20, start + 10], dim=1)
    dense = torch.zeros((count, *SIZE), dtype=torch.bool)
    for mask, (x0, y0, x1, y1) in zip(dense, boxes.int().tolist(), strict=True):
        mask[y0:y1, x0:x1] = True
    instances = Instances(
        SIZE,
        boxes + shift,
        torch.arange(count) % 2,
        masks=Masks.from_dense(dense) if masks else None,
        scores=torch.linspace(0.9, 0.1, count) + scores,
    )
    return Prediction("photo", SIZE, instances=instances)


def only(prediction: Prediction, index: list[int]) -> Prediction:
    assert prediction.instances is not None
    return Prediction("photo", SIZE, instances=prediction.instances[index])


def test_equal_answers_differ_by_nothing() -> None:
    assert compare_predictions(detections(), detections()) == {"boxes": 0, "scores": 0, "mask_iou": 1}
    assert compare_predictions(detections(0), detections(0)) == {"boxes": 0, "scores": 0}


def test_rounding_passes_and_is_measured() -> None:
    found = compare_predictions(detections(), detections(shift=0.05, scores=5e-4))
    assert found["boxes"] == pytest.approx(0.05, abs=1e-5)
    assert found["scores"] == pytest.approx(5e-4, abs=1e-6)


def test_the_order_of_objects_does_not_matter() -> None:
    assert compare_predictions(detections(), only(detections(), [2, 0, 1]))["boxes"] == 0


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (
            detections(shift=0.2),
            r"object 0 \(label 0\) has the box \[0.00, .* in torch, but \[0.20, .*limit is 0.1",
        ),
        (detections(scores=0.002), "object 0 .* has the score 0.90000 in torch, but 0.90200 in the export"),
        (detections(masks=False), "has a mask only in torch"),
        (
            only(detections(), [0, 2]),
            "3 objects in torch, 2 in the export; object 1 in torch .* no counterpart",
        ),
        (only(detections(), [0, 1]), "3 objects in torch, 2 in the export"),
        (detections(0), "3 objects in torch, 0 in the export"),
    ],
    ids=["boxes", "scores", "no masks", "one lost", "a score threshold", "all lost"],
)
def test_a_fault_is_found(found: Prediction, message: str) -> None:
    with pytest.raises(ExportError, match=message):
        compare_predictions(detections(), found)


def test_objects_at_the_threshold_may_come_and_go() -> None:
    limits = replace(LIMITS, threshold=0.1004)
    assert compare_predictions(detections(), only(detections(), [0, 1]), limits)["boxes"] == 0
    with pytest.raises(ExportError, match="object 1 in torch"):
        compare_predictions(detections(), only(detections(), [0, 2]), limits)


def test_masks_lost_beyond_the_first_are_found() -> None:
    found = detections()
    assert found.instances is not None
    assert found.instances.masks is not None
    dense = found.instances.masks.dense().clone()
    dense[1:] = False
    lost = Instances(
        SIZE,
        found.instances.boxes_xyxy,
        found.instances.labels,
        masks=Masks.from_dense(dense),
        scores=found.instances.scores,
    )
    with pytest.raises(ExportError, match=r"object 1 .* mask of 200 pixels in torch and of 0 in the export"):
        compare_predictions(detections(), Prediction("photo", SIZE, instances=lost))


def test_label_maps_may_differ_in_one_of_ten_thousand_pixels() -> None:
    wanted = torch.zeros((200, 200), dtype=torch.uint8)
    found = wanted.clone()
    found[0, :4] = 1
    pair = [Prediction("photo", (200, 200), each) for each in (wanted, found)]
    assert compare_predictions(*pair) == {"pixels": 1e-4}
    found[7, 9] = 3
    with pytest.raises(ExportError, match=r"5 of 40,000 pixels.*x=0, y=0: 0 in torch, 1 in the export"):
        compare_predictions(*pair)


def test_extras_are_compared() -> None:
    def prediction(value: float, name: str = "cat") -> Prediction:
        values = PixelMap(torch.full(SIZE, value))
        return Prediction("photo", SIZE, extras={"confidence": values, "name": name, "score": value})

    assert compare_predictions(prediction(0.5), prediction(0.5004))["scores"] == pytest.approx(4e-4, abs=1e-6)
    with pytest.raises(ExportError, match="confidence is 0.50000 in torch, but 0.60000"):
        compare_predictions(prediction(0.5), prediction(0.6))
    with pytest.raises(ExportError, match="name is 'cat' in torch, but 'dog'"):
        compare_predictions(prediction(0.5), prediction(0.5, "dog"))
    with pytest.raises(ExportError, match="torch predicts confidence, name, score, but the export instances"):
        compare_predictions(prediction(0.5), detections())


def test_tensors_are_compared_relative_to_the_largest_value() -> None:
    wanted = torch.tensor([[100.0, 0.0], [-200.0, 1.0]])
    found = wanted + torch.tensor([[0.0, 0.1], [0.0, 0.0]])
    assert compare_tensors((wanted,), (found,), ("x",), 1e-3, "case") == pytest.approx(5e-4)
    with pytest.raises(ExportError, match=r"case: x\[0, 1\] is 0 in torch, but 0.1 in the export"):
        compare_tensors((wanted,), (found,), ("x",), 1e-4, "case")
    empty = torch.zeros((0, 3))
    assert compare_tensors((empty,), (empty,), ("x",), 1e-4, "case") == 0
    with pytest.raises(ExportError, match=r"x is \[2, 2\] in torch, but \[0, 3\]"):
        compare_tensors((wanted,), (empty,), ("x",), 1e-4, "case")


def test_undefined_metrics_must_be_undefined_in_both() -> None:
    undefined = {"AP": math.nan}
    assert compare_metrics(undefined, undefined, 1e-3, "case") == {"AP": {"torch": None, "export": None}}
    with pytest.raises(ExportError, match="case: AP is nan in torch, but 0.5000"):
        compare_metrics(undefined, {"AP": 0.5}, 1e-3, "case")
    with pytest.raises(
        ExportError, match="AP is 0.4100 in torch, but 0.3700 in the export; the limit is 0.001"
    ):
        compare_metrics({"AP": 0.41}, {"AP": 0.37}, 1e-3, "case")
