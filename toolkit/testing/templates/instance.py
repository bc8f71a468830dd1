"""mynet: a small detector that finds objects by their centers, and masks by pixels that point to a center.

After Panoptic-DeepLab (Cheng et al., CVPR 2020, https://arxiv.org/abs/1911.10194): every pixel predicts its
class and the offset to the center of its object; objects are the peaks of a heat map, and get the pixels of
their class that point closest to them. So masks do not overlap.

    toolkit train --plugin mynet.py --data shapes
    toolkit plugins check mynet.py
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from toolkit import (
    VOID,
    Instances,
    Masks,
    PluginManifest,
    Prediction,
    Sample,
    Settings,
    TrainableModel,
    Windowable,
)
from toolkit.errors import InvalidDataError
from toolkit.models.losses import cross_entropy

PLUGIN = PluginManifest(
    name="mynet",
    summary="a small detector that predicts centers, offsets and masks",
    task="instance",
    build=":build",
    settings=":MyNetSettings",
    evaluators=("coco",),
    defaults={"train": {"steps": 400, "batch_size": 4, "lr": 2e-3, "clip_norm": 5.0}},
)
STRIDE = 16
"""Height and width of the network's input are multiples of this; its output has half the resolution."""


class MyNetSettings(Settings):
    """The network, and what counts as an object; the docstring of each field is its documentation."""

    width: int = Field(24, ge=8, multiple_of=8)
    """Channels at half resolution, doubled at each halving."""
    sigma: float = Field(4.0, gt=0)
    """Width of the peak at each center, in pixels of the image."""
    score_threshold: float = Field(0.2, ge=0, le=1)
    """Minimum height of a peak that counts as an object."""
    max_objects: int = Field(100, ge=1)
    """Maximum number of objects per image."""
    center_weight: float = Field(50.0, ge=0)
    """Weight of the heat map loss (squared error)."""
    offset_weight: float = Field(0.05, ge=0)
    """Weight of the offset loss, which is in pixels."""


class Network(nn.Module):
    """Four downsampling steps, then upsampling to half resolution with skip connections; then three heads in
    one convolution.
    """

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        widths = [width, 2 * width, 4 * width, 4 * width]
        self.down = nn.ModuleList(
            [_block(a, b, stride=2) for a, b in zip([3, *widths], widths, strict=False)]
        )
        self.up = nn.ModuleList(
            [_block(8 * width, 4 * width), _block(6 * width, 2 * width), _block(3 * width, width)]
        )
        self.head = nn.Conv2d(width, outputs, 1)

    def forward(self, images: Tensor) -> Tensor:
        """``[B, outputs, H / 2, W / 2]`` for images ``[B, 3, H, W]``."""
        features, skips = images, []
        for block in self.down:
            features = block(features)
            skips.append(features)
        for block, skip in zip(self.up, reversed(skips[:-1]), strict=True):
            features = block(torch.cat([F.interpolate(features, scale_factor=2), skip], 1))
        outputs: Tensor = self.head(features)
        return outputs


def _block(channels_in: int, channels_out: int, stride: int = 1) -> nn.Sequential:
    # GroupNorm, because it works on one image at a time: a prediction must not depend on the rest of the
    # batch
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False),
        nn.GroupNorm(4, channels_out),
        nn.ReLU(),
    )


@dataclass(frozen=True)
class Targets:
    """The network's targets for an image, at the image's own size.

    Attributes:
        classes: uint8 ``[H, W]``, 0 where there is no object, else 1 + label; void on crowds.
        heat: float32 ``[H, W]`` in 0…1, 1 at the center of each object.
        offsets: float32 ``[2, H, W]``, from each pixel of an object to its center, down and to the right, in
            pixels.
    """

    classes: Tensor
    heat: Tensor
    offsets: Tensor


