"""A network of few channels, and images to learn from."""

from __future__ import annotations

from typing import Any

import torch
from toolkit.plugins.maskrcnn.model import MaskRCNN, build
from toolkit.plugins.maskrcnn.settings import MaskRCNNSettings

from toolkit.data.generated import generate
from toolkit.types import Instances, Sample

CLASSES = ("disc", "box")
TINY: dict[str, Any] = {
    "engine": "torchvision",
    "backbone": {"depth": 18, "norm": "BN", "freeze_at": 0, "stem_out_channels": 8, "res2_out_channels": 8},
    "fpn": {"out_channels": 16},
    "anchors": {"sizes": [[16], [32], [64], [128], [256]]},
    "rpn": {
        "batch_size_per_image": 32,
        "pre_nms_topk_train": 50,
        "pre_nms_topk_test": 50,
        "post_nms_topk_train": 30,
        "post_nms_topk_test": 30,
    },
    "roi": {"batch_size_per_image": 16, "detections_per_image": 10},
    "box_head": {"fc_dim": 32},
    "mask_head": {"num_conv": 1, "conv_dim": 16},
    "input": {"short_side_train": [], "short_side_test": 0, "pixel_std": [57.375, 57.12, 58.395]},
}


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
