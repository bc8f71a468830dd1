"""The network as a whole: what it finds, its settings and recipes. Equality with Detectron2 is tested beside
this.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from maskrcnn_tiny import CLASSES, TINY, losses, samples, tiny
from pydantic import ValidationError
from toolkit.plugins.maskrcnn.inputs import resize
from toolkit.plugins.maskrcnn.model import MaskRCNN, build
from toolkit.plugins.maskrcnn.settings import MaskRCNNSettings
from torch import Tensor

from toolkit import registry
from toolkit.config import recipe_folder, resolve
from toolkit.errors import ConfigError, InvalidDataError
from toolkit.types import Sample

# Finding


def test_images_are_resized_for_the_network_and_results_come_back() -> None:
    """What is found in a large photo is what is found in the photo at the network's size, brought to the
    large photo's pixels.
    """
    model = tiny(roi={"score_thresh_test": 0.0}, input={"short_side_test": 64}).eval()
    (large,) = samples(1, size=200)
    small = Sample("small", resize(large.image, (64, 67)))
    one, other = (model.predict([sample])[0].instances for sample in (small, large))
    assert one is not None
    assert other is not None
    assert len(one) == len(other) == 10
    assert other.size == (200, 209)
    scale = torch.tensor([209 / 67, 200 / 64]).repeat(2)
    torch.testing.assert_close(other.boxes_xyxy, one.boxes_xyxy * scale)
    assert torch.equal(one.scores, other.scores)  # type: ignore[arg-type]


@pytest.mark.parametrize("order", ["BGR", "RGB"])
def test_channels_come_in_the_order_of_the_weights(order: str) -> None:
    model = tiny(input={"format": order, "pixel_mean": [1, 2, 3], "pixel_std": [1, 2, 4]})
    image = torch.tensor([10, 20, 30], dtype=torch.uint8)[:, None, None].expand(3, 5, 7)
    batch = model.batch([Sample("a", image)], [(5, 7)])
    r, g, b = 10, 20, 30
    expected = (
        [(b - 1) / 1, (g - 2) / 2, (r - 3) / 4] if order == "BGR" else [(r - 1) / 1, (g - 2) / 2, (b - 3) / 4]
    )
    assert batch.shape == (1, 3, 32, 32)
    assert batch[0, :, 2, 3].tolist() == expected
    assert float(batch[:, :, 5:].abs().sum() + batch[:, :, :, 7:].abs().sum()) == 0


def test_scores_fall_and_detections_are_few() -> None:
    model = tiny(roi={"score_thresh_test": 0.0, "detections_per_image": 7})
    found = model.predict(samples(1))[0].instances
    assert found is not None
    assert found.scores is not None
    assert len(found) == 7
    assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)


def test_classes_beyond_those_of_the_model_are_named() -> None:
    sample = samples(1)[0]
    with pytest.raises(InvalidDataError, match=f"{sample.id}.*label 1, but there are 1 classes"):
        tiny(classes=("disc",)).loss([sample])


# Settings, manifest, recipes


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"backbone": {"depth": 19}}, "depth"),
        ({"backbone": {"norm": "none"}}, "FrozenBN"),
        ({"backbone": {"freeze_at": 6}}, "less than or equal to 5"),
        ({"anchors": {"sizes": [[32], [64]]}}, "sizes must be 5 non-empty lists"),
        ({"anchors": {"sizes": [[]]}}, "5 non-empty lists"),
        ({"anchors": {"sizes": [[8], [16], [32, 40], [64], [128]]}}, "same number of anchors"),
        ({"anchors": {"aspect_ratios": [[0]]}}, "greater than 0"),
        ({"rpn": {"iou_thresholds": [0.7, 0.3]}}, "must be positive and non-decreasing"),
        ({"rpn": {"nms_thresh": 1.5}}, "less than or equal to 1"),
        ({"box_head": {"num_fc": 0}}, "must not both be 0"),
        ({"input": {"short_side_sampling": "range"}}, "minimum and the maximum"),
        ({"input": {"pixel_std": [1, 0, 1]}}, "greater than 0"),
        ({"input": {"pixel_mean": [1, math.nan, 1]}}, "finite"),
        ({"keypoint_count": -1}, "greater than or equal to 0"),
        ({"engine": "mmdet"}, "detectron2"),
        ({"fpnn": {}}, "Extra inputs"),
    ],
)
def test_settings_that_make_no_sense_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        MaskRCNNSettings(**values)


def test_settings_survive_being_written_down() -> None:
    settings = MaskRCNNSettings(**TINY)
    assert MaskRCNNSettings(**json.loads(settings.model_dump_json())) == settings


def test_a_model_needs_a_class() -> None:
    with pytest.raises(ConfigError, match="at least one class"):
        tiny(classes=())


def test_manifest_names_things_that_exist() -> None:
    manifest = registry.plugins().get("maskrcnn")
    assert manifest.resolve(manifest.build) is build
    assert manifest.resolve(manifest.settings) is MaskRCNNSettings
    assert callable(manifest.resolve(manifest.load_weights))


@pytest.mark.parametrize("recipe", sorted(path.name for path in recipe_folder().glob("maskrcnn-*.yaml")))
def test_recipes_build_models_that_learn(recipe: str) -> None:
    settings = resolve(config=Path(recipe_folder()) / recipe, overrides={"model.engine": "torchvision"})
    assert isinstance(settings.model, MaskRCNNSettings)
    assert settings.weights in {
        "none",
        *(weights.name for weights in registry.plugins().get("maskrcnn").weights),
    }
    if settings.weights == "none":  # frozen at random values it would learn little
        model = MaskRCNN(settings.model, CLASSES)
        assert all(parameter.requires_grad for parameter in model.parameters())
        assert all(math.isfinite(value) for value in losses(model, samples()).values())


def test_class_tensors_are_those_that_follow_from_the_classes() -> None:
    for changes in (
        {},
        {"box_head": {"class_agnostic": True}, "mask_head": {"class_agnostic": True}},
        {"masks": False},
    ):
        two, three = tiny(**changes), tiny(classes=("a", "b", "c"), **changes)
        shapes: dict[str, Tensor] = three.state_dict()
        differing = {name for name, value in two.state_dict().items() if shapes[name].shape != value.shape}
        assert set(two.class_tensors) == differing
