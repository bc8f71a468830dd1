"""COCO's instance annotations (https://cocodataset.org/#format-data): polygons, both kinds of run lengths,
crowds and keypoints.

Properties of the whole file (ids, categories) are checked when it is opened, each annotation when its image
is read. Masks remain run lengths.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from pycocotools import mask as coco_mask

from toolkit.data.faults import fault, usable
from toolkit.data.notes import note
from toolkit.errors import DataError
from toolkit.formats.bounds import Bounds, Outside
from toolkit.formats.coco_categories import categories_of
from toolkit.formats.coco_files import of_split, states_splits
from toolkit.formats.coco_keypoints import from_indices
from toolkit.formats.coco_schema import ClassCategory, CocoAnnotation, CocoImage, RunLengths
from toolkit.formats.regions import Box, Polygon, Region, check_stated_size
from toolkit.formats.turned_boxes import hull, is_upright, rotation_of, turned
from toolkit.reading.fields import shown
from toolkit.reading.json_text import load_json
from toolkit.reading.records import HINT, judge, sift
from toolkit.types import Masks, Size
from toolkit.types.run_lengths import decode_counts

T = TypeVar("T", CocoImage, ClassCategory)

SMALLEST_POLYGON = 6
"""Smallest number of coordinates: three points."""


class CocoFile:
    """An annotation file, indexed by image.

    Attributes:
        path: the file.
        classes: the names of the categories, in the order of their ids, which may have gaps.
        group: the name of a category that only groups the others and is not a class; None if there is none.
        keypoint_names: those of the category with the most keypoints; empty if none has any.
        category_ids: the ids of the categories.
        images: the records of the images, in the order of the file.
        document: the contents of the file, or of the split, without such a group.
        states_splits: whether the images say which split they belong to, if one is asked for.

    Args:
        path: the file.
        split: of a file whose images state their splits, the one to read; None for the whole file.

    Raises:
        DataError: when it is not such a file, an id occurs twice, or an annotation refers to an image or
            category that does not exist.
    """

    def __init__(self, path: Path, split: str | None = None) -> None:
        self.path = path
        self._refused: dict[str, set[Any]] = {"images": set(), "categories": set()}
        data = load_json(path, "annotations in COCO's format", DataError)
        if not isinstance(data, dict) or not all(
            isinstance(data.get(key), list) for key in ("images", "annotations", "categories")
        ):
            raise DataError(
                f"{path} is not a COCO annotation file: it must contain the lists images, annotations and"
                " categories. Hint: give the annotation file (not a list of results, or captions)"
            )
        by_key = self._by_id(data["categories"], ClassCategory, "categories")
        used = {as_id(each.get("category_id")) for each in data["annotations"] if isinstance(each, dict)}
        raw = {key: data["categories"][place] for key, (place, _) in by_key.items()}
        categories = categories_of(raw, used, path)
        self.category_ids = tuple(categories.records)
        self.classes = categories.classes
        self.group = categories.group
        self.keypoint_names = categories.keypoint_names
        self._labels = {key: index for index, key in enumerate(self.category_ids)}
        self.document: dict[str, Any] = data
        if self.group is not None:
            self.document = {**data, "categories": list(categories.records.values())}
        self.states_splits = split is not None and states_splits(data)
        if split is not None and self.states_splits:
            # after the categories, so that the classes of all splits are the same
            data = of_split(data, split)
            self.document = {**self.document, **{key: data[key] for key in ("images", "annotations")}}
        by_id = self._by_id(data["images"], CocoImage, "images")
        self.images = list(usable((image for _, image in by_id.values()), self._named_once(set())))
        self._by_image: dict[Any, list[tuple[str, dict[str, Any]]]] = {key: [] for key in by_id}
        self._index(data["annotations"])

    @property
    def has_objects(self) -> bool:
        """Whether any annotation is of an ordinary object, not of a crowd."""
        return any(not record.get("iscrowd") for each in self._by_image.values() for _, record in each)

    def _by_id(self, entries: list[Any], schema: type[T], plural: str) -> dict[Any, tuple[int, T]]:
        """The records of a list that fit a schema, each with its position, by id."""
        kind = {"images": "image", "categories": "category"}[plural]
        good: list[tuple[int, T]]
        good, faults = sift(entries, schema, source=str(self.path), kind=kind, error=DataError)
        for each in faults:
            fault(DataError(f"{self.path}: {each.text}. Hint: {HINT}"))
            entry = entries[each.position]
            self._refused[plural].add(as_id(entry.get("id")) if isinstance(entry, dict) else None)
        found: dict[Any, tuple[int, T]] = {}
        for place, record in good:
            key = record.id
            if key in found:
                twice = f"the id {key!r} occurs twice among the {plural}: {found[key][0]} and {place}"
                fault(DataError(f"{self.path}: {twice}. Hint: give each its own id"))
                continue
            found[key] = (place, record)
        return found

    def _named_once(self, seen: set[str]) -> Callable[[CocoImage], CocoImage]:
        """A check that no two images have the same name; ``seen`` has the names so far."""

        def check(image: CocoImage) -> CocoImage:
            if image.file_name in seen:
                raise DataError(
                    f"{self.path} has two images with the file_name {image.file_name!r}. Hint: merge them, or"
                    " rename one"
                )
            seen.add(image.file_name)
            return image

        return check

    def _index(self, annotations: Sequence[Any]) -> None:
        seen: set[Any] = set()
        for found in usable(enumerate(annotations), lambda each: self._checked(*each, seen)):
            if found is not None:
                key, name, record = found
                self._by_image[key].append((name, record))

    def _checked(self, position: int, record: Any, seen: set[Any]) -> tuple[Any, str, dict[str, Any]] | None:
        """The image of an annotation, what to call it in messages, and the annotation itself, if its ids are
        valid; ``seen`` has the ids before it. None if its image or category has an error itself.
        """
        if not isinstance(record, dict):
            raise DataError(
                f"{self.path}: annotations[{position}] is not a record, but {type(record).__name__}"
            )
        given = record.get("id")
        key = as_id(given)
        if key is None and given is not None:
            raise DataError(
                f"{self.path}: annotations[{position}] has the id {shown(given)}; expected a whole number or"
                " text. Hint: correct it"
            )
        name = f"annotations[{position}]" if key is None else f"annotation {key!r}"
        if key is not None and key in seen:
            raise DataError(
                f"{self.path}: the id {key!r} occurs twice among the annotations. Hint: give each its own id"
            )
        seen.add(key)
        for what, known in (("image_id", self._by_image), ("category_id", self._labels)):
            plural = "images" if what == "image_id" else "categories"
            found = as_id(record.get(what))
            if found is not None and found in self._refused[plural]:
                return None
            if found not in known:
                raise DataError(
                    f"{self.path}: {name} has the {what} {shown(record.get(what))}, which is not one of the"
                    f" file's {len(known)} {'images' if what == 'image_id' else 'categories'}. Hint:"
                    " correct it, or remove the annotation"
                )
        return as_id(record["image_id"]), name, record

    def regions(
        self, index: int, size: Size, degenerate: Literal["error", "skip"], outside: Outside = "error"
    ) -> list[Region]:
        """The objects of an image.

        Args:
            index: position of the image in ``images``.
            size: height and width of the image.
            degenerate: how to handle an object without an area.
            outside: how to handle an object that extends beyond the image.

        Raises:
            DataError: when the image does not have the size stated in the file, or an annotation cannot be
                used.
        """
        image = self.images[index]
        name = f"image {image.id!r} ({image.file_name})"
        check_stated_size((image.height, image.width), size, f"{self.path}: {name}")
        bounds, found = Bounds(size, outside), []
        for record_name, record in self._by_image[image.id]:
            where = f"{self.path}: {record_name} of {name}"
            try:
                found.append(self._region(record, bounds, where, degenerate == "skip"))
            except _DegenerateError as error:
                if degenerate == "error":
                    hint = "correct it, or leave such objects out with degenerate=skip"
                    fault(DataError(f"{error}. Hint: {hint}"))
                note("objects without an area are left out (degenerate=skip)", degenerate == "skip")
            except DataError as error:
                fault(error)
        return bounds.finish(found)

    def _region(self, record: dict[str, Any], bounds: Bounds, where: str, skip_parts: bool) -> Region:
        size = bounds.size
        read, faults = judge(record, CocoAnnotation)
        if faults:
            raise DataError(f"{where}: {'; '.join(faults)}. Hint: {HINT}")
        stated = None if read.bbox is None else _corners(read.bbox, where)
        segmentation, degrees = read.segmentation, rotation_of(record, where)
        if degrees and stated is not None:
            stated, segmentation = _turned(stated, segmentation, degrees)
        box = None if stated is None else _clipped(stated, bounds, where)
        parts, code = _mask(segmentation, bounds, where, skip_parts)
        if code is None and box is None:
            raise DataError(f"{where} has neither a segmentation nor a bbox. Hint: remove it")
        if code is not None and box is None and not coco_mask.area({"size": list(size), "counts": code}):
            raise _DegenerateError(f"{where} covers no pixel")
        label, crowd = self._labels[read.category_id], bool(read.iscrowd)
        keypoints = self._keypoints(read.keypoints, bounds, where)
        return Region(label, where, parts, code, box, crowd, keypoints, read.area)

    def _keypoints(
        self, flat: Sequence[float] | None, bounds: Bounds, where: str
    ) -> tuple[float, ...] | None:
        if not self.keypoint_names or flat is None:
            return None
        if len(flat) > 3 * len(self.keypoint_names):
            raise DataError(
                f"{where} has {len(flat)} numbers as keypoints; expected {3 * len(self.keypoint_names)}."
                " Hint: correct the file"
            )
        bounds.note(marked_points(flat), where)
        return tuple(from_indices(np.array(flat, np.float64).reshape(-1, 3)).flatten().tolist())


def marked_points(keypoints: Sequence[float]) -> list[float]:
    """``x, y`` of each keypoint that is marked; the positions of the others are arbitrary."""
    triples = zip(keypoints[::3], keypoints[1::3], keypoints[2::3], strict=True)
    return [value for x, y, visibility in triples if visibility for value in (x, y)]


def as_id(value: Any) -> int | str | None:
    """An id as a whole number of 64 bits (3.0 counts as 3) or text; None if it cannot be an id."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value if -(2**63) <= value < 2**63 else None
    return value if isinstance(value, str) else None


