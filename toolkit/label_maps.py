"""Label maps, made from logits or from instances."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from pycocotools import mask as coco_mask
from torch import Tensor
from torch.nn import functional as F

from toolkit.errors import InvalidDataError
from toolkit.types import VOID, Instances, Size

BACKGROUND = "background"
"""The class that pixels outside all instances belong to, where the classes name one so."""

ROUNDING = 2.0**-19
"""How far two float32 interpolations of two classes can differ by rounding alone, relative to the corners, doubled for safety.

An interpolated value goes through 4 roundings of at most ``2**-24``; a difference of two, computed in two ways, through 16.
"""

CHUNK = 1 << 18
"""Pixels worked on at a time: buffers of 1 MB, which stay in the cache."""

CELL_COST = 6
"""Time for a value interpolated cell by cell, in values interpolated plane by plane (4 to 20 were measured)."""


def logits_to_label_map(logits: Tensor, size: Size) -> Tensor:
    """The class with the largest logit at every pixel, after bilinear interpolation to the image's size.

    Equal in every pixel to ``F.interpolate(logits[None], size, mode="bilinear", align_corners=False)[0].argmax(0)`` on contiguous
    logits (the first class wins a tie), but on a CPU an order of magnitude faster on logits that look like a segmentation: where
    one class is largest at all four corners of a source cell it is largest all over the cell, so only the other cells are
    interpolated. Other logits, such as noise, and other devices take one class after the other, which is exact as well.

    Args:
        logits: ``[C, h, w]``, floating (half precision is widened to float32 first), ``1 <= C <= 255``.
        size: height and width of the label map, in pixels.

    Returns:
        uint8 ``[H, W]`` of class indexes, on the device of ``logits``. The memory used on the way is that of a few
        single-channel images, however many classes there are.

    Raises:
        InvalidDataError: when shape, dtype or size do not fit, or a logit is NaN or infinite.
    """
    _check_logits(logits, size)
    logits = logits.detach().float().contiguous()
    largest = float(logits.abs().amax())
    if not math.isfinite(largest):
        raise InvalidDataError("logits must be finite, but some are NaN or infinite: look at the model's weights and precision")
    classes, height, width = logits.shape
    if (height, width) == tuple(size):
        return _argmax(logits)
    # Where there is little to gain torch may also choose another kernel, which rounds differently: leave those to torch.
    worthwhile = classes > 4 and min(size) > 128 and size[0] * size[1] >= 4 * height * width
    if worthwhile and logits.device.type == "cpu" and largest < 1e37:
        label_map = _pruned_argmax(logits, size, budget=classes * size[0] * size[1])
        if label_map is not None:
            return label_map
    return _plain_argmax(logits, size)


def _check_logits(logits: Tensor, size: Size) -> None:
    fits = logits.dim() == 3 and logits.is_floating_point() and 1 <= logits.shape[0] <= VOID and logits.numel() > 0
    if not fits:
        found = f"{str(logits.dtype).removeprefix('torch.')} {list(logits.shape)}"
        raise InvalidDataError(f"logits must be floating [C, h, w] with 1 to {VOID} classes and at least one pixel, not {found}")
    if len(size) != 2 or min(size) < 1:
        raise InvalidDataError(f"size must be (height, width) in whole pixels above 0, not {size!r}")


def _interpolate(images: Tensor, size: Size) -> Tensor:
    return F.interpolate(images, size=size, mode="bilinear", align_corners=False)


def _argmax(logits: Tensor) -> Tensor:
    """``logits.argmax(0)`` as uint8. On a CPU torch's ``max`` finds the index many times as fast as its ``argmax``."""
    strips = logits.split(max(1, CHUNK // logits.shape[2]), dim=1)
    return torch.cat([strip.max(dim=0).indices.to(torch.uint8) for strip in strips])


def _plain_argmax(logits: Tensor, size: Size) -> Tensor:
    """Interpolate one class after the other and keep the largest so far."""
    if len(logits) <= 4 or sum(size) <= 128:  # torch's other kernels, which look at all the channels
        return _argmax(_interpolate(logits[None], size)[0])
    return _running_argmax(_interpolate(plane[None, None], size)[0, 0] for plane in logits)


def _running_argmax(planes: Iterable[Tensor]) -> Tensor:
    """The index of the first largest of some planes ``[H, W]``, as uint8, holding one plane at a time."""
    iterator = iter(planes)
    best = next(iterator)
    label_map = torch.zeros_like(best, dtype=torch.uint8)
    for index, plane in enumerate(iterator, start=1):
        label_map.masked_fill_(plane > best, index)
        torch.maximum(best, plane, out=best)
    return label_map


@dataclass(frozen=True)
class _Taps:
    """How torch interpolates one axis of a source that is padded by one copy of its edge on either side.

    Output ``j`` is ``low[j] * padded[cell[j]] + high[j] * padded[cell[j] + 1]``; cell ``i`` has the ``count[i]`` outputs from
    ``first[i]`` on. (The padding gives the outputs beyond the outermost source pixels a cell of their own.)
    """

    cell: Tensor
    low: Tensor
    high: Tensor
    first: Tensor
    count: Tensor

    def outputs(self, cells: Tensor) -> Tensor:
        """The outputs of some cells, int64 ``[K, max(count)]``; a cell with fewer repeats its last."""
        first, count = self.first[cells, None], self.count[cells, None]
        return first + torch.minimum(torch.arange(int(self.count.max())), count - 1)


def _taps(source: int, target: int) -> _Taps:
    """Read the weights off torch itself, bit for bit, by interpolating four combs that are 1 at every fourth place."""
    combs = torch.arange(source) % 4 == torch.arange(4)[:, None]
    weights = _interpolate(combs.float()[:, None, None, :], (1, target))[:, 0, 0]  # [4, target]
    position = (torch.arange(target, dtype=torch.float64) + 0.5) * source / target - 0.5
    nearby = position.clamp(0, source - 1).floor().long() - 1 + torch.arange(4)[:, None]  # float32 may land one cell off
    weights = torch.cat([weights.gather(0, nearby % 4), torch.zeros(1, target)])
    lowest = (weights != 0).to(torch.uint8).argmax(0, keepdim=True)
    cell = torch.where(position < 0, 0, nearby.gather(0, lowest)[0] + 1)
    count = torch.bincount(cell, minlength=source + 1)
    return _Taps(cell, weights.gather(0, lowest)[0], weights.gather(0, lowest + 1)[0], count.cumsum(0) - count, count)


def _pruned_argmax(logits: Tensor, size: Size, budget: float) -> Tensor | None:
    """Interpolate only the cells whose corners leave the class open. None where that costs more than ``budget`` values."""
    _, height, width = logits.shape
    rows, columns = _taps(height, size[0]), _taps(width, size[1])
    padded = F.pad(logits[None], (1, 1, 1, 1), mode="replicate")[0]
    winner, decided = _corner_winners(padded)
    y, x = (~decided & (rows.count > 0)[:, None] & (columns.count > 0)).nonzero(as_tuple=True)
    pixels = int(rows.count.max() * columns.count.max())
    if 2 * len(y) * pixels * CELL_COST > budget:  # two contenders a cell, at least
        return None

    label_map = winner[:, columns.cell][rows.cell]
    step = max(1, CHUNK // pixels)
    for start in range(0, len(y), step):
        cells = _contenders(padded, y[start : start + step], x[start : start + step])
        at_y, at_x = rows.outputs(cells.y), columns.outputs(cells.x)
        labels, tied = _interpolate_cells(cells, rows, columns, at_y, at_x)
        label_map[at_y[:, :, None], at_x[:, None, :]] = labels
        cell, i, j = tied.nonzero(as_tuple=True)
        budget -= int(cells.count.sum()) * pixels * CELL_COST + len(cell) * len(cells.classes) * (size[0] + 2 * size[1])
        if budget < 0:
            return None
        if len(cell):
            tied_y, tied_x = at_y[cell, i], at_x[cell, j]
            label_map[tied_y, tied_x] = _ask_torch(logits, size, cells, cell, tied_y, tied_x)
    return label_map


def _corner_winners(logits: Tensor) -> tuple[Tensor, Tensor]:
    """The class that is largest at the upper left corner of each cell, uint8 ``[h - 1, w - 1]``, and whether it is so, beyond any
    rounding, at all four, bool ``[h - 1, w - 1]``.
    """
    best, second = logits[0], torch.full_like(logits[0], -torch.inf)
    winner = torch.zeros_like(best, dtype=torch.uint8)
    for index, plane in enumerate(logits[1:], start=1):
        winner.masked_fill_(plane > best, index)
        second = torch.maximum(second, torch.minimum(best, plane))
        best = torch.maximum(best, plane)
    clear = best - second > best.abs() * ROUNDING + 1e-30  # the last term for numbers too small to be precise
    coded = torch.where(clear, winner, VOID).float()[None]
    high, low = F.max_pool2d(coded, 2, 1)[0], -F.max_pool2d(-coded, 2, 1)[0]
    return winner[:-1, :-1], (high == low) & (high != VOID)


@dataclass(frozen=True)
class _Cells:
    """``K`` source cells, those with most contenders first. A cell's contenders are in ascending order of class.

    Attributes:
        y: row of the upper left corner, int64 ``[K]``; ``x`` its column.
        count: how many classes can win somewhere in the cell, int64 ``[K]``, descending.
        classes: these classes, int64 ``[max(count), K]``; past ``count`` a filler.
        corners: their logits, float32 ``[4, max(count), K]``: upper left, upper right, lower left, lower right.
    """

    y: Tensor
    x: Tensor
    count: Tensor
    classes: Tensor
    corners: Tensor


def _contenders(logits: Tensor, y: Tensor, x: Tensor) -> _Cells:
    """Leave out of each cell the classes that stay below the lowest corner of another."""
    flat, width = logits.flatten(1), logits.shape[2]
    corners = torch.stack([flat[:, (y + dy) * width + x + dx] for dy in (0, 1) for dx in (0, 1)])  # [4, C, K]
    bar = corners.amin(0).amax(0)
    contends = corners.amax(0) >= bar - bar.abs() * ROUNDING - 1e-30
    count, order = contends.sum(0).sort(descending=True)
    cell, label = contends.T[order].nonzero(as_tuple=True)
    classes = torch.zeros(int(count[0]), len(y), dtype=torch.int64)
    classes[torch.arange(len(cell)) - (count.cumsum(0) - count)[cell], cell] = label
    return _Cells(y[order], x[order], count, classes, corners[:, classes, order])


def _interpolate_cells(cells: _Cells, rows: _Taps, columns: _Taps, at_y: Tensor, at_x: Tensor) -> tuple[Tensor, Tensor]:
    """The largest class at every pixel of some cells, uint8 ``[K, sy, sx]``, and where rounding leaves it open, bool."""
    low_x, high_x = columns.low[at_x], columns.high[at_x]  # [K, sx]
    low_y, high_y = rows.low[at_y][:, :, None], rows.high[at_y][:, :, None]  # [K, sy, 1]
    best = torch.full((len(cells.y), at_y.shape[1], at_x.shape[1]), -torch.inf)
    second, labels = best.clone(), torch.zeros_like(best, dtype=torch.uint8)
    for place, label in enumerate(cells.classes.to(torch.uint8)):
        k = int((cells.count > place).sum())  # the cells are sorted, so those with this many contenders come first
        upper_left, upper_right, lower_left, lower_right = cells.corners[:, place, :k, None]
        upper = upper_left * low_x[:k] + upper_right * high_x[:k]
        lower = lower_left * low_x[:k] + lower_right * high_x[:k]
        value = upper[:, None] * low_y[:k]
        value.addcmul_(lower[:, None], high_y[:k])  # [k, sy, sx]
        torch.where(value > best[:k], label[:k, None, None], labels[:k], out=labels[:k])
        torch.maximum(second[:k], torch.minimum(best[:k], value), out=second[:k])
        torch.maximum(best[:k], value, out=best[:k])
    scale = cells.corners.abs().amax((0, 1))[:, None, None]
    return labels, best - second <= scale * ROUNDING + 1e-30


def _ask_torch(logits: Tensor, size: Size, cells: _Cells, cell: Tensor, at_y: Tensor, at_x: Tensor) -> Tensor:
    """The class torch finds at ``P`` single pixels, uint8 ``[P]``: its own kernel along x, then along y, rounds as in two dimensions.

    Args:
        logits: ``[C, h, w]``.
        size: height and width of the label map.
        cells: holds the contenders.
        cell: of each pixel the index in ``cells``, int64 ``[P]``.
        at_y: of each pixel the row in the label map, int64 ``[P]``; ``at_x`` its column.
    """
    classes = cells.classes[:, cell]  # [k, P]
    k, p = classes.shape
    _, height, width = logits.shape
    lower = cells.y[cell]  # counted in the padded source, so that it is the lower row of the cell in ``logits``
    both = torch.stack([lower - 1, lower]).clamp(0, height - 1)  # [2, P]
    lines = logits[classes[:, None], both].view(-1, 1, 1, width)  # [k * 2 * P, 1, 1, w]
    ends = _interpolate(lines, (1, size[1])).view(k, 2, p, size[1])[:, :, torch.arange(p), at_x]  # [k, 2, P]
    column = torch.zeros(k, height, p)
    column.scatter_(1, both.expand(k, 2, p), ends)
    values = _interpolate(column.transpose(1, 2).reshape(-1, 1, height, 1), (size[0], 1)).view(k, p, size[0])
    value = values[:, torch.arange(p), at_y]
    value[torch.arange(k)[:, None] >= cells.count[cell]] = -torch.inf
    return classes.gather(0, value.argmax(0, keepdim=True))[0].to(torch.uint8)


def instances_to_label_map(instances: Instances, classes: Sequence[str]) -> Tensor:
    """Paint instances over one another into a label map.

    Predictions are painted by score, so that the highest wins; truth by area, so that a small object lies on top of a large one and,
    among equals, a later one on an earlier. A pixel under no instance is ``background`` where a class has that name, and ``VOID``
    otherwise. Crowd regions lie below everything and are ``VOID``: what is in them is not known in detail.

    Args:
        instances: with masks; labels index ``classes``.
        classes: the names that labels stand for.

    Returns:
        uint8 ``[H, W]`` of indexes into ``classes``.

    Raises:
        InvalidDataError: when there are no masks, or a label is beyond the classes.
    """
    masks = instances.masks
    if masks is None and len(instances):
        raise InvalidDataError(f"a label map needs masks, but these {len(instances)} instances have only boxes")
    if len(instances) and int(instances.labels.max()) >= len(classes):
        raise InvalidDataError(
            f"an instance has label {int(instances.labels.max())}, but there are {len(classes)} classes: 0 … {len(classes) - 1}"
        )
    height, width = instances.size
    uncovered = classes.index(BACKGROUND) if BACKGROUND in classes else VOID
    painted = torch.full((width, height), uncovered, dtype=torch.uint8)  # transposed, as run-length codes are
    if masks is None:
        return painted.T.contiguous()
    labels = instances.labels
    key = -masks.areas().double() if instances.scores is None else instances.scores.double()
    if instances.is_crowd is not None:
        labels = torch.where(instances.is_crowd, VOID, labels)
        key = torch.where(instances.is_crowd, -torch.inf, key)
    boxes = masks.boxes_xyxy().long()
    codes = masks.to_coco()
    for i in key.argsort(stable=True).tolist():
        x0, y0, x1, y1 = boxes[i].tolist()
        inside = torch.from_numpy(coco_mask.decode(codes[i]).T)[x0:x1, y0:y1] != 0
        painted[x0:x1, y0:y1].masked_fill_(inside, int(labels[i]))
    return painted.T.contiguous()
