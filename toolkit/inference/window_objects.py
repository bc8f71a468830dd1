"""The objects of the windows of a giant image, as they are written to its journal."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated, Any

import torch
from pydantic import Field

from toolkit.errors import InvalidDataError
from toolkit.inference.window_journal import WindowJournal
from toolkit.models.merging import ObjectMerger
from toolkit.models.window_grid import Window
from toolkit.reading.fields import Count, Number, Schema, Text
from toolkit.types import Instances, Masks, Size

_Boxes = list[Annotated[list[Number], Field(min_length=4, max_length=4)]]
_Points = list[list[Annotated[list[Number], Field(min_length=3, max_length=3)]]]


class _Entry(Schema):
    """The objects of a window, in its own pixels: boxes, labels and so on of all of them."""

    window: Count
    boxes: _Boxes
    labels: list[Count]
    scores: list[Number] | None = None
    counts: list[Text] | None = None
    keypoints: _Points | None = None


def entry_of(window: int, objects: Instances) -> dict[str, Any]:
    """The entry for the objects of a window; all digits of numbers are kept.

    Args:
        window: number of the window, from 0.
        objects: in the window's pixels.
    """
    entry: dict[str, Any] = {
        "window": window,
        "boxes": objects.boxes_xyxy.tolist(),
        "labels": objects.labels.tolist(),
    }
    if objects.scores is not None:
        entry["scores"] = objects.scores.tolist()
    if objects.masks is not None:
        entry["counts"] = [code.decode("ascii") for code in objects.masks.counts]
    if objects.keypoints is not None:
        entry["keypoints"] = objects.keypoints.tolist()
    return entry


def objects_of(entry: Any, size: Size) -> Instances:
    """The objects of an entry, in a window of this size.

    Raises:
        InvalidDataError: when they do not fit each other or the window.
    """
    count = len(entry.labels)
    points = None
    if entry.keypoints is not None:
        lengths = {len(each) for each in entry.keypoints}
        if len(lengths) > 1:
            raise InvalidDataError(f"objects with {lengths} keypoints; expected the same number for each")
        points = torch.tensor(entry.keypoints, dtype=torch.float32).reshape(count, max(lengths, default=0), 3)
    masks = None
    if entry.counts is not None:
        try:
            codes = [text.encode("ascii") for text in entry.counts]
        except UnicodeEncodeError as error:
            raise InvalidDataError(f"run lengths that are no text of ASCII: {error}") from error
        masks = Masks.from_coco([{"size": list(size), "counts": code} for code in codes], size)
    return Instances(
        size,
        torch.tensor(entry.boxes, dtype=torch.float32).reshape(-1, 4),
        torch.tensor(entry.labels, dtype=torch.int64),
        masks,
        None if entry.scores is None else torch.tensor(entry.scores, dtype=torch.float32),
        points,
    )


class ObjectJournal:
    """Merges the objects of windows, and remembers them on the disk.

    Args:
        journal: of the image.
        windows: all windows of the image, in order.

    Attributes:
        done: number of windows that are done, which are the first ones.
    """

    def __init__(self, journal: WindowJournal, windows: list[Window]) -> None:
        self._journal, self._windows = journal, windows
        self._merger, self.done = ObjectMerger(windows[0].image), 0
        with closing(journal.take_up(_Entry)) as entries:
            for entry in entries:
                if not self._continues(entry):
                    break

    def _continues(self, entry: _Entry) -> bool:
        if entry.window != self.done or self.done >= len(self._windows):
            return False
        window = self._windows[self.done]
        try:
            objects = objects_of(entry, window.size)
        except InvalidDataError:
            return False
        self._take(window, objects)
        return True

    def _take(self, window: Window, objects: Instances) -> None:
        self._merger.add(window, objects)
        self.done += 1

    def add(self, window: Window, objects: Instances) -> None:
        """Take the objects of the next window, in its own pixels.

        Raises:
            OutputError: when they cannot be written.
        """
        self._journal.add(entry_of(self.done, objects))
        self._take(window, objects)

    def merged(self) -> Instances:
        """The objects of the image."""
        return self._merger.merged()
