"""Weights that Detectron2 wrote or publishes, loaded as Detectron2 itself loads them, and as safely as the
toolkit's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from toolkit.checkpoints import LoadReport, read_foreign
from toolkit.errors import CheckpointError
from toolkit.models.contract import Model
from toolkit.models.weight_names import unwrapped
from toolkit.models.weights import take_tensors
from toolkit.reading.files import expanded
from toolkit.reading.pickles import read_pickle

from ..contract import Engine
from . import caffe2, torchvision_names
from .coco_classes import zoo_classes

BOTTOM_UP = "backbone.bottom_up."
COUNT = ".num_batches_tracked"
_NOT_WEIGHTS = ("pixel_mean", "pixel_std")  # older files have them; now they are settings


def load_weights(model: Engine, name: str) -> LoadReport:
    """Load the tensors of a Detectron2 file that fit; for heads with other classes, the rows of the classes
    that both have, if the file is from the model zoo.

    Args:
        model: a model of either engine; its ``state_dict`` has Detectron2's names.
        name: the path of a ``.pkl`` of the model zoo or of Caffe2, of a ``.pth`` that Detectron2 saved, of a
            ResNet of torchvision's, or of a ``.safetensors`` with the same names.

    Raises:
        CheckpointError: when the file is damaged, would run code, or is for another network.
        UsageError: when it was trained on images with different preprocessing.
    """
    path = expanded(name)
    tensors = read_weights(path, tuple(model.state_dict()))
    if torchvision_names.are_from_torchvision(tensors):
        torchvision_names.check(model.settings, path)
        tensors = {torchvision_names.rename(key): value for key, value in tensors.items()}
    _check_norms(model, tensors, path)
    _check_depth(model, tensors, path)
    filled = _no_statistics(model, tensors)
    scores = tensors.get("roi_heads.box_predictor.cls_score.weight")
    classes = None if scores is None else zoo_classes(path, len(scores))
    report = take_tensors(model, {**tensors, **filled}, str(path), classes=classes)
    return replace(
        report,
        loaded=tuple(key for key in report.loaded if key not in filled),
        # nothing uses the number of batches, and only some kinds of batch norm have it
        missing=tuple(key for key in report.missing if not key.endswith(COUNT)),
        unexpected=tuple(key for key in report.unexpected if not key.endswith(COUNT)),
    )


def read_weights(path: Path, names: tuple[str, ...]) -> dict[str, Tensor]:
    """The tensors of a file by Detectron2's names.

    Args:
        path: see ``load_weights``.
        names: the model's names, with which a file's shorter ones (``res2.0.conv1.weight``) are matched if it
            requires that.

    Raises:
        CheckpointError: when the file is damaged, would run code, or contains anything but tensors.
    """
    if path.suffix == ".pkl" and not _is_torch(path):
        tensors, match_names = _from_pickle(path)
    else:
        tensors, match_names = dict(read_foreign(path)), False
    tensors = unwrapped(tensors, names)
    tensors = {
        name: value
        for name, value in tensors.items()
        if name.rpartition(".")[2] not in _NOT_WEIGHTS and ".cell_anchors." not in name
    }
    return _matched(tensors, names, path) if match_names else tensors


def _is_torch(path: Path) -> bool:
    """Whether ``torch.save`` wrote a file, which is then a zip archive."""
    try:
        with open(path, "rb") as file:
            return file.read(4) == b"PK\x03\x04"
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from None


def _from_pickle(path: Path) -> tuple[dict[str, Tensor], bool]:
    """The tensors of a pickle, and whether their names need matching."""
    content = read_pickle(path, "weights", CheckpointError)
    if not isinstance(content, dict):
        raise CheckpointError(
            f"{path} contains a {type(content).__name__}: expected arrays by name, at the top level or under"
            " 'model'"
        )
    if isinstance(content.get("model"), dict):  # of Detectron2's model zoo
        return _tensors(content["model"], path), bool(content.get("matching_heuristics", False))
    if isinstance(content.get("blobs"), dict):  # of the original Detectron
        content = content["blobs"]
    tensors = _tensors(content, path)
    if any("." in name for name in tensors):
        return tensors, True
    return caffe2.convert(tensors), True


def _tensors(content: Mapping[Any, Any], path: Path) -> dict[str, Tensor]:
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, np.ndarray):
            kind = "an array" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"
            raise CheckpointError(
                f"{path}: expected arrays by name, but {str(name)[:80]!r} ({type(name).__name__}) names"
                f" {kind}"
            )
    if not content:
        raise CheckpointError(f"{path} contains no arrays")
    return {name: torch.from_numpy(value) for name, value in content.items()}


def _matched(tensors: dict[str, Tensor], names: tuple[str, ...], path: Path) -> dict[str, Tensor]:
    """Tensors by the full names of the model, of which the file's names may be the ends; if several match,
    the longest counts.
    """
    matched: dict[str, str] = {}
    for name in names:
        parts = name.split(".")
        ends = (".".join(parts[i:]) for i in range(len(parts)))
        end = next((end for end in ends if end in tensors), None)
        if end is None:
            continue
        if end in matched:
            raise CheckpointError(
                f"{path}: {end!r} could be {matched[end]!r} or {name!r} of the model; expected names that are"
                " not ambiguous"
            )
        matched[end] = name
    return {matched.get(name, name): value for name, value in tensors.items()}


def _no_statistics(model: Model, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A mean of 0 and a variance of 1 for batch norms that are folded into a scale and a shift in the file,
    and therefore have no statistics.

    Detectron2 fills them in the same way, although a frozen norm that was never loaded has a variance of 1 -
    eps.
    """
    filled = {}
    for name, value in model.state_dict().items():
        layer, _, kind = name.rpartition(".")
        if kind in ("running_mean", "running_var") and name not in tensors and f"{layer}.weight" in tensors:
            filled[name] = torch.ones_like(value) if kind == "running_var" else torch.zeros_like(value)
    return filled


def _check_norms(model: Model, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Check the kind of norm: the weights of different kinds have the same shapes and would be loaded
    silently.

    Raises:
        CheckpointError: when the file has statistics and the model's norms do not, or vice versa.
    """
    for name, module in model.named_modules():
        if f"{name}.weight" not in tensors:
            continue
        has_statistics = f"{name}.running_mean" in tensors
        if isinstance(module, nn.GroupNorm) and has_statistics:
            raise CheckpointError(
                f"{path} was trained with batch norm, but {name} is a group norm. Hint: use another norm,"
                " or other weights"
            )
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and not has_statistics:
            raise CheckpointError(
                f"{path} has no statistics for the batch norm {name}: it was trained with group norm, or its"
                " batch norms are folded. Hint: for folded ones model.backbone.norm=FrozenBN, otherwise"
                " model.backbone.norm=GN; or use other weights"
            )


def _check_depth(model: Model, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Raise ``CheckpointError`` when a file is for another ResNet, whose first blocks may fit."""
    wanted = {name for name in model.state_dict() if name.startswith(BOTTOM_UP) and name.endswith(".weight")}
    given = {name for name in tensors if name.startswith(BOTTOM_UP) and name.endswith(".weight")}
    if given and (odd := sorted(wanted ^ given)):
        raise CheckpointError(
            f"{path} contains another ResNet: {odd[0]} is in the {'model' if odd[0] in wanted else 'file'}"
            " only. Hint: set model.backbone.depth to that of the weights"
        )
