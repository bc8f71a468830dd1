"""The code shared by both engines: samples in, losses and predictions out, whichever engine runs the
network."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from toolkit.errors import ConfigError, InvalidDataError
from toolkit.models.capabilities import Windowable
from toolkit.models.contract import TrainableModel, evaluating
from toolkit.types import Instances, Prediction, Sample, Size

from .inputs import draw_short_side, network_size, padded_size
from .settings import MaskRCNNSettings
from .targets import Targets, make_targets


class Engine(TrainableModel, Windowable):
    """A Mask R-CNN with any engine. Subclasses provide the network, ``losses`` and ``detect``.

    The names and shapes in ``state_dict()`` are Detectron2's, so weights can be exchanged between the engines
    and with Detectron2 itself. Class ``len(classes)`` is the background, after those of the dataset.

    Args:
        settings: the network and the image preprocessing.
        classes: the names that label indexes stand for.

    Raises:
        ConfigError: when there are no classes.
    """

    def __init__(self, settings: MaskRCNNSettings, classes: Sequence[str]) -> None:
        super().__init__(classes)
        if not classes:
            raise ConfigError("Mask R-CNN needs at least one class; the dataset has none")
        self.settings = settings
        parts = ["box_predictor.cls_score"]
        parts += [] if settings.box_head.class_agnostic else ["box_predictor.bbox_pred"]
        parts += ["mask_head.predictor"] if settings.masks and not settings.mask_head.class_agnostic else []
        self.class_tensors: tuple[str, ...] = tuple(
            f"roi_heads.{part}.{kind}" for part in parts for kind in ("weight", "bias")
        )
        self.first_class_row = 0  # the background comes last

    @property
    def shrinks_large_images(self) -> bool:
        """Whether large images are resized, as the settings say."""
        return bool(self.settings.input.short_side_test)

    @abstractmethod
    def losses(self, samples: Sequence[Sample], sizes: Sequence[Size]) -> dict[str, Tensor]:
        """The losses of one or more samples, resized to ``sizes``; norms follow the mode."""

    @abstractmethod
    def detect(self, samples: Sequence[Sample], sizes: Sequence[Size]) -> list[Instances]:
        """Detections in samples resized to ``sizes``, which are all the same after padding; best first, in
        each sample's own grid.

        Called in eval mode and without gradients.
        """

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        """The objects of each sample, best first, with boxes, scores, masks and keypoints in the sample's own
        grid.

        Images of the same size after padding go through the network together.
        """
        predictions: dict[int, Prediction] = {}
        with evaluating(self):
            for positions, sizes in self._groups(samples):
                chosen = [samples[i] for i in positions]
                for i, sample, found in zip(positions, chosen, self.detect(chosen, sizes), strict=True):
                    predictions[i] = Prediction(sample.id, sample.size, instances=found)
        return [predictions[i] for i in range(len(samples))]

    def loss(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
        """Detectron2's losses: ``loss_rpn_cls``, ``loss_rpn_loc``, ``loss_cls``, ``loss_box_reg``,
        ``loss_mask`` and ``loss_keypoint``.

        Anchors and proposals are drawn at random, and so is the length of each image's shorter side. The
        losses are normalized as in Detectron2, over all anchors and regions drawn from the batch: those of
        the RPN are means over the samples; the others are, too, if every image gives the same number of
        regions (for ``loss_mask``, regions on objects).

        Raises:
            InvalidDataError: when a sample has no instances, or its objects have no masks (keypoints); names
                the sample.
        """
        if not samples:
            raise InvalidDataError("the loss of an empty batch is undefined; expected at least one sample")
        options = self.settings.input
        return self.losses(
            samples,
            [
                network_size(sample.size, draw_short_side(options), options.long_side_train)
                for sample in samples
            ],
        )

    def validate(self, samples: Sequence[Sample]) -> tuple[list[Prediction], dict[str, Tensor]]:
        """Predictions, and losses at the inference size; random choices for the losses are the same each
        time.
        """
        losses: dict[str, Tensor] = {}
        with evaluating(self), torch.random.fork_rng(devices=[]):
            for sample in samples:
                torch.default_generator.manual_seed(0)  # random numbers come from the CPU on any device
                for name, value in self.losses([sample], [self.test_size(sample)]).items():
                    losses[name] = losses.get(name, 0) + value / len(samples)
        return self.predict(samples), losses

    def parameter_groups(self, lr: float, weight_decay: float) -> list[dict[str, Any]]:
        """Detectron2's parameter groups: norms with their own weight decay, everything else, including
        biases, with ``weight_decay``."""
        norms: list[nn.Parameter] = []
        others: list[nn.Parameter] = []
        for module in self.modules():
            is_norm = isinstance(module, (nn.modules.batchnorm._BatchNorm, nn.GroupNorm))
            (norms if is_norm else others).extend(
                p for p in module.parameters(recurse=False) if p.requires_grad
            )
        groups = [
            {"name": "weights", "params": others, "lr": lr, "weight_decay": weight_decay},
            {"name": "norms", "params": norms, "lr": lr, "weight_decay": self.settings.weight_decay_norm},
        ]
        return [group for group in groups if group["params"]]

    def targets(self, samples: Sequence[Sample], sizes: Sequence[Size]) -> list[Targets]:
        """The training targets of samples resized to ``sizes``."""
        return [
            make_targets(
                sample,
                size,
                class_count=len(self.classes),
                with_masks=self.settings.masks,
                keypoint_count=self.settings.keypoint_count,
                device=self.device,
            )
            for sample, size in zip(samples, sizes, strict=True)
        ]

    def test_size(self, sample: Sample) -> Size:
        """The network's input size for a sample in inference, before padding."""
        return self.size_in_network(sample.size)

    def size_in_network(self, size: Size) -> Size:
        """The same for an image of a size."""
        options = self.settings.input
        return network_size(size, options.short_side_test, options.long_side_test)

    def _groups(self, samples: Sequence[Sample]) -> Iterator[tuple[list[int], list[Size]]]:
        """Indexes and sizes of the samples, grouped by their size after padding, so that no image's result
        depends on another's.
        """
        positions: dict[Size, list[int]] = {}
        sizes = [self.test_size(sample) for sample in samples]
        for i, size in enumerate(sizes):
            positions.setdefault(padded_size([size]), []).append(i)
        for group in positions.values():
            yield group, [sizes[i] for i in group]
