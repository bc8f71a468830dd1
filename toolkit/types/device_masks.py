"""Decodes and encodes run lengths on the device of a model, so that only the edges of objects travel between
it and the CPU.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toolkit.types.basics import Size
from toolkit.types.run_lengths import decode_counts, encode_counts

_MOST_PIXELS = 1 << 27
"""Pixels of masks that are encoded at once; each takes a few bytes of the device's memory meanwhile."""


def decode_on(device: torch.device, counts: Sequence[bytes], size: Size) -> Tensor:
    """Masks from compressed run lengths: bool ``[N, H, W]`` on ``device``.

    Every edge of a run, counted in pixels down the columns of all masks, is marked; a pixel belongs to an
    object where an odd number of edges lie before it.

    Args:
        device: where the masks are wanted.
        counts: ``N`` codes that cover exactly the pixels of an image of ``size``.
        size: height and width, in pixels.
    """
    height, width = size
    pixels = height * width
    flat = torch.zeros(len(counts) * pixels, dtype=torch.uint8, device=device)
    edges = _odd_ones([_edges(code) + i * pixels for i, code in enumerate(counts)])
    marked = torch.from_numpy(edges[edges < len(flat)]).to(device, non_blocking=True)
    flat[marked] = 1
    inside = flat.cumsum(0, dtype=torch.uint8).bitwise_and_(1).bool()  # wrapping at 256 leaves what is odd
    return inside.view(len(counts), width, height).transpose(1, 2)


def encode_on_device(dense: Tensor) -> list[bytes]:
    """Compressed run lengths of masks ``[N, H, W]`` (bool, or numbers of which 0 is background) on any
    device.
    """
    if not dense.numel():
        return []
    step = max(1, _MOST_PIXELS // dense[0].numel())
    return [code for part in torch.split(dense, step) for code in _encoded(part)]


def _encoded(dense: Tensor) -> list[bytes]:
    count, height, width = dense.shape
    columns = (dense != 0).transpose(1, 2).reshape(count, -1)
    framed = torch.cat([columns.new_zeros(count, 1), columns], dim=1)
    row, edge = torch.nonzero(framed[:, 1:] != framed[:, :-1]).unbind(1)
    found = torch.stack([row, edge]).cpu().numpy()
    ends = np.searchsorted(found[0], np.arange(1, count))
    pixels = [height * width]
    return [
        encode_counts(np.diff(np.concatenate([[0], edges, pixels]))) for edges in np.split(found[1], ends)
    ]


def _edges(code: bytes) -> NDArray[np.int64]:
    """The starts and ends of the runs of an object, in pixels; an object that contains the last pixel ends
    after it.
    """
    ends = np.cumsum(decode_counts(code))
    whole: NDArray[np.int64] = ends[: len(ends) // 2 * 2]
    return whole


def _odd_ones(edges: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """The positions at which an odd number of edges lie: two at the same one, around a run without pixels or
    between objects of two masks, have no effect.
    """
    every = np.concatenate([np.zeros(0, np.int64), *edges])
    if bool((every[1:] > every[:-1]).all()):
        return every
    positions, times = np.unique(every, return_counts=True)
    odd: NDArray[np.int64] = positions[times % 2 == 1]
    return odd
