"""The records of COCO files (https://cocodataset.org/#format-data), truth and results alike, as schemas for
``toolkit.reading.records``. They define fields and types; anything that has to fit the image, such as the
size of a mask, is checked when the image is known.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Discriminator, Field, PlainValidator, Tag, model_validator

from toolkit.reading.fields import (
    Count,
    FileName,
    Flag,
    Id,
    Name,
    Number,
    Pixels,
    Schema,
    below,
    is_number,
    shown,
)

Box = Annotated[list[Pixels], Field(min_length=4, max_length=4)]
"""``x, y, width, height`` in pixels."""


def _no_counts(value: Any) -> Any:
    raise ValueError("should be text or a list of whole numbers")


class RunLengths(Schema):
    """A mask as run lengths, compressed or not."""

    size: Annotated[list[Count], Field(min_length=2, max_length=2)]
    counts: Annotated[
        Annotated[str, Tag("<text>")]
        | Annotated[list[Count], Tag("<list>")]
        | Annotated[Any, PlainValidator(_no_counts), Tag("<wrong>")],
        Discriminator(lambda value: {str: "<text>", list: "<list>"}.get(type(value), "<wrong>")),
    ]


def _triples(values: list[float]) -> list[float]:
    if len(values) % 3:
        raise ValueError(f"{len(values)} numbers are not x, y and visibility (or score) of each point")
    return values


def _form(value: Any) -> str:
    """The kind of segmentation that a value is meant to be."""
    if isinstance(value, dict):
        return "<run lengths>"
    if isinstance(value, list) and value and all(isinstance(part, list) for part in value):
        return "<polygons>"
    return "<none>" if value is None or value == [] else "<wrong>"


def _refuse(value: Any) -> Any:
    if isinstance(value, list) and all(map(is_number, value)):
        raise ValueError(
            "must be a list of polygons, each of them a list; this is a single polygon: write [[…]]"
        )
    if isinstance(value, list) and any(isinstance(part, dict) for part in value):
        raise ValueError("must be one object with size and counts, or polygons, but is a list of objects")
    raise ValueError(f"must be a list of polygons, or an object with size and counts, not {shown(value)}")


Segmentation = Annotated[
    Annotated[RunLengths, Tag("<run lengths>")]
    | Annotated[list[list[Pixels]], Tag("<polygons>")]
    | Annotated[Any, PlainValidator(lambda value: None), Tag("<none>")]
    | Annotated[Any, PlainValidator(_refuse), Tag("<wrong>")],
    Discriminator(_form),
]
"""Polygons or run lengths; an empty list means none."""

Keypoints = Annotated[list[Pixels], AfterValidator(_triples)]
"""``x, y, visibility`` (or score) of all points, concatenated."""


class CocoImage(Schema):
    """An entry of ``images``."""

    id: Id
    file_name: FileName
    width: Count | None = None
    height: Count | None = None


class CocoCategory(Schema):
    """An entry of ``categories``."""

    id: Id
    name: Name


class ClassCategory(CocoCategory):
    """An entry of ``categories`` that is a class of a dataset, with the names of its keypoints."""

    keypoints: list[Any] | None = None


class CocoAnnotation(Schema):
    """An entry of ``annotations``."""

    id: Id | None = None
    image_id: Id
    category_id: Id
    bbox: Box | None = None
    segmentation: Segmentation = None
    area: Annotated[Number, Field(ge=0)] | None = None
    iscrowd: Flag = 0
    keypoints: Keypoints | None = None


class CocoResult(Schema):
    """An entry of a list of results."""

    image_id: Id
    category_id: Id
    score: Number
    bbox: Box | None = None
    segmentation: Segmentation = None
    keypoints: Keypoints | None = None


class PredictedImage(CocoImage):
    """An image of a ``predictions.json``; a frame of a video has its number there, from 0."""

    label_map: Annotated[FileName, AfterValidator(below)] | None = None
    frame: Count | None = None


class PredictedCategory(CocoCategory):
    """A class of a ``predictions.json``."""

    label_value: Annotated[Count, Field(le=255)] | None = None


class PredictedAnnotation(Schema):
    """An object of a ``predictions.json``."""

    id: Id | None = None
    image_id: Id
    category_id: Id
    score: Number = 1.0
    bbox: Box | None = None
    segmentation: Segmentation = None
    keypoints: Annotated[Keypoints, Field(min_length=3)] | None = None
    # the name by which a user knows the object; other programs may mean something else by this field
    object: Any = None

    @model_validator(mode="after")
    def _has_shape(self) -> PredictedAnnotation:
        if self.bbox is None and self.segmentation is None and self.keypoints is None:
            raise ValueError("has neither bbox nor segmentation nor keypoints")
        if self.bbox is not None and min(self.bbox[2:]) < 0:
            raise ValueError("bbox has a width or height below 0")
        return self
