"""The detections and objects of many images in columns, so that a bootstrap draw only takes rows of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.evaluation.coco_matching import Ints

Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class ImageTable:
    """Columns by name, with the rows of each image one after the other.

    Attributes:
        detections: columns with a row for each detection, in the first axis.
        objects: columns with a row for each object, likewise.
        detection_counts, object_counts: int64 ``[I]``, how many rows each image has.
    """

    detections: Columns
    objects: Columns
    detection_counts: Ints
    object_counts: Ints

    def repeated(self, times: Ints) -> ImageTable:
        """With each image as often as given.

        Args:
            times: int64 ``[I]``.
        """
        rows = repeated_rows(self.detection_counts, times)
        objects = repeated_rows(self.object_counts, times)
        return ImageTable(
            {name: values[rows] for name, values in self.detections.items()},
            {name: values[objects] for name, values in self.objects.items()},
            np.repeat(self.detection_counts, times),
            np.repeat(self.object_counts, times),
        )


def columns_of(images: Sequence[Any], kinds: Mapping[str, NDArray[Any]]) -> Columns:
    """Attributes of images as columns.

    Args:
        images: each with an array in every attribute.
        kinds: the name of each attribute, with an array of no rows in the form of the others.
    """
    return {
        name: np.concatenate([empty, *(getattr(image, name) for image in images)])
        for name, empty in kinds.items()
    }


def repeated_rows(counts: Ints, times: Ints) -> Ints:
    """The rows of a table in which each image is repeated, with all of its rows, as often as given.

    Args:
        counts: int64 ``[I]``, how many rows each image has; they follow each other.
        times: int64 ``[I]``.
    """
    starts = np.repeat(np.cumsum(counts) - counts, times)
    lengths = np.repeat(counts, times)
    rows: Ints = np.arange(lengths.sum()) + np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)
    return rows


def by_label(labels: Ints, classes: int) -> Ints:
    """The places of detections, class by class, in their order within each; small numbers are sorted ten
    times as fast.
    """
    small = labels.astype(np.int16) if classes <= np.iinfo(np.int16).max else labels
    return np.argsort(small, kind="stable")
