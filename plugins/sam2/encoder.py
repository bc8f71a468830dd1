"""Encodes the images of samples, or reads the cached output of a frozen encoder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from toolkit.models.freezing import is_frozen
from toolkit.types import Sample

from .cache import FeatureCache, WeightsDigest, image_digest, key_of
from .features import ImageFeatures, from_trunk, network_input, trunk_features
from .upstream import SAM2Base

Kept = Literal["features", "trunk"]
"""What is cached: all features of an image, or those of the backbone if only that is frozen."""

CPU_PIXELS, GPU_PIXELS = 2**20, 2**23
"""Pixels of network input encoded at a time: one image of 1024 on a CPU, eight on a GPU."""
FORMAT = 1
"""Version of the cache format, so that features from older versions are not used."""


class Encoder:
    """The image encoder of a network, with a cache for its frozen parts.

    Args:
        network: provides the weights.
        image_size: height and width of its input.
        cache: cache for features, or None.
    """

    def __init__(self, network: SAM2Base, image_size: int, cache: FeatureCache | None) -> None:
        self.network, self.image_size, self.cache = network, image_size, cache
        self._weights = WeightsDigest()

    def stream(self, samples: Sequence[Sample], *, cached: bool = True) -> Iterator[ImageFeatures]:
        """The features of each sample's image on the network's device, in order and computed lazily."""
        device = next(self.network.parameters()).device
        pixels = CPU_PIXELS if device.type == "cpu" else GPU_PIXELS
        step = max(1, pixels // self.image_size**2)
        for start in range(0, len(samples), step):
            yield from self._encode(samples[start : start + step], device, cached)

    def _encode(self, samples: Sequence[Sample], device: torch.device, cached: bool) -> list[ImageFeatures]:
        kept = self._kept() if cached else None
        if self.cache is None or kept is None:
            return from_trunk(self.network, trunk_features(self.network, self._inputs(samples, device)))
        tensors = self._read_or_compute(samples, device, kept, self.cache)
        if kept == "features":
            return [ImageFeatures(*maps) for maps in tensors]
        return from_trunk(self.network, [torch.stack(maps) for maps in zip(*tensors, strict=True)])

    def _inputs(self, samples: Sequence[Sample], device: torch.device) -> Tensor:
        return torch.stack([network_input(sample.image, self.image_size, device) for sample in samples])

    def _read_or_compute(
        self, samples: Sequence[Sample], device: torch.device, kept: Kept, cache: FeatureCache
    ) -> list[list[Tensor]]:
        prefix = (
            FORMAT,
            kept,
            self._weights.of(self._frozen_parts(kept)),
            self.image_size,
            _precision(device),
        )
        keys = [key_of(*prefix, image_digest(sample.image)) for sample in samples]
        found = {
            key: [tensor.to(device) for tensor in tensors]
            for key in keys
            if (tensors := cache.read(key)) is not None
        }
        missing = {key: sample for key, sample in zip(keys, samples, strict=True) if key not in found}
        if missing:
            with torch.no_grad():
                computed = self._compute(self._inputs(list(missing.values()), device), kept)
            for key, tensors in zip(missing, computed, strict=True):
                # Rounded as when read back, so that a run does not depend on the contents of the cache.
                found[key] = [tensor.float() for tensor in cache.write(key, tensors)]
        return [found[key] for key in keys]

    def _compute(self, inputs: Tensor, kept: Kept) -> list[list[Tensor]]:
        trunk = trunk_features(self.network, inputs)
        if kept == "trunk":
            return [list(maps) for maps in zip(*trunk, strict=True)]
        return [features.tensors() for features in from_trunk(self.network, trunk)]

    def _frozen_parts(self, kept: Kept) -> list[nn.Module | nn.Parameter]:
        trunk: nn.Module = self.network.image_encoder.trunk
        if kept == "trunk":
            return [trunk]
        decoder = self.network.sam_mask_decoder
        return [
            trunk,
            self.network.image_encoder.neck,
            decoder.conv_s0,
            decoder.conv_s1,
            self.network.no_mem_embed,
        ]

    def _kept(self) -> Kept | None:
        """What can be cached, given the currently frozen parts."""
        choices: tuple[Kept, ...] = ("features", "trunk")
        return next((kept for kept in choices if is_frozen(*self._frozen_parts(kept))), None)


def _precision(device: torch.device) -> str:
    return (
        str(torch.get_autocast_dtype(device.type))
        if torch.is_autocast_enabled(device.type)
        else "torch.float32"
    )
