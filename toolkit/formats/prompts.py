"""Prompt files: which objects a promptable model should segment in which image.

Three formats are read and distinguished by their content:

- CSV with the columns ``image`` and ``x``, ``y`` (a point) or ``x0``, ``y0``, ``x1``, ``y1`` (a box), and
  optionally ``label`` (1 on the object, 0 off it; 1 when empty), ``class``, and ``object``: rows of an image
  with the same value there belong to one object, whose id it is; without it, each row is an object.
- JSON: ``{"photo.jpg": [{"points_xy": [[x, y], …], "point_labels": [1, …], "box_xyxy": [x0, y0, x1, y1],
  "class": "flask", "object": "1"}, …], …}``.
- COCO: a document with ``images``, ``annotations`` and ``categories``, whose boxes become the prompts, and
  the ids of the annotations those of the objects.

Coordinates are in pixels of the image as displayed.
"""

from __future__ import annotations

import csv
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Any

import torch

from toolkit.errors import DataError
from toolkit.types import Prompts, Size

UNNAMED = "object"
"""The class of a prompt that has no class."""
POINT_COLUMNS, BOX_COLUMNS = ("x", "y"), ("x0", "y0", "x1", "y1")
OPTIONAL_COLUMNS = ("label", "class", "object")
KEYS = ("points_xy", "point_labels", "box_xyxy", "class", "object")


@dataclass(frozen=True)
class ObjectPrompt:
    """The prompt for one object.

    Attributes:
        where: file and line or record, for messages.
        class_name: what the object is called.
        points_xy, point_labels: points in pixels and whether they are on the object (1) or off it (0).
        box_xyxy: in pixels, or None.
        object_id: the object in results, and in the other frames of a video; None if it was given no id.
    """

    where: str
    class_name: str
    points_xy: tuple[tuple[float, float], ...] = ()
    point_labels: tuple[int, ...] = ()
    box_xyxy: tuple[float, float, float, float] | None = None
    object_id: str | None = None


