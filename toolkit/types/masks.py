"""Masks of objects as run-length codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from pycocotools import mask as coco_mask
from torch import Tensor

from toolkit.errors import InvalidDataError
from toolkit.types.basics import Size
from toolkit.types.checking import check, check_size, describe, pixels
from toolkit.types.device_masks import decode_on, encode_on_device
from toolkit.types.run_lengths import counts_fault, lengths_fault, polygon_fault

Index: TypeAlias = "slice | Sequence[int] | Sequence[bool] | np.ndarray[Any, Any] | Tensor"


@dataclass(frozen=True)
class Masks:
    """``N`` binary masks of one image as COCO run-length codes: holes, parts and overlaps are preserved, and
    memory stays small.

    Attributes:
        size: height and width of the image, in pixels.
        counts: ``N`` compressed run-length codes, as ``pycocotools.mask`` writes them.

    Raises:
        InvalidDataError: when ``size`` or the type of ``counts`` is wrong, or a code does not cover exactly
            the pixels of the image.
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
        for index, code in enumerate(self.counts):
            fault = counts_fault(code, self.size)
            check(not fault, f"Masks.counts[{index}] is not of this size: its run lengths {fault}")

    @classmethod
    def encoded(cls, size: Size, counts: Sequence[bytes]) -> Masks:
        """Masks from codes that this process has written or checked before, without checking them again.
        Others go to the constructor: a wrong code can crash the process.
        """
        masks = cls(size)
        object.__setattr__(masks, "counts", tuple(counts))
        return masks

    @classmethod
    def from_dense(cls, dense: Tensor | np.ndarray[Any, Any]) -> Masks:
        """Encode masks of shape ``[N, H, W]`` (bool, or numbers of which 0 is background), on the device
        where they are.
        """
        if isinstance(dense, Tensor) and dense.device.type != "cpu":
            check(dense.dim() == 3, f"masks must be [N, H, W], not {describe(dense)}")
            return cls.encoded((dense.shape[1], dense.shape[2]), encode_on_device(dense))
        array = dense.numpy() if isinstance(dense, Tensor) else np.asarray(dense)
        check(array.ndim == 3, f"masks must be [N, H, W], not {describe(array)}")
        height, width = array.shape[1:]
        counts = (coco_mask.encode(np.asfortranarray(m != 0, dtype=np.uint8))["counts"] for m in array)
        return cls.encoded((height, width), tuple(counts))

    @classmethod
    def from_polygons(cls, polygons: Sequence[Sequence[Sequence[float]]], size: Size) -> Masks:
        """Rasterize ``N`` objects, each a list of flat polygons ``[x0, y0, x1, y1, …]``, by COCO's rule
        (union of the parts).

        Raises:
            InvalidDataError: when an object has no polygon, or one with fewer than 3 points, with numbers
                that are not finite, or far larger than the image.
        """
        check_size("Masks", size)
        counts = []
        for index, parts in enumerate(polygons):
            is_list = isinstance(parts, (list, tuple, np.ndarray))
            check(is_list and len(parts) > 0, f"object {index} has no polygon")
            for part in parts:
                fault = polygon_fault(part, size)
                check(not fault, f"a polygon of object {index} {fault}")
            codes = coco_mask.frPyObjects([list(part) for part in parts], *size)
            counts.append(coco_mask.merge(codes)["counts"])
        return cls.encoded(size, counts)

    @classmethod
    def from_coco(cls, codes: Sequence[Mapping[str, Any]], size: Size) -> Masks:
        """From COCO RLE dictionaries, compressed (``str`` or ``bytes``) or not (a list of counts).

        Raises:
            InvalidDataError: when one is of another size, or does not cover exactly the pixels of the image.
        """
        check_size("Masks", size)
        return cls.encoded(size, [_checked_code(code, size) for code in codes])

    @classmethod
    def joined(cls, size: Size, parts: Sequence[Masks]) -> Masks:
        """Concatenate several ``Masks``, all of the same image size.

        Raises:
            InvalidDataError: when one is of another size.
        """
        for part in parts:
            check(
                part.size == size,
                f"masks of {pixels(part.size)} cannot be combined with those of {pixels(size)}",
            )
        return cls.encoded(size, [code for part in parts for code in part.counts])

    def __len__(self) -> int:
        return len(self.counts)

    def __repr__(self) -> str:
        return f"Masks({pixels(self.size)}, {len(self)})"

    def __getitem__(self, index: Index) -> Masks:
        return Masks.encoded(self.size, [self.counts[i] for i in positions(index, len(self))])

    def to_coco(self) -> list[dict[str, Any]]:
        """The masks as COCO RLE dictionaries ``{"size": [H, W], "counts": bytes}``."""
        return [{"size": list(self.size), "counts": c} for c in self.counts]

    def dense(self, device: torch.device | None = None) -> Tensor:
        """Decode to bool ``[N, H, W]``, on the CPU or another device; this is where memory is spent, so index
        first.
        """
        if device is not None and device.type != "cpu":
            return decode_on(device, self.counts, self.size)
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
        ]  # it fails for more than 255 at once
        return torch.from_numpy(np.concatenate(parts).astype(np.int64))

    def boxes_xyxy(self) -> Tensor:
        """The tight box of each mask, float32 ``[N, 4]``; an empty mask has a box of zeros."""
        if not self.counts:
            return torch.zeros((0, 4))
        boxes = coco_mask.toBbox(self.to_coco()).astype(np.float32)  # x, y, width, height
        boxes[:, 2:] += boxes[:, :2]
        return torch.from_numpy(boxes)


def _checked_code(code: Mapping[str, Any], size: Size) -> bytes:
    """The compressed run lengths of a COCO RLE dictionary."""
    given, counts = code.get("size"), code.get("counts")
    same = isinstance(given, (list, tuple)) and tuple(given) == size
    check(same, f"mask code has size {describe(given)}, but the image has {list(size)} (height, width)")
    if isinstance(counts, str):
        check(counts.isascii(), "mask code has counts with characters that do not encode run lengths")
        counts = counts.encode()
    if isinstance(counts, bytes):
        fault = counts_fault(counts, size)
    elif isinstance(counts, (list, tuple)):
        fault = lengths_fault(counts, size)
    else:
        fault = f"are {describe(counts)}; expected text or a list of numbers"
    check(not fault, f"mask code: the run lengths {fault}")
    if isinstance(counts, bytes):
        return counts
    assert counts is not None  # just checked
    whole = {"size": list(size), "counts": [int(length) for length in counts]}
    compressed: bytes = coco_mask.frPyObjects(whole, *size)["counts"]
    return compressed


def positions(index: Index, length: int) -> list[int]:
    """Positions that ``index`` (slice, integers or a bool mask) selects from ``length`` items."""
    if isinstance(index, slice):
        return list(range(length))[index]
    array = index.numpy() if isinstance(index, Tensor) else np.asarray(index)
    check(
        array.ndim == 1 and (array.dtype.kind in "biu" or not array.size),
        f"the index must be a slice, or a list or array [N] of positions or booleans, not {describe(index)}",
    )
    picked = array if array.dtype == bool else array.astype(np.int64)
    return [int(i) for i in np.arange(length)[picked]]
