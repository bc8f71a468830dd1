"""The engine ``detectron2``: Detectron2's own network behind the toolkit's contract. Detectron2 is imported
only when a network is built.
"""

from __future__ import annotations

import importlib
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from toolkit.errors import ConfigError, UnavailableError
from toolkit.types import Instances, Masks, Sample, Size

from ..contract import Engine
from ..inputs import resize
from ..settings import MaskRCNNSettings
from ..targets import Targets
from .keys import ONLY, SETTINGS, usual_res2_channels


def is_installed() -> bool:
    """Whether Detectron2 is installed; imports nothing."""
    try:
        metadata.version("detectron2")
    except metadata.PackageNotFoundError:
        return False
    return True


def why_not(settings: MaskRCNNSettings) -> str:
    """Why Detectron2 has no network for these settings, or an empty string."""
    backbone = settings.backbone
    res2 = backbone.res2_out_channels or usual_res2_channels(backbone.depth)
    if backbone.depth in (18, 34) and res2 != 64:
        return f"backbone.res2_out_channels is {res2}, but its ResNet-{backbone.depth} has 64"
    normed = {
        "backbone.stem_out_channels": (backbone.norm, backbone.stem_out_channels),
        "backbone.res2_out_channels": (backbone.norm, res2),
        "backbone.width_per_group": (
            backbone.norm if backbone.depth >= 50 else "none",
            backbone.width_per_group,
        ),
        "fpn.out_channels": (settings.fpn.norm, settings.fpn.out_channels),
        "box_head.conv_dim": (
            settings.box_head.norm if settings.box_head.num_conv else "none",
            settings.box_head.conv_dim,
        ),
        "mask_head.conv_dim": (
            settings.mask_head.norm if settings.masks else "none",
            settings.mask_head.conv_dim,
        ),
    }
    odd = [name for name, (norm, channels) in normed.items() if norm == "GN" and channels % 32]
    return f"{odd[0]} is {normed[odd[0]][1]}, but its group norms have 32 groups" if odd else ""


