"""COCO's instance annotations (https://cocodataset.org/#format-data): polygons, both kinds of run lengths,
crowds and keypoints.

What concerns the whole file (ids, categories) is checked when it is opened, each annotation when its image is
read. Masks stay run lengths.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pycocotools import mask as coco_mask

from toolkit.data.faults import fault, usable
from toolkit.errors import DataError
from toolkit.formats.coco_keypoints import from_indices
from toolkit.formats.regions import Box, Polygon, Region, numbers, polygon, read_json
from toolkit.types import Masks, Size
from toolkit.types.run_lengths import decode_counts


class CocoFile:
    """An annotation file, indexed by image.

    Attributes:
        path: the file.
        classes: the names of the categories, in the order of their ids, which may have gaps.
        keypoint_names: of the category with the most keypoints; empty when none has any.
        category_ids: their ids.
        images: the records of the images, in the order of the file.
        document: all that the file holds.

    Raises:
        DataError: when it is not such a file, an id occurs twice, or an annotation is of an image or category
            that is not there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        data = read_json(path, "annotations in COCO's format")
        if not isinstance(data, dict) or not all(
            isinstance(data.get(key), list) for key in ("images", "annotations", "categories")
        ):
            raise DataError(
                f"{path} is not a COCO annotation file: it must hold lists called images, annotations and"
                " categories. Hint: name the file of the annotations (a list of results, or captions, will"
                " not do)"
            )
        self.document: dict[str, Any] = data
        by_key = self._by_id(data["categories"], "categories", "name")
        if len({type(key) for key in by_key}) > 1:
            raise DataError(f"{path} has numbers and texts as ids of categories. Hint: use numbers")
        categories = sorted(by_key.items())
        self.category_ids = tuple(key for key, _ in categories)
        self.classes = tuple(category["name"] for _, category in categories)
        twice = next((name for name in self.classes if self.classes.count(name) > 1), None)
        if twice is not None:
            raise DataError(
                f"{path} has two categories called {twice!r}. Hint: rename one, or give their annotations"
                " one category_id"
            )
        self._labels = {key: index for index, (key, _) in enumerate(categories)}
        named = (category.get("keypoints") for _, category in categories)
        self.keypoint_names: tuple[str, ...] = max(
            (tuple(names) for names in named if isinstance(names, list)), key=len, default=()
        )
        by_id = self._by_id(data["images"], "images", "file_name")
        self.images = list(by_id.values())
        named_twice = [
            name for name, uses in Counter(image["file_name"] for image in self.images).items() if uses > 1
        ]
        if named_twice:
            raise DataError(
                f"{path} has two images with the file_name {named_twice[0]!r}. Hint: merge them, or"
                " rename one"
            )
        self._by_image: dict[Any, list[tuple[str, dict[str, Any]]]] = {key: [] for key in by_id}
        self._index(data["annotations"])

    def _by_id(self, records: Iterable[Any], kind: str, needed: str) -> dict[Any, dict[str, Any]]:
        found: dict[Any, dict[str, Any]] = {}
        for position, record in enumerate(records):
            if (
                not isinstance(record, dict)
                or not isinstance(record.get("id"), (int, str))
                or not isinstance(record.get(needed), str)
            ):
                lacks = f"{self.path}: {kind}[{position}] needs an id, and a {needed} that is text"
                fault(DataError(f"{lacks}. Hint: correct the file"))
                continue
            if record["id"] in found:
                twice = f"{self.path}: the id {record['id']!r} occurs twice among the {kind}"
                fault(DataError(f"{twice}. Hint: give each its own id"))
                continue
            found[record["id"]] = record
        return found

    def _index(self, annotations: Sequence[Any]) -> None:
        seen: set[Any] = set()
        for name, record in usable(enumerate(annotations), lambda each: self._checked(*each, seen)):
            self._by_image[record["image_id"]].append((name, record))

    def _checked(self, position: int, record: Any, seen: set[Any]) -> tuple[str, dict[str, Any]]:
        """What to call an annotation, and itself, when its ids are right; ``seen`` has those before it."""
        if not isinstance(record, dict):
            raise DataError(
                f"{self.path}: annotations[{position}] is not a record, but {type(record).__name__}"
            )
        key = record.get("id")
        name = f"annotations[{position}]" if key is None else f"annotation {key!r}"
        if key is not None and key in seen:
            raise DataError(
                f"{self.path}: the id {key!r} occurs twice among the annotations. Hint: give each its own id"
            )
        seen.add(key)
        for what, known in (("image_id", self._by_image), ("category_id", self._labels)):
            if not isinstance(record.get(what), (int, str)) or record[what] not in known:
                raise DataError(
                    f"{self.path}: {name} has the {what} {record.get(what)!r}, which is none of the file's"
                    f" {len(known)} {'images' if what == 'image_id' else 'categories'}. Hint: correct it, or"
                    " remove the annotation"
                )
        return name, record

    def regions(self, index: int, size: Size, degenerate: Literal["error", "skip"]) -> list[Region]:
        """The objects of an image.

        Args:
            index: place of the image in ``images``.
            size: of the image.
            degenerate: what becomes of an object that has no area.

        Raises:
            DataError: when the image has another size than the file says, or an annotation cannot be used.
        """
        image = self.images[index]
        said = (image.get("height", size[0]), image.get("width", size[1]))
        if said != size:
            raise DataError(
                f"{self.path}: image {image['id']!r} ({image['file_name']}) should have {said[1]} x {said[0]}"
                f" pixels, but the file has {size[1]} x {size[0]}. Hint: use the images that were annotated"
                " (check whether one of them was turned or scaled)"
            )
        found = []
        for name, record in self._by_image[image["id"]]:
            where = f"{self.path}: {name} of image {image['id']!r} ({image['file_name']})"
            try:
                found.append(self._region(record, size, where, degenerate == "skip"))
            except _DegenerateError as error:
                if degenerate == "error":
                    hint = "correct it, or leave such objects out with degenerate=skip"
                    fault(DataError(f"{error}. Hint: {hint}"))
            except DataError as error:
                fault(error)
        return found

    def _region(self, record: dict[str, Any], size: Size, where: str, skip_parts: bool) -> Region:
        box = None if record.get("bbox") is None else _box(record["bbox"], size, where)
        parts, code = _mask(record.get("segmentation"), size, where, skip_parts)
        if code is None and box is None:
            raise DataError(f"{where} has neither a segmentation nor a bbox. Hint: remove it")
        if code is not None and box is None and not coco_mask.area({"size": list(size), "counts": code}):
            raise _DegenerateError(f"{where} covers no pixel")
        keypoints = None
        if self.keypoint_names and record.get("keypoints") is not None:
            keypoints = numbers(record["keypoints"], where, "keypoints")
            if len(keypoints) % 3 or len(keypoints) > 3 * len(self.keypoint_names):
                raise DataError(
                    f"{where} has {len(keypoints)} numbers as keypoints; expected"
                    f" {3 * len(self.keypoint_names)}"
                )
            keypoints = tuple(from_indices(np.array(keypoints, np.float64).reshape(-1, 3)).flatten().tolist())
        crowd = record.get("iscrowd", 0)
        if crowd not in (0, 1):
            raise DataError(f"{where} has {crowd!r} as iscrowd; expected 0 or 1")
        area = None if record.get("area") is None else numbers([record["area"]], where, "area")[0]
        if area is not None and area < 0:
            raise DataError(f"{where} has the area {area:g}; expected 0 or more")
        return Region(
            self._labels[record["category_id"]], where, parts, code, box, bool(crowd), keypoints, area
        )