def read_prompts(path: Path) -> dict[str, list[ObjectPrompt]]:
    """Read the prompts of a file, by image name.

    Raises:
        DataError: when the file cannot be read, or a record in it is invalid; names the line or record, and
            says what was found and what was expected.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise DataError(
            f"{path} cannot be read: {reason}. Hint: give a CSV or JSON file of prompts"
        ) from None
    prompts: dict[str, list[ObjectPrompt]] = defaultdict(list)
    for name, prompt in _from_json(path, text) if text.lstrip()[:1] in ("{", "[") else _from_csv(path, text):
        if not prompt.points_xy and prompt.box_xyxy is None:
            raise DataError(
                f"{prompt.where} has neither a point nor a box. Hint: give x and y, or x0, y0, x1 and y1"
            )
        prompts[name].append(prompt)
    if not prompts:
        raise DataError(
            f"{path} contains no prompts. Hint: give at least one point or box, or --prompts auto"
        )
    return dict(prompts)


def _from_csv(path: Path, text: str) -> Iterator[tuple[str, ObjectPrompt]]:
    reader = csv.DictReader(text.splitlines(), skipinitialspace=True)
    columns = [name.strip() for name in reader.fieldnames or ()]
    reader.fieldnames = columns
    known = ("image", *POINT_COLUMNS, *BOX_COLUMNS, *OPTIONAL_COLUMNS)
    unknown = [name for name in columns if name not in known]
    if (
        "image" not in columns
        or unknown
        or not ({*POINT_COLUMNS} <= {*columns} or {*BOX_COLUMNS} <= {*columns})
    ):
        raise DataError(
            f"{path} has the columns {', '.join(columns) or 'none'}; expected image with x, y or x0, y0, x1,"
            f" y1; optional columns: {', '.join(OPTIONAL_COLUMNS)}. Hint: put these column names in the first"
            " line"
        )
    objects: dict[tuple[str, str], list[tuple[str, Mapping[str, str]]]] = defaultdict(list)
    for row in reader:
        where = f"{path}, line {reader.line_num}"
        name = (row["image"] or "").strip()
        if not name or None in row:
            raise DataError(f"{where} {'has more values than columns' if name else 'has no image name'}")
        values = {key: (value or "").strip() for key, value in row.items()}
        objects[name, values.get("object") or f"line {reader.line_num}"].append((where, values))
    for (name, _), rows in objects.items():
        yield name, _one_object(rows)


def _one_object(rows: Sequence[tuple[str, Mapping[str, str]]]) -> ObjectPrompt:
    """Combine the rows of one object: its points, and at most one box."""
    first = rows[0][0]
    points, labels, boxes = [], [], []
    for where, values in rows:
        if any(values.get(key) for key in POINT_COLUMNS):
            points.append(tuple(_number(values.get(key), key, where) for key in POINT_COLUMNS))
            labels.append(_label(values.get("label") or 1, where))
        if any(values.get(key) for key in BOX_COLUMNS):
            boxes.append(_box([values.get(key) for key in BOX_COLUMNS], where))
    names = {values["class"] for _, values in rows if values.get("class")}
    if len(boxes) > 1 or len(names) > 1:
        what = f"{len(boxes)} boxes" if len(boxes) > 1 else f"the classes {', '.join(sorted(names))}"
        raise DataError(
            f"{first} and the rows of the same object have {what}; expected one. Hint: give different"
            " objects different values in the column object"
        )
    pairs = tuple((x, y) for x, y in points)
    name, box = next(iter(names), UNNAMED), boxes[0] if boxes else None
    return ObjectPrompt(first, name, pairs, tuple(labels), box, rows[0][1].get("object") or None)


def _from_json(path: Path, text: str) -> Iterator[tuple[str, ObjectPrompt]]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise DataError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(document, dict):
        raise DataError(
            f"{path} contains a list; expected prompts by image name, or a COCO document with images,"
            " annotations and categories"
        )
    if {"images", "annotations"} <= document.keys():
        yield from _from_coco(path, document)
        return
    for name, records in document.items():
        if not isinstance(records, list):
            raise DataError(
                f"{path}: {name!r} holds {type(records).__name__}; expected a list of prompts, one per object"
            )
        for i, record in enumerate(records):
            yield name, _record(record, f"{path}: {name!r}[{i}]")


def _record(record: Any, where: str) -> ObjectPrompt:
    if not isinstance(record, dict) or not set(record) <= set(KEYS):
        found = ", ".join(record) if isinstance(record, dict) else repr(record)
        raise DataError(f"{where} has {found}; expected some of {', '.join(KEYS)}")
    points = record.get("points_xy") or []
    if not isinstance(points, list) or not all(
        isinstance(point, list) and len(point) == 2 for point in points
    ):
        raise DataError(f"{where} has points_xy {points!r}; expected a list of [x, y]")
    labels = record.get("point_labels") or [1] * len(points)
    if not isinstance(labels, list) or len(labels) != len(points):
        raise DataError(
            f"{where} has point_labels {labels!r} for {len(points)} points; expected one per point"
        )
    pairs = tuple((_number(x, "x", where), _number(y, "y", where)) for x, y in points)
    box = record.get("box_xyxy")
    name = record.get("class") or UNNAMED
    return ObjectPrompt(
        where,
        str(name),
        pairs,
        tuple(_label(label, where) for label in labels),
        None if box is None else _box(box, where),
        _object_id(record.get("object"), where),
    )


def _from_coco(path: Path, document: Mapping[str, Any]) -> Iterator[tuple[str, ObjectPrompt]]:
    try:
        files = {image["id"]: image["file_name"] for image in document["images"]}
        names = {category["id"]: category["name"] for category in document.get("categories", ())}
        for i, annotation in enumerate(document["annotations"]):
            where = f"{path}: annotations[{i}]"
            x, y, width, height = annotation["bbox"]
            if annotation["image_id"] not in files:
                raise DataError(
                    f"{where} has image_id {annotation['image_id']!r}, which is not among the images"
                )
            name = names.get(annotation.get("category_id"), UNNAMED)
            yield (
                files[annotation["image_id"]],
                ObjectPrompt(
                    where,
                    str(name),
                    box_xyxy=_box([x, y, x + width, y + height], where),
                    object_id=_object_id(annotation.get("id"), where),
                ),
            )
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is not a COCO document: {type(error).__name__}: {error}") from None


def _number(value: Any, name: str, where: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(value, bool) or not math.isfinite(number):
        raise DataError(f"{where} has {name} = {value!r}; expected a number of pixels")
    return number


def _object_id(value: Any, where: str) -> str | None:
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise DataError(
            f"{where} has the object {value!r}; expected text or a whole number that stands for the object"
        )
    return str(value)


def _label(value: Any, where: str) -> int:
    if str(value) not in ("0", "1"):
        raise DataError(
            f"{where} has the label {value!r}; expected 1 for a point on the object or 0 for one off it"
        )
    return int(value)


def _box(values: Any, where: str) -> tuple[float, float, float, float]:
    if not isinstance(values, list) or len(values) != 4:
        raise DataError(f"{where} has the box {values!r}; expected x0, y0, x1, y1")
    x0, y0, x1, y1 = (_number(value, name, where) for value, name in zip(values, BOX_COLUMNS, strict=True))
    if x1 <= x0 or y1 <= y0:
        raise DataError(f"{where} has the box {[x0, y0, x1, y1]}; expected x1 > x0 and y1 > y0")
    return x0, y0, x1, y1


class PromptFile:
    """The prompts of a file, matched to images by name.

    Args:
        path: the file; see the module for its formats.
        classes: names of the label indexes; None means the classes of the file, in its order.

    Raises:
        DataError: when the file is invalid, or contains a class that is not in ``classes``.
    """

    def __init__(self, path: Path, classes: Sequence[str] | None = None) -> None:
        self.path = path
        self._prompts = read_prompts(path)
        everything = [prompt for prompts in self._prompts.values() for prompt in prompts]
        self.classes = tuple(classes or dict.fromkeys(prompt.class_name for prompt in everything))
        for prompt in everything:
            if prompt.class_name not in self.classes:
                raise DataError(
                    f"{prompt.where} has the class {prompt.class_name!r}; expected one of:"
                    f" {', '.join(self.classes)}"
                )
        for prompts in self._prompts.values():
            _check_ids(prompts)
        self._by_image: dict[str, list[tuple[str, ObjectPrompt]]] = {}

    def assign(self, names: Iterable[str]) -> None:
        """Set the images: a name in the file refers to the one image whose path ends with it, with or without
        suffix.

        Raises:
            DataError: when a name in the file matches no image, or several.
        """
        known: dict[str, list[str]] = defaultdict(list)
        for name in names:
            known[_stem(name)].append(name)
        self._by_image = {}
        ids = _new_ids(prompt.object_id for prompts in self._prompts.values() for prompt in prompts)
        for entry, prompts in self._prompts.items():
            matches = [name for name in known[_stem(entry)] if _ends_with(name, entry)]
            exact = [name for name in matches if name == entry]
            if len(exact or matches) != 1:
                found = (
                    f"{len(matches)} images have this name: {', '.join(matches[:3])}"
                    if matches
                    else "no image has this name"
                )
                some = ", ".join(sorted(name for group in known.values() for name in group)[:3])
                raise DataError(
                    f"{prompts[0].where} is for {entry!r}, but {found}. Hint: use names such as {some}"
                )
            named = [(prompt.object_id or next(ids), prompt) for prompt in prompts]
            known_here = self._by_image.setdefault((exact or matches)[0], [])
            _check_ids([prompt for _, prompt in [*known_here, *named]])
            known_here.extend(named)

    def names_image(self, name: str) -> bool:
        """Whether the file has prompts for an image."""
        return name in self._by_image

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of prompts in the file: ``point``, ``box`` or both."""
        everything = [prompt for prompts in self._prompts.values() for prompt in prompts]
        kinds = {"point": any(p.points_xy for p in everything), "box": any(p.box_xyxy for p in everything)}
        return frozenset(kind for kind, is_there in kinds.items() if is_there)

    def ids(self, name: str) -> tuple[str, ...]:
        """The ids of an image's objects, in the order of the file: those that it gives them, and numbers that
        it gives to none for the others.
        """
        return tuple(each for each, _ in self._by_image.get(name, ()))

    def given_ids(self) -> frozenset[str]:
        """All ids that the file gives objects."""
        everything = (prompt for prompts in self._prompts.values() for prompt in prompts)
        return frozenset(prompt.object_id for prompt in everything if prompt.object_id is not None)

    def one_by_one(self, name: str, size: Size) -> list[Prompts]:
        """The prompts for an image in the order of the file, one ``Prompts`` for each object.

        Raises:
            DataError: when a point or a whole box lies outside the image.
        """
        entries = self._by_image.get(name, ())
        for _, prompt in entries:
            _check_inside(prompt, name, size)
        return [self._stack([entry], size) for entry in entries]

    def groups(self, name: str, size: Size) -> list[Prompts]:
        """The prompts for an image, at most one ``Prompts`` for each combination of points and box; empty if
        the file has none for it.

        Raises:
            DataError: when a point or a whole box lies outside the image.
        """
        kinds: dict[tuple[bool, bool], list[tuple[str, ObjectPrompt]]] = defaultdict(list)
        for each, prompt in self._by_image.get(name, ()):
            _check_inside(prompt, name, size)
            kinds[bool(prompt.points_xy), prompt.box_xyxy is not None].append((each, prompt))
        return [self._stack(entries, size) for entries in kinds.values()]

    def _stack(self, entries: Sequence[tuple[str, ObjectPrompt]], size: Size) -> Prompts:
        ids, prompts = zip(*entries, strict=True)
        labels = torch.tensor([self.classes.index(prompt.class_name) for prompt in prompts])
        points = point_labels = boxes = None
        if most := max(len(prompt.points_xy) for prompt in prompts):
            points = torch.zeros(len(prompts), most, 2)
            point_labels = torch.full((len(prompts), most), -1)
            for i, prompt in enumerate(prompts):
                points[i, : len(prompt.points_xy)] = torch.tensor(prompt.points_xy)
                point_labels[i, : len(prompt.points_xy)] = torch.tensor(prompt.point_labels)
        if prompts[0].box_xyxy is not None:
            height, width = size
            boxes = torch.tensor([prompt.box_xyxy for prompt in prompts], dtype=torch.float32)
            boxes = boxes.clamp(min=0).minimum(
                torch.tensor([width, height, width, height], dtype=torch.float32)
            )
        return Prompts(points, point_labels, boxes, labels, ids=ids)


