"""What else is known of objects moves with them: keypoints and stated areas."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from pydantic import ValidationError

from toolkit.config.augmentations import Blur, Crop, Elastic, Flip, Rotate, Scale
from toolkit.data.transforms import build_transform, resize_sample
from toolkit.errors import ConfigError, InvalidDataError
from toolkit.types import Instances, Masks, Sample, Size

SIZE = (64, 90)
NAMES = ("nose", "left eye", "right eye", "tail")


def with_objects(*, masks: bool = False, keypoints: bool = False, areas: Sequence[float] = ()) -> Sample:
    """Three rectangles, each with four keypoints inside, some not visible."""
    dense = torch.zeros(3, *SIZE, dtype=torch.bool)
    dense[0, 8:30, 10:40] = dense[1, 20:60, 50:80] = dense[2, 40:56, 5:30] = True
    boxes = Masks.from_dense(dense).boxes_xyxy()
    place = torch.tensor([[0.5, 0.1], [0.2, 0.4], [0.7, 0.3], [0.6, 0.9]])
    points = boxes[:, None, :2] + place * (boxes[:, None, 2:] - boxes[:, None, :2])
    visible = torch.tensor([[2.0, 2, 1, 2], [2, 2, 0, 1], [1, 0, 0, 2]])
    stacked = torch.cat([points, visible[..., None]], dim=2) * (visible > 0)[..., None]
    instances = Instances(
        SIZE,
        boxes,
        torch.tensor([1, 2, 3]),
        Masks.from_dense(dense) if masks else None,
        keypoints=stacked if keypoints else None,
        areas=torch.tensor(areas, dtype=torch.float64) if areas else None,
    )
    return Sample("scene", torch.zeros(3, *SIZE, dtype=torch.uint8), instances=instances)


def mirrored(keypoints: torch.Tensor, order: list[int], direction: str, size: Size) -> torch.Tensor:
    """The rule written out, point by point."""
    expected = torch.zeros_like(keypoints)
    for i in range(len(keypoints)):
        for k, source in enumerate(order):
            x, y, visible = keypoints[i, source].tolist()
            if visible:
                x, y = (size[1] - x, y) if direction == "horizontal" else (x, size[0] - y)
                expected[i, k] = torch.tensor([x, y, visible])
    return expected


@pytest.mark.parametrize("direction", ["horizontal", "vertical"])
@pytest.mark.parametrize(
    ("names", "pairs", "order"),
    [
        (NAMES, None, [0, 2, 1, 3]),
        ((), ((3, 0),), [3, 1, 2, 0]),
        (NAMES, ((0, 1), (2, 3)), [1, 0, 3, 2]),
        (NAMES, (), [0, 1, 2, 3]),
    ],
)
def test_a_mirror_image_swaps_left_and_right(
    direction: str, names: Sequence[str], pairs: tuple[tuple[int, int], ...] | None, order: list[int]
) -> None:
    """By the names of the keypoints, or by the pairs in the settings, which come first."""
    before = with_objects(keypoints=True)
    flip = Flip(p=1, direction=direction, keypoint_pairs=pairs)  # type: ignore[arg-type]
    once = build_transform([flip], names)(before, 0)
    assert before.instances is not None
    assert before.instances.keypoints is not None
    assert once.instances is not None
    assert once.instances.keypoints is not None
    expected = mirrored(before.instances.keypoints, order, direction, SIZE)
    torch.testing.assert_close(once.instances.keypoints, expected)
    twice = build_transform([flip, flip], names)(before, 0)
    assert twice.instances is not None
    assert twice.instances.keypoints is not None
    torch.testing.assert_close(twice.instances.keypoints, before.instances.keypoints)


def test_flips_among_other_moves_swap_as_often_as_they_are_drawn() -> None:
    """A half-turn is two mirror images: a right eye is on the other side, and still a right eye."""
    before = with_objects(keypoints=True)
    half_turn = build_transform([Flip(p=1), Blur(p=1), Flip(p=1, direction="vertical")], NAMES)(before, 0)
    assert before.instances is not None
    assert before.instances.keypoints is not None
    assert half_turn.instances is not None
    assert half_turn.instances.keypoints is not None
    points = before.instances.keypoints
    expected = mirrored(mirrored(points, [0, 1, 2, 3], "horizontal", SIZE), [0, 1, 2, 3], "vertical", SIZE)
    torch.testing.assert_close(half_turn.instances.keypoints, expected)


def test_flips_of_keypoints_need_to_know_the_pairs() -> None:
    with pytest.raises(ConfigError, match="none of the keypoints"):
        build_transform([Blur(), Flip(p=0.1)], ["a", "b", "c", "d"])
    with pytest.raises(ConfigError, match="lists the keypoint 7, but there are 4, from 0 to 3"):
        build_transform([Flip(keypoint_pairs=((1, 7),))], NAMES)
    with pytest.raises(InvalidDataError, match="'scene' has keypoints, and it is not known which"):
        build_transform([Flip(p=1)])(with_objects(keypoints=True), 0)
    with pytest.raises(
        InvalidDataError, match="the keypoint 4, but those of sample 'scene' are 4, from 0 to 3"
    ):
        build_transform([Flip(p=1, keypoint_pairs=((0, 4),))])(with_objects(keypoints=True), 0)
    with pytest.raises(ValidationError, match="keypoint_pairs has 2 more than once"):
        Flip(keypoint_pairs=((1, 2), (2, 3)))
    without = build_transform([Flip(p=1)])(with_objects(), 0)
    assert without.instances is not None
    assert without.instances.keypoints is None


def test_keypoints_move_and_vanish_outside() -> None:
    before = with_objects()
    points = torch.tensor(
        [
            [[12.0, 10.0, 2.0], [39.5, 29.5, 1.0]],
            [[50.0, 20.0, 2.0], [80.0, 60.0, 2.0]],
            [[5.0, 40.0, 0.0], [9.0, 50.0, 2.0]],
        ]
    )
    assert before.instances is not None
    instances = Instances(SIZE, before.instances.boxes_xyxy, before.instances.labels, keypoints=points)
    with_points = before.with_(instances=instances)
    doubled = resize_sample(with_points, (128, 180)).instances.keypoints  # type: ignore[union-attr]
    assert doubled is not None
    assert doubled[0].tolist() == [[24.0, 20.0, 2.0], [79.0, 59.0, 1.0]]
    assert doubled[2, 0].tolist() == [0.0, 0.0, 0.0]
    kept = 0
    for seed in range(20):
        cropped = build_transform([Crop(size=(30, 45))])(with_points, seed).instances
        assert cropped is not None
        assert cropped.keypoints is not None
        x, y, visible = cropped.keypoints.unbind(2)
        assert ((visible == 0) | ((x >= 0) & (x < 45) & (y >= 0) & (y < 30))).all()
        kept += int((visible > 0).sum())
    assert kept


@pytest.mark.parametrize("masks", [True, False])
def test_stated_areas_move_with_the_objects(masks: bool) -> None:
    """They are those of the file, which may differ from those of masks or boxes, but change as these do."""
    stated = [400.25, 2000.0, 7.5]
    before = with_objects(masks=masks, areas=stated)
    assert before.instances is not None
    for step in (Flip(p=1), Flip(p=1, direction="vertical")):
        flipped = build_transform([step])(before, 0).instances
        assert flipped is not None
        assert flipped.areas is not None
        assert flipped.areas.tolist() == stated
    larger = resize_sample(before, (128, 270)).instances
    assert larger is not None
    assert larger.areas is not None
    torch.testing.assert_close(larger.areas, torch.tensor(stated, dtype=torch.float64) * 6)
    seen = 0
    for step in (Crop(size=(30, 50)), Rotate(p=1), Elastic(p=1), Scale(min=0.3, max=2)):
        for seed in range(4):
            moved = build_transform([step])(before, seed).instances
            assert moved is not None
            assert moved.areas is not None
            seen += len(moved)
            for label, area, own in zip(moved.labels.tolist(), moved.areas, _measured(moved), strict=True):
                was = float(_measured(before.instances)[label - 1])
                assert float(area) == pytest.approx(stated[label - 1] * float(own) / was)
    assert seen > 20


def _measured(instances: Instances) -> torch.Tensor:
    sides = (instances.boxes_xyxy[:, 2:] - instances.boxes_xyxy[:, :2]).double()
    return sides.prod(dim=1) if instances.masks is None else instances.masks.areas().double()


def test_areas_that_are_not_stated_are_not_made_up() -> None:
    moved = build_transform([Flip(p=1)])(with_objects(masks=True), 0).instances
    assert moved is not None
    assert moved.areas is None
    nothing = Sample("x", torch.zeros(3, *SIZE, dtype=torch.uint8), instances=Instances.empty(SIZE))
    assert len(build_transform([Flip(p=1)])(nothing, 0).instances) == 0  # type: ignore[arg-type]
