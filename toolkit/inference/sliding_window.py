"""Predicts images that are too large for the network, window by window."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from toolkit.errors import UsageError
from toolkit.models.capabilities import Tileable
from toolkit.models.contract import Model
from toolkit.models.label_maps import logits_to_label_map
from toolkit.types import Prediction, Sample, Size

C = TypeVar("C")


@dataclass(frozen=True)
class Tiling:
    """When and how images are predicted window by window. Applies to semantic models.

    Attributes:
        window: side of the square window in pixels; images that are longer or wider are tiled. None: only
            images of more than ``max_pixels`` are, unless the model shrinks large images itself, with windows
            of ``AUTOMATIC_WINDOW``.
        overlap: the minimum fraction of a window that the next one overlaps, from 0 up to but not including
            1.
        max_pixels: the largest image, in pixels, that the network gets at once when ``window`` is None.

    Raises:
        UsageError: when a value is out of range.
    """

    window: int | None = None
    overlap: float = 0.25
    max_pixels: int = 1 << 24

    def __post_init__(self) -> None:
        if self.window is not None and self.window < 1:
            raise UsageError(f"window must be at least 1 pixel, not {self.window}")
        if not 0 <= self.overlap < 1:
            raise UsageError(f"overlap must be from 0 up to but not including 1, not {self.overlap}")
        if self.max_pixels < 1:
            raise UsageError(f"max_pixels must be at least 1, not {self.max_pixels}")

    def window_for(self, size: Size, model: Tileable) -> int | None:
        """The window to use for an image of ``size``, or None if the network gets the whole image."""
        if self.window is not None:
            return self.window if max(size) > self.window else None
        too_large = size[0] * size[1] > self.max_pixels and not model.shrinks_large_images
        return AUTOMATIC_WINDOW if too_large and max(size) > AUTOMATIC_WINDOW else None


AUTOMATIC_WINDOW = 1024


def windowed(model: Model, tiling: Tiling) -> Model:
    """A semantic model that predicts large images window by window, as part of another model; the same model
    if it can only predict whole images.

    Raises:
        UsageError: when a window is requested that the model cannot use.
    """
    if model.capability(Tileable) is None:
        if tiling.window is None:
            return model
        raise UsageError(
            f"window: {type(model).__name__} only predicts whole images. Hint: leave out window, or use a"
            " model that declares the capability Tileable, as semantic ones do"
        )
    return _Windowed(model, tiling)


class _Windowed(Model):
    def __init__(self, model: Model, tiling: Tiling) -> None:
        super().__init__(model.classes)
        self.model, self.tiling = model, tiling

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        tileable = self.model.capability(Tileable)
        assert tileable is not None
        windows = [self.tiling.window_for(sample.size, tileable) for sample in samples]
        whole = [sample for sample, window in zip(samples, windows, strict=True) if window is None]
        found = iter(self.model.predict(whole) if whole else ())
        return [
            next(found)
            if window is None
            else Prediction(
                sample.id,
                sample.size,
                label_map=predict_tiled(tileable, sample.image, window, self.tiling.overlap),
            )
            for sample, window in zip(samples, windows, strict=True)
        ]

    def capability(self, kind: type[C]) -> C | None:
        return self.model.capability(kind)


def predict_tiled(model: Tileable, image: Tensor, window: int, overlap: float) -> Tensor:
    """The label map of one image from the logits of overlapping windows.

    Where windows overlap, their logits are added with the weight ``sin²(π (t + ½) / n)`` along both axes (a
    Hann window, which is above 0 everywhere), so that each window counts least at its edges, where the
    network saw least around a pixel. The sums are not divided by the weights, since that would not change the
    arg-max. The image is processed in bands of a window's height: the memory needed is that of the logits of
    one band, ``C x window x W``, however high the image is.

    Args:
        model: a model in eval mode.
        image: uint8 ``[3, H, W]``.
        window: side of the windows in pixels; at most the image's side is used.
        overlap: the minimum fraction of a window that the next one overlaps.

    Returns:
        uint8 ``[H, W]``, on the CPU; equal to that of ``model.predict`` when the window covers the image.
    """
    _, height, width = image.shape
    window_height, window_width = min(window, height), min(window, width)
    tops, lefts = starts(height, window_height, overlap), starts(width, window_width, overlap)
    weight = _hann(window_height)[:, None] * _hann(window_width)
    band: Tensor | None = None  # float32 [C, window_height, width]
    rows = []
    for top, finished in zip(tops, _steps(tops, height), strict=True):
        for left in lefts:
            part = image[None, :, top : top + window_height, left : left + window_width]
            logits = model.logits(part)[0]
            if band is None:
                weight = weight.to(logits.device)
                band = torch.zeros(len(logits), window_height, width, device=logits.device)
            band[:, :, left : left + window_width] += logits * weight
        assert band is not None  # there is at least one window
        rows.append(logits_to_label_map(band[:, :finished], (finished, width)).cpu())
        band = torch.cat([band[:, finished:], band.new_zeros(len(band), finished, width)], dim=1)
    return torch.cat(rows)


def starts(length: int, window: int, overlap: float) -> list[int]:
    """First pixels of windows that cover ``length`` pixels evenly, each sharing at least a fraction
    ``overlap`` of itself with the next.
    """
    stride = max(1, int(window * (1 - overlap)))
    gaps = -(-(length - window) // stride)
    return [round(i * (length - window) / gaps) for i in range(gaps + 1)] if gaps else [0]


def _steps(tops: list[int], height: int) -> Iterator[int]:
    """Number of finished rows after the windows at each top row are done."""
    for here, there in zip(tops, [*tops[1:], height], strict=True):
        yield there - here


def _hann(n: int) -> Tensor:
    return torch.sin(torch.pi * (torch.arange(n) + 0.5) / n) ** 2
