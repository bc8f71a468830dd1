"""Data augmentation that transforms image, label map, masks and boxes together.

Built on the functions of torchvision's transforms v2: they come with torch, are maintained with it, and one
call transforms an image, a mask or a box by the same rule. The alternative, albumentations, is archived under
the MIT license, and its successor is AGPL.

Random parameters are drawn from a separate generator and first applied to the image; the same moves are then
replayed on the labels. So the same sample and seed give the same result in any process, torch's global random
state is never touched, and masks are decoded a few at a time, and only if positions changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as F

from toolkit.config import Settings
from toolkit.config.augmentations import AugmentSettings, Crop, Flip
from toolkit.data.dataset import Dataset, InMemory
from toolkit.data.keypoint_pairs import PAIRS_HINT, pairs_by_name
from toolkit.data.moves import Move, draw_crop_place, draw_move, resize_move
from toolkit.data.parts import READERS, PartReadable, cut_instances
from toolkit.errors import ConfigError, InvalidDataError
from toolkit.types import Instances, Masks, PanopticMap, PixelMap, Sample, Size
from toolkit.types.pixel_runs import Rectangle

__all__ = ["AugmentSettings", "Augmenter", "build_transform", "cut_sample", "resize_sample"]

_CHUNK_PIXELS = 2**26
"""Number of mask pixels decoded at once: a thousand objects in a large photo must not take gigabytes."""


@dataclass(frozen=True)
class Augmenter:
    """A list of augmentations, applied in order. Can be sent to another process."""

    steps: tuple[Settings, ...]

    def __call__(self, sample: Sample, seed: int) -> Sample:
        """Augment a sample; the same sample and seed give the same result.

        Instances that leave the image are dropped with all their fields; boxes are recomputed from the masks
        if there are any.

        Raises:
            InvalidDataError: when a geometric augmentation meets prompts, or a mirror image meets keypoints
                whose pairs are unknown.
        """
        return self._augmented(sample, self.steps, torch.Generator().manual_seed(seed))

    def read(self, dataset: Dataset, index: int, seed: int) -> Sample:
        """The augmented sample at ``index``. If the first step is a crop, only that part of a TIFF is decoded
        where the dataset can read parts; the result is the same.

        Raises:
            DataError: when it cannot be read.
            InvalidDataError: as when it is called.
        """
        parts = None if isinstance(dataset, InMemory) else dataset.capability(PartReadable)
        first = self.steps[0] if self.steps else None
        if parts is None or not isinstance(first, Crop):
            return self(dataset[index], seed)
        reader = READERS.reader(parts.part_path(index), dataset.scale)
        if reader is None or any(have < want for have, want in zip(reader.size, first.size, strict=True)):
            return self(dataset[index], seed)
        rng = torch.Generator().manual_seed(seed)
        top, left = draw_crop_place(first, reader.size, rng)
        place = Rectangle(top, left, top + first.size[0], left + first.size[1])
        sample = self._augmented(parts.part(index, reader, place), self.steps[1:], rng)
        if sample.instances is not None:
            sample = sample.with_(instances=_covering(sample.instances))
        return sample

    def _augmented(self, sample: Sample, steps: Sequence[Settings], rng: torch.Generator) -> Sample:
        image = tv_tensors.Image(sample.image)
        moves = []
        for settings in steps:
            move = draw_move(settings, (image.shape[1], image.shape[2]), rng)
            if move is not None:
                image = move.apply(image)
                moves += [move] if move.geometric else []
        return _replay(sample, image.as_subclass(Tensor).contiguous(), moves)


def build_transform(settings: Sequence[Settings], keypoint_names: Sequence[str] = ()) -> Augmenter:
    """The augmentations of a recipe as one function of a sample and a seed; an empty list changes
    nothing.

    Args:
        settings: the settings of the augmentations, in order.
        keypoint_names: names of the keypoints of an object, in order (see ``Dataset``); empty if there are
            none, or their names are unknown.

    Raises:
        ConfigError: when there is a flip, and neither its settings nor the names determine which keypoints it
            swaps.
    """
    return Augmenter(tuple(_with_pairs(each, keypoint_names) for each in settings))


def _with_pairs(settings: Settings, names: Sequence[str]) -> Settings:
    if not isinstance(settings, Flip) or not names:
        return settings
    pairs = pairs_by_name(names) if settings.keypoint_pairs is None else settings.keypoint_pairs
    beyond = [place for pair in pairs for place in pair if place >= len(names)]
    if beyond:
        raise ConfigError(
            f"augment: keypoint_pairs of flip lists the keypoint {beyond[0]}, but there are {len(names)},"
            f" from 0 to {len(names) - 1}. Hint: correct the pairs"
        )
    return settings.model_copy(update={"keypoint_pairs": pairs})


def resize_sample(sample: Sample, size: Size) -> Sample:
    """The sample with its image and labels resized to ``size`` (height, width)."""
    if sample.size == size:
        return sample
    move = resize_move(size)
    image = move.apply(tv_tensors.Image(sample.image))
    return _replay(sample, image.as_subclass(Tensor).contiguous(), [move])


def cut_sample(sample: Sample, place: Rectangle) -> Sample:
    """The part of a sample in a rectangle of its image, with what of its objects covers a pixel there; masks
    are cut as run lengths. Prompts are left out.
    """
    part = slice(place.top, place.bottom), slice(place.left, place.right)
    extras = {name: _cut_extra(value, part) for name, value in sample.extras.items()}
    return sample.with_(
        image=sample.image[:, *part].contiguous(),
        label_map=None if sample.label_map is None else sample.label_map[part].contiguous(),
        instances=None if sample.instances is None else _covering(cut_instances(sample.instances, place)),
        prompts=None,
        extras=extras,
    )


def _cut_extra(value: Any, part: tuple[slice, slice]) -> Any:
    if isinstance(value, PixelMap):
        return PixelMap(value.values[part].contiguous())
    if isinstance(value, PanopticMap):
        return PanopticMap.compacted(value.numbers[part].contiguous(), value.segments)
    return value


# --- replaying the moves on the labels ---


def _replay(sample: Sample, image: Tensor, moves: Sequence[Move]) -> Sample:
    if not moves:
        return sample.with_(image=image)
    if sample.prompts is not None:
        raise InvalidDataError(
            f"sample {sample.id!r} has prompts, which augmentation does not move. Hint: draw the prompts"
            " after augmenting"
        )
    label_map = None
    if sample.label_map is not None:
        # All moves fill with 0 outside. Shifted by one, with uint8 wrapping around, void (255) becomes 0 and
        # is preserved.
        shifted = (sample.label_map + 1)[None]
        label_map = _moved_masks(shifted, moves)[0] - 1
    instances = None
    if sample.instances is not None:
        instances = _moved_instances(sample, sample.instances, moves, (image.shape[1], image.shape[2]))
    extras = {name: _moved_extra(value, moves) for name, value in sample.extras.items()}
    return sample.with_(image=image, label_map=label_map, instances=instances, extras=extras)


def _moved_extra(value: Any, moves: Sequence[Move]) -> Any:
    if isinstance(value, PixelMap):
        return _moved_map(value, moves)
    if isinstance(value, PanopticMap):
        # outside areas are filled with 0, which is void; segments that leave the image are dropped
        return PanopticMap.compacted(_moved_masks(value.numbers[None], moves)[0], value.segments)
    return value


def _moved_map(pixel_map: PixelMap, moves: Sequence[Move]) -> PixelMap:
    """All moves fill with 0 outside, so a mask of known values is transformed as well, to determine where to
    put NaN.
    """
    known = torch.isfinite(pixel_map.values)
    values = _moved_masks(pixel_map.values.nan_to_num()[None], moves)[0]
    still_known = _moved_masks(known.to(torch.uint8)[None], moves)[0]
    return PixelMap(torch.where(still_known > 0, values, torch.nan))


def _moved_masks(masks: Tensor, moves: Sequence[Move]) -> Tensor:
    """``[N, H, W]`` masks, or maps of numbers, after all moves."""
    moved: Any = tv_tensors.Mask(masks)
    for move in moves:
        moved = move.apply(moved)
    result: Tensor = moved.as_subclass(Tensor)
    return result.contiguous()


def _moved_instances(sample: Sample, instances: Instances, moves: Sequence[Move], size: Size) -> Instances:
    masks = None if instances.masks is None else _moved_rle(instances.masks, moves, size)
    boxes = _moved_boxes(instances.boxes_xyxy, instances.size, moves) if masks is None else masks.boxes_xyxy()
    keypoints = (
        None
        if instances.keypoints is None
        else _moved_keypoints(sample, instances.keypoints, instances.size, moves)
    )
    areas = None if instances.areas is None else _moved_areas(instances, boxes, masks)
    moved = Instances(
        size, boxes, instances.labels, masks, instances.scores, keypoints, instances.is_crowd, areas
    )
    return _covering(moved)


def _covering(instances: Instances) -> Instances:
    """The objects that cover a pixel: the box of a mask always does, and that of an empty mask is all
    zeros.
    """
    boxes = instances.boxes_xyxy
    return instances[((boxes[:, 2:] - boxes[:, :2]) >= 1).all(dim=1)]


def _moved_areas(instances: Instances, boxes: Tensor, masks: Masks | None) -> Tensor:
    """The stated areas, scaled in the same way as the areas of the masks, or else of the boxes: float64
    ``[N]``.
    """
    assert instances.areas is not None  # ensured by the caller
    before, after = _areas(instances.boxes_xyxy, instances.masks), _areas(boxes, masks)
    return torch.where(before > 0, instances.areas * (after / before), after)


def _areas(boxes: Tensor, masks: Masks | None) -> Tensor:
    sides = (boxes[:, 2:] - boxes[:, :2]).double()
    return sides.prod(dim=1) if masks is None else masks.areas().double()


def _moved_rle(masks: Masks, moves: Sequence[Move], size: Size) -> Masks:
    chunk = max(1, _CHUNK_PIXELS // (masks.size[0] * masks.size[1]))
    counts: list[bytes] = []
    for start in range(0, len(masks), chunk):
        dense = masks[start : start + chunk].dense().to(torch.uint8)
        counts += Masks.from_dense(_moved_masks(dense, moves)).counts
    return Masks.encoded(size, counts)


def _moved_boxes(boxes: Tensor, size: Size, moves: Sequence[Move]) -> Tensor:
    moved: Any = tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=size)
    gone = torch.zeros(len(boxes), dtype=torch.bool)
    for move in moves:
        moved = F.clamp_bounding_boxes(move.apply(moved))
        corners = moved.as_subclass(Tensor)
        # what has left the image is a line on its edge, of which a rotation would make a box again
        gone |= ((corners[:, 2:] - corners[:, :2]) <= 0).any(dim=1)
    result: Tensor = moved.as_subclass(Tensor)
    return torch.where(gone[:, None], 0, result)


def _moved_keypoints(sample: Sample, keypoints: Tensor, size: Size, moves: Sequence[Move]) -> Tensor:
    """Keypoints move as boxes without extent: torchvision's own keypoints count from pixel centers, ours from
    pixel corners.
    """
    xy = keypoints[..., :2].reshape(-1, 2)
    visibility = keypoints[..., 2].reshape(-1).clone()
    moved: Any = tv_tensors.BoundingBoxes(
        xy.repeat(1, 2), format="XYXY", canvas_size=size, clamping_mode=None
    )
    for move in moves:
        moved = move.apply(moved)
        if move.mirror is not None:
            order = _mirrored_order(sample, move.mirror, keypoints.shape[:2])
            moved, visibility = tv_tensors.wrap(moved[order], like=moved), visibility[order]
        height, width = moved.canvas_size
        x, y = moved.as_subclass(Tensor)[:, :2].unbind(1)
        visibility[(x < 0) | (y < 0) | (x >= width) | (y >= height)] = 0
    points = (
        moved.as_subclass(Tensor)[:, :2] * (visibility > 0)[:, None]
    )  # COCO's representation of an invisible point: 0, 0, 0
    return torch.cat([points, visibility[:, None]], dim=1).reshape(keypoints.shape)


def _mirrored_order(sample: Sample, flip: Flip, shape: Sequence[int]) -> Tensor:
    """The index from which each keypoint of ``[N, K]`` is taken in a mirror image: int64 ``[N · K]``."""
    count = shape[1]
    pairs = flip.keypoint_pairs
    if pairs is None:
        raise InvalidDataError(
            f"sample {sample.id!r} has keypoints, and it is not known which of them a mirror image swaps."
            f" {PAIRS_HINT}"
        )
    if beyond := [place for pair in pairs for place in pair if place >= count]:
        raise InvalidDataError(
            f"keypoint_pairs of flip lists the keypoint {beyond[0]}, but those of sample {sample.id!r} are"
            f" {count}, from 0 to {count - 1}. Hint: correct the pairs"
        )
    order = torch.arange(count)
    for one, other in pairs:
        order[one], order[other] = other, one
    return (torch.arange(shape[0])[:, None] * count + order).reshape(-1)