class _DegenerateError(Exception):
    """An object without an area."""


def _corners(box: Sequence[float], where: str) -> Box:
    """COCO's x, y, width, height as x0, y0, x1, y1."""
    x, y, width, height = box
    if width <= 0 or height <= 0:
        raise _DegenerateError(f"{where}: bbox {list(box)} has a width or height of 0 or less")
    return x, y, x + width, y + height


def _clipped(box: Box, bounds: Bounds, where: str) -> Box:
    """A box, clipped at the border of the image."""
    height, width = bounds.size
    if box[0] >= width or box[1] >= height or box[2] <= 0 or box[3] <= 0:
        raise _DegenerateError(
            f"{where}: bbox from ({box[0]:g}, {box[1]:g}) to ({box[2]:g}, {box[3]:g}) lies outside the image"
            f" of {width} x {height} pixels, which may have been rotated or resized since it was annotated"
        )
    return bounds.look_box(box, where)


def _turned(box: Box, segmentation: Any, degrees: float) -> tuple[Box | None, Any]:
    """The box and the segmentation of a record whose upright box is to be rotated.

    If there is a segmentation, it is already rotated, unless it consists only of the corners of the box; the
    box is then that of the mask.
    """
    corners = turned(box, degrees)
    if segmentation is None:
        return hull(corners), None
    return None, [list(corners)] if is_upright(segmentation, box) else segmentation


