"""Windows that are enough to predict a target, and that are not used where they are not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from toolkit.explaining.black_box import prediction_score, window_finder
from toolkit.explaining.drise import DriseOptions, drise
from toolkit.explaining.windows import GRID, Window, candidates
from toolkit.models.contract import Model
from toolkit.types import Prediction, Prompts, Sample, Target

SIZE = (200, 320)


def square(top: int, left: int, side: int) -> Tensor:
    mask = torch.zeros(SIZE, dtype=torch.bool)
    mask[top : top + side, left : left + side] = True
    return mask


class Local(Model):
    """Class 1 where the neighborhood is bright; with ``context``, only if the far corner is bright, too."""

    def __init__(self, context: bool = False) -> None:
        super().__init__(("background", "bright"))
        self.context, self.seen = context, list[tuple[int, int]]()

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        found = []
        for sample in samples:
            self.seen.append(sample.size)
            gray = sample.image.float().mean(0)
            near = F.avg_pool2d(gray[None], 9, stride=1, padding=4, count_include_pad=False)[0]
            bright = near > (140 - 60 * float(gray[-9:, -9:].mean() > 100) if self.context else 100)
            found.append(Prediction(sample.id, sample.size, label_map=bright.to(torch.uint8)))
        return found


def photo() -> Sample:
    image = torch.full((3, *SIZE), 20, dtype=torch.uint8)
    image[:, square(80, 100, 40)] = 220
    image[:, -12:, -12:] = 220
    return Sample("a", image)


TARGET = Target("region", 1, square(80, 100, 40))
OPTIONS = DriseOptions(masks=300, stable=None)


def test_a_window_gives_the_map_of_the_whole_photo_from_fewer_pixels() -> None:
    model, whole = Local(), Local()
    found = drise(
        prediction_score(model, photo(), TARGET),
        photo().image,
        OPTIONS,
        shortcut=window_finder(model, photo(), TARGET),
    )
    expected = drise(prediction_score(whole, photo(), TARGET), photo().image, OPTIONS)
    assert found.window == Window(64, 64, 160, 160)
    assert expected.window is None
    torch.testing.assert_close(found.map, expected.map)
    assert {*model.seen[-276:]} == {(96, 96)}
    assert model.seen.count(SIZE) == 24  # those with which the window was tried
    assert {*whole.seen} == {SIZE}


def test_a_target_that_depends_on_the_rest_is_predicted_as_a_whole() -> None:
    model = Local(context=True)
    score, finder = prediction_score(model, photo(), TARGET), window_finder(model, photo(), TARGET)
    found = drise(score, photo().image, OPTIONS, shortcut=finder)
    assert found.window is None
    assert {*model.seen[-200:]} == {SIZE}


def test_scores_that_are_all_equal_choose_no_window() -> None:
    finder = window_finder(Local(), photo(), TARGET)
    assert finder(photo().image[None].expand(5, -1, -1, -1), [1.0] * 5) is None


def test_candidates_are_aligned_and_grow() -> None:
    found = [*candidates(Target("region", 1, square(130, 100, 10)), SIZE)]
    assert found == sorted(found, key=lambda each: each.area)
    assert len(found) == len({*found})
    for window in found:
        assert window.top % GRID == window.left % GRID == 0
        assert window.bottom % GRID == 0 or window.bottom == SIZE[0]
        assert window.right % GRID == 0 or window.right == SIZE[1]
        assert window.top <= 125
        assert window.bottom >= 145


@pytest.mark.parametrize(
    "target",
    [
        Target("class", 1),
        Target("class", 1, square(0, 0, 0)),
        Target("class", 1, square(0, 0, 200) | square(0, 120, 200)),
    ],
)
def test_targets_without_a_place_or_of_most_of_the_photo_have_none(target: Target) -> None:
    assert [*candidates(target, SIZE)] == []


def test_a_target_moves_with_its_window() -> None:
    window = Window(64, 64, 192, 256)
    box = torch.tensor([100.0, 80, 140, 120])
    prompts = Prompts(
        points_xy=torch.tensor([[[110.0, 90]]]), point_labels=torch.tensor([[1]]), boxes_xyxy=box[None]
    )
    moved = window.target(Target("prompt", None, square(80, 100, 40), prompts=prompts))
    assert moved.mask is not None
    assert moved.prompts is not None
    assert moved.mask.shape == (128, 192)
    assert moved.prompts.points_xy is not None
    assert moved.prompts.boxes_xyxy is not None
    assert moved.prompts.points_xy.tolist() == [[[46, 26]]]
    assert moved.prompts.boxes_xyxy.tolist() == [[36, 16, 76, 56]]
    found = window.target(Target("object", 1, None, box)).box_xyxy
    assert found is not None
    assert found.tolist() == [36, 16, 76, 56]
