"""Predicts images that are too large for the network, window by window."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from toolkit.errors import InvalidDataError, UsageError
from toolkit.models.capabilities import Probabilistic, Tileable, Windowable
from toolkit.models.contract import Model
from toolkit.models.label_bands import ReadPixels, label_bands
from toolkit.models.merging import ObjectMerger
from toolkit.models.returned import checked_predictions, owner_of
from toolkit.models.window_grid import Window, grid
from toolkit.types import Instances, Prediction, Sample, Size

C = TypeVar("C")


@dataclass(frozen=True)
class Tiling:
    """When and how images are predicted window by window.

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

    def window_for(self, size: Size, model: Tileable | Windowable) -> int | None:
        """The window to use for an image of ``size``, or None if the network gets the whole image."""
        if self.window is not None:
            return self.window if max(size) > self.window else None
        too_large = size[0] * size[1] > self.max_pixels and not model.shrinks_large_images
        return AUTOMATIC_WINDOW if too_large and max(size) > AUTOMATIC_WINDOW else None


AUTOMATIC_WINDOW = 1024

WINDOWS_AT_ONCE = 4
"""Number of windows in a batch of a model that predicts objects."""


def windowed(model: Model, tiling: Tiling, option: str = "window") -> Windowed:
    """The model, which predicts large images window by window if it can.

    Args:
        model: the model.
        tiling: when images are predicted window by window.
        option: what the window was given by, for messages.

    Raises:
        UsageError: when a window is requested that the model cannot use.
    """
    found = Windowed(model, tiling)
    if tiling.window is not None and found.windows is None:
        raise UsageError(
            f"{option}: this model only predicts whole images. Hint: leave out {option}, or use a"
            " model that declares the capability Tileable or Windowable, as semantic models and detectors do;"
            " prompts from a file are for whole images"
        )
    return found


class Windowed(Model, Probabilistic):
    """A model that predicts large images window by window: it blends scores of pixels where windows overlap,
    and puts objects together.

    Args:
        model: predicts whole images alone if it is neither Tileable nor Windowable.
        tiling: when images are predicted window by window.
    """

    def __init__(self, model: Model, tiling: Tiling) -> None:
        super().__init__(model.classes)
        self.model, self.tiling, self.draw_above = model, tiling, model.draw_above

    @property
    def windows(self) -> Tileable | Windowable | None:
        """The capability of the model that is used for windows; None if there is none."""
        return self.model.capability(Tileable) or self.model.capability(Windowable)

    def window_for(self, size: Size) -> int | None:
        """The side of the windows for an image of this size; None if the network gets the whole image."""
        return self.tiling.window_for(size, self.windows) if self.windows is not None else None

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        """One prediction per sample; those that need no windows are one batch."""
        return self._predict(samples, self.model.predict)

    def predict_with_confidence(self, samples: Sequence[Sample]) -> list[Prediction]:
        """The same, with confidence for the images that are predicted as a whole."""
        probabilistic = self.model.capability(Probabilistic)
        return self._predict(
            samples, probabilistic.predict_with_confidence if probabilistic else self.model.predict
        )

    def _predict(
        self, samples: Sequence[Sample], predict: Callable[[Sequence[Sample]], list[Prediction]]
    ) -> list[Prediction]:
        windows = [self.window_for(sample.size) for sample in samples]
        whole = [sample for sample, window in zip(samples, windows, strict=True) if window is None]
        found = iter(checked_predictions(predict(whole), whole, owner_of(self.model)) if whole else ())
        return [
            next(found) if window is None else self._in_windows(sample, window)
            for sample, window in zip(samples, windows, strict=True)
        ]

    def _in_windows(self, sample: Sample, window: int) -> Prediction:
        tileable, overlap = self.model.capability(Tileable), self.tiling.overlap
        if tileable is not None:
            label_map = predict_tiled(tileable, sample.image, window, overlap)
            return Prediction(sample.id, sample.size, label_map=label_map)
        return Prediction(
            sample.id, sample.size, instances=predict_objects(self.model, sample, window, overlap)
        )

    def capability(self, kind: type[C]) -> C | None:
        """Those of the model; confidence also where it uses windows for some of the images."""
        inner = self.model.capability(kind)
        return super().capability(kind) if kind is Probabilistic and inner is not None else inner

    def expect_images(self, names: Iterable[str]) -> None:
        """As the model does."""
        self.model.expect_images(names)

    def expected_images(self) -> tuple[str, ...]:
        """As the model says."""
        return self.model.expected_images()


def predict_objects(model: Model, sample: Sample, window: int, overlap: float) -> Instances:
    """The objects of one image from those of overlapping windows; see ``toolkit.models.merging``.

    Args:
        model: a model in eval mode that predicts instances.
        sample: the image.
        window: side of the windows in pixels; at most the image's side is used.
        overlap: the minimum fraction of a window that the next one overlaps.

    Returns:
        The objects in the image's pixels, by descending score.

    Raises:
        InvalidDataError: when the model predicts something else.
    """
    merger = ObjectMerger(sample.size)
    windows = [each for row in grid(sample.size, window, overlap) for each in row]
    for each, objects in window_objects(model, sample.id, reader_of(sample.image), windows):
        merger.add(each, objects)
    return merger.merged()


def window_objects(
    model: Model, name: str, read: ReadPixels, windows: Sequence[Window]
) -> Iterator[tuple[Window, Instances]]:
    """The objects in each window, in the window's own pixels.

    Args:
        model: a model in eval mode that predicts instances.
        name: of the image.
        read: reads the pixels of a window.
        windows: of the image.

    Raises:
        InvalidDataError: when the model predicts something else.
    """
    for first in range(0, len(windows), WINDOWS_AT_ONCE):
        batch = windows[first : first + WINDOWS_AT_ONCE]
        yield from zip(batch, objects_in(model, name, [read(each.place) for each in batch]), strict=True)


def reader_of(image: Tensor) -> ReadPixels:
    """Reads parts of an image in memory, ``[3, H, W]``."""
    return lambda place: image[:, place.top : place.bottom, place.left : place.right]


def objects_in(model: Model, name: str, images: Sequence[Tensor]) -> list[Instances]:
    """The objects in windows of an image.

    Args:
        model: a model in eval mode that predicts instances.
        name: of the image.
        images: uint8 ``[3, h, w]`` each.

    Raises:
        InvalidDataError: when the model predicts something else.
    """
    samples = [Sample(name, image) for image in images]
    found = []
    for prediction in checked_predictions(model.predict(samples), samples, owner_of(model)):
        if prediction.instances is None:
            raise InvalidDataError(
                f"{owner_of(model)} predicts no objects in a window of {name}; expected instances from a"
                " model that declares the capability Windowable. Hint: predict without a window"
            )
        found.append(prediction.instances)
    return found


def predict_tiled(model: Tileable, image: Tensor, window: int, overlap: float) -> Tensor:
    """The label map of one image from the logits of overlapping windows; see ``label_bands``.

    Args:
        model: a model in eval mode.
        image: uint8 ``[3, H, W]``.
        window: side of the windows in pixels; at most the image's side is used.
        overlap: the minimum fraction of a window that the next one overlaps.

    Returns:
        uint8 ``[H, W]``, on the CPU; equal to that of ``model.predict`` when the window covers the image.
    """
    size = int(image.shape[1]), int(image.shape[2])
    return torch.cat([band.labels for band in label_bands(model, reader_of(image), size, window, overlap)])
