"""Label maps, made from logits."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from toolkit.errors import InvalidDataError
from toolkit.models.label_map_cells import PLANES, interpolate, pruned_argmax
from toolkit.types import VOID, Size


def logits_to_label_map(logits: Tensor, size: Size) -> Tensor:
    """The class with the largest logit at every pixel, after bilinear interpolation to the image's size.

    Equal at every pixel to
    ``F.interpolate(logits[None], size, mode="bilinear", align_corners=False)[0].argmax(0)`` on contiguous
    logits (the first class wins a tie), but on a CPU an order of magnitude faster on logits that look like a
    segmentation: where one class is largest at all four corners of a source cell, it is largest everywhere in
    the cell, so only the other cells are interpolated. Other logits, such as noise, and other devices are
    handled one class at a time, which is also exact.

    Args:
        logits: ``[C, h, w]``, floating (half precision is widened to float32 first), ``1 <= C <= 255``.
        size: height and width of the label map, in pixels.

    Returns:
        uint8 ``[H, W]`` of class indexes, on the device of ``logits``. Temporary memory is about 100 MB or a
        few single-channel images, whichever is larger, regardless of the number of classes.

    Raises:
        InvalidDataError: when shape, dtype or size do not fit, or a logit is NaN or infinite.
    """
    _check_logits(logits, size)
    logits = logits.detach().float().contiguous()
    largest = _magnitude(logits)
    if not math.isfinite(largest):
        raise InvalidDataError(
            "logits must be finite, but some are NaN or infinite. Hint: check the model's weights and"
            " precision"
        )
    classes, height, width = logits.shape
    if (height, width) == tuple(size):
        return _argmax(logits)
    # If there is little to gain, torch may also choose another kernel, which rounds differently; such cases
    # are left to torch.
    worthwhile = classes > 4 and min(size) > 128 and size[0] * size[1] >= 4 * height * width
    if worthwhile and logits.device.type == "cpu" and 1e-25 < largest < 1e37:  # where float32 is precise
        label_map = pruned_argmax(logits, size, budget=classes * size[0] * size[1])
        if label_map is not None:
            return label_map
    return _plain_argmax(logits, size)


def _check_logits(logits: Tensor, size: Size) -> None:
    fits = (
        logits.dim() == 3
        and logits.is_floating_point()
        and 1 <= logits.shape[0] <= VOID
        and logits.numel() > 0
    )
    if not fits:
        found = f"{str(logits.dtype).removeprefix('torch.')} {list(logits.shape)}"
        raise InvalidDataError(
            f"logits must be floating [C, h, w] with 1 to {VOID} classes and at least one pixel, not {found}"
        )
    if len(size) != 2 or min(size) < 1:
        raise InvalidDataError(f"size must be (height, width) as positive integers, not {size!r}")


def _magnitude(logits: Tensor) -> float:
    """The largest absolute value, or NaN if there is one."""
    if logits.device.type == "cpu":
        values = logits.numpy()  # in this thread alone, see ``pruned_argmax``
        return max(float(values.max()), -float(values.min()))
    return float(logits.abs().amax())


def _argmax(logits: Tensor) -> Tensor:
    """``logits.argmax(0)`` as uint8. On a CPU, torch's ``max`` finds the index many times faster than its
    ``argmax``.
    """
    strips = torch.split(logits, max(1, PLANES // logits[:, 0].numel()), dim=1)
    return torch.cat([strip.max(dim=0).indices.to(torch.uint8) for strip in strips])


def _plain_argmax(logits: Tensor, size: Size) -> Tensor:
    """Interpolate a few classes at a time and keep the largest so far."""
    if len(logits) <= 4 or sum(size) <= 128:  # torch's other kernels, which process all channels
        return _argmax(interpolate(logits[None], size)[0])
    best = torch.full(size, -torch.inf, device=logits.device)
    label_map = torch.zeros(size, dtype=torch.uint8, device=logits.device)
    step = max(1, PLANES // best.numel())
    for first in range(0, len(logits), step):
        planes = interpolate(logits[first : first + step, None], size)[:, 0]
        value, index = planes.max(dim=0)
        label_map = torch.where(value > best, index.to(torch.uint8) + first, label_map)
        torch.maximum(best, value, out=best)
    return label_map
