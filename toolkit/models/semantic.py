"""The model behind semantic plugins: wraps a network and handles everything related to samples.

A whole plugin in one file::

    def build(settings, classes):
        layers = [nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, len(classes), 1)]
        return SemanticModel(nn.Sequential(*layers), classes)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor, nn

from toolkit.errors import InvalidDataError, UsageError
from toolkit.models.capabilities import Exportable, Inspectable, Probabilistic, Tileable
from toolkit.models.contract import TrainableModel, evaluating
from toolkit.models.explained import ExplainedClasses
from toolkit.models.graphs import Graph
from toolkit.models.label_maps import logits_to_label_map
from toolkit.models.losses import SegmentationLossSettings, segmentation_loss
from toolkit.models.norms import uses_batch_statistics
from toolkit.models.parts import name_inside
from toolkit.models.resizing import (
    Padding,
    enlarged,
    groups_by_size,
    in_grid,
    multiple,
    pad,
    shrunk,
    working_size,
)
from toolkit.models.semantic_checks import checked_logits, label_map_of
from toolkit.models.semantic_graph import PROGRAM, logits_graph, processing_of
from toolkit.models.strided import channels_last
from toolkit.types import CONFIDENCE, VOID, PixelMap, Prediction, Sample, Size

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@final
class SemanticModel(TrainableModel, Tileable, Probabilistic, Inspectable, ExplainedClasses, Exportable):
    """A semantic segmentation model around a network; designed for composition rather than subclassing.

    Images go to the network normalized and padded, as float32 ``[B, 3, H, W]`` in channels-last memory (1.3
    times as fast on a CPU). It returns logits ``[B, C, h, w]`` that cover the same picture at any resolution.
    They are resized to the image's grid by bilinear interpolation (half-pixel centers), for both the loss and
    the prediction.

    Args:
        network: the wrapped module; its parameters may have any memory format.
        classes: one name per channel of the logits.
        loss: the training loss; cross-entropy when None.
        mean: mean of each channel in RGB order, for values in 0…1; subtracted first.
        std: standard deviation of each channel; divided by after that.
        divisor: height and width of the network's input are multiples of this; images are padded at the
            bottom and on the right.
        padding: repeat the last row and column, or mirror the image about them; either works for images of
            any size.
        long_side: images with a longer side above this, in pixels, are downscaled for the network;
            predictions keep the sample's size.
        encoder: the part of ``network`` that published weights are for.
        auxiliary_weight: weight of the losses of auxiliary heads, which are used only in training. The
            network then has a method ``all_logits(images)`` that returns a list: the result of ``forward``,
            and the logits of each auxiliary head. 0: no auxiliary heads.
        stride: stride of the network's coarsest features, in pixels; ``divisor`` when None. A training batch
            of a single image is padded to more than this, because batch norm cannot train on a single value.

    Raises:
        UsageError: when these arguments do not fit together.
        ConfigError: when the loss has class weights for another number of classes.
    """

    _scale: Tensor
    _shift: Tensor

    def __init__(
        self,
        network: nn.Module,
        classes: Sequence[str],
        *,
        loss: SegmentationLossSettings | None = None,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        divisor: int = 1,
        padding: Padding = "replicate",
        long_side: int | None = None,
        encoder: nn.Module | None = None,
        auxiliary_weight: float = 0.0,
        stride: int | None = None,
    ) -> None:
        super().__init__(classes)
        if not 1 <= len(self.classes) <= VOID:
            raise UsageError(f"a semantic model needs 1 to {VOID} classes, not {len(self.classes)}")
        loss = loss or SegmentationLossSettings()
        loss.check_classes(len(self.classes))
        self.network: nn.Module = channels_last(network)
        self.mean, self.std = tuple(mean), tuple(std)
        self.divisor, self.padding, self.long_side = divisor, padding, long_side
        self.auxiliary_weight, self.stride = auxiliary_weight, stride or divisor
        self._criterion = segmentation_loss(loss)
        self._encoder_name = None if encoder is None else name_inside(network, encoder)
        self.encoder_part = f"network.{self._encoder_name}" if self._encoder_name else ""
        if auxiliary_weight and not hasattr(network, "all_logits"):
            raise UsageError(
                "auxiliary_weight needs a network with a method all_logits(images), which"
                f" {type(network).__name__} does not have"
            )
        # (x / 255 - mean) / std as one multiplication and one subtraction
        self.register_buffer(
            "_scale", (1 / (255 * torch.tensor(self.std))).view(1, 3, 1, 1), persistent=False
        )
        self.register_buffer(
            "_shift", (torch.tensor(self.mean) / torch.tensor(self.std)).view(1, 3, 1, 1), persistent=False
        )

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        """One label map per sample.

        Images of the same size go through the network together and are never padded to the size of others, so
        a prediction does not depend on the rest of the batch. Always runs in eval mode and without gradients,
        and restores the mode.
        """
        predictions: dict[int, Prediction] = {}
        with evaluating(self):
            for positions, images in groups_by_size(samples):
                raw = self._run(images)
                predictions.update(
                    (i, self._prediction(samples[i], raw[row])) for row, i in enumerate(positions)
                )
        return [predictions[i] for i in range(len(samples))]

    def loss(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
        """The terms of the loss, each the mean over the samples of the loss in the sample's own pixels.

        Images of different sizes go through the network one size at a time, so that none affects another.
        Only a network that normalizes by the statistics of its batch, as batch norm does in training mode,
        gets them together, all padded to the size of the largest with the mean color.
        """
        targets = [label_map_of(sample, len(self.classes)) for sample in samples]
        if not targets:
            raise InvalidDataError("the loss of an empty batch is undefined; expected at least one sample")
        losses: dict[str, Tensor] = {}
        for positions, raw, padded in self._training_logits(samples):
            target = torch.stack([targets[i] for i in positions])
            share = len(positions) / len(samples)
            for name, value in self._all_losses(raw, padded, target).items():
                losses[name] = losses.get(name, 0) + value * share
        return losses

    def validate(self, samples: Sequence[Sample]) -> tuple[list[Prediction], dict[str, Tensor]]:
        """Predictions and losses from one forward pass; the losses, too, in eval mode and independent of the
        rest of the batch.
        """
        predictions: dict[int, Prediction] = {}
        sums: dict[str, Tensor] = {}
        with evaluating(self):
            for positions, images in groups_by_size(samples):
                raw = self._run(images)
                working = working_size((images.shape[2], images.shape[3]), self.long_side)
                target = torch.stack([label_map_of(samples[i], len(self.classes)) for i in positions])
                for name, value in self._losses(raw, multiple(working, self.divisor), target).items():
                    sums[name] = sums.get(name, 0) + value * (len(positions) / len(samples))
                predictions.update(
                    (i, self._prediction(samples[i], raw[row])) for row, i in enumerate(positions)
                )
        return [predictions[i] for i in range(len(samples))], sums

    def logits(self, images: Tensor) -> Tensor:
        """Logits in the images' own pixel grid, for blending tiles and the like; their arg-max is the result
        of ``predict``.

        Args:
            images: uint8 ``[B, 3, H, W]``, RGB.

        Returns:
            floating ``[B, C, H, W]`` on the model's device. Call in eval mode and without gradients for
            inference.
        """
        size: Size = (images.shape[2], images.shape[3])
        return self._to_grid(self._run(images), working_size(size, self.long_side), size)

    def class_logits(self, images: Tensor, label: int) -> Tensor:
        """Like ``logits``, of one class: ``[B, H, W]``; differentiable, for floating images too."""
        size: Size = (images.shape[2], images.shape[3])
        return self._to_grid(
            self._run(images)[:, label : label + 1], working_size(size, self.long_side), size
        )[:, 0]

    def maps_in_image(self, maps: Tensor, size: Size) -> Tensor:
        """See ``Explainable``: without what was padded, by the model or by a network with a method
        ``unpadded(maps, size)``, which returns maps of the images ``[B, h, w]`` that it got.
        """
        working = working_size(size, self.long_side)
        own: Any = getattr(self.network, "unpadded", None)
        maps = maps if own is None else own(maps, multiple(working, self.divisor))
        return self._to_grid(maps[:, None], working, size)[:, 0]

    def predict_with_confidence(self, samples: Sequence[Sample]) -> list[Prediction]:
        """Like ``predict``, with the softmax of the logits in the image's own grid at the predicted class; it
        takes memory for all classes in every pixel of an image.
        """
        predictions: dict[int, Prediction] = {}
        with evaluating(self):
            for positions, images in groups_by_size(samples):
                raw = self._run(images)
                for row, i in enumerate(positions):
                    plain, size = self._prediction(samples[i], raw[row]), samples[i].size
                    logits = self._to_grid(raw[row : row + 1], working_size(size, self.long_side), size)[0]
                    assert plain.label_map is not None
                    chosen = plain.label_map.to(logits.device).long()[None]
                    values = logits.float().softmax(0).gather(0, chosen)[0].cpu()
                    predictions[i] = replace(plain, extras={CONFIDENCE: PixelMap(values)})
        return [predictions[i] for i in range(len(samples))]

    @property
    def shrinks_large_images(self) -> bool:
        """Whether images of more than ``long_side`` pixels are downscaled for the network."""
        return self.long_side is not None

    def network_input(self, images: Tensor) -> Tensor:
        """The network's input: images downscaled, normalized and padded.

        Args:
            images: uint8 ``[B, 3, H, W]``, RGB.

        Returns:
            float32 ``[B, 3, h, w]`` in channels-last memory, on the model's device.
        """
        size = working_size((images.shape[2], images.shape[3]), self.long_side)
        return self._padded(self._normalized(shrunk(images, size)))

    def export_state(self) -> dict[str, Tensor]:
        """The weights of the network alone, under their names in it."""
        return dict(self.network.state_dict())

    def graphs(self) -> tuple[Graph, ...]:
        """The network, from normalized and padded images to logits."""
        return (logits_graph(self.network, len(self.classes), self.divisor),)

    def with_graphs(self, graphs: Mapping[str, nn.Module]) -> SemanticModel:
        """The same preprocessing and the same label maps around another network."""
        model = SemanticModel(
            graphs["network"],
            self.classes,
            mean=self.mean,
            std=self.std,
            divisor=self.divisor,
            padding=self.padding,
            long_side=self.long_side,
        )
        return model.eval()

    @property
    def processing(self) -> Mapping[str, Any]:
        """How images become the network's input, and logits become a label map."""
        return processing_of(self.mean, self.std, self.divisor, self.padding, self.long_side)

    @property
    def program(self) -> tuple[Path, ...]:
        """The same in NumPy."""
        return PROGRAM

    @property
    def encoder(self) -> nn.Module | None:
        """The part of the network that was named as its encoder."""
        return None if self._encoder_name is None else self.network.get_submodule(self._encoder_name)

    def _prediction(self, sample: Sample, raw: Tensor) -> Prediction:
        """The label map of the network's logits ``[C, h, w]``; full-size logits are only built if needed."""
        size = working_size(sample.size, self.long_side)
        padded = multiple(size, self.divisor)
        if size == sample.size:
            label_map = logits_to_label_map(raw, padded)[: size[0], : size[1]]
        else:
            label_map = logits_to_label_map(self._to_grid(raw[None], size, size)[0], sample.size)
        return Prediction(sample.id, sample.size, label_map=label_map.cpu().contiguous())

    def _training_logits(self, samples: Sequence[Sample]) -> Iterator[tuple[list[int], list[Tensor], Size]]:
        """For the samples of each size, their positions, the logits of all heads, and the size of the
        network's input that these cover.
        """
        groups = [(positions, self.network_input(images)) for positions, images in groups_by_size(samples)]
        if not uses_batch_statistics(self.network):
            for positions, images in groups:
                yield positions, self._all_logits(images), (images.shape[2], images.shape[3])
            return
        height, width = (max(images.shape[dim] for _, images in groups) for dim in (2, 3))
        if self.stride > 1 and len(samples) == 1:
            # batch norm cannot train on the single value that a tiny image would leave
            width = max(width, multiple((1, self.stride + 1), self.divisor)[1])
        together = [enlarged(images, (height, width)) for _, images in groups]
        batch = together[0] if len(together) == 1 else torch.cat(together)
        raw, first = self._all_logits(batch), 0
        for positions, _ in groups:
            yield positions, [each[first : first + len(positions)] for each in raw], (height, width)
            first += len(positions)

    def _all_logits(self, images: Tensor) -> list[Tensor]:
        """The logits of the last layer, and those of the auxiliary heads if they have a weight."""
        network: Any = self.network
        raw: list[Tensor] = network.all_logits(images) if self.auxiliary_weight else [network(images)]
        return [checked_logits(logits, images, len(self.classes)) for logits in raw]

    def _all_losses(self, raw: Sequence[Tensor], padded: Size, target: Tensor) -> dict[str, Tensor]:
        """The terms of the loss of all heads, whose logits cover images that were padded to ``padded``."""
        losses, *auxiliary = (self._losses(logits, padded, target) for logits in raw)
        for terms in auxiliary:
            for name, value in terms.items():
                key = f"auxiliary_{name}"
                losses[key] = losses.get(key, 0) + self.auxiliary_weight * value
        return losses

    def _run(self, images: Tensor) -> Tensor:
        """The network's own logits of uint8 images ``[B, 3, H, W]``."""
        images = self.network_input(images)
        return checked_logits(self.network(images), images, len(self.classes))

    def _normalized(self, images: Tensor) -> Tensor:
        images = images.to(self._scale.device, memory_format=torch.channels_last)
        return (images.to(self._scale.dtype) * self._scale).sub_(self._shift)

    def _padded(self, images: Tensor) -> Tensor:
        """Normalized images, padded for the network."""
        height, width = images.shape[2:]
        padded = multiple((height, width), self.divisor)
        images = pad(images, (0, padded[0] - height), (0, padded[1] - width), self.padding)
        return images.contiguous(memory_format=torch.channels_last)

    def _losses(self, raw: Tensor, padded: Size, target: Tensor) -> dict[str, Tensor]:
        """The terms of the loss of logits of images that were padded to ``padded``, in the grid of the target
        ``[B, H, W]``.
        """
        size: Size = (target.shape[1], target.shape[2])
        logits = in_grid(raw, padded, working_size(size, self.long_side), size)
        return self._criterion(logits, target.to(raw.device))

    def _to_grid(self, raw: Tensor, working: Size, size: Size) -> Tensor:
        """Map the network's logits ``[B, C, h, w]`` of images that had the size ``working`` before padding to
        ``size``.
        """
        return in_grid(raw, multiple(working, self.divisor), working, size)
