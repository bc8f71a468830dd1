"""How SAM 2 answers prompts, around a decoder in torch or in another runtime."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias, TypeVar

import torch
from torch import Tensor

from toolkit.errors import UsageError
from toolkit.models.capabilities import MaskPromptable
from toolkit.models.promptable import PromptableModel
from toolkit.types import Instances, Prompts, Sample, Size

from .answers import choose, to_masks
from .decoder import DecoderOutput
from .features import network_points
from .prompting import grouped, mask_input
from .settings import Filled, Sam2Settings

C = TypeVar("C")

CPU_CHUNK, GPU_CHUNK = 4, 64
"""Number of prompts decoded at a time for images of 1024 pixels, more for smaller ones; on a CPU, more would
not fit into its caches.
"""

Decoder: TypeAlias = Callable[[Tensor, Tensor, Tensor | None], DecoderOutput]
"""The decoder for one image: points, labels and masks, as for ``ImageDecoder``."""


@dataclass(frozen=True)
class EncodedImage:
    """The data shared by the prompts for an image.

    Attributes:
        name: the name of the sample, for messages.
        image: uint8 ``[3, H, W]``.
        features: the features of the image.
        new_decoder: makes the decoder for some features.
    """

    name: str
    image: Tensor
    features: Any
    new_decoder: Callable[[Any], Decoder]

    @property
    def size(self) -> Size:
        """Height and width of the image, in pixels."""
        return int(self.image.shape[1]), int(self.image.shape[2])

    @cached_property
    def decoder(self) -> Decoder:
        """The decoder for prompts on this image."""
        return self.new_decoder(self.features)


class Answering(PromptableModel, MaskPromptable):
    """A model that answers prompts as SAM 2 does; how images are encoded and decoded is up to subclasses.

    Args:
        settings: see ``Sam2Settings``.
        classes: names of the labels of objects and prompts; the network itself has no classes.
    """

    def __init__(self, settings: Sam2Settings, classes: Sequence[str]) -> None:
        super().__init__(classes)
        self.settings, filled = settings, settings.filled()
        self.image_size, self.mask_choice, self.drawn = filled.image_size, filled.mask, settings.rough_masks
        self.untrained_prompts = _untrained_prompts(filled)

    @abstractmethod
    def encode(self, samples: Sequence[Sample]) -> list[EncodedImage]:
        """The features of each sample's image, on the model's device."""

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
        if prompts.has_masks and self.drawn:
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
                mask, iou = choose(output, self.mask_choice, is_ambiguous=group.is_ambiguous)
                logits[rows], scores[rows] = mask.float().cpu(), iou.float().cpu()
        return logits, scores

    def capability(self, kind: type[C]) -> C | None:
        """The declared capabilities, except masks as prompts if rough masks replace them."""
        if kind is MaskPromptable and self.drawn:
            return None
        return super().capability(kind)

    @property
    def chunk(self) -> int:
        """Number of prompts decoded at a time."""
        most = CPU_CHUNK if self.device.type == "cpu" else GPU_CHUNK
        return self.settings.chunk or max(1, most * 1024**2 // self.image_size**2)


def _untrained_prompts(filled: Filled) -> tuple[str, ...]:
    """The kinds of prompts that do not occur in training; earlier answers only occur with corrections."""
    kinds = {"point": ("box",), "box": ("point",), "mix": ()}[filled.prompts]
    return kinds if filled.corrections else (*kinds, "mask")
