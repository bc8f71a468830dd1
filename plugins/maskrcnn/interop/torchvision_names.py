"""torchvision's ResNets as backbones: its ImageNet weights, whose tensor names many other files share.

The renaming follows Detectron2's ``tools/convert-torchvision-to-d2.py``, which also documents the settings
that they require.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from toolkit.errors import UsageError

from ..settings import MaskRCNNSettings

MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)
_NORMALIZATION = {
    "model.input.format": "RGB",
    "model.input.pixel_mean": MEAN,
    "model.input.pixel_std": STD,
    "model.backbone.stride_in_1x1": False,
}


def are_from_torchvision(tensors: Mapping[str, Tensor]) -> bool:
    """Whether tensors are named as in torchvision's ResNets."""
    return "layer1.0.conv1.weight" in tensors and "bn1.weight" in tensors


def rename(name: str) -> str:
    """``layer1.0.bn2.weight`` as ``backbone.bottom_up.res2.0.conv2.norm.weight``; names that are not layers
    of the backbone are unchanged.
    """
    match = re.fullmatch(
        r"(?:layer(?P<stage>[1-4])\.(?P<block>\d+)\.)?(?P<layer>conv\d|bn\d|downsample\.[01])\.(?P<kind>\w+)",
        name,
    )
    if match is None:
        return name
    start = "stem" if match["stage"] is None else f"res{int(match['stage']) + 1}.{match['block']}"
    layer = {"downsample.0": "shortcut", "downsample.1": "shortcut.norm"}.get(
        match["layer"], re.sub(r"bn(\d)", r"conv\1.norm", match["layer"])
    )
    return f"backbone.bottom_up.{start}.{layer}.{match['kind']}"


def check(settings: MaskRCNNSettings, path: Path) -> None:
    """Raise ``UsageError`` unless preprocessing and strides match those with which these weights were
    trained.
    """
    own = {
        "model.input.format": settings.input.format,
        "model.input.pixel_mean": settings.input.pixel_mean,
        "model.input.pixel_std": settings.input.pixel_std,
        "model.backbone.stride_in_1x1": settings.backbone.stride_in_1x1 and settings.backbone.depth >= 50,
    }
    words = [
        f"{key}={str(list(wanted) if isinstance(wanted, tuple) else wanted).replace(' ', '')}"
        for key, wanted in _NORMALIZATION.items()
        if own[key] != wanted
    ]
    if words:
        raise UsageError(
            f"{path} was trained by torchvision, with different image preprocessing. Hint: add"
            f" {' '.join(words)}"
        )
