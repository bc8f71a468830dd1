"""The label map of an image that is read window by window, a band of rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from toolkit.models.capabilities import Tileable
from toolkit.models.label_maps import logits_to_label_map
from toolkit.models.window_grid import starts
from toolkit.types import Size
from toolkit.types.pixel_runs import Rectangle

ReadPixels: TypeAlias = Callable[[Rectangle], Tensor]
"""Reads a part of an image, uint8 ``[3, h, w]``."""


class Band(NamedTuple):
    """Finished rows of a label map.

    Attributes:
        top: the first row.
        labels: uint8 ``[rows, W]``, on the CPU.
    """

    top: int
    labels: Tensor


class _Side(NamedTuple):
    """Height and width of a window, in pixels."""

    height: int
    width: int


def label_bands(
    model: Tileable, read: ReadPixels, size: Size, window: int, overlap: float, *, top: int = 0
) -> Iterator[Band]:
    """The label map of an image from the logits of overlapping windows.

    Where windows overlap, their logits are added with the weight ``sin²(π (t + ½) / n)`` along both axes (a
    Hann window, which is above 0 everywhere), so that each window counts least at its edges, where the
    network saw least around a pixel. The sums are not divided by the weights, since that would not change the
    arg-max.

    Memory holds the sums of the rows that the next windows reach, too: ``C x overlap x W`` numbers, however
    high the image is, and a few windows.

    Args:
        model: a model in eval mode.
        read: reads the pixels of a window.
        size: height and width of the image, in pixels.
        window: side of the windows in pixels; at most the image's side is used.
        overlap: the minimum fraction of a window that the next one overlaps.
        top: the first row that is wanted; only the windows that reach it are predicted. The rows from there
            on are the same as if all were.

    Yields:
        Bands from ``top`` to the last row, without gaps.
    """
    side = _Side(min(window, size[0]), min(window, size[1]))
    tops, lefts = starts(size[0], side.height, overlap), starts(size[1], side.width, overlap)
    rows = _Rows(model, read, lefts, side, size[1])
    for here, below in zip(tops, [*tops[1:], size[0]], strict=True):
        if here + side.height > top and below > top:
            labels = rows.add(here, below)
            yield Band(max(here, top), labels[max(0, top - here) :])
        elif here + side.height > top:
            rows.add(here, below)


class _Rows:
    """Rows of windows, one after another, with the sums that the later ones continue."""

    def __init__(self, model: Tileable, read: ReadPixels, lefts: list[int], side: _Side, width: int) -> None:
        self._model, self._read, self._lefts, self._side, self._width = model, read, lefts, side, width
        self._weight = _hann(side.height)[:, None] * _hann(side.width)
        self._kept = 0  # the rows of the next windows that already have sums
        self._sums: Tensor | None = None  # float32 [C, rows, W]: these

    def add(self, top: int, below: int) -> Tensor:
        """Predict the windows that begin at the row ``top``.

        Args:
            top: the first row.
            below: the row at which the next windows begin: those above it are finished.

        Returns:
            uint8 ``[below - top, W]``.
        """
        finished, ends = below - top, [*self._lefts[1:], self._width]
        labels = torch.empty((finished, self._width), dtype=torch.uint8)
        left_sums: Tensor | None = None  # those of the window to the left
        for left, end in zip(self._lefts, ends, strict=True):
            sums = self._sums_of(top, left, left_sums)
            columns = slice(left, end)
            done = sums[:, :, : end - left]
            labels[:, columns] = logits_to_label_map(done[:, :finished], (finished, end - left)).cpu()
            if finished < self._side.height:
                self._carry(done[:, finished:], columns)
            left_sums = sums[:, :, end - left :]
        self._kept = self._side.height - finished
        return labels

    def _sums_of(self, top: int, left: int, left_sums: Tensor | None) -> Tensor:
        """The sums in a window after its own logits are added to those of the windows before."""
        height, width = self._side
        logits = self._model.logits(self._read(Rectangle(top, left, top + height, left + width))[None])[0]
        self._weight = self._weight.to(logits.device)
        sums = torch.zeros((len(logits), height, width), device=logits.device)
        if self._kept and self._sums is not None:
            sums[:, : self._kept] = self._sums[:, : self._kept, left : left + width]
        if left_sums is not None:
            sums[:, :, : left_sums.shape[2]] = left_sums
        sums += logits * self._weight
        return sums

    def _carry(self, sums: Tensor, columns: slice) -> None:
        """Keep the sums of rows that the next windows reach; windows further right no longer read these
        columns of the rows before.
        """
        if self._sums is None or self._sums.shape[1] < sums.shape[1]:
            # The first row of windows, or one that shares a row more than those before.
            larger = sums.new_zeros((len(sums), sums.shape[1], self._width))
            if self._sums is not None:
                larger[:, : self._sums.shape[1]] = self._sums
            self._sums = larger
        self._sums[:, : sums.shape[1], columns] = sums


def _hann(n: int) -> Tensor:
    return torch.sin(torch.pi * (torch.arange(n) + 0.5) / n) ** 2
