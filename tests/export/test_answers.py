"""The comparison of answers to prompts."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from toolkit import Instances, Masks, Prompts, Sample
from toolkit.errors import ExportError
from toolkit.export.answers import (
    compare_answers,
    compare_found,
    listed,
    moved,
    prompt_cases,
    protocol_prompts,
)

SIZE = (40, 60)


def answers(*corners: tuple[int, int], score: float = 0.5, side: int = 30) -> Instances:
    dense = torch.zeros((len(corners), *SIZE), dtype=torch.bool)
    for mask, (x, y) in zip(dense, corners, strict=True):
        mask[y : y + side, x : x + side] = True
    masks = Masks.from_dense(dense)
    labels, scores = torch.zeros(len(corners)).long(), torch.full((len(corners),), score)
    return Instances(SIZE, masks.boxes_xyxy(), labels, masks, scores)


def test_equal_answers_pass() -> None:
    both = answers((0, 0), (5, 5))
    assert compare_answers(both, both, "here") == {"scores": 0.0, "mask_iou": 1.0}
    assert compare_answers(answers(), answers(), "here") == {}


def test_a_single_pixel_is_rounding() -> None:
    wanted = answers((0, 0), side=2)
    dense = wanted.masks.dense()  # type: ignore[union-attr]
    dense[0, 0, 0] = False
    assert compare_answers(wanted, replace(wanted, masks=Masks.from_dense(dense)), "here")["mask_iou"] == 0.75


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (answers((0, 0)), "2 answers in torch, 1 in the export; there must be one for each prompt"),
        (answers((0, 0), (0, 0)), "the answer to prompt 1 has a mask of 900 pixels in torch and of 900"),
        (answers((5, 5), (0, 0)), "the answer to prompt 0 has a mask"),
        (answers((0, 0), (5, 5), score=0.6), "prompt 0 has the score 0.50000 in torch, but 0.60000"),
        (replace(answers((0, 0), (5, 5)), masks=None), "has a mask only in torch"),
    ],
)
def test_what_differs_is_named(found: Instances, message: str) -> None:
    with pytest.raises(ExportError, match=f"here: .*{message}.*Hint"):
        compare_answers(answers((0, 0), (5, 5)), found, "here")


def test_an_answer_that_torch_gives_to_almost_the_same_prompt_passes() -> None:
    wanted, found = answers((0, 0), (5, 5)), answers((0, 0), (9, 9))
    asked = []

    def also(row: int) -> list[Instances]:
        asked.append(row)
        return [answers((5, 5)), answers((9, 9))]

    assert compare_answers(wanted, found, "here", also=also)["undecided"] == 1
    assert asked == [1], "only where it differs"
    with pytest.raises(ExportError, match="the answer to prompt 1"):
        compare_answers(wanted, found, "here", also=lambda row: [answers((8, 8))])


def test_what_is_found_without_prompts_may_lack_one_object_only() -> None:
    some = [(x, y) for x in (0, 10, 20) for y in (0, 5, 10)]
    compare_found(answers(*some), answers(*some[:-1]), "here")
    compare_found(answers(*some), answers(*reversed(some)), "here")
    compare_found(answers(), answers(), "here")
    empty = answers((0, 0), (0, 0), (0, 0), side=0)
    compare_found(empty, empty, "here")
    with pytest.raises(ExportError, match="9 objects are found in torch and 7 in the export, of which 7"):
        compare_found(answers(*some), answers(*some[:-2]), "here")
    with pytest.raises(ExportError, match="9 objects are found in torch and 0"):
        compare_found(answers(*some), answers(), "here")


@pytest.mark.parametrize("size", [(1, 1), (1, 37), (480, 640)])
def test_cases_are_valid_prompts_for_images_of_any_size(size: tuple[int, int]) -> None:
    cases = dict(prompt_cases(size, takes_masks=True, many=True))
    assert sorted({len(prompts) for prompts in cases.values()}) == [0, 1, 2, 3, 100]
    height, width = size
    for prompts in cases.values():
        if prompts.points_xy is not None:
            assert bool((prompts.points_xy <= torch.tensor([width, height])).all())
    assert "masks" not in dict(prompt_cases(size, takes_masks=False, many=False))


def test_prompts_are_moved_by_a_hair_and_stay_inside() -> None:
    prompts = Prompts(
        points_xy=torch.tensor([[[0.0, 0.0], [60.0, 40.0]], [[7.0, 8.0], [0.0, 0.0]]]),
        point_labels=torch.tensor([[1, 0], [1, -1]]),
        boxes_xyxy=torch.tensor([[0.0, 0, 5, 5], [1, 1, 6, 6]]),
    )
    found = list(moved(prompts, 0, SIZE))
    assert len(found) == 6
    for each in found:
        assert len(each) == 1
        assert each.points_xy is not None
        assert float((each.points_xy - prompts.points_xy[:1]).abs().max()) < 0.01  # type: ignore[index]
        assert bool((each.points_xy >= 0).all())
        assert bool((each.points_xy <= torch.tensor([60, 40])).all())
    masks = Prompts(masks=Masks.from_dense(torch.ones((1, *SIZE), dtype=torch.bool)))
    assert not list(moved(masks, 0, SIZE)), "a mask alone has no place to move"


def test_padding_is_not_listed() -> None:
    points = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    both = Prompts(points, torch.tensor([[1, -1]]), torch.tensor([[0.0, 0.0, 5.0, 6.0]]))
    assert listed(both) == [{"points_xy": [[1.0, 2.0]], "point_labels": [1], "box_xyxy": [0, 0, 5, 6]}]


def test_prompts_of_protocols_follow_from_the_truth_or_are_not_compared() -> None:
    image = torch.zeros((3, *SIZE), dtype=torch.uint8)
    sample = Sample("a", image, instances=answers((0, 0), (5, 5)))
    box, point = protocol_prompts("box", sample), protocol_prompts("point", sample)
    assert box is not None
    assert box.boxes_xyxy is not None
    assert point is not None
    assert point.points_xy is not None
    assert protocol_prompts("point+2", sample) is None
    assert protocol_prompts("auto", sample) is None