def _mask(
    value: RunLengths | list[list[float]] | None, bounds: Bounds, where: str, skip_parts: bool
) -> tuple[tuple[Polygon, ...], bytes | None]:
    """The polygons of an object, if it has any, and its run lengths; neither if it has no segmentation."""
    if value is None:
        return (), None
    if isinstance(value, RunLengths):
        return (), _run_lengths(value, bounds.size, where)
    parts: list[Polygon] = []
    for part in value:
        if len(part) >= SMALLEST_POLYGON and len(part) % 2:
            raise DataError(
                f"{where}: a polygon has {len(part)} numbers; expected x, y of each point. Hint: {HINT}"
            )
        if len(part) < SMALLEST_POLYGON or not encloses(tuple(part)):
            if skip_parts:
                note("parts of objects without an area are left out (degenerate=skip)")
                continue
            raise _DegenerateError(f"{where}: a polygon with {len(part) // 2} points encloses no area")
        parts.append(tuple(part))
    if not parts:
        raise _DegenerateError(f"{where}: no polygon encloses an area")
    parts = [bounds.look(part, where) for part in parts]
    return tuple(parts), Masks.from_polygons([parts], bounds.size).counts[0]


def encloses(flat: Polygon) -> bool:
    """Whether the points do not all lie on one line."""
    offsets = np.array(flat[2:]).reshape(-1, 2) - flat[:2]
    far = offsets[(offsets**2).sum(axis=1).argmax()]
    return bool((np.abs(offsets[:, 0] * far[1] - offsets[:, 1] * far[0]) > 1e-9).any())


def _run_lengths(value: RunLengths, size: Size, where: str) -> bytes:
    """Compressed run lengths of exactly the image's size; with any other size, pycocotools would read beyond
    its memory.
    """
    if value.size != list(size):
        raise DataError(
            f"{where}: the run lengths have size {value.size}, but the image has {list(size)} (height, width)"
        )
    counts = value.counts
    if isinstance(counts, list):
        lengths = np.array(counts, np.int64)
    elif counts.isascii():
        lengths = decode_counts(counts.encode())
    else:
        raise DataError(
            f"{where}: counts has characters that run lengths never have. Hint: encode the mask again"
        )
    if ((lengths < 0) | (lengths > size[0] * size[1])).any() or int(lengths.sum()) != size[0] * size[1]:
        raise DataError(
            f"{where}: the run lengths cover {int(lengths.sum())} pixels, but the image has"
            f" {size[0] * size[1]}. Hint: encode the mask again; it may be truncated, or belong to another"
            " image"
        )
    if isinstance(counts, str):
        return counts.encode()
    code: bytes = coco_mask.frPyObjects({"size": list(size), "counts": lengths.astype(int).tolist()}, *size)[
        "counts"
    ]
    return code
