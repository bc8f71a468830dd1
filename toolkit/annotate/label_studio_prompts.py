"""What a user of Label Studio has marked with a smart tool, as prompts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from toolkit.errors import InvalidDataError
from toolkit.formats.label_studio_shapes import in_pixels
from toolkit.formats.regions import numbers
from toolkit.reading.fields import shown
from toolkit.types import Size


@dataclass(frozen=True)
class Marks:
    """Points and a box for one object.

    Attributes:
        label: the label that is selected; empty if none.
        points: x and y in pixels.
        labels: for each point: 1 on the object, 0 off it.
        box: ``x0, y0, x1, y1`` in pixels, or None.
    """

    label: str
    points: tuple[tuple[float, float], ...]
    labels: tuple[int, ...]
    box: tuple[float, float, float, float] | None


def marks_of(context: Any, size: Size) -> Marks | None:
    """The marks of a request; None where it has none.

    Args:
        context: the context of the request; its results are key points and rectangles.
        size: height and width of the image.

    Raises:
        InvalidDataError: when a mark cannot be read, or is on a rotated image.
    """
    results = context.get("result") if isinstance(context, dict) else None
    if not isinstance(results, list):
        return None
    points: list[tuple[float, float]] = []
    labels: list[int] = []
    box, label = None, ""
    for place, result in enumerate(results):
        where = f"context.result[{place}]"
        value = result.get("value") if isinstance(result, dict) else None
        if not isinstance(value, dict):
            raise InvalidDataError(f"{where} is {shown(result)}; expected a record with a value")
        if result.get("image_rotation"):
            raise InvalidDataError(f"{where} is on a rotated image. Hint: rotate the image back")
        kind = str(result.get("type", ""))
        label = _label(value, kind) or label
        if kind.startswith("keypoint"):
            x, y = _pixels(value, ("x", "y"), size, where)
            points.append((_within(x, size[1]), _within(y, size[0])))
            labels.append(int(bool(result.get("is_positive", value.get("is_positive", True)))))
        elif kind.startswith("rectangle"):
            x, y, width, height = _pixels(value, ("x", "y", "width", "height"), size, where)
            box = (x, y, x + width, y + height)
    if not points and box is None:
        return None
    return Marks(label, tuple(points), tuple(labels), box)


def _label(value: dict[str, Any], kind: str) -> str:
    names = value.get(kind, value.get("labels"))
    return str(names[0]) if isinstance(names, list) and names else ""


def _pixels(value: dict[str, Any], names: tuple[str, ...], size: Size, where: str) -> tuple[float, ...]:
    percentages = [numbers([value.get(name)], where, name)[0] for name in names]
    return in_pixels(percentages, size)


def _within(value: float, length: int) -> float:
    """A coordinate on the right or lower border as one of the last pixel."""
    return length - 1e-3 if value == length else value