def _check_ids(prompts: Sequence[ObjectPrompt]) -> None:
    """Refuse two objects of one image with the same id; rows of a CSV file were put together before."""
    first: dict[str, ObjectPrompt] = {}
    for prompt in prompts:
        if prompt.object_id is not None and first.setdefault(prompt.object_id, prompt) is not prompt:
            raise DataError(
                f"{prompt.where} has the object {prompt.object_id!r}, as {first[prompt.object_id].where} has;"
                " expected one record for each object of an image. Hint: put all its points and its box into"
                " one record, under one name of the image"
            )


def _new_ids(given: Iterable[str | None]) -> Iterator[str]:
    """Numbers from 1 that no object has as its id."""
    taken = set(given)
    return (name for name in map(str, count(1)) if name not in taken)


def _ends_with(name: str, entry: str) -> bool:
    ours, theirs = PurePosixPath(name), PurePosixPath(entry)
    same_suffix = not ours.suffix or not theirs.suffix or ours.suffix.lower() == theirs.suffix.lower()
    count = len(theirs.parts)
    return same_suffix and (*ours.parts[:-1], _stem(name))[-count:] == (*theirs.parts[:-1], _stem(entry))


def _stem(name: str) -> str:
    """The last part of a name without suffix; a number, such as a frame number, without leading zeros."""
    stem = PurePosixPath(name).stem
    return str(int(stem)) if stem.isascii() and stem.isdigit() else stem


def _check_inside(prompt: ObjectPrompt, name: str, size: Size) -> None:
    height, width = size
    for x, y in prompt.points_xy:
        if not (0 <= x < width and 0 <= y < height):
            raise DataError(
                f"{prompt.where} has the point ({x:g}, {y:g}), outside {name}, which is {width} × {height}"
                " pixels (width × height)"
            )
    if prompt.box_xyxy is not None:
        x0, y0, x1, y1 = prompt.box_xyxy
        if x0 >= width or y0 >= height or x1 <= 0 or y1 <= 0:
            raise DataError(
                f"{prompt.where} has the box {list(prompt.box_xyxy)}, outside {name}, which is {width} ×"
                f" {height} pixels (width × height)"
            )