def import_quietly(name: str) -> Any:
    """A module of Detectron2, without the warnings during import, which users cannot fix.

    Raises:
        UnavailableError: when it is installed but cannot be imported.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(f"detectron2.{name}")
    except ImportError as error:
        raise UnavailableError(
            f"model.engine: Detectron2 is installed but cannot be imported: {error}. Hint: reinstall it for"
            " this version of torch, or set model.engine=torchvision (the same network)"
        ) from error


def to_cfg(settings: MaskRCNNSettings, class_count: int) -> Any:
    """Convert settings to a Detectron2 ``CfgNode`` for its ``build_model``."""
    cfg = import_quietly("config").get_cfg()
    for key, (_, only) in ONLY.items():
        _set(cfg, key, only)
    for key, entry in SETTINGS.items():
        section, _, path = entry.setting.partition(".")
        if section == "model":
            value: Any = settings
            for part in path.split("."):
                value = getattr(value, part)
            _set(cfg, key, entry.write(value))
    cfg.MODEL.RESNETS.RES2_OUT_CHANNELS = settings.backbone.res2_out_channels or usual_res2_channels(
        settings.backbone.depth
    )
    cfg.MODEL.KEYPOINT_ON = settings.keypoint_count > 0
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = class_count
    cfg.MODEL.DEVICE = "cpu"  # the core moves it
    cfg.INPUT.MASK_FORMAT = "bitmask"
    return cfg


def _set(cfg: Any, key: str, value: Any) -> None:
    *sections, last = key.split(".")
    for section in sections:
        cfg = cfg[section]
    cfg[last] = _lists(value) if isinstance(cfg[last], list) else value


def _lists(value: Any) -> Any:
    return [_lists(part) for part in value] if isinstance(value, tuple) else value


class Detectron2Engine(Engine):
    """A network that Detectron2 builds and runs.

    Raises:
        ConfigError: when Detectron2 has no such network.
    """

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(self, settings: MaskRCNNSettings, classes: Sequence[str]) -> None:
        super().__init__(settings, classes)
        if reason := why_not(settings):
            raise ConfigError(
                f"model.engine=detectron2: {reason}. Hint: change that, or set model.engine=torchvision"
            )
        whole: Any = import_quietly("modeling").build_model(to_cfg(settings, len(classes)))
        # its parts are submodules of this module, so that their names are those of Detectron2; the whole
        # network is kept out of the state dict
        self._whole = (whole,)
        self.backbone, self.proposal_generator, self.roi_heads = (
            whole.backbone,
            whole.proposal_generator,
            whole.roi_heads,
        )
        self.register_buffer("pixel_mean", whole.pixel_mean, persistent=False)
        self.register_buffer("pixel_std", whole.pixel_std, persistent=False)

    def losses(self, samples: Sequence[Sample], sizes: Sequence[Size]) -> dict[str, Tensor]:
        """See ``Engine``."""
        inputs = self.inputs(samples, sizes)
        for given, target in zip(inputs, self.targets(samples, sizes), strict=True):
            given["instances"] = _to_detectron2(target)
        try:
            with import_quietly("utils.events").EventStorage(), _learning(self):
                losses: dict[str, Tensor] = self.whole(inputs)
        except (
            FloatingPointError
        ):  # boxes are not finite; the training loop reports a loss that is not finite
            return {"loss_rpn_loc": torch.full((), math.nan, device=self.device)}
        return losses

    def detect(self, samples: Sequence[Sample], sizes: Sequence[Size]) -> list[Instances]:
        """See ``Engine``."""
        postprocess = import_quietly("modeling.postprocessing").detector_postprocess
        threshold = self.settings.mask_head.threshold
        found = self.whole.inference(self.inputs(samples, sizes), do_postprocess=False)
        return [
            _from_detectron2(postprocess(f, *sample.size, threshold))
            for f, sample in zip(found, samples, strict=True)
        ]

    @property
    def whole(self) -> Any:
        """Detectron2's ``GeneralizedRCNN``, in the mode and on the device of this module."""
        (whole,) = self._whole
        whole.pixel_mean, whole.pixel_std, whole.training = self.pixel_mean, self.pixel_std, self.training
        return whole

    def inputs(self, samples: Sequence[Sample], sizes: Sequence[Size]) -> list[dict[str, Any]]:
        """Samples in the input format of Detectron2's models."""
        images = [resize(sample.image, size) for sample, size in zip(samples, sizes, strict=True)]
        if self.settings.input.format == "BGR":
            images = [image.flip(0) for image in images]
        return [
            {"image": image, "height": s.size[0], "width": s.size[1]}
            for image, s in zip(images, samples, strict=True)
        ]


@contextmanager
def _learning(model: Detectron2Engine) -> Iterator[None]:
    """Detectron2's losses are those of modules in training mode; batch norms keep their mode."""
    if model.training:
        yield
        return
    model.train()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
    try:
        yield
    finally:
        model.eval()


def _to_detectron2(target: Targets) -> Any:
    """Targets as Detectron2's ``Instances``."""
    structures = import_quietly("structures")
    instances = structures.Instances(target.size)
    instances.gt_boxes, instances.gt_classes = structures.Boxes(target.boxes), target.labels
    if target.masks is not None:
        instances.gt_masks = structures.BitMasks(_masks_at(target.masks, target.size))
    if target.keypoints is not None:
        instances.gt_keypoints = structures.Keypoints(target.keypoints)
    return instances


def _masks_at(masks: Masks, size: Size) -> Tensor:
    """Masks in the network's grid, bool ``[M, H, W]``, by Pillow's nearest pixel, as Detectron2's mapper
    resizes bit masks.
    """
    resized = np.zeros((len(masks), *size), dtype=bool)
    for i in range(len(masks)):
        picture = Image.fromarray(masks[i : i + 1].dense()[0].numpy().astype(np.uint8))
        resized[i] = np.asarray(picture.resize((size[1], size[0]), Image.Resampling.NEAREST))
    return torch.from_numpy(resized)


def _from_detectron2(found: Any) -> Instances:
    found = found.to("cpu")
    masks = Masks.from_dense(found.pred_masks) if found.has("pred_masks") else None
    keypoints = found.pred_keypoints.float() if found.has("pred_keypoints") else None
    return Instances(
        found.image_size,
        found.pred_boxes.tensor.float(),
        found.pred_classes,
        masks,
        found.scores.float(),
        keypoints,
    )
