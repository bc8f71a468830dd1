"""``predictions.json``: all predictions of a folder in COCO's form."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ConfigDict

from toolkit import registry
from toolkit.data.label_values import LabelValues
from toolkit.errors import DataError
from toolkit.inference.coco_documents import coco_categories
from toolkit.reading.fields import Schema
from toolkit.reading.json_text import load_json
from toolkit.reading.records import records as checked_records
from toolkit.runtime.files import atomic_write

PREDICTIONS = "predictions.json"


class _Object(Schema):
    """An object in the file of an image, as the task has written it."""

    model_config = ConfigDict(extra="allow", frozen=True)


def write_documents(
    folder: Path,
    done: Sequence[Mapping[str, Any]],
    classes: Sequence[str],
    values: LabelValues,
    about: Mapping[str, Any],
    readable: Sequence[Mapping[str, Any]],
) -> None:
    """Write ``predictions.json``, and what tasks write once for all images; arguments as for
    ``results_document``.

    Raises:
        DataError: as ``results_document``.
        OutputError: when a file cannot be written.
    """
    with atomic_write(folder / PREDICTIONS, "w") as file:
        file.writelines(results_document(folder, done, classes, values, about, readable=readable))
    kinds = dict.fromkeys(kind for record in done for kind in record["outputs"])
    for collect in registry.functions_for("collect", kinds):
        collect(folder, readable, {**about, "classes": list(classes)})


def results_document(
    folder: Path,
    done: Sequence[Mapping[str, Any]],
    classes: Sequence[str],
    values: LabelValues,
    about: Mapping[str, Any],
    *,
    readable: Sequence[Mapping[str, Any]] | None = None,
) -> Iterator[str]:
    """The document piece by piece, one entry per line, so that memory holds the objects of one image at a
    time.

    Args:
        folder: of the results.
        done: the records of the images that are done, from the manifest.
        classes: their names.
        values: which value stands for each class in the label images.
        about: goes to ``info``.
        readable: the same records, if their files are only there while one takes them from here.

    Raises:
        DataError: when the objects of an image cannot be read any more.
    """
    categories = coco_categories(classes)
    info: dict[str, Any] = {**about, "description": "Predictions of the toolkit"}
    if any("label_map" in record["outputs"] for record in done):
        info["void_value"] = values.void
        for category, value in zip(categories, values.classes, strict=True):
            category["label_value"] = value
    yield f'{{"info": {json.dumps(info)},\n'
    yield from _array('"images": [', (_image_entry(i, record) for i, record in enumerate(done, start=1)))
    yield from _array('],\n"categories": [', categories)
    yield from _array('],\n"annotations": [', _annotations(folder, done if readable is None else readable))
    yield "]}\n"


def _annotations(folder: Path, done: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    number = 0
    for image_id, record in enumerate(done, start=1):
        if "instances" not in record["outputs"]:
            continue
        path = folder / record["outputs"]["instances"]
        content = load_json(path, "the objects of an image", DataError)
        hint = "remove this file, and continue with --resume"
        found = checked_records(content, _Object, source=str(path), kind="object", error=DataError, hint=hint)
        for entry in found:
            number += 1
            yield {"id": number, "image_id": image_id, **(entry.model_extra or {})}


def _array(opening: str, entries: Iterable[dict[str, Any]]) -> Iterator[str]:
    yield opening
    separator = "\n"
    for entry in entries:
        yield separator + json.dumps(entry)
        separator = ",\n"


def _image_entry(number: int, record: Mapping[str, Any]) -> dict[str, Any]:
    height, width = record["size"]
    entry = {"id": number, "file_name": record["image"], "width": width, "height": height}
    if record.get("frame") is not None:
        entry["frame"] = record["frame"]
    inside = ("instances", "overlay")  # the former are among the annotations
    return entry | {kind: path for kind, path in record["outputs"].items() if kind not in inside}
