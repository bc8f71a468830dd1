"""Encodes the images of samples, or reads the cached output of a frozen encoder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

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
FORMAT = 2
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
        weights = self._weights.of(self._frozen_parts(kept))
        prefix = (FORMAT, kept, weights, self.image_size, *_computation(device))
        keys = [key_of(*prefix, image_digest(sample.image)) for sample in samples]
        shapes = self._shapes(kept)
        found: dict[str, list[Tensor]] = {}
        for key, sample in zip(keys, samples, strict=True):
            if key in found:
                continue
            tensors = cache.read(key)
            if tensors is None or [tuple(each.shape) for each in tensors] != shapes:
                # One at a time, because rounding depends on the other images of a batch, and rounded as when
                # read back, so that a run does not depend on the contents of the cache.
                with torch.no_grad():
                    (computed,) = self._compute(self._inputs([sample], device), kept)
                tensors = cache.write(key, computed)
            found[key] = [tensor.to(device, non_blocking=True).float() for tensor in tensors]
        return [found[key] for key in keys]

    def _shapes(self, kept: Kept) -> list[tuple[int, ...]]:
        """The shapes of the cached features of an image."""
        trunk: Any = self.network.image_encoder.trunk
        decoder = self.network.sam_mask_decoder
        if kept == "trunk":
            channels = dict(zip((4, 8, 16, 32), trunk.channel_list[::-1], strict=True))
        else:
            channels = {
                16: self.network.hidden_dim,
                8: decoder.conv_s1.out_channels,
                4: decoder.conv_s0.out_channels,
            }
        sides = {stride: self.image_size // stride for stride in channels}
        return [(int(channels[stride]), side, side) for stride, side in sides.items()]

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


def _computation(device: torch.device) -> tuple[str, ...]:
    """The factors that affect the rounding of features: the kind of device, and the precision of its
    arithmetic.
    """
    autocast = torch.is_autocast_enabled(device.type)
    dtype = torch.get_autocast_dtype(device.type) if autocast else torch.float32
    return device.type, str(dtype), torch.get_float32_matmul_precision()
