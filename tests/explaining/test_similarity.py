"""How much of a target is in a prediction, for every kind of target."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from toolkit.errors import UsageError
from toolkit.explaining.similarity import Similarity, box_ious, similarity_score
from toolkit.types import Instances, Masks, Prediction, Prompts, Sample, Target

SIZE = (10, 12)


def square(top: int, left: int, side: int) -> Tensor:
    mask = torch.zeros(SIZE, dtype=torch.bool)
    mask[top : top + side, left : left + side] = True
    return mask


def label_map(label: int, mask: Tensor) -> Prediction:
    return Prediction("a", SIZE, label_map=(mask * label).to(torch.uint8))


def objects(*found: tuple[Tensor, int, float], with_masks: bool = True) -> Prediction:
    dense = (
        torch.stack([mask for mask, _, _ in found]) if found else torch.zeros((0, *SIZE), dtype=torch.bool)
    )
    masks = Masks.from_dense(dense)
    return Prediction(
        "a",
        SIZE,
        instances=Instances(
            SIZE,
            masks.boxes_xyxy(),
            torch.tensor([label for _, label, _ in found], dtype=torch.int64),
            masks if with_masks else None,
            torch.tensor([score for _, _, score in found], dtype=torch.float32),
        ),
    )


def test_of_a_class_in_a_label_map_it_is_the_iou() -> None:
    similarity = Similarity(Target("class", label=2, mask=square(0, 0, 4)))
    assert similarity(label_map(2, square(0, 0, 4))) == 1
    assert similarity(label_map(2, square(0, 2, 4))) == pytest.approx(8 / 24)
    assert similarity(label_map(1, square(0, 0, 4))) == 0
    nothing = Similarity(Target("class", label=2, mask=square(0, 0, 0)))
    assert nothing(label_map(1, square(0, 0, 4))) == 0
    assert Similarity(Target("class", label=2))(label_map(2, square(0, 0, 6))) == pytest.approx(36 / 120)


def test_of_a_region_it_is_the_share_that_has_the_class() -> None:
    similarity = Similarity(Target("region", label=2, mask=square(0, 0, 4)))
    assert similarity(label_map(2, square(0, 0, 8))) == 1
    assert similarity(label_map(2, square(0, 2, 8))) == 0.5
    assert Similarity(Target("region", label=2, mask=square(0, 0, 0)))(label_map(2, square(0, 0, 8))) == 0


def test_of_an_object_it_is_the_best_product_of_overlaps_and_score() -> None:
    box = torch.tensor([0.0, 0, 4, 4])
    target = Target("object", label=1, box_xyxy=box, mask=square(0, 0, 4))
    similarity = Similarity(target)
    assert similarity(objects((square(0, 0, 4), 1, 0.75))) == 0.75
    assert similarity(objects((square(0, 0, 4), 2, 0.75))) == 0
    assert similarity(objects()) == 0
    assert similarity(objects((square(5, 5, 4), 1, 1.0))) == 0
    shifted = objects((square(0, 2, 4), 1, 0.9), (square(0, 0, 4), 1, 0.25), (square(0, 0, 4), 0, 1.0))
    assert similarity(shifted) == 0.25
    only_boxes = objects((square(0, 2, 4), 1, 0.9), with_masks=False)
    assert similarity(only_boxes) == pytest.approx(0.9 / 3)
    assert similarity(objects((square(0, 2, 4), 1, 0.9))) == pytest.approx(0.9 / 9)
    assert Similarity(Target("class", label=1))(shifted) == pytest.approx(0.9)
    assert Similarity(Target("class", label=3))(shifted) == 0


def test_boxes_without_area_overlap_with_nothing() -> None:
    boxes = torch.tensor([[1.0, 1, 1, 1], [0, 0, 2, 2], [0, 0, 4, 2]])
    assert box_ious(boxes, torch.tensor([0.0, 0, 2, 2])).tolist() == [0, 1, 0.5]
    assert box_ious(boxes[:0], boxes[0]).tolist() == []
    assert box_ious(boxes[:1], boxes[0]).tolist() == [0]


def test_of_an_answer_it_is_the_iou_of_the_masks() -> None:
    prompts = Prompts(boxes_xyxy=torch.tensor([[0.0, 0, 4, 4]]))
    similarity = Similarity(Target("prompt", mask=square(0, 0, 4), prompts=prompts))
    assert similarity(objects((square(0, 2, 4), 0, 0.1))) == pytest.approx(8 / 24)
    assert similarity(objects()) == 0


def test_of_a_task_of_a_plugin_it_is_what_the_plugin_says() -> None:
    found = Prediction("a", SIZE, extras={"probabilities": torch.tensor([0.2, 0.8])})
    target = Target("class", label=1)
    assert Similarity(target, lambda each, label: float(each.get("probabilities")[label]))(
        found
    ) == pytest.approx(0.8)
    with pytest.raises(UsageError, match=r"kind 'class' cannot be found in predictions with probabilities"):
        Similarity(target)(found)
    with pytest.raises(UsageError, match=r"kind 'object' cannot be found in predictions with label_map"):
        Similarity(Target("object", label=1, box_xyxy=torch.zeros(4)))(label_map(1, square(0, 0, 4)))


def test_photos_are_predicted_in_one_batch_with_the_prompts_of_the_target() -> None:
    prompts = Prompts(boxes_xyxy=torch.tensor([[0.0, 0, 4, 4]]))
    seen: list[list[Sample]] = []

    def predict(samples: Sequence[Sample]) -> list[Prediction]:
        seen.append([*samples])
        return [objects((square(0, 0, int(each.image[0, 0, 0])), 0, 0.5)) for each in samples]

    sample = Sample("a", torch.zeros((3, *SIZE), dtype=torch.uint8))
    score = similarity_score(predict, sample, Target("prompt", mask=square(0, 0, 4), prompts=prompts))
    images = torch.tensor([4, 2], dtype=torch.uint8)[:, None, None, None].expand(2, 3, *SIZE)
    assert score(images).tolist() == [1, 0.25]
    assert [[each.prompts for each in batch] for batch in seen] == [[prompts, prompts]]
