"""mynet: a small network that segments the object at a point or in a box.

The image is encoded once. A prompt becomes three maps next to the image's features (clicks on the object,
clicks off it, the box), as in click-based interactive segmentation (Sofiiuk et al., RITM, ICIP 2022,
https://arxiv.org/abs/2102.06583), and a few convolutions turn them into a mask.

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
from torchvision.ops import nms

from toolkit import Instances, Masks, PluginManifest, Prompts, Sample, Settings
from toolkit.models.promptable import PromptableModel
from toolkit.models.simulated_prompts import box_prompts, point_prompts, truth_of

PLUGIN = PluginManifest(
    name="mynet",
    summary="a small network that answers points and boxes with masks",
    task="promptable",
    build=":build",
    settings=":MyNetSettings",
    evaluators=("objects",),
    defaults={"train": {"steps": 300, "batch_size": 4, "lr": 2e-3, "clip_norm": 5.0}},
)
STRIDE = 16
"""Height and width of the network's input are multiples of this; its output has a quarter of the resolution.
"""
CLICKS = 4
"""Background clicks per image in training."""


class MyNetSettings(Settings):
    """The network, and how it segments everything without prompts; the docstring of each field is its
    documentation.
    """

    width: int = Field(32, ge=8, multiple_of=8)
    """Channels of the hidden layers."""
    radius: float = Field(3.0, gt=0)
    """Radius of a click in its map, in pixels of the image."""
    max_objects: int = Field(16, ge=1)
    """Maximum number of objects per image in a training step; the first ones are used."""
    grid: int = Field(8, ge=1)
    """Points per side of the grid used to segment everything in an image."""
    score_threshold: float = Field(0.8, ge=0, le=1)
    """Minimum score of objects kept when segmenting everything."""


@dataclass(frozen=True)
class Encoded:
    """The data shared by the prompts for an image.

    Attributes:
        features: float32 ``[1, width, h, w]``, on the model's device.
        size: height and width of the image, in pixels.
    """

    features: Tensor
    size: tuple[int, int]


class MyNet(PromptableModel):
    """An encoder for images, and a decoder for prompts."""

    protocols = ("box", "point")

    def __init__(self, settings: MyNetSettings, classes: Sequence[str]) -> None:
        super().__init__(classes)
        self.settings, width = settings, settings.width
        self.fine = nn.Sequential(_block(3, width, stride=2), _block(width, width, stride=2))
        self.coarse = nn.Sequential(
            _block(width, width, stride=2), _block(width, width, stride=2), _block(width, width)
        )
        self.decoder = nn.Sequential(
            _block(width + 3, width),
            _block(width, width, dilation=2),
            _block(width, width, dilation=4),
            _block(width, width),
            nn.Conv2d(width, 1, 1),
        )

    def encode(self, samples: Sequence[Sample]) -> list[Encoded]:
        """The features of each image at a quarter of its resolution."""
        return [Encoded(self._features(sample.image), sample.size) for sample in samples]

    def _features(self, image: Tensor) -> Tensor:
        height, width = image.shape[1:]
        pixels = image.to(self.device)[None] / 127.5 - 1
        fine = self.fine(F.pad(pixels, (0, -width % STRIDE, 0, -height % STRIDE)))
        features: Tensor = fine + F.interpolate(self.coarse(fine), fine.shape[2:], mode="bilinear")
        return features

    def logits(self, encoded: Encoded, prompts: Prompts) -> Tensor:
        """Mask logits ``[N, H, W]`` in the image's pixels, on the model's device."""
        features = encoded.features.expand(len(prompts), -1, -1, -1)
        maps = self._maps(prompts, (features.shape[2], features.shape[3])).to(features)
        raw = self.decoder(torch.cat([features, maps], 1)).float()
        height, width = encoded.size
        padded = (4 * raw.shape[2], 4 * raw.shape[3])
        return F.interpolate(raw, padded, mode="bilinear")[:, 0, :height, :width]

    def _maps(self, prompts: Prompts, size: tuple[int, int]) -> Tensor:
        """Maps of the clicks on the object, the clicks off it, and the box: float32
        ``[N, 3, h, w]`` in 0…1.
        """
        rows, columns = torch.meshgrid(
            *(4 * torch.arange(n) + 2.0 for n in size), indexing="ij"
        )  # in pixels of the image
        maps = torch.zeros(len(prompts), 3, *size)
        if prompts.points_xy is not None and prompts.point_labels is not None:
            x, y = prompts.points_xy[..., 0, None, None], prompts.points_xy[..., 1, None, None]
            near = torch.exp(
                -((rows - y) ** 2 + (columns - x) ** 2) / (2 * self.settings.radius**2)
            )  # [N, K, h, w]
            for channel, label in ((0, 1), (1, 0)):
                maps[:, channel] = (near * (prompts.point_labels == label)[..., None, None]).amax(1)
        if prompts.boxes_xyxy is not None:
            x0, y0, x1, y1 = (side[:, None, None] for side in prompts.boxes_xyxy.unbind(1))
            maps[:, 2] = ((columns + 2 > x0) & (columns - 2 < x1) & (rows + 2 > y0) & (rows - 2 < y1)).float()
        return maps

    def answer(self, encoded: Encoded, prompts: Prompts) -> Instances:
        """A mask, its tight box and a score for each prompt; the score is the network's confidence in the
        mask's pixels.
        """
        labels = torch.zeros(len(prompts), dtype=torch.int64) if prompts.labels is None else prompts.labels
        if not len(prompts):
            return Instances.empty(encoded.size, with_masks=True, with_scores=True)
        sure = self.logits(encoded, prompts).sigmoid().cpu()
        inside = sure > 0.5
        scores = (sure * inside).sum((1, 2)) / inside.sum((1, 2)).clamp_min(1)
        masks = Masks.from_dense(inside)
        return Instances(encoded.size, masks.boxes_xyxy(), labels, masks, scores)

    def find_all(self, encoded: Encoded) -> Instances:
        """The answers to a grid of points, without those of low confidence and those that duplicate a better
        one.
        """
        height, width = encoded.size
        places = (torch.arange(self.settings.grid) + 0.5) / self.settings.grid
        points = torch.cartesian_prod(places * width, places * height)[:, None]
        found = self.answer(encoded, Prompts(points, torch.ones(points.shape[:2], dtype=torch.int64)))
        assert found.scores is not None
        found = found[found.scores >= self.settings.score_threshold]
        assert found.scores is not None
        return found[nms(found.boxes_xyxy, found.scores, 0.5)]

    def loss(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
        """Cross-entropy and Dice loss of the masks for clicks and boxes; each a mean over the samples of the
        mean over their prompts.
        """
        cross_entropy, dice = torch.stack([self._terms(sample) for sample in samples]).mean(0)
        return {"cross_entropy": cross_entropy, "dice": dice}

    def _terms(self, sample: Sample) -> Tensor:
        """Both terms of one sample, float32 ``[2]``."""
        truth = truth_of(sample)
        assert truth.masks is not None
        masks = truth.masks.dense()
        wanted = [(self._clicks_beside(masks), torch.zeros(CLICKS, *sample.size))]  # no prompts
        if len(truth):
            few, target = truth[: self.settings.max_objects], masks[: self.settings.max_objects].float()
            wanted += [(point_prompts(few), target), (box_prompts(few), target)]
        (encoded,) = self.encode([sample])
        terms = []
        for prompts, target in wanted:
            logits, target = self.logits(encoded, prompts), target.to(self.device)
            terms.append(
                torch.stack(
                    [
                        F.binary_cross_entropy_with_logits(logits, target),
                        _dice(logits.sigmoid(), target).mean(),
                    ]
                )
            )
        return torch.stack(terms).mean(0)

    def _clicks_beside(self, masks: Tensor) -> Prompts:
        """Clicks where there is no object, random in training; outside the image if objects are
        everywhere."""
        places = (~masks.any(0)).nonzero().flip(1)  # x and y, [P, 2]
        if not len(places):
            places = torch.full((1, 2), -1000)
        chosen = (
            torch.randint(len(places), (CLICKS,))
            if self.training
            else torch.arange(CLICKS) * len(places) // CLICKS
        )
        return Prompts(places[chosen][:, None].float(), torch.ones(CLICKS, 1, dtype=torch.int64))


def _dice(found: Tensor, target: Tensor) -> Tensor:
    """One minus the soft Dice coefficient of masks ``[N, H, W]``, ``[N]``."""
    overlap, total = (found * target).sum((1, 2)), (found + target).sum((1, 2))
    return 1 - (2 * overlap + 1) / (total + 1)


def _block(channels_in: int, channels_out: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    # GroupNorm, because it works on one image at a time: an answer must not depend on the rest of the batch
    convolution = nn.Conv2d(channels_in, channels_out, 3, stride, dilation, dilation, bias=False)
    return nn.Sequential(convolution, nn.GroupNorm(4, channels_out), nn.ReLU())


def build(settings: MyNetSettings, classes: Sequence[str]) -> MyNet:
    """The model with random weights."""
    return MyNet(settings, classes)
