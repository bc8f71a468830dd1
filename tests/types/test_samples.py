"""Samples and predictions: what is refused and how it is said, and samples with other fields."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from types_cases import BOX, SIZE, image, instances, prompts, refused

from toolkit.types import Instances, Prediction, Sample

BAD_SAMPLES: dict[str, tuple[dict[str, Any], str]] = {
    "a number as id": ({"id": 7}, "Sample 7: id must be str, not int"),
    "an image of NumPy": (
        {"image": np.zeros((3, 4, 5), np.uint8)},
        "Sample 'a'.image must be a tensor of uint8 [3, any, any], not a NumPy array of uint8 [3, 4, 5]",
    ),
    "an image of floats": ({"image": image() / 255}, "uint8 [3, any, any], not float32 [3, 4, 5]"),
    "channels last": ({"image": image().permute(1, 2, 0)}, "uint8 [3, any, any], not uint8 [4, 5, 3]"),
    "a batch": ({"image": image()[None]}, "uint8 [3, any, any], not uint8 [1, 3, 4, 5]"),
    "gray": ({"image": image()[:1]}, "uint8 [3, any, any], not uint8 [1, 4, 5]"),
    "no pixels": ({"image": image(0, 5)}, "Sample 'a'.image has no pixels: uint8 [3, 0, 5]"),
    "a label map of int64": (
        {"label_map": torch.zeros(4, 5).long()},
        "Sample 'a'.label_map must be a tensor of uint8 [4, 5], not int64 [4, 5]",
    ),
    "a turned label map": (
        {"label_map": torch.zeros((5, 4), dtype=torch.uint8)},
        "Sample 'a'.label_map must be a tensor of uint8 [4, 5], not uint8 [5, 4]",
    ),
    "one-hot labels": (
        {"label_map": torch.zeros((2, 4, 5), dtype=torch.uint8)},
        "label_map must be a tensor of uint8 [4, 5], not uint8 [2, 4, 5]",
    ),
    "a list of objects": ({"instances": []}, "Sample 'a'.instances must be Instances or None, not list []"),
    "objects of another image": (
        {"instances": Instances.empty((5, 4))},
        "Sample 'a'.instances are of an image of (5, 4), but the image has (4, 5)",
    ),
    "a box as prompt": (
        {"prompts": BOX},
        "Sample 'a'.prompts must be Prompts or None, not float32 [2, 4]",
    ),
}


@pytest.mark.parametrize(("fields", "message"), BAD_SAMPLES.values(), ids=BAD_SAMPLES)
def test_bad_samples(fields: dict[str, Any], message: str) -> None:
    refused(lambda: Sample(**({"id": "a", "image": image()} | fields)), message)
    if "id" not in fields:
        refused(lambda: Sample("a", image()).with_(**fields), message)  # checked again


BAD_PREDICTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "a number as id": (
        {"sample_id": 7, "instances": Instances.empty(SIZE)},
        "Prediction 7: sample_id must be str, not int",
    ),
    "nothing": (
        {},
        "Prediction 'a' has neither a label_map nor instances; an image without objects has empty Instances",
    ),
    "logits": (
        {"label_map": torch.zeros(3, 4, 5)},
        "Prediction 'a'.label_map must be a tensor of uint8 [4, 5], not float32 [3, 4, 5]",
    ),
    "a label map of the network's size": (
        {"label_map": torch.zeros((2, 3), dtype=torch.uint8)},
        "Prediction 'a'.label_map must be a tensor of uint8 [4, 5], not uint8 [2, 3]",
    ),
    "a dictionary": (
        {"instances": {"boxes": BOX}},
        "Prediction 'a'.instances must be Instances or None, not dict",
    ),
    "objects of another image": (
        {"instances": Instances.empty((5, 4))},
        "Prediction 'a'.instances are of an image of (5, 4), but the image has (4, 5)",
    ),
}


@pytest.mark.parametrize(("fields", "message"), BAD_PREDICTIONS.values(), ids=BAD_PREDICTIONS)
def test_bad_predictions(fields: dict[str, Any], message: str) -> None:
    refused(lambda: Prediction(**({"sample_id": "a", "size": SIZE} | fields)), message)


def test_a_sample_with_other_fields() -> None:
    before = Sample("a", image(), torch.zeros(SIZE, dtype=torch.uint8), instances(), prompts(), "a.jpg")
    after = before.with_(id="b", instances=None)
    assert (after.id, after.instances) == ("b", None)
    assert (before.id, before.instances is None) == ("a", False), "the first stays as it was"
    for name in ("image", "label_map", "prompts", "path"):
        assert getattr(after, name) is getattr(before, name)
    assert after.size == SIZE
    assert all(type(side) is int for side in after.size)
    with pytest.raises(TypeError, match="label"):
        before.with_(labels=None)
    refused(lambda: before.with_(image=image(5, 4)), "Sample 'a'.label_map must be a tensor of uint8 [5, 4]")
