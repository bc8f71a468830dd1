"""Masks of objects as run-length codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from pycocotools import mask as coco_mask
from torch import Tensor

from toolkit.errors import InvalidDataError
from toolkit.types.basics import Size
from toolkit.types.checking import check, check_size, describe, pixels

Index: TypeAlias = "slice | Sequence[int] | Sequence[bool] | np.ndarray[Any, Any] | Tensor"


@dataclass(frozen=True)
class Masks:
    """``N`` binary masks of one image as COCO run-length codes: holes, parts and overlaps survive, and memory
    stays small.

    Attributes:
        size: height and width of the image, in pixels.
        counts: ``N`` compressed run-length codes, as ``pycocotools.mask`` writes them.

    Raises:
        InvalidDataError: when ``size`` or the type of ``counts`` is wrong.
    """

    size: Size
    counts: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        check_size("Masks", self.size)
        fits = isinstance(self.counts, tuple)
        check(fits, f"Masks.counts must be a tuple of bytes, not {type(self.counts).__name__}")
        for index, code in enumerate(self.counts):
            if not isinstance(code, bytes):
                raise InvalidDataError(f"Masks.counts[{index}] must be bytes, not {describe(code)}")

    @classmethod
    def from_dense(cls, dense: Tensor | np.ndarray[Any, Any]) -> Masks:
        """Encode masks of shape ``[N, H, W]`` (bool, or numbers of which 0 is background)."""
        array = dense.numpy() if isinstance(dense, Tensor) else np.asarray(dense)
        check(array.ndim == 3, f"masks must be [N, H, W], not {describe(array)}")
        height, width = array.shape[1:]
        counts = (coco_mask.encode(np.asfortranarray(m != 0, dtype=np.uint8))["counts"] for m in array)
        return cls((height, width), tuple(counts))

    @classmethod
    def from_polygons(cls, polygons: Sequence[Sequence[Sequence[float]]], size: Size) -> Masks:
        """Rasterize ``N`` objects, each a list of flat polygons ``[x0, y0, x1, y1, …]``, by COCO's rule
        (union of the parts).

        Raises:
            InvalidDataError: when an object has no polygon, or one of fewer than 3 points.
        """
        counts = []
        for index, parts in enumerate(polygons):
            check(len(parts) > 0, f"object {index} has no polygon")
            for part in parts:
                check(
                    len(part) >= 6 and len(part) % 2 == 0,
                    f"a polygon of object {index} has {len(part)} numbers; expected x0, y0, x1, y1, … of 3"
                    " points or more",
                )
            codes = coco_mask.frPyObjects([list(part) for part in parts], *size)
            counts.append(coco_mask.merge(codes)["counts"])
        return cls(size, tuple(counts))

    @classmethod
    def from_coco(cls, codes: Sequence[dict[str, Any]], size: Size) -> Masks:
        """Take COCO RLE dictionaries, compressed (``str`` or ``bytes``) or not (a list of counts)."""
        counts = []
        for code in codes:
            check(
                tuple(code["size"]) == size,
                f"mask code has size {code['size']}, but the image has {list(size)}",
            )
            if isinstance(code["counts"], list):
                check(
                    all(float(run).is_integer() and run >= 0 for run in code["counts"]),
                    "mask code has a run length that is negative or no whole number",
                )
                check(
                    sum(code["counts"]) == size[0] * size[1],
                    f"mask code covers {sum(code['counts'])} pixels, but the image has {size[0] * size[1]}",
                )
                code = coco_mask.frPyObjects(code, *size)
            raw = code["counts"]
            counts.append(raw.encode() if isinstance(raw, str) else raw)
        return cls(size, tuple(counts))

    def __len__(self) -> int:
        return len(self.counts)

    def __repr__(self) -> str:
        return f"Masks({pixels(self.size)}, {len(self)})"

    def __getitem__(self, index: Index) -> Masks:
        return Masks(self.size, tuple(self.counts[i] for i in positions(index, len(self))))

    def to_coco(self) -> list[dict[str, Any]]:
        """The masks as COCO RLE dictionaries ``{"size": [H, W], "counts": bytes}``."""
        return [{"size": list(self.size), "counts": c} for c in self.counts]

    def dense(self) -> Tensor:
        """Decode to bool ``[N, H, W]``; this is where memory is spent, so index first."""
        if not self.counts:
            return torch.zeros((0, *self.size), dtype=torch.bool)
        decoded = coco_mask.decode(self.to_coco())  # [H, W, N] in Fortran order, so the transpose is free
        return torch.from_numpy(np.ascontiguousarray(decoded.transpose(2, 0, 1))).bool()

    def areas(self) -> Tensor:
        """Foreground pixels of each mask, int64 ``[N]``."""
        if not self.counts:
            return torch.zeros(0, dtype=torch.int64)
        codes = self.to_coco()
        parts = [
            coco_mask.area(codes[start : start + 255]) for start in range(0, len(codes), 255)
        ]  # it fails on more than 255 at once
        return torch.from_numpy(np.concatenate(parts).astype(np.int64))

    def boxes_xyxy(self) -> Tensor:
        """The tight box of each mask, float32 ``[N, 4]``; an empty mask has a box of zeros."""
        if not self.counts:
            return torch.zeros((0, 4))
        boxes = coco_mask.toBbox(self.to_coco()).astype(np.float32)  # x, y, width, height
        boxes[:, 2:] += boxes[:, :2]
        return torch.from_numpy(boxes)


def positions(index: Index, length: int) -> list[int]:
    """Positions that ``index`` (slice, integers or a bool mask) picks out of ``length`` items."""
    if isinstance(index, slice):
        return list(range(length))[index]
    array = index.numpy() if isinstance(index, Tensor) else np.asarray(index)
    check(
        array.ndim == 1 and (array.dtype.kind in "biu" or not array.size),
        "what is picked must be a slice, or positions or truth values in a list or array [N], not"
        f" {describe(index)}",
    )
    picked = array if array.dtype == bool else array.astype(np.int64)
    return [int(i) for i in np.arange(length)[picked]]
