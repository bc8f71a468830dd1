"""From settings to a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from toolkit.errors import ConfigError, UsageError
from toolkit.models.capabilities import Explainable, Exportable
from toolkit.models.contract import Model, TrainableModel
from toolkit.models.explained import refuse_kind
from toolkit.models.graphs import Graph
from toolkit.models.resizing import in_grid
from toolkit.types import Instances, Sample, Size, Target

from .contract import Engine
from .explanation import LAYERS, class_scores, mask_scores, resized
from .exported import PROGRAM, ExportedMaskRCNN, processing_of
from .fpn import FPN
from .graph import DetectionGraph, detection_graph
from .inputs import pad_to, padded_size, resize
from .layers import Conv2d
from .postprocessing import to_instances
from .resnet import ResNet
from .roi_heads import RoIHeads
from .rpn import ProposalGenerator
from .settings import MaskRCNNSettings


def build(settings: MaskRCNNSettings, classes: Sequence[str]) -> TrainableModel:
    """A Mask R-CNN with random weights, run by the engine in the settings.

    Raises:
        ConfigError: when the engine ``detectron2`` is requested but not installed, or has no such network.
    """
    if settings.engine != "torchvision":
        from .interop.engine import Detectron2Engine, is_installed, why_not

        if settings.engine == "auto" and is_installed() and not why_not(settings):
            return Detectron2Engine(settings, classes)
        if settings.engine == "detectron2":
            if not is_installed():
                raise ConfigError(
                    "model.engine=detectron2, but Detectron2 is not installed. Hint: install it"
                    " (https://detectron2.readthedocs.io/en/latest/tutorials/install.html), or set"
                    " model.engine=torchvision (the same network)"
                )
            return Detectron2Engine(settings, classes)
    return MaskRCNN(settings, classes)


class MaskRCNN(Engine, Explainable, Exportable):
    """Detectron2's ``GeneralizedRCNN`` with a feature pyramid, on torchvision's operators.

    All rules are Detectron2's: how images are resized, what counts as an object, what is sampled for the
    losses and how they are normalized.
    """

    pixel_mean: Tensor
    pixel_std: Tensor
    encoder_part = "backbone.bottom_up"

    def __init__(self, settings: MaskRCNNSettings, classes: Sequence[str]) -> None:
        super().__init__(settings, classes)
        self.channel_order = settings.input.format
        self.backbone = FPN(ResNet(settings.backbone), settings.fpn)
        self.proposal_generator = ProposalGenerator(settings.fpn.out_channels, settings.anchors, settings.rpn)
        self.roi_heads = RoIHeads(settings, len(classes))
        for part in self.modules():
            if isinstance(part, Conv2d):
                part.operators = settings.operators
        self.register_buffer(
            "pixel_mean", torch.tensor(settings.input.pixel_mean)[:, None, None], persistent=False
        )
        self.register_buffer(
            "pixel_std", torch.tensor(settings.input.pixel_std)[:, None, None], persistent=False
        )

    def losses(self, samples: Sequence[Sample], sizes: Sequence[Size]) -> dict[str, Tensor]:
        """See ``Engine``."""
        targets = self.targets(samples, sizes)
        features = self.backbone(self.batch(samples, sizes))
        output = self.proposal_generator(features)
        losses = self.proposal_generator.losses(output, targets)
        proposals = self.proposal_generator.proposals(output, sizes, training=True)
        return losses | self.roi_heads.losses(features, proposals, targets)

    def detect(self, samples: Sequence[Sample], sizes: Sequence[Size]) -> list[Instances]:
        """See ``Engine``."""
        features = self.backbone(self.batch(samples, sizes))
        proposals = self.proposal_generator.proposals(
            self.proposal_generator(features), sizes, training=False
        )
        found = self.roi_heads.detect(features, proposals, sizes)
        threshold = self.settings.mask_head.threshold
        return [
            to_instances(f, size, sample.size, threshold, pastes=self.settings.operators.paste)
            for f, size, sample in zip(found, sizes, samples, strict=True)
        ]

    def graphs(self) -> tuple[Graph, ...]:
        """One graph for one image, from pixels to detections."""
        network = DetectionGraph(self.backbone, self.proposal_generator, self.roi_heads, self.settings)
        return (detection_graph(network.eval(), self.settings),)

    def with_graphs(self, graphs: Mapping[str, nn.Module]) -> Model:
        """The same preprocessing and the same instances around the graph."""
        return ExportedMaskRCNN(graphs["detector"], self.settings, self.classes).eval()

    @property
    def processing(self) -> Mapping[str, Any]:
        """How images become the graph's input, and its results become objects."""
        return processing_of(self.settings)

    @property
    def program(self) -> tuple[Path, ...]:
        """The same without torch."""
        return PROGRAM

    def batch(self, samples: Sequence[Sample], sizes: Sequence[Size]) -> Tensor:
        """Images resized to ``sizes``, normalized and padded: float32 ``[B, 3, H, W]`` on the model's
        device.
        """
        padded = padded_size(sizes)
        images = []
        for sample, size in zip(samples, sizes, strict=True):
            image = resize(sample.image, size).to(self.pixel_mean.device, non_blocking=True)
            images.append(pad_to(self._normalized(image), padded))
        return _fast(torch.stack(images))

    def score(self, images: Tensor, target: Target) -> Tensor:
        """The logit of a detection's class in its box, or those of its mask averaged over it; see
        ``Explainable``.
        """
        if target.kind != "object" or target.box_xyxy is None or target.label is None:
            raise refuse_kind(self, target, "objects")
        if target.label >= len(self.classes):
            raise UsageError(f"there is no class {target.label}: the model has {len(self.classes)}")
        height, width = images.shape[2:]
        size = self.size_in_network((height, width))
        inputs = self._normalized(resized(images, size))
        padded = padded_size([size])
        features = self.backbone(_fast(F.pad(inputs, (0, padded[1] - size[1], 0, padded[0] - size[0]))))
        scale = torch.tensor([size[1] / width, size[0] / height]).repeat(2)
        box = (target.box_xyxy * scale).to(images.device)
        if target.part == "class":
            return class_scores(self.roi_heads, features, box, target.label)
        mask = None
        if target.mask is not None:
            mask = resized(target.mask[None, None].to(images.device, torch.float32), size)[0, 0]
        return mask_scores(self.roi_heads, features, box, target.label, mask)

    def layers(self) -> tuple[str, ...]:
        """See ``Explainable``: the stages of the ResNet."""
        return LAYERS

    def maps_in_image(self, maps: Tensor, size: Size) -> Tensor:
        """See ``Explainable``: without the padding."""
        working = self.size_in_network(size)
        return in_grid(maps[:, None], padded_size([working]), working, size)[:, 0]

    def _normalized(self, images: Tensor) -> Tensor:
        """RGB images ``[…, 3, H, W]`` from 0 to 255 in the channel order and range of the network."""
        if self.channel_order == "BGR":
            images = images.flip(-3)
        return (images - self.pixel_mean) / self.pixel_std


def _fast(batch: Tensor) -> Tensor:
    """A batch in the memory format in which convolutions and RoIAlign are fast on a CPU; it is kept through
    the network.
    """
    return batch.contiguous(memory_format=torch.channels_last) if batch.device.type == "cpu" else batch
