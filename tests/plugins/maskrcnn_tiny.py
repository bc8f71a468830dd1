"""A network of few channels, and images to learn from."""

from __future__ import annotations

from typing import Any

import torch
from support.small_settings import MODELS
from toolkit.plugins.maskrcnn.model import MaskRCNN, build
from toolkit.plugins.maskrcnn.settings import MaskRCNNSettings

from toolkit.data.generated import generate
from toolkit.types import Instances, Sample

CLASSES = ("disc", "box")
SMALL = MODELS["maskrcnn"].settings
TINY: dict[str, Any] = {**SMALL, "rpn": {**SMALL["rpn"], "post_nms_topk_train": 30}}
"""The small settings of the contract tests, with fewer proposals in training."""


def tiny(seed: int = 0, classes: tuple[str, ...] = CLASSES, **changes: Any) -> MaskRCNN:
    torch.manual_seed(seed)
    merged = {
        key: {**TINY[key], **value} if isinstance(TINY.get(key), dict) else value
        for key, value in changes.items()
    }
    model = build(MaskRCNNSettings(**{**TINY, **merged}), classes)
    assert isinstance(model, MaskRCNN)
    return model


def samples(count: int = 2, size: int = 64, objects: int = 3, seed: int = 0) -> list[Sample]:
    return generate(CLASSES, [(size, size + 9)] * count, objects=objects, seed=seed)


def losses(model: MaskRCNN, batch: list[Sample], seed: int = 0) -> dict[str, float]:
    torch.manual_seed(seed)
    with torch.no_grad():
        return {name: value.item() for name, value in model.loss(batch).items()}


def with_keypoints(sample: Sample, count: int, visibility: float = 2) -> Sample:
    instances = sample.instances
    assert instances is not None
    boxes = instances.boxes_xyxy
    places = torch.rand(len(boxes), count, 2, generator=torch.Generator().manual_seed(0))
    xy = boxes[:, None, :2] + places * (boxes[:, None, 2:] - boxes[:, None, :2])
    points = torch.cat([xy, torch.full((len(boxes), count, 1), visibility)], 2)
    return sample.with_(
        instances=Instances(instances.size, boxes, instances.labels, instances.masks, keypoints=points)
    )