class _DegenerateError(Exception):
    """An object without an area."""


def _box(value: Any, size: Size, where: str) -> Box:
    """COCO's x, y, width, height as x0, y0, x1, y1, cut off at the border of the image."""
    box = numbers(value, where, "bbox")
    if len(box) != 4:
        raise DataError(f"{where}: bbox has {len(box)} numbers; expected x, y, width, height")
    x, y, width, height = box
    if width <= 0 or height <= 0:
        raise _DegenerateError(f"{where}: bbox {list(box)} has a width or height of 0 or less")
    x0, y0, x1, y1 = max(0.0, x), max(0.0, y), min(float(size[1]), x + width), min(float(size[0]), y + height)
    if x0 >= x1 or y0 >= y1:
        raise _DegenerateError(
            f"{where}: bbox {list(box)} lies outside the image of {size[1]} x {size[0]} pixels"
        )
    return x0, y0, x1, y1


def _mask(value: Any, size: Size, where: str, skip_parts: bool) -> tuple[tuple[Polygon, ...], bytes | None]:
    """The polygons of an object, if it has any, and its run lengths; neither where it has no segmentation."""
    if value is None or value == []:
        return (), None
    if isinstance(value, dict):
        return (), _run_lengths(value, size, where)
    if not isinstance(value, list) or not all(isinstance(part, list) for part in value):
        raise DataError(
            f"{where}: segmentation must be a list of polygons or run lengths, not {type(value).__name__}"
        )
    parts = []
    for part in value:
        if len(numbers(part, where, "a polygon")) < 6 or not encloses(
            polygon(part, size, where, "a polygon")
        ):
            if skip_parts:
                continue
            raise _DegenerateError(f"{where}: a polygon with {len(part) // 2} points encloses no area")
        parts.append(tuple(map(float, part)))
    if not parts:
        raise _DegenerateError(f"{where}: no polygon encloses an area")
    return tuple(parts), Masks.from_polygons([parts], size).counts[0]


def encloses(flat: Polygon) -> bool:
    """Whether the points do not all lie on one line."""
    offsets = np.array(flat[2:]).reshape(-1, 2) - flat[:2]
    far = offsets[(offsets**2).sum(axis=1).argmax()]
    return bool((np.abs(offsets[:, 0] * far[1] - offsets[:, 1] * far[0]) > 1e-9).any())


def _run_lengths(value: dict[str, Any], size: Size, where: str) -> bytes:
    """Compressed run lengths of exactly the image's size; pycocotools would read beyond its memory if they
    were of another.
    """
    if value.get("size") != list(size):
        raise DataError(
            f"{where}: the run lengths are of size {value.get('size')}, but the image has {list(size)}"
            " (height, width)"
        )
    counts = value.get("counts")
    if isinstance(counts, list):
        lengths = np.array(numbers(counts, where, "counts"))
        if (lengths != np.floor(lengths)).any():
            raise DataError(f"{where}: counts has lengths that are no whole numbers. Hint: correct the file")
    elif isinstance(counts, str) and counts.isascii():
        lengths = decode_counts(counts.encode())
    else:
        raise DataError(f"{where}: counts must be text or a list of numbers, not {type(counts).__name__}")
    if ((lengths < 0) | (lengths > size[0] * size[1])).any() or int(lengths.sum()) != size[0] * size[1]:
        raise DataError(
            f"{where}: the run lengths cover {int(lengths.sum())} pixels, but the image has"
            f" {size[0] * size[1]}. Hint: encode the mask again; is it cut off, or of another image?"
        )
    if isinstance(counts, str):
        return counts.encode()
    code: bytes = coco_mask.frPyObjects({"size": list(size), "counts": lengths.astype(int).tolist()}, *size)[
        "counts"
    ]
    return code
