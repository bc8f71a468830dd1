"""The pointing game, and what the truth about a target is."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from toolkit.errors import InvalidDataError
from toolkit.explaining.pointing import Pointing, hit_rate, point, truth_for
from toolkit.types import Instances, Masks, Prompts, Sample, Target

SIZE = (100, 80)
CLASSES = ("background", "disc", "box")


def square(top: int, left: int, side: int, size: tuple[int, int] = SIZE) -> Tensor:
    mask = torch.zeros(size, dtype=torch.bool)
    mask[top : top + side, left : left + side] = True
    return mask


def peak(row: int, column: int) -> Tensor:
    values = torch.zeros(SIZE)
    values[row, column] = 1
    return values


@pytest.mark.parametrize(
    ("row", "column", "hit"),
    [(25, 25, True), (20, 39, True), (20, 42, True), (20, 43, False), (17, 20, True), (60, 60, False)],
)
def test_the_peak_must_be_on_the_object_or_three_pixels_from_it(row: int, column: int, hit: bool) -> None:
    found = point(peak(row, column), square(20, 20, 20))
    assert found.hit is hit
    assert found.energy == float(20 <= row < 40 and 20 <= column < 40)


def test_energy_is_the_share_of_the_map_on_the_object() -> None:
    values = torch.full(SIZE, -1.0)
    values[0, :4] = 2.0
    values[50, :12] = 2.0
    assert point(values, square(45, 0, 20)).energy == pytest.approx(0.75)


def test_a_constant_map_points_nowhere() -> None:
    found = point(torch.zeros(SIZE), square(0, 0, 20))
    assert not found.hit
    assert math.isnan(found.energy)


def test_objects_without_pixels_or_of_another_size_are_refused() -> None:
    for truth in (square(0, 0, 0), square(0, 0, 2, (5, 5))):
        with pytest.raises(InvalidDataError, match="needs an object of the map's size"):
            point(torch.rand(SIZE), truth)


def test_the_hit_rate_has_an_interval() -> None:
    rate = hit_rate([Pointing(True, 1.0)] * 19 + [Pointing(False, 0.0)])
    assert rate.mean == 0.95
    assert rate.low < 0.95 < rate.high
    assert math.isnan(hit_rate([]).mean)


def sample(*, semantic: bool) -> Sample:
    image = torch.zeros((3, *SIZE), dtype=torch.uint8)
    masks = torch.stack([square(0, 0, 20), square(50, 50, 20), square(70, 0, 10)])
    labels = torch.tensor([1, 1, 2])
    if semantic:
        return Sample("a", image, label_map=(masks * labels[:, None, None]).sum(0).to(torch.uint8))
    encoded = Masks.from_dense(masks)
    return Sample("a", image, instances=Instances(SIZE, encoded.boxes_xyxy(), labels, encoded))


@pytest.mark.parametrize("semantic", [True, False])
def test_truth_of_classes_and_regions(semantic: bool) -> None:
    both = square(0, 0, 20) | square(50, 50, 20)
    found = truth_for(Target("class", label=1), sample(semantic=semantic), CLASSES)
    assert found is not None
    assert torch.equal(found, both)
    part = Target("region", label=1, mask=square(55, 55, 30))
    here = truth_for(part, sample(semantic=semantic), CLASSES)
    assert here is not None
    assert torch.equal(here, square(50, 50, 20))
    wrong = Target("region", label=2, mask=square(55, 55, 30))
    assert truth_for(wrong, sample(semantic=semantic), CLASSES) is None


def test_the_background_is_known_where_there_is_a_label_map() -> None:
    assert truth_for(Target("class", label=0), sample(semantic=False), CLASSES) is None
    found = truth_for(Target("class", label=0), sample(semantic=True), CLASSES)
    assert found is not None
    assert int(found.sum()) == SIZE[0] * SIZE[1] - 900
    nothing = Sample("a", torch.zeros((3, *SIZE), dtype=torch.uint8))
    assert truth_for(Target("class", label=1), nothing, CLASSES) is None


def test_truth_of_objects_and_answers() -> None:
    truth = sample(semantic=False)
    box = torch.tensor([48.0, 50, 70, 70])
    for target in (
        Target("object", label=1, box_xyxy=box),
        Target("object", label=1, box_xyxy=box, mask=square(50, 51, 20)),
        Target("prompt", prompts=Prompts(boxes_xyxy=box[None]), mask=square(50, 51, 20)),
    ):
        found = truth_for(target, truth, CLASSES)
        assert found is not None
        assert torch.equal(found, square(50, 50, 20))
    for wrong in (
        Target("object", label=2, box_xyxy=box),
        Target("object", label=1, box_xyxy=torch.tensor([30.0, 30, 60, 60])),
        Target("object", label=0, box_xyxy=box),
        Target("prompt", prompts=Prompts(boxes_xyxy=box[None]), mask=square(0, 0, 0)),
    ):
        assert truth_for(wrong, truth, CLASSES) is None
    assert truth_for(Target("object", label=1, box_xyxy=box), sample(semantic=True), CLASSES) is None
