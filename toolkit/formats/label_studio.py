"""Exports of Label Studio (https://labelstud.io) as JSON: a list of tasks with their annotations.

Coordinates are percentages of the image's width and height. Masks of the brush are run lengths
(``toolkit.formats.brush``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from toolkit.data.faults import fault, usable
from toolkit.data.images import IMAGE_SUFFIXES
from toolkit.data.notes import note
from toolkit.errors import DataError
from toolkit.formats.bounds import Bounds, Outside
from toolkit.formats.class_names import class_index
from toolkit.formats.label_studio_shapes import SHAPES, WITHOUT_AREA, label_of, region_of_result
from toolkit.formats.regions import Region, check_stated_size
from toolkit.reading.fields import shown
from toolkit.reading.json_text import load_json
from toolkit.types import Size


@dataclass(frozen=True)
class LabelStudioOptions:
    """How results are read.

    Attributes:
        classes: class index by name.
        other_shapes: how to handle shapes without an area: key points and lines.
        outside: how to handle objects that extend beyond the image.
    """

    classes: Mapping[str, int]
    other_shapes: Literal["error", "skip"] = "error"
    outside: Outside = "error"


@dataclass(frozen=True)
class LabelStudioTask:
    """A task that has been annotated.

    Attributes:
        image: the image, as the task names it.
        where: file and task, for messages.
        results: the results of the annotation that counts.
    """

    image: str
    where: str
    results: list[Any]


def read_label_studio(path: Path, image_key: str = "") -> list[LabelStudioTask]:
    """The annotated tasks of a file, in its order.

    Of several annotations of a task, the one that is marked as ground truth counts, otherwise the newest.

    Args:
        path: the file.
        image_key: the key of a task's data that holds the image; empty to find it.

    Raises:
        DataError: when it is not such a file, or a task has no image.
    """
    data = load_json(path, "tasks of Label Studio", DataError)
    if not isinstance(data, list) or not all(isinstance(task, dict) and "data" in task for task in data):
        raise DataError(
            f"{path} is not an export of Label Studio; expected a list of tasks with data and annotations."
            " Hint: export the project in the format JSON (not JSON-MIN, whose results are incomplete)"
        )
    found = usable(enumerate(data), lambda each: _task(*each, path, image_key))
    return [task for task in found if task is not None]


def _task(number: int, task: dict[str, Any], path: Path, image_key: str) -> LabelStudioTask | None:
    where = f"{path}: task {task.get('id', number)}"
    if isinstance(task.get("predictions"), list):
        note("predictions of models are left out", len(task["predictions"]))
    result = _result(task.get("annotations", task.get("completions")), where)
    if result is None:
        note("tasks without an annotation are left out", log=True)
        return None
    return LabelStudioTask(_image(task["data"], where, image_key), where, [_packed(each) for each in result])


def _result(annotations: Any, where: str) -> list[Any] | None:
    """The results of the annotation that counts; None if there is none."""
    if annotations is None:
        return None
    are_records = isinstance(annotations, list) and all(isinstance(each, dict) for each in annotations)
    if not are_records:
        raise DataError(f"{where} has annotations that are not records. Hint: export the project as JSON")
    kept = [each for each in annotations if not each.get("was_cancelled")]
    note("annotations that were skipped by the annotator are left out", len(annotations) - len(kept))
    if not kept:
        return None
    note("further annotations of tasks are left out; ground truth, or the newest, counts", len(kept) - 1)
    best = max(enumerate(kept), key=lambda each: (*_rank(each[1]), each[0]))[1]
    result = best.get("result")
    if not isinstance(result, list):
        raise DataError(
            f"{where}: result must be a list, not {shown(result)}. Hint: export the project as JSON"
        )
    return result


def _rank(annotation: Mapping[str, Any]) -> tuple[bool, str]:
    return bool(annotation.get("ground_truth")), str(annotation.get("updated_at", ""))


def _image(data: Any, where: str, key: str) -> str:
    """The image of a task: the value of ``key``, or the one that looks like an image."""
    values = data if isinstance(data, dict) else {}
    named = [key] if key else ["image", "img", "picture", "photo"]
    texts = {name: value for name, value in values.items() if isinstance(value, str) and value}
    for name in named:
        if name in texts:
            return str(texts[name])
    likely = [
        each for each in texts.values() if Path(each.partition("?")[0]).suffix.lower() in IMAGE_SUFFIXES
    ]
    if not key and len(likely) == 1:
        return str(likely[0])
    raise DataError(
        f"{where} has no image under {key or 'image'}; its data have {', '.join(values) or 'no keys'}. Hint:"
        " set image_key to the key of the image"
    )


def _packed(result: Any) -> Any:
    """A result with the code of its brush as bytes, which take an eighth of the memory of a list."""
    value = result.get("value") if isinstance(result, dict) else None
    if isinstance(value, dict) and isinstance(value.get("rle"), list):
        try:
            return {**result, "value": {**value, "rle": bytes(value["rle"])}}
        except (TypeError, ValueError):  # refused when the mask is decoded
            return result
    return result


def labels_of_tasks(tasks: list[LabelStudioTask]) -> tuple[str, ...]:
    """The labels that the shapes of tasks have, in alphabetical order."""
    found: set[str] = set()
    for result in (result for task in tasks for result in task.results if isinstance(result, dict)):
        kind, value = result.get("type"), result.get("value")
        if isinstance(value, dict) and isinstance(kind, str) and (kind in SHAPES or kind == "labels"):
            names = value.get(kind)
            found |= {str(name).strip() for name in names} if isinstance(names, list) else set()
    return tuple(sorted(found - {""}))


def label_studio_regions(task: LabelStudioTask, size: Size, options: LabelStudioOptions) -> list[Region]:
    """The objects of an image.

    Args:
        task: from ``read_label_studio``.
        size: height and width of the image.
        options: the classes, and how to handle unusual shapes.

    Raises:
        DataError: when the image has another size or was rotated, a label is not a class, or a shape cannot
            be used.
    """
    bounds = Bounds(size, options.outside)
    labels = _separate_labels(task.results)
    parts = []
    for index, result in enumerate(task.results):
        try:
            part = _part(result, labels, bounds, f"{task.where}, result {index}", options)
        except DataError as error:
            fault(error)
            continue
        if part is not None:
            parts.append(part)
    return bounds.finish(parts)


def _separate_labels(results: list[Any]) -> dict[Any, Any]:
    """The labels of regions of tags such as ``Brush``, which are results of the tag ``Labels``, by id."""
    labeled = (each for each in results if isinstance(each, dict) and each.get("type") == "labels")
    return {str(each.get("id")): each.get("value") for each in labeled if "id" in each}


def _part(
    result: Any, labels: Mapping[Any, Any], bounds: Bounds, where: str, options: LabelStudioOptions
) -> Region | None:
    """A result as an object; None if it is to be left out."""
    if not isinstance(result, dict) or not isinstance(kind := result.get("type"), str):
        raise DataError(f"{where} is not a record with a type. Hint: export the project as JSON")
    if kind in WITHOUT_AREA:
        if options.other_shapes == "error":
            raise DataError(
                f"{where} is {kind}, which has no area. Hint: remove it, or set other_shapes=skip"
            )
        note("key points and lines, which have no area, are left out (other_shapes=skip)")
        return None
    if kind not in SHAPES:
        if kind != "labels":
            note(f"results of the type {shown(kind)} are left out, because they are not objects")
        return None
    where = f"{where} ({kind})"
    turned = result.get("image_rotation", 0)
    if turned not in (0, None):
        raise DataError(
            f"{where} was drawn on the image rotated by {shown(turned)} degrees, which is not read. Hint:"
            " rotate the image file itself, and annotate it unrotated"
        )
    check_stated_size((result.get("original_height"), result.get("original_width")), bounds.size, where)
    name = label_of(result, labels.get(str(result.get("id"))), where)
    label = class_index(name, options.classes, where, "correct it, or add it to the classes")
    return region_of_result(result, bounds, where, label)
