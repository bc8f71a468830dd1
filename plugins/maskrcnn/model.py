"""From settings to a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from toolkit.errors import ConfigError
from toolkit.models.capabilities import Exportable
from toolkit.models.contract import Model, TrainableModel
from toolkit.models.graphs import Graph
from toolkit.types import Instances, Sample, Size

from .contract import Engine
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


class MaskRCNN(Engine, Exportable):
    """Detectron2's ``GeneralizedRCNN`` with a feature pyramid, on torchvision's operators.

    All rules are Detectron2's: how images are resized, what counts as an object, what is sampled for the
    losses and how they are normalized.
    """

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(self, settings: MaskRCNNSettings, classes: Sequence[str]) -> None:
        super().__init__(settings, classes)
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
        """The same in NumPy, except for keypoints."""
        return () if self.settings.keypoint_count else PROGRAM

    def batch(self, samples: Sequence[Sample], sizes: Sequence[Size]) -> Tensor:
        """Images resized to ``sizes``, normalized and padded: float32 ``[B, 3, H, W]`` on the model's
        device.
        """
        padded = padded_size(sizes)
        images = []
        for sample, size in zip(samples, sizes, strict=True):
            image = resize(sample.image, size).to(self.pixel_mean.device)
            if self.settings.input.format == "BGR":
                image = image.flip(0)
            images.append(pad_to((image - self.pixel_mean) / self.pixel_std, padded))
        batch = torch.stack(images)
        # the memory format in which convolutions and RoIAlign are fast on a CPU; it is kept through the
        # network
        return batch.contiguous(memory_format=torch.channels_last) if batch.device.type == "cpu" else batch
