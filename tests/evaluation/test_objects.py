"""The evaluator ``objects`` against dense masks, and evaluation by protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from toolkit.data.dataset import Dataset
from toolkit.errors import InvalidDataError, UsageError
from toolkit.evaluation.base import Evaluator
from toolkit.evaluation.coco import Coco, CocoSettings
from toolkit.evaluation.driver import Subject, evaluate
from toolkit.evaluation.iou import IoU, IoUSettings
from toolkit.evaluation.objects import Objects, ObjectsSettings
from toolkit.evaluation.protocols import Measurement, plan_measurements
from toolkit.models.promptable import PromptableModel
from toolkit.types import Instances, Masks, Prediction, Prompts, Sample

CLASSES = ("flask", "water", "never seen")


def blobs(generator: np.random.Generator, count: int, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Random masks; some are empty."""
    noise = generator.random((count, *size)).astype(np.float32)
    smooth = [cv2.GaussianBlur(each, (0, 0), 3) for each in noise]
    return np.array([each > np.quantile(each, generator.choice([0.5, 0.8, 1.0])) for each in smooth]).reshape(
        count, *size
    )


def instances(
    masks: NDArray[np.bool_], labels: Sequence[int], crowd: Sequence[bool] | None = None
) -> Instances:
    codes = Masks.from_dense(masks)
    is_crowd = None if crowd is None else torch.tensor(crowd, dtype=torch.bool)
    return Instances(
        codes.size,
        codes.boxes_xyxy(),
        torch.tensor(labels, dtype=torch.int64),
        codes,
        torch.ones(len(labels)),
        is_crowd=is_crowd,
    )


def case(seed: int) -> tuple[Sample, Prediction, NDArray[np.bool_], NDArray[np.bool_], list[int], list[bool]]:
    generator = np.random.default_rng(seed)
    count, size = (
        int(generator.integers(0, 5)),
        (int(generator.integers(8, 60)), int(generator.integers(8, 60))),
    )
    truth, found = blobs(generator, count, size), blobs(generator, count, size)
    if count:
        found[0] = truth[0]
    labels, crowd = generator.integers(0, 2, count).tolist(), (generator.random(count) < 0.2).tolist()
    sample = Sample(
        str(seed), torch.zeros((3, *size), dtype=torch.uint8), instances=instances(truth, labels, crowd)
    )
    return (
        sample,
        Prediction(sample.id, size, instances=instances(found, labels)),
        truth,
        found,
        labels,
        crowd,
    )


