"""``toolkit.measure``: tables of what predictions on disk contain."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from toolkit.errors import DataError, UsageError
from toolkit.formats.predictions import PREDICTIONS_FILE, PredictionFiles
from toolkit.inference.measured_images import MeasuredImages, place_of
from toolkit.measuring.geojson import geojson_of
from toolkit.measuring.sizes import GivenSize, sizes_of
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
from toolkit.runtime.files import atomic_write, into
from toolkit.types import Prediction

TABLES = ("objects.csv", "classes.csv", "summary.csv")
FOLDER = "measurements"
GEOJSON = "geojson"


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
        sizes: which pixel sizes were used; empty if none is known.
        notes: why images have no pixel size, or no place on a map, although their files state something.
    """

    folder: Path
    images: int
    objects: int
    above: float
    below: int
    classes: tuple[Row, ...]
    sizes: str = ""
    notes: tuple[str, ...] = ()


def measure(
    predictions: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    images: str | os.PathLike[str] | Literal[True] | None = None,
    pixel_size: GivenSize = None,
    where_possible: bool = False,
    above: float = 0.0,
    geojson: bool = False,
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
        where_possible: leave the colors of an image empty, rather than raise an error, if it is not there as
            a file (a frame of a video, an image from the web), or is too large to be read at once.
        pixel_size: such as ``"0.02mm"`` or ``"0.5x0.25um"`` (width and height), for areas and lengths in
            this unit, too; or the path of a table with the columns ``image`` and ``pixel_size``. When None,
            the sizes that OME-TIFF, ImageJ's TIFF and GeoTIFF files state themselves, in ``images`` or where
            ``toolkit infer`` read them.
        above: minimum score of the objects that are measured.
        geojson: also write ``geojson/IMAGE.geojson`` for each image, with a polygon for each object and the
            columns of the tables as properties: in the coordinates of the map for GeoTIFFs, otherwise in
            pixels.

    Raises:
        DataError: when the predictions or an image cannot be read, or do not fit together.
        UsageError: when ``pixel_size`` or ``above`` is not what it should be.
        OutputError: when the tables cannot be written.
    """
    if not 0 <= above <= 1:
        raise UsageError(f"the minimum score is {above:g}; expected a number from 0 to 1")
    path = expanded(predictions)
    document = path / PREDICTIONS_FILE if path.is_dir() else path
    if not is_there(document):
        raise DataError(
            f"no predictions at {path}: expected a {PREDICTIONS_FILE}, or the folder with it. Hint: run"
            " toolkit infer, and name its output folder"
        )
    files = PredictionFiles(document, None)
    if not files.sizes:
        raise DataError(
            f"{document} names no images, so there is nothing to measure. Hint: name a document with"
            " images, or predict some with toolkit infer"
        )
    classes = files.classes
    folder = document.parent / FOLDER if out is None else expanded(out)
    found = MeasuredImages(document, None if images is None or images is True else expanded(images))
    if images is not None and not where_possible:
        found.require()
    with_colors = images is not None and (not where_possible or any(map(found.is_readable, files.sizes)))
    sizes = sizes_of({name: found.path(name) for name in files.sizes}, pixel_size)
    unit, summary, objects, below = sizes.unit, ClassTotals(), 0, 0
    notes = list(sizes.notes)
    with _removed_if_empty(folder), into(folder), ExitStack() as stack:
        if not geojson:
            _remove_geojson(folder / GEOJSON, files.sizes)
        named = object_columns(unit, with_colors=with_colors, with_frames=bool(files.frames))
        columns = [named, class_columns(unit)]
        of_objects, of_classes = (
            stack.enter_context(_table(folder / name, names))
            for name, names in zip(TABLES, columns, strict=False)
        )
        for prediction in _predictions(files, document):
            kept, places = _above(prediction, above)
            known = sizes.of(kept.sample_id)
            image = None
            if with_colors and (not where_possible or _is_worth_reading(kept, found)):
                image = found.read(kept.sample_id, kept.size)
            frame = files.frames.get(kept.sample_id)
            rows = object_rows(kept, classes, image=image, known=known, frame=frame, places=places)
            shares = class_rows(kept, classes, objects=rows, known=known)
            of_objects.writerows(map(_written, rows))
            of_classes.writerows(map(_written, shares))
            summary.add(kept, shares, known)
            if geojson:
                place, note = place_of(found.path(kept.sample_id))
                notes += [note] if note else []
                features = geojson_of(kept, rows, shares, classes, place)
                with atomic_write(folder / GEOJSON / f"{kept.sample_id}.geojson", "w") as file:
                    json.dump(features, file, allow_nan=False)
            objects += len(rows)
            below += 0 if prediction.instances is None else len(prediction.instances) - len(rows)
        totals = stack.enter_context(_table(folder / TABLES[2], summary_columns(unit)))
        lines = tuple(summary.rows(unit))
        totals.writerows(map(_written, lines))
    return Measured(folder, summary.images, objects, above, below, lines, sizes.line(), tuple(notes))


def _remove_geojson(folder: Path, names: Collection[str]) -> None:
    """Remove what an earlier call wrote, which does not belong to the new tables; other files stay."""
    for place, _, found in os.walk(folder, topdown=False):
        for name in found:
            path = Path(place, name)
            if name.endswith(".geojson") and path.relative_to(folder).with_suffix("").as_posix() in names:
                path.unlink()
        with suppress(OSError):  # if something else is there
            os.rmdir(place)


def _predictions(files: PredictionFiles, document: Path) -> Iterator[Prediction]:
    for key, size in files.sizes.items():
        if size is None:
            raise DataError(
                f"{document} does not say how large {key} is. Hint: add width and height to its images"
            )
        yield files.read(key, size)


def _is_worth_reading(prediction: Prediction, images: MeasuredImages) -> bool:
    """Whether there are objects with colors to measure."""
    return bool(prediction.instances) and images.is_small(prediction.sample_id, prediction.size)


def _above(prediction: Prediction, above: float) -> tuple[Prediction, list[int]]:
    """A prediction without the objects of lower scores, and the positions that the others had among all."""
    found = prediction.instances
    if found is None or found.scores is None:
        return prediction, list(range(0 if found is None else len(found)))
    keep = found.scores >= above
    return replace(prediction, instances=found[keep]), keep.nonzero()[:, 0].tolist()


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
