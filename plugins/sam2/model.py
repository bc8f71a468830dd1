"""SAM 2 as a model of the toolkit: it segments prompted objects, and is trained on true masks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import torch
from torch import Tensor

from toolkit.errors import InvalidDataError, UsageError
from toolkit.models.capabilities import Explainable, MaskPromptable, Trackable
from toolkit.models.explained import mean_inside, refuse_kind
from toolkit.models.freezing import keep_frozen_in_eval
from toolkit.models.promptable import PromptableModel
from toolkit.reading.files import expanded
from toolkit.types import Instances, Prediction, Prompts, Sample, Size, Target

from .answers import choose, to_masks
from .cache import FeatureCache, default_folder
from .decoder import ImageDecoder
from .encoder import Encoder
from .everything import find_all
from .explanation import LAYERS, prompt_logits
from .features import ImageFeatures, network_points
from .learning import Learner
from .lora import merged
from .prompting import grouped, mask_input
from .settings import Filled, Sam2Settings
from .trainable_parts import ONLY_FOR_VIDEOS, UNTRAINED, choose_trainable
from .upstream import SAM2Base, build_network
from .video import track

C = TypeVar("C")

CPU_CHUNK, GPU_CHUNK = 4, 64
"""Number of prompts decoded at a time for images of 1024 pixels, more for smaller ones; on a CPU, more would
not fit into its caches.
"""


@dataclass(frozen=True)
class EncodedImage:
    """The data shared by the prompts for an image.

    Attributes:
        name: the name of the sample, for messages.
        image: uint8 ``[3, H, W]``.
        features: the features of the image.
        network: the network that decodes them.
        drawn: whether it also gets prompts as rough masks.
    """

    name: str
    image: Tensor
    features: ImageFeatures
    network: SAM2Base
    drawn: bool = False

    @property
    def size(self) -> Size:
        """Height and width of the image, in pixels."""
        return int(self.image.shape[1]), int(self.image.shape[2])

    @cached_property
    def decoder(self) -> ImageDecoder:
        """The decoder for prompts on this image."""
        return ImageDecoder(self.network, [self.features], drawn=self.drawn)


class Sam2Model(PromptableModel, MaskPromptable, Trackable, Explainable):
    """SAM 2 around the network of the package ``sam2``.

    Args:
        settings: see ``Sam2Settings``.
        classes: names of the labels of objects and prompts; the network itself has no classes.
    """

    untrained = UNTRAINED
    encoder_part = "network.image_encoder"
    only_for_tracking = ONLY_FOR_VIDEOS

    def __init__(self, settings: Sam2Settings, classes: Sequence[str]) -> None:
        super().__init__(classes)
        self.settings, filled = settings, settings.filled()
        self.image_size, self.mask_choice, self._drawn = filled.image_size, filled.mask, settings.rough_masks
        self.network: SAM2Base = build_network(settings.version, settings.size, filled.image_size)
        choose_trainable(self.network, filled.trainable, settings.lora)
        self.untrained_prompts = _untrained_prompts(filled)
        self.network.image_encoder.to(memory_format=torch.channels_last)
        keep_frozen_in_eval(self.network)
        self._encoder = Encoder(self.network, filled.image_size, _cache(settings))
        self._learner = Learner(settings)
        self._keeps_features = False

    @torch.no_grad()
    def encode(self, samples: Sequence[Sample]) -> list[EncodedImage]:
        """The features of each sample's image, on the model's device."""
        features = self._encoder.stream(samples, cached=self._keeps_features)
        return [
            EncodedImage(s.path or s.id, s.image, found, self.network, self._drawn)
            for s, found in zip(samples, features, strict=True)
        ]

    @torch.no_grad()
    def answer(self, encoded: EncodedImage, prompts: Prompts) -> Instances:
        """For each prompt, the predicted mask, its box, and the predicted IoU as score.

        Raises:
            InvalidDataError: when a prompt does not fit the image, or is empty.
            UsageError: when it has a mask, and the model was trained with `rough_masks`.
        """
        return self.answer_logits(encoded, prompts)[0]

    @torch.no_grad()
    def answer_logits(self, encoded: EncodedImage, prompts: Prompts) -> tuple[Instances, Tensor]:
        """Like ``answer``, with the logits ``[P, S / 4, S / 4]`` of the masks."""
        logits, scores = self.mask_logits(encoded, prompts)
        masks = to_masks(logits.to(self.device), encoded.size, self.settings.mask_threshold)
        labels = torch.zeros(len(prompts), dtype=torch.int64) if prompts.labels is None else prompts.labels
        found = Instances(encoded.size, masks.boxes_xyxy(), labels, masks, scores.clamp(0, 1))
        return found, logits

    def mask_logits(self, encoded: EncodedImage, prompts: Prompts) -> tuple[Tensor, Tensor]:
        """The raw answers: logits ``[P, S / 4, S / 4]`` of the whole image, and the predicted IoU ``[P]``,
        float32 on the CPU.
        """
        if prompts.has_masks and self._drawn:
            raise UsageError(
                "this model was trained with model.rough_masks, which replaces masks and earlier"
                " answers, so it accepts none. Hint: prompt with points or a box"
            )
        side = self.image_size // 4
        logits, scores = torch.zeros(len(prompts), side, side), torch.zeros(len(prompts))
        dense = mask_input(prompts, side)
        for group in grouped(prompts, encoded.name, encoded.size):
            points = network_points(group.points, encoded.size, self.image_size)
            for chunk in torch.split(torch.arange(len(points)), self.chunk):
                rows = group.rows[chunk]
                output = encoded.decoder(
                    points[chunk].to(self.device),
                    group.labels[chunk].to(self.device),
                    None if dense is None else dense[rows].to(self.device),
                )
                mask, iou = choose(
                    output, self.network.sam_mask_decoder, self.mask_choice, is_ambiguous=group.is_ambiguous
                )
                logits[rows], scores[rows] = mask.float().cpu(), iou.float().cpu()
        return logits, scores

    def find_all(self, encoded: EncodedImage) -> Instances:
        """Everything in the image, found by a grid of points, best first; the score is the predicted IoU."""
        return find_all(self.network, self.settings, encoded.image, chunk=self.chunk)

    def track(
        self, frames: Sequence[Sample], prompts: Mapping[int, Sequence[Prompts]]
    ) -> Iterator[Prediction]:
        """Track objects with the package's video predictor and these weights."""
        return track(self.settings, self.export_state(), frames, prompts, self.device)

    def loss(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
        """The terms of the preset's loss; each the mean over the samples of the mean over a sample's objects.

        Raises:
            InvalidDataError: when a sample has no masks; names it.
        """
        if not samples:
            raise InvalidDataError("the loss of an empty batch is undefined; expected at least one sample")
        features = self._encoder.stream(samples)
        return self._learner.loss(self.network, samples, features, chunk=self.chunk, is_random=self.training)

    def score(self, images: Tensor, target: Target) -> Tensor:
        """The logits of a prompt's mask, averaged over the mask that answers it; see ``Explainable``."""
        if target.kind != "prompt" or target.prompts is None:
            raise refuse_kind(self, target, "answers to prompts")
        logits = prompt_logits(
            self.network, images, target.prompts, self.image_size, self.mask_choice, drawn=self._drawn
        )
        return mean_inside(logits, target.mask)

    def layers(self) -> tuple[str, ...]:
        """See ``Explainable``: the features at stride 16 that the mask decoder looks at, and those at 32."""
        return LAYERS

    def capability(self, kind: type[C]) -> C | None:
        """The declared capabilities, except masks as prompts if rough masks replace them."""
        if kind is MaskPromptable and self._drawn:
            return None
        return super().capability(kind)

    @property
    def refines(self) -> bool:
        """Whether corrections were trained together with the earlier answer, as SAM 2's authors do."""
        return self._learner.corrections > 0

    @property
    def chunk(self) -> int:
        """Number of prompts decoded at a time."""
        most = CPU_CHUNK if self.device.type == "cpu" else GPU_CHUNK
        return self.settings.chunk or max(1, most * 1024**2 // self.image_size**2)

    def train(self, mode: bool = True) -> Sam2Model:
        """Switch between training and eval mode; frozen modules stay in eval mode.

        Features are cached from the first switch to training mode on. A model that only predicts writes
        nothing to the disk.
        """
        super().train(mode)
        keep_frozen_in_eval(self.network)
        self._keeps_features |= mode
        return self

    def export_state(self) -> dict[str, Tensor]:
        """The state dict of the package's ``SAM2Base``, adapters merged: what ``build_sam2`` loads."""
        return merged(self.network, self.network.state_dict())


def _untrained_prompts(filled: Filled) -> tuple[str, ...]:
    """The kinds of prompts that do not occur in training; earlier answers only occur with corrections."""
    kinds = {"point": ("box",), "box": ("point",), "mix": ()}[filled.prompts]
    return kinds if filled.corrections else (*kinds, "mask")


def _cache(settings: Sam2Settings) -> FeatureCache | None:
    options = settings.cache
    if not options.enabled:
        return None
    folder = expanded(options.folder) if options.folder else default_folder()
    return FeatureCache(
        folder,
        max_bytes=int(options.max_gb * 1e9),
        dtype=torch.float16 if options.precision == "fp16" else torch.float32,
    )


def build(settings: Sam2Settings, classes: Sequence[str]) -> Sam2Model:
    """The model with random weights."""
    return Sam2Model(settings, classes)