def naive_boundary(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels of the mask within the boundary's width (chessboard distance) of a pixel off the mask or the
    image.
    """
    steps = max(1, round(0.02 * float(np.hypot(*mask.shape))))
    padded = np.pad(mask, steps)
    edge = np.zeros_like(mask)
    for y, x in zip(*mask.nonzero(), strict=True):
        edge[y, x] = not padded[y : y + 2 * steps + 1, x : x + 2 * steps + 1].all()
    return edge


def test_figures_are_means_of_those_of_dense_masks() -> None:
    evaluator = Objects(ObjectsSettings(), CLASSES)
    rows = []
    for seed in range(12):
        sample, prediction, truth, found, labels, crowd = case(seed)
        evaluator.update([sample], [prediction])
        for a, b, label, is_crowd in zip(truth, found, labels, crowd, strict=True):
            if a.any() and not is_crowd:
                edges = naive_boundary(a), naive_boundary(b)
                rows.append(
                    (
                        label,
                        (a & b).sum() / (a | b).sum(),
                        2 * (a & b).sum() / (a.sum() + b.sum()),
                        _iou(*edges),
                    )
                )
    table = np.array(rows)
    assert len(table) > 8
    report = evaluator.report()
    for i, name in enumerate(("iou", "dice", "boundary_iou"), start=1):
        assert report.metrics[f"mean_{name}"] == pytest.approx(table[:, i].mean(), abs=1e-12)
        classes = [table[table[:, 0] == label, i].mean() for label in (0, 1)]
        assert report.per_class[name] == pytest.approx([*classes, np.nan], abs=1e-12, nan_ok=True)
    assert report.metrics["class_mean_iou"] == pytest.approx(np.mean(report.per_class["iou"][:2]))


def _iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float((a & b).sum() / (a | b).sum())


def test_merged_states_are_the_whole() -> None:
    whole, parts = (
        Objects(ObjectsSettings(), CLASSES),
        [Objects(ObjectsSettings(), CLASSES) for _ in range(3)],
    )
    for seed in range(9):
        sample, prediction, *_ = case(seed)
        whole.update([sample], [prediction])
        parts[seed % 3].update([sample], [prediction])
    merged = Objects(ObjectsSettings(), CLASSES)
    merged.merge([part.state() for part in parts])
    assert merged.report().metrics == pytest.approx(whole.report().metrics)


def test_each_image_has_the_mean_iou_of_its_own_objects() -> None:
    whole, part = Objects(ObjectsSettings(), CLASSES), Objects(ObjectsSettings(), CLASSES)
    expected = {}
    for seed in range(12):
        sample, prediction, *_ = case(seed)
        (whole if seed % 2 else part).update([sample], [prediction])
        alone = Objects(ObjectsSettings(), CLASSES)
        alone.update([sample], [prediction])
        expected[sample.id] = alone.report().metrics["mean_iou"]
    whole.merge([part.state(), whole.state()])
    report = whole.report()
    assert report.images == tuple(sorted(expected))
    values = dict(zip(report.images, report.per_image["mean_iou"], strict=True))
    assert values == pytest.approx(expected, nan_ok=True)
    assert 0 < sum(np.isnan(list(values.values()))) < 12, "some images have no objects"


def test_without_objects_everything_is_undefined() -> None:
    report = Objects(ObjectsSettings(boundary=False), CLASSES).report()
    assert list(report.metrics) == ["mean_iou", "mean_dice", "class_mean_iou"]
    assert np.isnan(list(report.metrics.values())).all()
    assert report.notes == ("No objects were evaluated, so all metrics are undefined.",)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (instances(np.ones((1, 4, 4), dtype=bool), [0]), "has 1 masks for 2 objects"),
        (
            Instances((4, 4), torch.zeros((2, 4)), torch.zeros(2, dtype=torch.int64)),
            "has no masks for 2 objects",
        ),
    ],
)
def test_predictions_that_are_no_answers_are_refused(found: Instances, message: str) -> None:
    truth = instances(np.ones((2, 4, 4), dtype=bool), [0, 1])
    sample = Sample("a", torch.zeros((3, 4, 4), dtype=torch.uint8), instances=truth)
    with pytest.raises(InvalidDataError, match=message):
        Objects(ObjectsSettings(), CLASSES).update([sample], [Prediction("a", (4, 4), instances=found)])
    beyond = instances(np.ones((2, 4, 4), dtype=bool), [0, 3])
    with pytest.raises(InvalidDataError, match="label 3, but there are 3 classes"):
        Objects(ObjectsSettings(), CLASSES).update(
            [sample.with_(instances=beyond)],
            [Prediction("a", (4, 4), instances=instances(np.ones((2, 4, 4), dtype=bool), [0, 1]))],
        )


class Guesser(PromptableModel):
    """Answers a box with its pixels and a point with a square around it; by itself it finds the upper left
    corner.
    """

    protocols = ("box", "auto", "point", "point+2")

    def __init__(self, classes: Sequence[str]) -> None:
        super().__init__(classes)
        self.asked: list[Prompts] = []

    def encode(self, samples: Sequence[Sample]) -> list[Any]:
        return [sample.size for sample in samples]

    def answer(self, encoded: Any, prompts: Prompts) -> Instances:
        self.asked.append(prompts)
        boxes = prompts.boxes_xyxy
        if boxes is None:
            assert prompts.points_xy is not None
            boxes = torch.cat([prompts.points_xy[:, 0] - 2, prompts.points_xy[:, 0] + 3], dim=1).clamp(min=0)
        assert prompts.labels is not None
        return self._draw(encoded, boxes, prompts.labels)

    def find_all(self, encoded: Any) -> Instances:
        return self._draw(encoded, torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([0]))

    def _draw(self, size: tuple[int, int], boxes: Tensor, labels: Tensor) -> Instances:
        masks = np.zeros((len(boxes), *size), dtype=bool)
        for mask, (x0, y0, x1, y1) in zip(masks, boxes.int().tolist(), strict=True):
            mask[y0:y1, x0:x1] = True
        return instances(masks, labels.tolist())

    def loss(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
        return {"loss": torch.tensor(2.0)}


class Triangles(Dataset):
    classes = ("triangle",)
    ids = ("a", "b")

    def __getitem__(self, index: int) -> Sample:
        mask = np.tril(np.ones((1, 20 + index, 20 + index), dtype=bool))
        return Sample(
            self.ids[index],
            torch.zeros((3, *mask.shape[1:]), dtype=torch.uint8),
            instances=instances(mask, [0]),
        )


def evaluators() -> list[Evaluator]:
    return [Objects(ObjectsSettings(), ("triangle",)), Coco(CocoSettings(iou_types=("segm",)), ("triangle",))]


def test_each_protocol_is_measured_by_the_evaluators_that_suit_it() -> None:
    model = Guesser(["triangle"])
    chosen = plan_measurements(model, evaluators())
    names = [name for each in chosen for name in each.report().metrics]
    validation = evaluate(Subject(model, with_loss=True), Triangles(), chosen, batch_size=1)
    metrics = validation.metrics()
    assert set(names) <= set(
        metrics
    )  # known before the first sample, so that the best checkpoint can be chosen by any of them
    assert metrics["box/mean_iou"] == pytest.approx((210 / 400 + 231 / 441) / 2)
    assert metrics["point/mean_iou"] == pytest.approx((25 / 210 + 25 / 231) / 2)
    assert metrics["auto/segm/AP"] == 0  # 55 pixels of 210
    assert not any(name.startswith(("auto/mean", "box/segm")) for name in metrics)
    assert validation.headline() == ["box/mean_iou", "auto/segm/AP", "point/mean_iou", "point+2/mean_iou"]
    assert validation.losses == {"loss": 2.0}


def test_corrections_follow_the_answers_and_share_the_first_click() -> None:
    model = Guesser(["triangle"])
    evaluate(Subject(model), Triangles(), plan_measurements(model, evaluators()), batch_size=2)
    points = [prompts for prompts in model.asked if prompts.points_xy is not None]
    assert [prompts.points_xy.shape[1] for prompts in points if prompts.points_xy is not None] == [
        1,
        2,
        3,
    ] * 2
    assert points[2].point_labels is not None
    assert points[2].point_labels.tolist() == [
        [1, 1, 1]
    ]  # the square lies in the triangle, so only something lacks


def test_objects_without_prompts_count_as_of_one_class() -> None:
    truth = instances(np.ones((2, 4, 4), dtype=bool), [0, 1])
    sample = Sample("a", torch.zeros((3, 4, 4), dtype=torch.uint8), instances=truth)
    found = Prediction("a", (4, 4), instances=instances(np.ones((2, 4, 4), dtype=bool), [0, 0]))
    agnostic = Measurement(Coco(CocoSettings(iou_types=("segm",)), CLASSES), "auto")
    agnostic.update([sample], {"auto": [found]})
    report = agnostic.report()
    assert report.metrics["auto/segm/AP"] == pytest.approx(1.0)
    assert report.per_class == {}
    assert "count as one class" in report.notes[-1]


def test_evaluators_that_suit_nothing_are_refused() -> None:
    model = Guesser(["triangle"])
    model.protocols = ("box",)
    with pytest.raises(UsageError, match="iou supports none of the protocols box"):
        plan_measurements(model, [IoU(IoUSettings(), ("triangle",))])
