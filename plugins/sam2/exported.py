"""SAM 2 around graphs that another runtime computes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from toolkit.errors import UsageError
from toolkit.models import resizing_program
from toolkit.types import Instances, Sample

from .answering import Answering, Decoder, EncodedImage
from .decoder import DecoderOutput, rough_masks
from .everything import find_all_with
from .features import MEAN, STD, network_input
from .prompting import PADDING
from .settings import Sam2Settings
from .upstream import IMAGE_PREDICTION

PROGRAM = (Path(resizing_program.__file__), Path(__file__).with_name("program.py"))


class ExportedSam2(Answering):
    """A SAM 2 whose networks are graphs, see ``toolkit.plugins.sam2.graph``; it cannot be trained and does
    not track.

    Args:
        graphs: ``encoder``, ``points`` and ``decoder``.
        settings: those of the exported model.
        classes: names of the labels of objects and prompts.
    """

    def __init__(
        self, graphs: Mapping[str, nn.Module], settings: Sam2Settings, classes: Sequence[str]
    ) -> None:
        super().__init__(settings, classes)
        self.encoder, self.points, self.decoder = (graphs[name] for name in ("encoder", "points", "decoder"))

    def encode(self, samples: Sequence[Sample]) -> list[EncodedImage]:
        """The features of each sample's image."""
        return [
            EncodedImage(s.path or s.id, s.image, self._features(s.image), self._decoder) for s in samples
        ]

    def find_all(self, encoded: EncodedImage) -> Instances:
        """Everything in the image, found by a grid of points, best first; the score is the predicted IoU."""

        def encode(image: Tensor) -> Decoder:
            if image.shape == encoded.image.shape:  # the whole image, the only one without crops
                return encoded.decoder
            return self._decoder(self._features(image))

        return find_all_with(encode, self.settings, encoded.image, chunk=self.chunk, device=self.device)

    def loss(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
        """Raise ``UsageError``."""
        raise UsageError("an exported model cannot be trained. Hint: train the run that it was exported from")

    @property
    def refines(self) -> bool:
        """As in training."""
        filled = self.settings.filled()
        return filled.corrections > 0

    @torch.no_grad()
    def _features(self, image: Tensor) -> tuple[Tensor, ...]:
        found = self.encoder(network_input(image, self.image_size, self.device)[None])
        return tuple(found)

    def _decoder(self, features: tuple[Tensor, ...]) -> Decoder:
        def decode(points: Tensor, labels: Tensor, masks: Tensor | None = None) -> DecoderOutput:
            side = self.image_size // 4
            if self.drawn:
                masks = rough_masks(points, labels, side, side)
            if points.shape[1]:
                # as in torch, where points have a padding point, and a mask alone has none
                points = torch.cat([points, torch.zeros_like(points[:, :1])], dim=1)
                labels = torch.cat([labels, torch.full_like(labels[:, :1], PADDING)], dim=1)
            given = masks is not None
            if masks is None:
                masks = points.new_zeros((1, 1, side, side))
            has_mask = points.new_full((len(masks),), float(given))
            tokens = self.points(points.float(), labels.long())
            logits, ious = self.decoder(*features, tokens, masks, has_mask)
            return DecoderOutput(logits, ious, ious.new_zeros((len(ious), 0)))

        return decode


def processing_of(model: Answering) -> dict[str, Any]:
    """What happens before and after the graphs, as plain values."""
    side = model.image_size
    return {
        "kind": "promptable",
        "input": {
            "graph": "encoder",
            "channels": "RGB",
            "size": [side, side],
            "resize": "bilinear with antialiasing, in float32; height and width by themselves",
            "mean": list(MEAN),
            "std": list(STD),
            "normalize": "(value / 255 - mean) / std",
        },
        "prompts": {
            "scale": "x * size / width and y * size / height; pixels have their centers at .5",
            "labels": "1 on the object, 0 off it, 2 and 3 the corners of a box, which come first",
            "padding": {"point": [0, 0], "label": PADDING, "where": "one after the points, if there are any"},
            "masks": "size / 4, logits; has_mask is 0 without",
            "rough_masks": model.drawn,
            "together": model.chunk,
        },
        "output": {
            "mask": model.mask_choice,
            "masks": "the first is the single mask, the others are three guesses for a single point",
            "stability_delta": IMAGE_PREDICTION["dynamic_multimask_stability_delta"],
            "stability_threshold": IMAGE_PREDICTION["dynamic_multimask_stability_thresh"],
            "resize": "bilinear with half-pixel centers, from size / 4 to the image",
            "mask_threshold": model.settings.mask_threshold,
            "scores": "ious, from 0 to 1",
        },
    }
