"""What a model found as results of Label Studio, by the tags of a project's labeling configuration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from toolkit.annotate.shapes import Shape
from toolkit.formats.brush import encode_brush
from toolkit.formats.label_config import ControlTag, LabelConfig
from toolkit.formats.tool_writers import box_value
from toolkit.types import Size

PREFERRED = {
    "mask": ("brushlabels", "polygonlabels", "rectanglelabels"),
    "rectangle": ("rectanglelabels",),
    "tag": ("choices",),
}
"""The tags that can show a kind of shape, the most exact first."""


def results_of(shapes: Sequence[Shape], config: LabelConfig, size: Size) -> list[dict[str, Any]]:
    """The shapes that the project has a tag and a label for, as results.

    Masks become brushes with exactly their pixels, or simplified polygons or boxes where the project has no
    brush.

    Args:
        shapes: what was found.
        config: the labeling configuration.
        size: height and width of the image.
    """
    found = []
    for shape in shapes:
        tag, label = _tag_for(shape, config)
        if tag is not None:
            found += [_result(value, tag, shape, size) for value in _values(shape, tag, label, size)]
    return found


def missing_labels(names: Sequence[str], config: LabelConfig) -> list[str]:
    """The names of classes that no tag of the project has a label for."""
    known = {label.casefold() for tag in config.controls for label in tag.labels}
    return [name for name in names if name.casefold() not in known]


def score_of(shapes: Sequence[Shape]) -> float | None:
    """One score for a task: the lowest of its shapes, so that sorting by it shows what is unsure first; None
    if none has a score.
    """
    return min((shape.score for shape in shapes if shape.score is not None), default=None)


def _tag_for(shape: Shape, config: LabelConfig) -> tuple[ControlTag | None, str]:
    """The tag for a shape, and the label as it is written there."""
    for kind in PREFERRED[shape.kind]:
        for tag in config.controls_of([kind]):
            labels = {label.casefold(): label for label in tag.labels}
            name = shape.name if shape.name in tag.labels else labels.get(shape.name.casefold())
            if name is not None:
                return tag, name
    return None, ""


def _values(shape: Shape, tag: ControlTag, label: str, size: Size) -> list[dict[str, Any]]:
    """The values of the results that a shape becomes; a polygon has one for each part."""
    if tag.kind == "choices":
        return [{"choices": [label]}]
    if tag.kind == "brushlabels":
        return [{"format": "rle", "rle": encode_brush(shape.mask()), "brushlabels": [label]}]
    if tag.kind == "polygonlabels":
        height, width = size
        return [
            {
                "points": [[100 * x / width, 100 * y / height] for x, y in part],
                "closed": True,
                "polygonlabels": [label],
            }
            for part in shape.polygons()
        ]
    assert shape.box_xyxy is not None
    return [{**box_value(shape.box_xyxy, size), "rectanglelabels": [label]}]


def _result(value: dict[str, Any], tag: ControlTag, shape: Shape, size: Size) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "id": uuid4().hex[:10],
        "type": tag.kind,
        "from_name": tag.name,
        "to_name": tag.to_name,
        "value": value,
        "readonly": False,
    }
    if tag.kind != "choices":
        entry |= {"original_width": size[1], "original_height": size[0], "image_rotation": 0}
    return entry if shape.score is None else entry | {"score": shape.score}
