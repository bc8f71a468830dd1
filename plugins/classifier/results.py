"""The class of an image in pictures and files."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Strict

from toolkit.errors import DataError
from toolkit.reading.fields import Number, Schema
from toolkit.reading.json_text import load_json
from toolkit.reading.records import record as checked_record
from toolkit.runtime.files import atomic_write
from toolkit.types import Prediction, Sample
from toolkit.visualization.drawing import rgb
from toolkit.visualization.labels import Caption, fitting_letters, place_labels
from toolkit.visualization.palettes import Palette, full_palette

from .labels import FIELD, top

KIND = FIELD
"""What ``manifest.jsonl`` and ``predictions.json`` call the file of an image; the name of the field, so that
the task is asked to collect them.
"""

TABLE, DOCUMENT = "classification.csv", "classification.json"


def draw_class(
    picture: NDArray[np.uint8],
    labeled: Sample | Prediction,
    classes: Sequence[str],
    palette: Palette,
    letter_height: int | None,
) -> NDArray[np.uint8]:
    """Draw a frame in the color of the class around the picture, and its name in a corner; of a prediction
    its probability, too. In place.
    """
    probabilities = labeled.get(FIELD)
    if probabilities is None:
        return picture
    index, score = top(probabilities)
    height, width = picture.shape[:2]
    color = rgb(full_palette(palette)[index % 256])
    line = max(1, round(min(height, width) / 60))
    for inset in range(min(line, (min(height, width) + 1) // 2)):
        cv2.rectangle(picture, (inset, inset), (width - 1 - inset, height - 1 - inset), color, 1)
    name = classes[index] if index < len(classes) else str(index)
    shown = f"{score:.2f}" if isinstance(labeled, Prediction) else ""
    caption = Caption(name, shown, (0, 0, width, height))
    letters = letter_height or fitting_letters((height, width))
    for label in place_labels([caption], (height, width), letters):
        if label is not None:
            label.draw(picture, color)
    return picture


def write_class(prediction: Prediction, folder: Path, stem: str, palette: Palette) -> dict[str, str]:
    """Write the index of the class, its score and the probabilities of all classes as JSON.

    Raises:
        OutputError: when the file cannot be written.
    """
    probabilities = prediction.get(FIELD)
    if probabilities is None:
        return {}
    index, score = top(probabilities)
    content = {"label": index, "score": score, "probabilities": probabilities.tolist()}
    path = f"classes/{stem}.json"
    with atomic_write(folder / path, "w") as file:
        json.dump(content, file)
    return {KIND: path}


class _Found(Schema):
    """What ``write_class`` wrote."""

    label: Annotated[int, Strict()]
    score: Number
    probabilities: list[Number]


def write_table(folder: Path, records: Sequence[Mapping[str, Any]], about: Mapping[str, Any]) -> None:
    """Write ``classification.csv`` and ``classification.json``: for all images the class, its score, and the
    probability of each class.

    Args:
        folder: of the results.
        records: of the images that are done, from their manifest.
        about: what ``about.json`` says, with the names of the classes.

    Raises:
        DataError: when the file of an image cannot be read any more.
        OutputError: when a file cannot be written.
    """
    names: list[str] = list(about["classes"])
    rows = [
        (record["image"], _read(folder / record["outputs"][KIND], len(names)))
        for record in records
        if KIND in record["outputs"]
    ]
    with atomic_write(folder / TABLE, "w") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["image", "class", "score", *names])
        for image, found in rows:
            numbers = [f"{value:.6g}" for value in (found.score, *found.probabilities)]
            table.writerow([image, names[found.label], *numbers])
    document = {
        "info": {key: value for key, value in about.items() if key != "classes"},
        "classes": names,
        "images": [
            {
                "image": image,
                "class": names[found.label],
                "score": found.score,
                "probabilities": found.probabilities,
            }
            for image, found in rows
        ],
    }
    with atomic_write(folder / DOCUMENT, "w") as file:
        json.dump(document, file)


def _read(path: Path, classes: int) -> _Found:
    content = load_json(path, "the class of an image", DataError)
    found = checked_record(content, _Found, source=str(path), error=DataError)
    if len(found.probabilities) != classes or not 0 <= found.label < classes:
        raise DataError(
            f"{path} has the class {found.label} and {len(found.probabilities)} probabilities; expected those"
            f" of {classes} classes. Hint: remove this file, and continue with --resume"
        )
    return found
