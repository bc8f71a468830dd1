"""What promptable plugins derive from: answers to a sample's prompts, or all objects where it has none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from toolkit.models.capabilities import Promptable, Tileable
from toolkit.models.contract import Model
from toolkit.models.promptable import PromptableModel
from toolkit.types import Instances, Masks, Prediction, Prompts, Sample

Asked = tuple[str, int | None]


class Squares(PromptableModel):
    """Answers a point with its pixel; finds the upper left pixel and the lower right by itself."""

    def __init__(self) -> None:
        super().__init__(("thing", "other"))
        self.encoded: list[list[str]] = []
        self.asked: list[Asked] = []

    def encode(self, samples: Sequence[Sample]) -> list[Any]:
        self.encoded.append([sample.id for sample in samples])
        return [(sample.id, sample.size) for sample in samples]

    def answer(self, encoded: Any, prompts: Prompts) -> Instances:
        self.asked.append((encoded[0], len(prompts)))
        assert prompts.points_xy is not None
        labels = torch.zeros(len(prompts), dtype=torch.int64) if prompts.labels is None else prompts.labels
        return self._pixels(encoded[1], prompts.points_xy[:, 0], labels)

    def find_all(self, encoded: Any) -> Instances:
        self.asked.append((encoded[0], None))
        height, width = encoded[1]
        corners = torch.tensor([[0.0, 0], [width - 1, height - 1]])
        return self._pixels(encoded[1], corners, torch.zeros(2, dtype=torch.int64))

    def _pixels(self, size: tuple[int, int], points: Tensor, labels: Tensor) -> Instances:
        dense = torch.zeros((len(points), *size), dtype=torch.bool)
        for mask, (x, y) in zip(dense, points.int().tolist(), strict=True):
            mask[y, x] = True
        masks = Masks.from_dense(dense) if len(points) else Masks(size)
        return Instances(size, masks.boxes_xyxy(), labels, masks, torch.full((len(points),), 0.5))

    def loss(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
        raise NotImplementedError


def points(*places: tuple[float, float], labels: Sequence[int] | None = None) -> Prompts:
    xy = torch.tensor(places, dtype=torch.float32).reshape(-1, 1, 2)
    which = None if labels is None else torch.tensor(labels, dtype=torch.int64)
    return Prompts(xy, torch.ones(xy.shape[:2], dtype=torch.int64), labels=which)


def sample(name: str, size: tuple[int, int], prompts: Prompts | None = None) -> Sample:
    return Sample(name, torch.zeros((3, *size), dtype=torch.uint8), prompts=prompts)


def test_each_sample_gets_the_answers_to_its_own_prompts() -> None:
    model = Squares()
    samples = [
        sample("two", (4, 6), points((5, 0), (1, 3), labels=[1, 0])),
        sample("all", (3, 3)),
        sample("one", (9, 2), points((1, 8))),
    ]
    predictions = model.predict(samples)
    assert model.encoded == [["two", "all", "one"]], "each image is encoded once, and all together"
    assert model.asked == [("two", 2), ("all", None), ("one", 1)]
    assert [(each.sample_id, each.size) for each in predictions] == [(s.id, s.size) for s in samples]
    assert all(each.label_map is None for each in predictions)
    found = [each.instances for each in predictions]
    assert [each.boxes_xyxy.tolist() for each in found if each] == [
        [[5, 0, 6, 1], [1, 3, 2, 4]],
        [[0, 0, 1, 1], [2, 2, 3, 3]],
        [[1, 8, 2, 9]],
    ]
    assert found[0] is not None
    assert found[0].labels.tolist() == [1, 0]


def test_prompts_for_nothing_find_nothing_and_are_not_taken_for_no_prompts() -> None:
    model = Squares()
    (prediction,) = model.predict([sample("none", (4, 4), points())])
    assert model.asked == [("none", 0)]
    assert prediction.instances is not None
    assert len(prediction.instances) == 0


def test_no_samples_give_no_predictions() -> None:
    model = Squares()
    assert model.predict([]) == []
    assert model.asked == []


def test_predictions_do_not_depend_on_the_batch() -> None:
    samples = [sample("a", (4, 6), points((2, 2))), sample("b", (5, 5)), sample("c", (2, 3), points((0, 1)))]
    together = Squares().predict(samples)
    for one, expected in zip(samples, together, strict=True):
        (alone,) = Squares().predict([one])
        assert alone.instances is not None
        assert expected.instances is not None
        assert alone.instances.masks == expected.instances.masks
        assert alone.sample_id == expected.sample_id


def test_a_model_that_encodes_too_few_images_is_no_match_for_its_samples() -> None:
    class Forgetful(Squares):
        def encode(self, samples: Sequence[Sample]) -> list[Any]:
            return super().encode(samples)[1:]

    with pytest.raises(ValueError, match="shorter"):
        Forgetful().predict([sample("a", (4, 4)), sample("b", (4, 4))])


def test_it_is_promptable_and_everything_it_answers_is_drawn() -> None:
    model = Squares()
    assert model.capability(Promptable) is model
    assert model.capability(Tileable) is None
    assert model.protocols == ("box", "point", "point+2")
    assert model.draw_above == 0.0 < Model.draw_above
    assert isinstance(model.predict([sample("a", (2, 2))])[0], Prediction)
