"""``toolkit.measure``: tables of what predictions on disk contain."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from toolkit.data.image_files import RESULT_MANIFEST
from toolkit.data.images import read_image
from toolkit.errors import DataError, UsageError
from toolkit.formats.coco_schema import PredictedCategory
from toolkit.formats.predictions import PREDICTIONS_FILE, PredictionFiles
from toolkit.inference.records import latest_records
from toolkit.measuring.pixel_size import PixelSize
from toolkit.measuring.tables import (
    ClassTotals,
    Row,
    class_columns,
    class_rows,
    object_columns,
    object_rows,
    summary_columns,
)
from toolkit.reading.files import expanded, is_there
from toolkit.reading.json_text import load_json
from toolkit.reading.records import records
from toolkit.runtime.files import atomic_write
from toolkit.types import Prediction

TABLES = ("objects.csv", "classes.csv", "summary.csv")
FOLDER = "measurements"


@dataclass(frozen=True)
class Measured:
    """What was measured.

    Attributes:
        folder: of the tables.
        images: number of images.
        objects: number of objects that were measured.
        above: minimum score of the objects that were measured.
        below: number of objects that were left out because of it.
        classes: the rows of ``summary.csv``.
    """

    folder: Path
    images: int
    objects: int
    above: float
    below: int
    classes: tuple[Row, ...]


def measure(
    predictions: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    images: str | os.PathLike[str] | Literal[True] | None = None,
    pixel_size: str | PixelSize | None = None,
    above: float = 0.0,
) -> Measured:
    """Measure predictions: ``objects.csv`` has a row for each object, ``classes.csv`` one for each class in
    each image, ``summary.csv`` one for each class.

    Args:
        predictions: a ``predictions.json``, or the folder with it, as ``toolkit infer`` writes them; the
            document of another program needs the width and height of each image.
        out: folder of the tables; ``measurements`` next to the document when None. Tables of an earlier call
            are replaced.
        images: folder of the images, for means and standard deviations of the colors of each object; True for
            the images that ``toolkit infer`` read.
        pixel_size: such as ``"0.02mm"``: areas and lengths in this unit, too.
        above: minimum score of the objects that are measured.

    Raises:
        DataError: when the predictions or an image cannot be read, or do not fit together.
        UsageError: when ``pixel_size`` or ``above`` is not what it should be.
        UnavailableError: when there are masks and scikit-image is not installed.
        OutputError: when the tables cannot be written.
    """
    size = PixelSize.parse(pixel_size) if isinstance(pixel_size, str) else pixel_size
    if not 0 <= above <= 1:
        raise UsageError(f"the minimum score is {above:g}; expected a number from 0 to 1")
    path = expanded(predictions)
    document = path / PREDICTIONS_FILE if path.is_dir() else path
    if not is_there(document):
        raise DataError(
            f"no predictions at {path}: expected a {PREDICTIONS_FILE}, or the folder with it. Hint: run"
            " toolkit infer, and name its output folder"
        )
    classes = _classes(document)
    files = PredictionFiles(document, classes)
    folder = document.parent / FOLDER if out is None else expanded(out)
    photos = None if images is None else _Photos(document, None if images is True else expanded(images))
    summary, objects, below = ClassTotals(), 0, 0
    with _removed_if_empty(folder), ExitStack() as stack:
        columns = [object_columns(size, with_colors=photos is not None), class_columns(size)]
        of_objects, of_classes = (
            stack.enter_context(_table(folder / name, names))
            for name, names in zip(TABLES, columns, strict=False)
        )
        for prediction in _predictions(files, document):
            kept, dropped = _above(prediction, above)
            image = None if photos is None else photos.read(prediction)
            rows = object_rows(kept, classes, image=image, pixel_size=size)
            shares = class_rows(kept, classes, objects=rows, pixel_size=size)
            of_objects.writerows(map(_written, rows))
            of_classes.writerows(map(_written, shares))
            summary.add(kept, shares)
            objects, below = objects + len(rows), below + dropped
        totals = stack.enter_context(_table(folder / TABLES[2], summary_columns(size)))
        lines = tuple(summary.rows(size))
        totals.writerows(map(_written, lines))
    return Measured(folder, summary.images, objects, above, below, lines)


def _classes(document: Path) -> list[str]:
    content = load_json(document, "predictions", DataError)
    if not isinstance(content, dict) or "categories" not in content:
        raise DataError(
            f"{document} is not a {PREDICTIONS_FILE}: it has no categories. Hint: results without images and"
            " categories do not say how large the images are; name the document of toolkit infer"
        )
    found = records(
        content["categories"], PredictedCategory, source=str(document), kind="category", error=DataError
    )
    return [category.name for category in found]


def _predictions(files: PredictionFiles, document: Path) -> Iterator[Prediction]:
    if not files.sizes:
        raise DataError(f"{document} names no images, so there is nothing to measure")
    for key, size in files.sizes.items():
        if size is None:
            raise DataError(
                f"{document} does not say how large {key} is. Hint: add width and height to its images"
            )
        yield files.read(key, size)


def _above(prediction: Prediction, above: float) -> tuple[Prediction, int]:
    """A prediction without the objects of lower scores, and how many these are."""
    found = prediction.instances
    if found is None or found.scores is None or not above:
        return prediction, 0
    keep = found.scores >= above
    return replace(prediction, instances=found[keep]), int((~keep).sum())


class _Photos:
    """The images of predictions, in a folder, or where ``toolkit infer`` read them."""

    def __init__(self, document: Path, folder: Path | None) -> None:
        self._folder, manifest = folder, document.parent / RESULT_MANIFEST
        found = latest_records(manifest) if folder is None else []
        self._sources = {record["image"]: record.get("source", "") for record in found}
        if folder is None and not self._sources:
            raise DataError(
                f"{document} does not say where its images are. Hint: name their folder: --images DIR"
            )

    def read(self, prediction: Prediction) -> Tensor:
        """The image of a prediction, uint8 ``[3, H, W]``."""
        name = prediction.sample_id
        path = Path(self._sources.get(name, "")) if self._folder is None else self._folder / name
        if not is_there(path) or path == Path():
            raise DataError(
                f"{path} is not there, but {name} was predicted. Hint: name the folder of the images:"
                " --images DIR"
            )
        image = read_image(path)
        if tuple(image.shape[1:]) != prediction.size:
            raise DataError(
                f"{path} has {image.shape[2]} x {image.shape[1]} pixels, but {prediction.size[1]} x"
                f" {prediction.size[0]} when it was predicted. Hint: predict it again"
            )
        return image


@contextmanager
def _removed_if_empty(folder: Path) -> Iterator[None]:
    """Context manager that leaves no new folder behind if there was an error before anything was written."""
    try:
        yield
    except BaseException:
        with suppress(OSError):
            folder.rmdir()
        raise


@contextmanager
def _table(path: Path, columns: Sequence[str]) -> Iterator[csv.DictWriter[str]]:
    """A table that appears when all of it is written."""
    with atomic_write(path, "w") as file:
        table = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        table.writeheader()
        yield table


def _written(row: Row) -> Row:
    """A row as text: numbers without more digits than they have, undefined ones as empty cells."""
    return {
        name: "" if value is None or (isinstance(value, float) and math.isnan(value)) else _number(value)
        for name, value in row.items()
    }


def _number(value: Any) -> Any:
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < 2**53 else repr(float(value))
    return value
