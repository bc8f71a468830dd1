"""Parts of the samples of a dataset, read without decoding whole images: for training on large ones.

A random crop at the beginning of the augmentations is drawn from the size in the header of a TIFF, and only
the tiles or strips that it touches are decoded. The sample is the same as if the whole image had been read
and cropped.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections import OrderedDict
from pathlib import Path

import torch

from toolkit.config.scale import Scale
from toolkit.data.pixel_scale import Limits, Table
from toolkit.data.tiff_windows import TiffWindows, open_tiff
from toolkit.runtime.extras import has_tifffile
from toolkit.types import Instances, Masks, Sample, Size
from toolkit.types.pixel_runs import Rectangle, codes_of_runs, cropped, runs_of_codes

MOST_READERS = 2
"""Number of files that a process keeps open, each with the tiles that were decoded last."""


class PartReadable(ABC):
    """A dataset of which parts of samples can be read."""

    @abstractmethod
    def part_path(self, index: int) -> Path:
        """The file of the image of a sample."""

    @abstractmethod
    def part(self, index: int, reader: TiffWindows, place: Rectangle) -> Sample:
        """The part of a sample in a rectangle, without objects that have no pixel in it.

        Args:
            index: of the sample.
            reader: reads the file of its image.
            place: within the image.

        Raises:
            DataError: as ``Dataset.__getitem__``.
        """


class PartReaders:
    """Open files of one process, the last few; another process, such as a loader's, opens its own."""

    def __init__(self) -> None:
        self._process = os.getpid()
        self._open: OrderedDict[tuple[Path, Scale | None], TiffWindows] = OrderedDict()
        self._known: dict[tuple[Path, Scale | None], Table | Limits] = {}

    def reader(self, path: Path, scale: Scale | None) -> TiffWindows | None:
        """A reader of a TIFF; None if it can only be read whole.

        Raises:
            ImageError: when the file cannot be read.
        """
        if self._process != os.getpid():  # two processes would move the same position in a file
            self._process = os.getpid()
            self._open.clear()
        if path.suffix.lower() not in (".tif", ".tiff") or not has_tifffile():
            return None
        key = path, scale
        if key not in self._open:
            found = open_tiff(path, scale, self._known.get(key))
            if found is None:
                return None
            self._open[key] = found
            if len(self._open) > MOST_READERS:
                old, reader = self._open.popitem(last=False)
                if reader.known is not None:  # counting values would decode the whole image once more
                    self._known[old] = reader.known
                reader.close()
        self._open.move_to_end(key)
        return self._open[key]


READERS = PartReaders()
"""Those of this process."""


def cut_instances(instances: Instances, place: Rectangle) -> Instances:
    """The parts of objects in a rectangle of their image; objects without a pixel there are left out.

    Stated areas shrink like those of the masks, or of the boxes; keypoints outside become unlabeled.
    """
    size: Size = place.height, place.width
    masks, boxes = instances.masks, _moved_boxes(instances.boxes_xyxy, place)
    if masks is not None:
        runs = runs_of_codes(masks.counts, masks.size, -place.top, -place.left)
        inside = Rectangle(0, 0, *size)
        masks = Masks.encoded(size, codes_of_runs([cropped(each, inside) for each in runs], size))
        boxes = masks.boxes_xyxy()
    areas = instances.areas
    if areas is not None:
        before, after = _areas(instances.boxes_xyxy, instances.masks), _areas(boxes, masks)
        areas = torch.where(before > 0, areas * (after / before), after)
    keypoints = instances.keypoints
    if keypoints is not None:
        x, y, seen = keypoints.unbind(-1)
        x, y = x - place.left, y - place.top
        outside = (x < 0) | (y < 0) | (x >= place.width) | (y >= place.height)
        keypoints = torch.stack([x, y, seen], -1) * (~outside & (seen > 0))[..., None]
    cut = Instances(
        size, boxes, instances.labels, masks, instances.scores, keypoints, instances.is_crowd, areas
    )
    return cut[((boxes[:, 2:] - boxes[:, :2]) > 0).all(dim=1)]


def _moved_boxes(boxes: torch.Tensor, place: Rectangle) -> torch.Tensor:
    moved = boxes - torch.tensor([place.left, place.top] * 2, dtype=boxes.dtype)
    return torch.minimum(moved.clamp(min=0), torch.tensor([place.width, place.height] * 2))


def _areas(boxes: torch.Tensor, masks: Masks | None) -> torch.Tensor:
    sides = (boxes[:, 2:] - boxes[:, :2]).double()
    return sides.prod(dim=1) if masks is None else masks.areas().double()
