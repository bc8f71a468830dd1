"""SAM 2 as a model of the toolkit: it segments prompted objects, and is trained on true masks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from toolkit.errors import InvalidDataError
from toolkit.models.capabilities import Explainable, Exportable, Trackable
from toolkit.models.contract import Model
from toolkit.models.explained import mean_inside, refuse_kind
from toolkit.models.freezing import keep_frozen_in_eval
from toolkit.models.graphs import Graph
from toolkit.reading.files import expanded
from toolkit.types import Instances, Prediction, Prompts, Sample, Target

from .answering import Answering, EncodedImage
from .cache import FeatureCache, default_folder
from .decoder import ImageDecoder
from .encoder import Encoder
from .everything import find_all
from .explanation import LAYERS, prompt_logits
from .exported import PROGRAM, ExportedSam2, processing_of
from .features import ImageFeatures
from .graph import graphs_of
from .learning import Learner
from .lora import merged
from .settings import Sam2Settings
from .trainable_parts import ONLY_FOR_VIDEOS, UNTRAINED, choose_trainable
from .upstream import SAM2Base, build_network
from .video import track


class Sam2Model(Answering, Trackable, Explainable, Exportable):
    """SAM 2 around the network of the package ``sam2``.

    Args:
        settings: see ``Sam2Settings``.
        classes: names of the labels of objects and prompts; the network itself has no classes.
    """

    untrained = UNTRAINED
    encoder_part = "network.image_encoder"
    only_for_tracking = ONLY_FOR_VIDEOS

    def __init__(self, settings: Sam2Settings, classes: Sequence[str]) -> None:
        super().__init__(settings, classes)
        filled = settings.filled()
        self.network: SAM2Base = build_network(settings.version, settings.size, filled.image_size)
        choose_trainable(self.network, filled.trainable, settings.lora)
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
            EncodedImage(s.path or s.id, s.image, found, self._decoder)
            for s, found in zip(samples, features, strict=True)
        ]

    def _decoder(self, features: ImageFeatures) -> ImageDecoder:
        return ImageDecoder(self.network, [features], drawn=self.drawn)

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
            self.network, images, target.prompts, self.image_size, self.mask_choice, drawn=self.drawn
        )
        return mean_inside(logits, target.mask)

    def layers(self) -> tuple[str, ...]:
        """See ``Explainable``: the features at stride 16 that the mask decoder looks at, and those at 32."""
        return LAYERS

    def graphs(self) -> tuple[Graph, ...]:
        """The image encoder, the encoding of points, and the mask decoder."""
        return graphs_of(self.network)

    def with_graphs(self, graphs: Mapping[str, nn.Module]) -> Model:
        """The same answers around the graphs, without tracking and training."""
        return ExportedSam2(graphs, self.settings, self.classes).eval()

    @property
    def processing(self) -> Mapping[str, Any]:
        """How images and prompts become inputs of the graphs, and their results masks."""
        return processing_of(self)

    @property
    def program(self) -> tuple[Path, ...]:
        """The answers to points and boxes, in NumPy and OpenCV."""
        return PROGRAM

    @property
    def refines(self) -> bool:
        """Whether corrections were trained together with the earlier answer, as SAM 2's authors do."""
        return self._learner.corrections > 0

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
