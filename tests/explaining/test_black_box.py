"""D-RISE as a method: it explains models that only predict."""

from __future__ import annotations

import pytest
import torch
from judging_cases import Brightness, Whole, explainer, peak, photo
from support.small_settings import MODELS

from toolkit import registry
from toolkit.errors import UsageError
from toolkit.explaining.black_box import drise_map, prediction_score
from toolkit.explaining.subject import Effort, Subject
from toolkit.types import Prompts, Sample, Target

SIZE = (40, 56)


def square() -> torch.Tensor:
    mask = torch.zeros(SIZE, dtype=torch.bool)
    mask[5:20, 10:30] = True
    return mask


BOX = torch.tensor([10.0, 5, 30, 20])
TARGETS = {
    "semantic": Target("class", 1, square()),
    "instance": Target("object", 1, square(), BOX),
    "promptable": Target("prompt", None, square(), prompts=Prompts(boxes_xyxy=BOX[None])),
    "classification": Target("class", 1),
}
"""A target for each task."""


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_family_is_explained_from_its_predictions(name: str) -> None:
    model = MODELS[name].build(("background", "disc", "box")).eval()
    task = registry.plugins().get(name).task
    sample = Sample("a", torch.randint(0, 256, (3, *SIZE), dtype=torch.uint8))
    found = drise_map(Subject(model, sample, TARGETS[task], effort=Effort(masks=6, batch_size=4)))
    assert found.values.shape == SIZE
    assert bool(torch.isfinite(found.values).all())
    assert found.figures["masks"] == 6
    assert found.score is not None
    assert 0 <= found.score <= 1


def test_a_model_without_gradients_is_explained() -> None:
    model = Brightness()
    found = explainer(model).explain(photo())
    row, column = peak(found.map)
    assert 4 <= row < 16
    assert 20 <= column < 36
    assert float(found.map[2, 2]) < 0.2 * float(found.map.max())
    assert found.score == 1
    assert found.layer is None
    assert 100 <= found.figures["masks"] <= 400
    assert max(model.batches) == 16


def test_a_class_of_the_whole_image_is_explained_by_its_probability() -> None:
    found = explainer(Whole()).explain(photo())
    row, column = peak(found.map)
    assert 2 <= row < 18
    assert 18 <= column < 38
    assert found.score == pytest.approx(230 / 255, abs=1e-3)


def test_a_class_without_a_score_is_an_error() -> None:
    with pytest.raises(UsageError, match="has no scores of the classes"):
        prediction_score(Whole(says=False), photo(), Target("class", 1))(photo().image[None])


def test_masks_must_be_at_least_one() -> None:
    with pytest.raises(UsageError, match="masks must be at least 1"):
        Effort(masks=0)
