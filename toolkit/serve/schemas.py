"""The bodies of requests and answers."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from toolkit.serve.labels import MOST_OBJECTS
from toolkit.serve.sessions import MOST_CLICKS


class Body(BaseModel):
    """A body in which unknown fields are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Rle(Body):
    """A mask as COCO's compressed run lengths."""

    size: Annotated[list[int], Field(min_length=2, max_length=2)]
    """Height and width of the image, in pixels."""
    counts: str


class LabeledObject(Body):
    """An object of an image."""

    category: str
    rle: Rle
    id: int | None = None
    """As the server gave it; none for a new object."""


class Labels(Body):
    """The objects of an image."""

    objects: Annotated[list[LabeledObject], Field(max_length=MOST_OBJECTS)]
    revision: str | None = None
    """Not read; the header If-Match says which labels these replace."""


class Category(Body):
    """A category of objects."""

    name: str
    id: int | None = None
    objects: int | None = None
    """Not read."""


class Categories(Body):
    """All categories."""

    categories: Annotated[list[Category], Field(max_length=1000)]
    revision: str | None = None
    """Not read; the header If-Match says which list this replaces."""


class ImageOf(Body):
    """An image of the folder, for a model."""

    model: str = ""
    """Its name; empty for the first."""
    name: str
    """Of the image."""


class PredictBody(ImageOf):
    """What to predict."""

    score_threshold: Annotated[FiniteFloat, Field(ge=0, le=1, strict=False)] | None = None
    """Minimum score of the objects; the model's own, `draw_above`, if left out."""


Coordinate = Annotated[FiniteFloat, Field(strict=False)]


class PromptBody(Body):
    """All prompts for an object, in pixels of the image."""

    points: Annotated[
        list[Annotated[list[Coordinate], Field(min_length=2, max_length=2)]], Field(max_length=MOST_CLICKS)
    ] = []
    """`[x, y]` of each, in the order of the clicks."""
    labels: list[Annotated[int, Field(ge=0, le=1)]] = []
    """For each point 1 (on the object) or 0 (off it)."""
    box: Annotated[list[Coordinate], Field(min_length=4, max_length=4)] | None = None
    """`[x0, y0, x1, y1]`."""
    mask: Rle | None = None
    """An approximate mask, for models with `takes_masks`."""
    after: int = 0
    """How many of the points had been given when the box or the mask was set."""


class TrainingBody(Body):
    """What to fine-tune on the labels."""

    model: str = ""
    """The served run to start from; empty for the first."""
    name: str
    """Of the new run: letters, digits, `.`, `-` and `_`."""
    settings: dict[str, Any] = {}
    """Settings of the training by their full keys, such as ``train.steps``."""
