"""From settings to a model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from toolkit.errors import ConfigError, InvalidDataError
from toolkit.model import TrainableModel
from toolkit.types import Prediction, Sample, Size

from .fpn import FPN
from .inputs import draw_short_side, network_size, pad_to, padded_size, resize
from .postprocessing import to_instances
from .resnet import ResNet
from .roi_heads import Detections, RoIHeads
from .rpn import ProposalGenerator
from .settings import MaskRCNNSettings
from .targets import make_targets


def build(settings: MaskRCNNSettings, classes: Sequence[str]) -> TrainableModel:
    """A Mask R-CNN with random weights, run by the engine that the settings name.

    Raises:
        ConfigError: when the engine ``detectron2`` is asked for and not installed.
    """
    if settings.engine != "torchvision":
        from .interop.engine import Detectron2Engine, is_installed

        if is_installed():
            return Detectron2Engine(settings, classes)
        if settings.engine == "detectron2":
            raise ConfigError(
                "model.engine=detectron2, but Detectron2 is not installed. Repair: install it (https://detectron2.readthedocs.io/en/latest/"
                "tutorials/install.html), or model.engine=torchvision, which is the same network"
            )
    return MaskRCNN(settings, classes)


class MaskRCNN(TrainableModel):
    """Detectron2's ``GeneralizedRCNN`` with a feature pyramid, on torchvision's operators.

    The names and shapes in ``state_dict()`` are Detectron2's, and so is every rule: how images are resized, what counts as an object, what
    is drawn for the losses and how they are normalised. Class ``len(classes)`` is the background, after those of the dataset.

    Args:
        settings: the network and what is done to images.
        classes: the names that label indexes stand for.
    """

    def __init__(self, settings: MaskRCNNSettings, classes: Sequence[str]) -> None:
        super().__init__(classes)
        if not classes:
            raise ConfigError("Mask R-CNN needs one class or more; the dataset has none")
        self.settings = settings
        self.backbone = FPN(ResNet(settings.backbone), settings.fpn)
        self.proposal_generator = ProposalGenerator(settings.fpn.out_channels, settings.anchors, settings.rpn)
        self.roi_heads = RoIHeads(settings, len(classes))
        self.register_buffer("pixel_mean", torch.tensor(settings.input.pixel_mean)[:, None, None], persistent=False)
        self.register_buffer("pixel_std", torch.tensor(settings.input.pixel_std)[:, None, None], persistent=False)
        self.pixel_mean: Tensor
        self.pixel_std: Tensor
        parts = ["box_predictor.cls_score"]
        parts += [] if settings.box_head.class_agnostic else ["box_predictor.bbox_pred"]
        parts += ["mask_head.predictor"] if settings.masks and not settings.mask_head.class_agnostic else []
        self.class_tensors: tuple[str, ...] = tuple(f"roi_heads.{part}.{kind}" for part in parts for kind in ("weight", "bias"))

    # --- the contract ---

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        """The objects of each sample, best first, with boxes, scores, masks and keypoints in the sample's own grid.

        Images that are the same size once padded go through the network together.
        """
        predictions: dict[int, Prediction] = {}
        with _evaluating(self), torch.no_grad():
            for positions, sizes in self._groups(samples):
                features = self.backbone(self.batch([samples[i] for i in positions], sizes))
                for i, size, found in zip(positions, sizes, self._detect(features, sizes), strict=True):
                    predictions[i] = self._prediction(samples[i], size, found)
        return [predictions[i] for i in range(len(samples))]

    def loss(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
        """Detectron2's losses: ``loss_rpn_cls``, ``loss_rpn_loc``, ``loss_cls``, ``loss_box_reg``, ``loss_mask`` and ``loss_keypoint``.

        Anchors and proposals are drawn at random, and so is the length of each image's shorter side. The losses are normalised as in
        Detectron2, over what is drawn from the whole batch: those of the RPN are means over the samples; the others are so as far as every
        image gives the same number of regions (``loss_mask``: of objects' regions).

        Raises:
            InvalidDataError: when a sample has no instances, or its objects have no masks (keypoints) to learn from; names the sample.
        """
        options = self.settings.input
        return self._losses(samples, [network_size(sample.size, draw_short_side(options), options.long_side_train) for sample in samples])

    def validate(self, samples: Sequence[Sample]) -> tuple[list[Prediction], dict[str, Tensor]]:
        """Predictions, and losses at the size at which images are predicted; what is drawn for them is the same each time."""
        losses: dict[str, Tensor] = {}
        with _evaluating(self), torch.no_grad(), torch.random.fork_rng(devices=[]):
            for sample in samples:
                torch.manual_seed(0)
                for name, value in self._losses([sample], [self._test_size(sample)]).items():
                    losses[name] = losses.get(name, 0) + value / len(samples)
        return self.predict(samples), losses

    def parameter_groups(self, lr: float, weight_decay: float) -> list[dict[str, Any]]:
        """Detectron2's: norms with a decay of their own, all else, biases included, with ``weight_decay``."""
        norms: list[nn.Parameter] = []
        others: list[nn.Parameter] = []
        for module in self.modules():
            is_norm = isinstance(module, (nn.modules.batchnorm._BatchNorm, nn.GroupNorm))
            (norms if is_norm else others).extend(p for p in module.parameters(recurse=False) if p.requires_grad)
        groups = [
            {"name": "weights", "params": others, "lr": lr, "weight_decay": weight_decay},
            {"name": "norms", "params": norms, "lr": lr, "weight_decay": self.settings.weight_decay_norm},
        ]
        return [group for group in groups if group["params"]]

    # --- its parts, which tests and benchmarks use too ---

    def batch(self, samples: Sequence[Sample], sizes: Sequence[Size]) -> Tensor:
        """Images resized to ``sizes``, normalised and padded: float32 ``[B, 3, H, W]`` on the model's device."""
        padded = padded_size(sizes)
        images = []
        for sample, size in zip(samples, sizes, strict=True):
            image = resize(sample.image, size).to(self.pixel_mean.device)
            if self.settings.input.format == "BGR":
                image = image.flip(0)
            images.append(pad_to((image - self.pixel_mean) / self.pixel_std, padded))
        return torch.stack(images)

    def _losses(self, samples: Sequence[Sample], sizes: Sequence[Size]) -> dict[str, Tensor]:
        if not samples:
            raise InvalidDataError("the loss of no samples at all is undefined; expected one or more")
        settings = self.settings
        targets = [
            make_targets(
                sample,
                size,
                class_count=len(self.classes),
                with_masks=settings.masks,
                keypoint_count=settings.keypoint_count,
                device=self.pixel_mean.device,
            )
            for sample, size in zip(samples, sizes, strict=True)
        ]
        features = self.backbone(self.batch(samples, sizes))
        output = self.proposal_generator(features)
        losses = self.proposal_generator.losses(output, targets)
        proposals = self.proposal_generator.proposals(output, sizes, training=True)
        return losses | self.roi_heads.losses(features, proposals, targets)

    def _detect(self, features: Sequence[Tensor], sizes: Sequence[Size]) -> list[Detections]:
        proposals = self.proposal_generator.proposals(self.proposal_generator(features), sizes, training=False)
        return self.roi_heads.detect(features, proposals, sizes)

    def _prediction(self, sample: Sample, size: Size, found: Detections) -> Prediction:
        instances = to_instances(found, size, sample.size, self.settings.mask_head.threshold)
        return Prediction(sample.id, sample.size, instances=instances)

    def _test_size(self, sample: Sample) -> Size:
        options = self.settings.input
        return network_size(sample.size, options.short_side_test, options.long_side_test)

    def _groups(self, samples: Sequence[Sample]) -> Iterator[tuple[list[int], list[Size]]]:
        """Positions and sizes of the samples that are the same size once padded: so no image's result depends on another's."""
        positions: dict[Size, list[int]] = {}
        sizes = [self._test_size(sample) for sample in samples]
        for i, size in enumerate(sizes):
            positions.setdefault(padded_size([size]), []).append(i)
        for group in positions.values():
            yield group, [sizes[i] for i in group]


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode for a while; afterwards every module is in the mode that it was in."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