class MyNet(TrainableModel, Windowable):
    """The model: wraps the network and handles everything related to samples."""

    class_tensors = (
        "network.head.weight",
        "network.head.bias",
    )  # from start weights for other classes, the rows of shared classes are loaded
    first_class_row = 1  # the first row is "no object"

    def __init__(self, settings: MyNetSettings, classes: Sequence[str]) -> None:
        super().__init__(classes)
        self.settings = settings
        self.network = Network(settings.width, 1 + len(classes) + 1 + 2)
        nn.init.constant_(self._bias()[-3:-2], -4.0)  # centers are rare

    def _bias(self) -> Tensor:
        bias = self.network.head.bias
        assert bias is not None
        return bias.data

    def outputs(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Class logits ``[1 + C, H, W]``, heat ``[H, W]`` in 0…1 and offsets ``[2, H, W]`` in pixels of a
        uint8 image ``[3, H, W]``.
        """
        height, width = image.shape[1:]
        pixels = image.to(self.device)[None] / 127.5 - 1
        padded = F.pad(pixels, (0, -width % STRIDE, 0, -height % STRIDE))
        raw = F.interpolate(self.network(padded).float(), padded.shape[2:], mode="bilinear")[
            0, :, :height, :width
        ]
        return raw[:-3], raw[-3].sigmoid(), raw[-2:] * STRIDE

    def loss(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
        """Cross-entropy of the classes, squared error of the heat map and absolute error of the offsets, each
        a mean over the samples.
        """
        settings = self.settings
        terms: dict[str, list[Tensor]] = {"class": [], "center": [], "offset": []}
        for sample in samples:
            targets = self._targets(sample)
            logits, heat, offsets = self.outputs(sample.image)
            classes = targets.classes.to(self.device)
            inside = ((classes > 0) & (classes != VOID)).float()
            distance = (offsets - targets.offsets.to(self.device)).abs().sum(0)
            terms["class"].append(cross_entropy(logits[None], classes[None]))
            terms["center"].append(settings.center_weight * F.mse_loss(heat, targets.heat.to(self.device)))
            terms["offset"].append(
                settings.offset_weight * (distance * inside).sum() / inside.sum().clamp_min(1)
            )
        return {name: torch.stack(values).mean() for name, values in terms.items()}

    def _targets(self, sample: Sample) -> Targets:
        truth = sample.instances
        if truth is None or truth.masks is None:
            raise InvalidDataError(f"sample {sample.id!r} has no object masks to train this model on")
        rows, columns = _grid(sample.size)
        classes = torch.zeros(sample.size, dtype=torch.uint8)
        heat, offsets = torch.zeros(sample.size), torch.zeros(2, *sample.size)
        for index, mask in enumerate(truth.masks.dense()):
            if truth.is_crowd is not None and truth.is_crowd[index]:
                classes[mask] = VOID
            elif mask.any():
                y, x = rows[mask].mean(), columns[mask].mean()
                distance = (rows - y) ** 2 + (columns - x) ** 2
                classes[mask] = 1 + truth.labels[index].to(torch.uint8)
                heat = torch.maximum(heat, torch.exp(-distance / (2 * self.settings.sigma**2)))
                offsets[:, mask] = torch.stack([y - rows, x - columns])[:, mask]
        return Targets(classes, heat, offsets)

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        """Objects with masks, tight boxes and scores, best first."""
        return [
            Prediction(s.id, s.size, instances=self._objects(*(part.cpu() for part in self.outputs(s.image))))
            for s in samples
        ]

    def _objects(self, logits: Tensor, heat: Tensor, offsets: Tensor) -> Instances:
        """Peaks of the heat map, each with the pixels of its class that point closest to it."""
        size = (heat.shape[0], heat.shape[1])
        peaks = heat * (heat == F.max_pool2d(heat[None], 7, stride=1, padding=3)[0])
        scores, places = peaks.flatten().topk(min(self.settings.max_objects, peaks.numel()))
        places = places[scores >= self.settings.score_threshold]
        probabilities = logits.softmax(0)
        shown = probabilities.argmax(0)  # [H, W], 0 is no object
        if not len(places) or not bool((shown > 0).any()):
            return Instances.empty(size, with_masks=True, with_scores=True)
        centers = torch.stack([places // size[1], places % size[1]], 1).float()
        pointed = torch.stack(_grid(size)) + offsets
        inside = shown > 0
        owner = torch.full(size, -1)
        owner[inside] = torch.cdist(pointed[:, inside].T, centers).argmin(1)
        masks, labels, sure = [], [], []
        for index in range(len(places)):
            own = owner == index
            if own.any():
                label = int(shown[own].mode().values)
                mask = own & (shown == label)
                masks.append(mask)
                labels.append(label - 1)
                sure.append(peaks.flatten()[places[index]] * probabilities[label][mask].mean())
        found = Masks.from_dense(torch.stack(masks))
        return Instances(size, found.boxes_xyxy(), torch.tensor(labels), found, torch.stack(sure).clamp(0, 1))


def _grid(size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Row and column of every pixel, float32 ``[H, W]``."""
    rows, columns = torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing="ij")
    return rows.float(), columns.float()


def build(settings: MyNetSettings, classes: Sequence[str]) -> MyNet:
    """The model with random weights."""
    return MyNet(settings, classes)
