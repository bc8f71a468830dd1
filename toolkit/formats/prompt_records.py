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

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, PlainValidator, model_validator

from toolkit.errors import DataError
from toolkit.formats.coco_schema import Box, CocoCategory, CocoImage
from toolkit.reading.fields import MOST_PIXELS, Id, Pixels, Schema, Text, shown
from toolkit.reading.files import read_text
from toolkit.reading.json_text import parse_json
from toolkit.reading.records import check_unique, name_of, records
from toolkit.reading.tables import read_table

UNNAMED = "object"
"""The class of a prompt that has no class."""
POINT_COLUMNS, BOX_COLUMNS = ("x", "y"), ("x0", "y0", "x1", "y1")
OPTIONAL_COLUMNS = ("label", "class", "object")
MOST_BYTES = 1 << 30
"""Of a file of prompts."""


def _on_or_off(value: Any) -> int:
    if isinstance(value, bool) or value not in (0, 1):
        raise ValueError("should be 1 for a point on the object or 0 for one off it")
    return int(value)


def _filled(value: Any) -> Any:
    return None if value == "" else value


class JsonPrompt(Schema):
    """A prompt in a JSON file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    points_xy: list[Annotated[list[Pixels], Field(min_length=2, max_length=2)]] | None = None
    point_labels: list[Annotated[int, PlainValidator(_on_or_off)]] | None = None
    box_xyxy: Box | None = None
    class_name: Annotated[Text | None, Field(alias="class")] = None
    object_id: Annotated[Id | None, BeforeValidator(_filled), Field(alias="object")] = None

    @model_validator(mode="after")
    def _label_for_each_point(self) -> JsonPrompt:
        points, labels = len(self.points_xy or ()), self.point_labels
        if labels and len(labels) != points:
            raise ValueError(
                f"point_labels has {len(labels)} labels for {points} points; expected one per point"
            )
        return self


class CocoPrompt(Schema):
    """An annotation of a COCO file that is taken for a prompt."""

    id: Id | None = None
    image_id: Id
    category_id: Id | None = None
    bbox: Box


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
    text = read_text(path, "prompts, as CSV or JSON", DataError, most=MOST_BYTES)
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
    lines = read_table(text, str(path), DataError)
    columns = [name.strip() for name in next(lines, (0, []))[1]]
    known = ("image", *POINT_COLUMNS, *BOX_COLUMNS, *OPTIONAL_COLUMNS)
    unknown = [name for name in columns if name not in known]
    if (
        "image" not in columns
        or unknown
        or not ({*POINT_COLUMNS} <= {*columns} or {*BOX_COLUMNS} <= {*columns})
    ):
        raise DataError(
            f"{path} has the columns {', '.join(map(_column, columns[:20])) or 'none'}; expected image with"
            " x, y or x0, y0, x1,"
            f" y1; optional columns: {', '.join(OPTIONAL_COLUMNS)}. Hint: put these column names in the first"
            " line"
        )
    objects: dict[tuple[str, str], list[tuple[str, Mapping[str, str]]]] = defaultdict(list)
    for number, cells in lines:
        if not cells:
            continue
        where = f"{path}, line {number}"
        values = {key: value.strip() for key, value in zip_longest(columns, cells, fillvalue="")}
        name = values["image"]
        if not name or len(cells) > len(columns):
            raise DataError(
                f"{where} {'has more values than columns' if name else 'has no image name'}. Hint: correct"
                " the line"
            )
        objects[name, values.get("object") or f"line {number}"].append((where, values))
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
    document = parse_json(text, str(path), "prompts", DataError)
    if not isinstance(document, dict):
        raise DataError(
            f"{path} contains a list; expected prompts by image name, or a COCO document with images,"
            " annotations and categories. Hint: write such a file"
        )
    if {"images", "annotations"} <= document.keys():
        yield from _from_coco(path, document)
        return
    for name, entries in document.items():
        if not isinstance(entries, list):
            raise DataError(
                f"{path}: {shown(name)} contains {type(entries).__name__}; expected a list of prompts, one"
                " per object. Hint: put it into [ ]"
            )
        found = records(
            entries,
            JsonPrompt,
            source=f"{path}, image {shown(name)}",
            kind="prompt",
            key="class",
            error=DataError,
        )
        for position, prompt in enumerate(found):
            where = f"{path}, image {shown(name)}: prompt {position}"
            labels = prompt.point_labels or [1] * len(prompt.points_xy or ())
            points = tuple((x, y) for x, y in prompt.points_xy or ())
            box = None if prompt.box_xyxy is None else _box(prompt.box_xyxy, where)
            yield (
                name,
                ObjectPrompt(
                    where,
                    prompt.class_name or UNNAMED,
                    points,
                    tuple(labels),
                    box,
                    _object_id(prompt.object_id),
                ),
            )


def _from_coco(path: Path, document: Mapping[str, Any]) -> Iterator[tuple[str, ObjectPrompt]]:
    source = str(path)
    images = records(document["images"], CocoImage, source=source, kind="image", error=DataError)
    categories = records(
        document.get("categories", []), CocoCategory, source=source, kind="category", error=DataError
    )
    for kind, entries in (("image", images), ("category", categories)):
        check_unique([entry.id for entry in entries], source, kind, DataError)
    files = {image.id: image.file_name for image in images}
    names = {category.id: category.name for category in categories}
    found = records(document["annotations"], CocoPrompt, source=source, kind="annotation", error=DataError)
    for position, annotation in enumerate(found):
        where = f"{path}: {name_of(document['annotations'][position], position, 'annotation')}"
        if annotation.image_id not in files:
            raise DataError(
                f"{where} has image_id {shown(annotation.image_id)}, which is not among the images. Hint:"
                " correct"
                " the file, or export it again"
            )
        x, y, width, height = annotation.bbox
        key = annotation.category_id
        if names and key is not None and key not in names:
            raise DataError(
                f"{where} has category_id {shown(key)}, which is not among the categories. Hint: correct the"
                " file, or export it again"
            )
        name = UNNAMED if key is None else names.get(key, UNNAMED)
        box = _box([x, y, x + width, y + height], where)
        yield (
            files[annotation.image_id],
            ObjectPrompt(where, name, box_xyxy=box, object_id=_object_id(annotation.id)),
        )


def _column(name: str) -> str:
    return shown(name).strip("'")


def _number(value: Any, name: str, where: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if isinstance(value, bool) or not abs(number) <= MOST_PIXELS:
        raise DataError(
            f"{where} has {name} = {shown(value)}; expected a number of pixels. Hint: correct the file"
        )
    return number


def _object_id(value: int | str | None) -> str | None:
    return None if value is None else str(value)


def _label(value: Any, where: str) -> int:
    if str(value) not in ("0", "1"):
        raise DataError(
            f"{where} has the label {shown(value)}; expected 1 for a point on the object or 0 for one off"
            " it. Hint:"
            " correct the file"
        )
    return int(value)


def _box(values: Sequence[Any], where: str) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = (_number(value, name, where) for value, name in zip(values, BOX_COLUMNS, strict=True))
    if x1 <= x0 or y1 <= y0:
        raise DataError(
            f"{where} has the box {[x0, y0, x1, y1]}; expected x1 > x0 and y1 > y0. Hint: correct the file"
        )
    return x0, y0, x1, y1
