"""Tiny networks with random weights, and files of weights as other software writes them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from toolkit.plugins.maskrcnn.contract import Engine
from toolkit.plugins.maskrcnn.model import MaskRCNN
from toolkit.plugins.maskrcnn.settings import MaskRCNNSettings
from torch import Tensor

from toolkit.checkpoints import LoadReport
from toolkit.types import Sample

NARROW: dict[str, Any] = {"stem_out_channels": 8, "res2_out_channels": 16, "width_per_group": 8}
GROUPED: dict[str, Any] = {
    "norm": "GN",
    "stem_out_channels": 32,
    "width_per_group": 32,
    "res2_out_channels": 32,
}
TINY: dict[str, Any] = {
    "backbone": NARROW,
    "fpn": {"out_channels": 16},
    "rpn": {"pre_nms_topk_test": 50, "post_nms_topk_test": 30},
    "roi": {"score_thresh_test": 0.0, "detections_per_image": 10},
    "box_head": {"fc_dim": 16},
    "mask_head": {"num_conv": 1, "conv_dim": 16},
    "input": {"short_side_test": 0},
}
COCO = tuple(f"thing {i}" for i in range(80))


def model_of(classes: tuple[str, ...] = COCO, engine: type[Engine] = MaskRCNN, **changes: Any) -> Engine:
    torch.manual_seed(5)
    return engine(MaskRCNNSettings(**{**TINY, **changes}), classes)


def random_state(model: Engine, seed: int = 1) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    state = model.state_dict()
    return {
        k: torch.rand(v.shape, generator=generator) + 0.1 if v.is_floating_point() else torch.tensor(3)
        for k, v in state.items()
    }


def arrays(state: dict[str, Tensor]) -> dict[str, np.ndarray[Any, Any]]:
    return {name: value.numpy() for name, value in state.items()}


def write(path: Path, content: Any, protocol: int = 2) -> Path:
    path.write_bytes(pickle.dumps(content, protocol))
    return path


def zoo_file(path: Path, state: dict[str, Tensor], **more: Any) -> Path:
    return write(path, {"model": arrays(state), "__author__": "Detectron2 Model Zoo", **more})


def assert_taken(model: Engine, state: dict[str, Tensor], report: LoadReport) -> None:
    own = model.state_dict()
    assert set(report.loaded) <= set(state)
    for name in report.loaded:
        assert torch.equal(own[name], state[name]), name


def torch_file(path: Path, state: dict[str, Tensor]) -> Path:
    """As Detectron2's trainer saves its state."""
    parameter = torch.nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.SGD([parameter], lr=0.1, momentum=0.9)
    parameter.sum().backward()
    optimizer.step()
    scheduler = {"base_lrs": [0.1], "last_epoch": 3}
    torch.save(
        {"model": state, "optimizer": optimizer.state_dict(), "scheduler": scheduler, "iteration": 3}, path
    )
    return path


def safetensors_file(path: Path, state: dict[str, Tensor]) -> Path:
    save_file({name: value.contiguous() for name, value in state.items()}, path)
    return path


def caffe2_name(name: str) -> str:
    """What Caffe2 calls a tensor of the backbone, of which the names are no secret (Detectron2's log prints
    both).
    """
    name = name.removeprefix("backbone.bottom_up.")
    layers = {
        "stem.conv1": "conv1",
        "shortcut": "branch1",
        ".conv1": ".branch2a",
        ".conv2": ".branch2b",
        ".conv3": ".branch2c",
    }
    for ours, theirs in layers.items():
        name = name.replace(ours, theirs)
    kinds = {
        ".norm.weight": "_bn_s",
        ".norm.bias": "_bn_b",
        ".norm.running_mean": "_bn_rm",
        ".norm.running_var": "_bn_riv",
        ".weight": "_w",
    }
    for ours, theirs in kinds.items():
        if name.endswith(ours):
            stem = name.removesuffix(ours)
            name = ("res_conv1" if stem == "conv1" and ours.startswith(".norm") else stem) + theirs
            break
    return name.replace(".", "_")


def bottom_up(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if name.startswith("backbone.bottom_up.")}


def photo(seed: int = 0) -> Sample:
    return Sample(
        "photo",
        torch.randint(0, 256, (3, 64, 96), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8),
    )
