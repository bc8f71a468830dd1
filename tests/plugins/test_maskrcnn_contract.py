"""What every model promises, of another form of Mask R-CNN than the one that all plugins are tried in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from support.small_settings import MODELS

from toolkit.testing import ModelContract

SMALL = MODELS["maskrcnn"].settings


class TestBottlenecksWithGroupNorm(ModelContract):
    plugin = "maskrcnn"
    settings: ClassVar[Mapping[str, Any]] = {
        **SMALL,
        "backbone": {
            **SMALL["backbone"],
            "norm": "GN",
            "depth": 50,
            "res2_out_channels": 16,
            "width_per_group": 8,
            "stride_in_1x1": False,
        },
        "fpn": {"out_channels": 16, "norm": "GN", "fuse_type": "avg"},
        "box_head": {
            "num_conv": 1,
            "conv_dim": 16,
            "num_fc": 1,
            "fc_dim": 32,
            "norm": "GN",
            "class_agnostic": True,
        },
        "mask_head": {"num_conv": 1, "conv_dim": 16, "norm": "GN", "class_agnostic": True},
        "input": {**SMALL["input"], "short_side_train": [48, 64], "short_side_test": 64, "format": "RGB"},
    }
    train: ClassVar[Mapping[str, Any]] = {"lr": 0.02}
    skips: ClassVar[Mapping[str, str]] = {"runs_in_two_processes": "takes long, and the usual form is tried"}
