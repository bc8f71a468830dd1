"""What COCO's limits on the number of detections cut off, in sentences for a report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.evaluation.coco_figures import KEYPOINT_DETECTIONS, IoUType
from toolkit.formats.box_results import BoxResults
from toolkit.wording import counted

MOST_COUNTERS = 1 << 22
"""Ids and pairs of ids are counted in tables up to this size, and sorted otherwise."""


@dataclass(frozen=True)
class Densities:
    """The class with the most objects in each image, and that with the most detections.

    Attributes:
        truth: for each image that has any, the number of objects of one class, crowds left out.
        found: likewise, the number of detections.
    """

    truth: Sequence[int]
    found: Sequence[int]


def document_densities(
    annotations: Iterable[Mapping[str, Any]], results: Sequence[Mapping[str, Any]]
) -> Densities:
    """Those of the annotations of a COCO file and of a list of COCO results."""
    ordinary = [each for each in annotations if not each.get("iscrowd")]
    if isinstance(results, BoxResults):
        found = most_by_image(results.columns[:, 0], results.columns[:, 6])
    else:
        found = most_by_image(*_ids(results))
    return Densities(most_by_image(*_ids(ordinary)), found)


def _ids(entries: Sequence[Mapping[str, Any]]) -> tuple[NDArray[Any], NDArray[Any]]:
    images, classes = ([each[name] for each in entries] for name in ("image_id", "category_id"))
    return np.array(images), np.array(classes)


def most_by_image(images: NDArray[Any], classes: NDArray[Any]) -> list[int]:
    """How often the most frequent class of each image occurs, for the images that have any.

    Args:
        images: the id of the image of each object, ``[M]``.
        classes: the id of its class, ``[M]``.
    """
    if not len(images):
        return []
    images, classes = _numbered(images), _numbered(classes)
    count = int(classes.max()) + 1
    keys = images * count + classes
    if (int(images.max()) + 1) * count <= MOST_COUNTERS:
        counts = np.bincount(keys, minlength=(int(images.max()) + 1) * count)
        return counts.reshape(-1, count).max(axis=1).tolist()  # type: ignore[no-any-return]
    groups, counts = np.unique(keys, return_counts=True)
    most = np.zeros(images.max() + 1, dtype=np.int64)
    np.maximum.at(most, groups // count, counts)
    return most.tolist()  # type: ignore[no-any-return]


def _numbered(ids: NDArray[Any]) -> NDArray[np.int64]:
    """The place of each id among those that occur; with a table, which is faster than sorting, unless ids
    are far apart.
    """
    low, high = int(ids.min()), int(ids.max())
    if high - low > MOST_COUNTERS:
        places: NDArray[np.int64] = np.unique(ids, return_inverse=True)[1]
        return places
    offsets = (ids - low).astype(np.int64)
    occurs = np.zeros(high - low + 1, dtype=np.bool_)
    occurs[offsets] = True
    numbers: NDArray[np.int64] = np.cumsum(occurs)[offsets] - 1
    return numbers


def limit_notes(densities: Densities, kinds: Iterable[IoUType], limits: Sequence[int]) -> list[str]:
    """What a reader must know where more objects or detections of a class are in an image than count.

    Args:
        densities: of the images that were measured.
        kinds: what was compared.
        limits: the setting ``max_detections``; AP uses the last one.
    """
    notes = []
    if {"bbox", "segm"} & set(kinds):
        notes += _note(densities, limits)
    if "keypoints" in kinds and (many := _above(densities.truth, KEYPOINT_DETECTIONS[-1])):
        notes.append(
            f"{_images(many)} more than {KEYPOINT_DETECTIONS[-1]} objects of one class (up to {max(many):,}),"
            f" but COCO's metrics of keypoints count only the {KEYPOINT_DETECTIONS[-1]} detections of a class"
            " with the highest scores in an image, so AP and AR of keypoints cannot reach 1."
        )
    return notes


def _note(densities: Densities, limits: Sequence[int]) -> list[str]:
    limit = limits[-1]
    objects, detections = _above(densities.truth, limit), _above(densities.found, limit)
    if not objects and not detections:
        return []
    if objects:
        note = (
            f"{_images(objects)} more than {limit:,} objects of one class (up to {max(objects):,}), but only"
            f" the {counted(limit, 'detection')} of a class with the highest scores in an image count, so AP"
            " and AR cannot reach 1."
        )
    else:
        note = (
            f"{_images(detections)} more than {limit:,} detections of one class (up to {max(detections):,}),"
            " of which only those with the highest scores count."
        )
    wanted = [*limits[:-1], max(*objects, *detections, limit + 1)]
    setting = f"'evaluators.coco.max_detections={str(wanted).replace(' ', '')}'"
    hint = f" Hint: {setting} counts all of them"
    if not detections:
        hint += ", if the model finds that many; its own settings may have a limit, too"
    return [note + hint]


def _above(numbers: Iterable[int], limit: int) -> list[int]:
    return [number for number in numbers if number > limit]


def _images(above: Sequence[int]) -> str:
    return f"{counted(len(above), 'image')} {'has' if len(above) == 1 else 'have'}"
