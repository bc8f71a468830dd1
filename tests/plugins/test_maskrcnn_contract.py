"""What every model promises, of Mask R-CNN in several forms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from toolkit.testing import ModelContract

TINY: dict[str, Any] = {
    "engine": "torchvision",
    "backbone": {"depth": 18, "norm": "BN", "freeze_at": 0, "stem_out_channels": 8, "res2_out_channels": 8},
    "fpn": {"out_channels": 16},
    "anchors": {"sizes": [[16], [32], [64], [128], [256]]},
    "rpn": {
        "batch_size_per_image": 64,
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


class TestMaskRCNN(ModelContract):
    plugin = "maskrcnn"
    settings: ClassVar[Mapping[str, Any]] = TINY
    train: ClassVar[Mapping[str, Any]] = {"lr": 0.02}


class TestWithGroupNorm(ModelContract):
    plugin = "maskrcnn"
    settings: ClassVar[Mapping[str, Any]] = {
        **TINY,
        "backbone": {**TINY["backbone"], "norm": "GN", "depth": 50, "res2_out_channels": 16, "width_per_group": 8, "stride_in_1x1": False},
        "fpn": {"out_channels": 16, "norm": "GN", "fuse_type": "avg"},
        "box_head": {"num_conv": 1, "conv_dim": 16, "num_fc": 1, "fc_dim": 32, "norm": "GN", "class_agnostic": True},
        "mask_head": {"num_conv": 1, "conv_dim": 16, "norm": "GN", "class_agnostic": True},
        "input": {**TINY["input"], "short_side_train": [48, 64], "short_side_test": 64, "format": "RGB"},
    }
    train: ClassVar[Mapping[str, Any]] = {"lr": 0.02}
