"""Objects painted into label maps: which lies on top, and what is void."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from toolkit.data.painting import instances_to_label_map
from toolkit.errors import InvalidDataError
from toolkit.types import VOID, Instances, Masks, Size


def squares(size: Size, *corners: tuple[int, int, int, int], labels: list[int], **more: object) -> Instances:
    """Filled rectangles given as x0, y0, x1, y1."""
    dense = torch.zeros(len(corners), *size, dtype=torch.bool)
    for mask, (x0, y0, x1, y1) in zip(dense, corners, strict=True):
        mask[y0:y1, x0:x1] = True
    masks = Masks.from_dense(dense)
    return Instances(size, masks.boxes_xyxy(), torch.tensor(labels), masks, **more)  # type: ignore[arg-type]


def test_small_true_objects_lie_on_large_ones_and_later_on_earlier() -> None:
    instances = squares((4, 6), (1, 1, 3, 3), (0, 0, 5, 4), (2, 1, 4, 3), labels=[0, 1, 2])
    expected = [[1, 1, 1, 1, 1, 9], [1, 0, 2, 2, 1, 9], [1, 0, 2, 2, 1, 9], [1, 1, 1, 1, 1, 9]]
    found = instances_to_label_map(instances, ("a", "b", "c"))
    assert found.dtype == torch.uint8
    assert found.is_contiguous()
    assert torch.equal(
        found, torch.tensor(expected, dtype=torch.uint8).masked_fill_(torch.tensor(expected) == 9, VOID)
    )


def test_of_predictions_the_highest_score_wins() -> None:
    instances = squares((2, 3), (0, 0, 3, 2), (0, 0, 2, 1), labels=[0, 1], scores=torch.tensor([0.9, 0.8]))
    assert instances_to_label_map(instances, ("a", "b")).unique().tolist() == [0]


def test_uncovered_pixels_are_background_where_it_is_a_class() -> None:
    instances = squares((2, 2), (0, 0, 1, 1), labels=[0])
    assert instances_to_label_map(instances, ("a", "b")).tolist() == [[0, VOID], [VOID, VOID]]
    assert instances_to_label_map(instances, ("a", "background")).tolist() == [[0, 1], [1, 1]]
    assert instances_to_label_map(Instances.empty((1, 2)), ("background", "a")).tolist() == [[0, 0]]


def test_crowds_are_void_below_everything() -> None:
    instances = squares(
        (1, 4), (1, 0, 2, 1), (0, 0, 3, 1), labels=[1, 1], is_crowd=torch.tensor([False, True])
    )
    assert instances_to_label_map(instances, ("background", "a")).tolist() == [[VOID, 1, VOID, 0]]


def test_painting_equals_a_naive_loop() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        n, height, width = (int(v) for v in rng.integers((0, 1, 1), (6, 12, 12)))
        dense = torch.from_numpy(rng.random((n, height, width)) < 0.4)
        scores, labels = (
            torch.from_numpy(rng.permutation(n).astype(np.float32) / 10),
            torch.from_numpy(rng.integers(0, 3, n)),
        )
        masks = Masks.from_dense(dense)
        expected = torch.full((height, width), VOID, dtype=torch.uint8)
        for i in scores.argsort():
            expected[dense[i]] = labels[i].to(torch.uint8)
        found = instances_to_label_map(
            Instances((height, width), masks.boxes_xyxy(), labels, masks, scores), "abc"
        )
        assert torch.equal(found, expected)


def test_instances_without_masks_or_of_unknown_class_are_refused() -> None:
    boxes = Instances((4, 4), torch.tensor([[0.0, 0.0, 2.0, 2.0]]), torch.tensor([0]))
    with pytest.raises(InvalidDataError, match="needs masks"):
        instances_to_label_map(boxes, ("a",))
    with pytest.raises(InvalidDataError, match="label 3, but there are 2 classes"):
        instances_to_label_map(squares((4, 4), (0, 0, 2, 2), labels=[3]), ("a", "b"))
