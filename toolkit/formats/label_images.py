"""Label images: the meaning of their values or colors, and the objects in object id images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toolkit.config.scale import Scale
from toolkit.data.faults import together
from toolkit.data.images import read_image
from toolkit.errors import DataError
from toolkit.types import VOID, Instances, Masks, Sample
from toolkit.wording import counted

Color = tuple[int, int, int]

MAX_IDS = 65_535
"""Maximum number of objects in an object id image: the largest value of a 16-bit grayscale PNG."""


def values_to_label_map(values: Tensor, table: Mapping[int, int], path: str | Path) -> Tensor:
    """Replace the raw values of a label image with class indexes.

    Args:
        values: uint8 ``[H, W]``, as ``toolkit.data.label_maps.read_label_map`` reads them.
        table: value in the file -> class index, or ``VOID``.
        path: the file, for messages.

    Returns:
        uint8 ``[H, W]``.

    Raises:
        DataError: when a value is not in the table; names the file, the first such value and how many pixels
            have it.
    """
    counts = torch.bincount(values.flatten(), minlength=256)
    unknown = [value for value in counts.nonzero().flatten().tolist() if value not in table]
    if unknown:
        raise DataError(
            f"{path} has the value {unknown[0]} in {int(counts[unknown[0]])}"
            f" pixels{_and_others(len(unknown) - 1, 'value')}, which is not a class; expected"
            f" {_ranges(table)}. Hint: correct the file, or the list of classes"
        )
    lookup = torch.zeros(256, dtype=torch.uint8)
    for value, index in table.items():
        lookup[value] = index
    return lookup[values.int()]


def colors_to_label_map(image: Tensor, table: Mapping[Color, int], path: str | Path) -> Tensor:
    """Replace the colors of a label image with class indexes.

    Args:
        image: uint8 ``[3, H, W]``, RGB.
        table: color in the file -> class index, or ``VOID``.
        path: the file, for messages.

    Returns:
        uint8 ``[H, W]``.

    Raises:
        DataError: when a color is not in the table; names the file, the first such color and how many pixels
            have it.
    """
    keys = np.array([_packed(color) for color in table], dtype=np.int32)
    order = np.argsort(keys)
    keys, indexes = keys[order], np.array(list(table.values()), dtype=np.uint8)[order]
    red, green, blue = image.numpy().astype(np.int32)
    packed = (red << 16) | (green << 8) | blue
    position = np.minimum(np.searchsorted(keys, packed), len(keys) - 1)
    wrong = packed[keys[position] != packed]
    if wrong.size:
        colors, counts = np.unique(wrong, return_counts=True)
        first = int(wrong[0])
        count = int(counts[colors == first][0])
        raise DataError(
            f"{path} has the color {_unpacked(first)} in {count}"
            f" pixels{_and_others(len(colors) - 1, 'color')}, which is not the color of a class. Hint: save"
            " the label image without lossy compression or smoothing, or correct the list of colors"
        )
    return torch.from_numpy(indexes[position])


def check_same_size(label: Tensor, image: Tensor, label_path: str | Path, image_path: str | Path) -> None:
    """Check that a label image has the size of its photo.

    Raises:
        DataError: when it does not; names both files and both sizes.
    """
    if label.shape[-2:] != image.shape[-2:]:
        (label_h, label_w), (image_h, image_w) = label.shape[-2:], image.shape[-2:]
        raise DataError(
            f"{label_path} has {label_w} x {label_h} pixels, but its image {image_path} has {image_w} x"
            f" {image_h}. Hint: export the label image at the size of the photo (width x height; check"
            " whether one of them was rotated)"
        )


def labeled_sample(
    sample_id: str,
    image_path: Path,
    label_path: Path,
    read: Callable[[Path], Tensor],
    scale: Scale | None = None,
) -> Sample:
    """A photo with its label map.

    Args:
        sample_id: of the sample.
        image_path: the photo.
        label_path: its label image.
        read: makes a label map, uint8 ``[H, W]``, of the label image.
        scale: how the photo becomes 8 bits, ``Dataset.scale``.

    Raises:
        DataError: when either cannot be read, or they are of different sizes. Where faults are gathered, both
            are tried.
    """
    image, label_map = together(lambda: read_image(image_path, scale), lambda: read(label_path))
    check_same_size(label_map, image, label_path, image_path)
    return Sample(sample_id, image, label_map, path=str(image_path))


def with_objects(sample: Sample, ids: Tensor, ids_path: Path) -> Sample:
    """A sample with the objects of an object id image, each of the class that most of its pixels have.

    Args:
        sample: with its label map and its path.
        ids: integers of any width, ``[H, W]``; 0 is no object.
        ids_path: where they come from, for messages.

    Raises:
        DataError: when the object id image has another size.
    """
    assert sample.label_map is not None  # the caller has read it
    check_same_size(ids, sample.image, ids_path, str(sample.path))
    return sample.with_(instances=instances_from_id_map(ids, majority_labels(ids, sample.label_map)))


def majority_labels(ids: Tensor, label_map: Tensor) -> dict[int, int]:
    """The most frequent class among the pixels of each object, by object id.

    Args:
        ids: integers of any width, ``[H, W]``; 0 is no object.
        label_map: uint8 ``[H, W]``; void pixels are ignored, and entirely void objects are left out.
    """
    key = torch.where((ids != 0) & (label_map != VOID), ids.long() * 256 + label_map, -1).numpy().ravel()
    starts = _run_starts(key)  # sorts runs instead of pixels, and needs no table up to the largest id
    found, which = np.unique(key[starts], return_inverse=True)
    votes = np.bincount(which, np.diff(starts, append=key.size)).astype(np.int64)
    best: dict[int, tuple[int, int]] = {}
    for object_id, label, count in zip(
        (found // 256).tolist(), (found % 256).tolist(), votes.tolist(), strict=True
    ):
        if object_id < 0:
            continue
        best[object_id] = max(best.get(object_id, (0, 0)), (count, -label))  # the lower label wins a tie
    return {object_id: -negative for object_id, (_, negative) in best.items()}


def instances_from_id_map(ids: Tensor, labels: Mapping[int, int]) -> Instances:
    """The objects of an object id image, with masks and tight boxes.

    Args:
        ids: integers of any width, ``[H, W]``; pixels whose id is not in ``labels`` belong to no object.
        labels: object id -> class index; ids without pixels give no instance.

    Returns:
        Instances in the order of ``labels``.
    """
    height, width = ids.shape
    flat = np.ascontiguousarray(ids.numpy().T).ravel()  # COCO's run lengths run down the columns
    starts = _run_starts(flat)
    ends = np.append(starts[1:], flat.size)
    order = np.argsort(flat[starts], kind="stable")  # the runs of each object together, top to bottom
    values = flat[starts][order]
    codes, found = [], []
    for object_id, label in labels.items():
        runs = order[np.searchsorted(values, object_id, "left") : np.searchsorted(values, object_id, "right")]
        if runs.size:
            codes.append(
                {"size": [height, width], "counts": _run_lengths(starts[runs], ends[runs], flat.size)}
            )
            found.append(label)
    masks = Masks.from_coco(codes, (height, width))
    return Instances((height, width), masks.boxes_xyxy(), torch.tensor(found, dtype=torch.int64), masks)


def id_map_from_instances(instances: Instances) -> Tensor:
    """The inverse of ``instances_from_id_map``: int32 ``[H, W]`` with ids from 1 in order; where masks
    overlap, the later one is visible.

    Raises:
        DataError: when the instances have no masks, or there are more than ``MAX_IDS``.
    """
    if instances.masks is None:
        raise DataError(
            "these instances have boxes but no masks, so they cannot be drawn as an object id image"
        )
    if len(instances) > MAX_IDS:
        raise DataError(f"an object id image can hold at most {MAX_IDS} objects, not {len(instances)}")
    ids = torch.zeros(instances.size, dtype=torch.int32)
    for index in range(len(instances)):
        ids[instances.masks[[index]].dense()[0]] = index + 1
    return ids


def _run_starts(values: NDArray[Any]) -> NDArray[Any]:
    """The starts of runs of equal values in a nonempty row."""
    return np.concatenate([[0], np.flatnonzero(values[1:] != values[:-1]) + 1])


def _run_lengths(starts: NDArray[Any], ends: NDArray[Any], total: int) -> list[int]:
    """Alternating lengths of background and foreground runs, background first, from the starts and ends of
    the foreground.
    """
    edges = np.empty(2 * len(starts) + 2, dtype=np.int64)
    edges[0], edges[1:-1:2], edges[2:-1:2], edges[-1] = 0, starts, ends, total
    lengths: list[int] = np.diff(edges).tolist()
    return lengths


def _packed(color: Sequence[int]) -> int:
    return color[0] << 16 | color[1] << 8 | color[2]


def _unpacked(key: int) -> Color:
    return key >> 16, key >> 8 & 255, key & 255


def _and_others(count: int, what: str) -> str:
    return f" (and {counted(count, f'other invalid {what}')})" if count else ""


def _ranges(values: Mapping[int, Any]) -> str:
    """``{0, 1, 2, 255}`` as ``0…2, 255``."""
    parts: list[list[int]] = []
    for value in sorted(values):
        if parts and value == parts[-1][1] + 1:
            parts[-1][1] = value
        else:
            parts.append([value, value])
    return ", ".join(f"{low}" if low == high else f"{low}…{high}" for low, high in parts)
