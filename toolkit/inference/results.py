"""The folder that results are written to: label maps, overlays, objects, and the manifest that says what is
done.

::

    DIR/manifest.jsonl           one line an image, written as it finishes, in the order of the images
    DIR/labels/<name>.png        class indexes with the classes' colors as palette (semantic models)
    DIR/instances/<name>.json    the objects of one image, as in COCO results (instance models)
    DIR/<kind>/…                 what the task of a plugin writes
    DIR/overlays/<name>.jpg      the prediction drawn over the photo
    DIR/predictions.json         everything in COCO's form, made when all images are done
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import cv2
import numpy as np

from toolkit import registry
from toolkit.errors import UsageError
from toolkit.inference.inputs import InputImage
from toolkit.runtime.files import atomic_write, remove_unfinished, writing
from toolkit.types import Prediction, Sample
from toolkit.visualization.drawing import Picture, confident, overlay, write_picture
from toolkit.visualization.palettes import Palette

MANIFEST = "manifest.jsonl"
PREDICTIONS = "predictions.json"

JPEG_SIDE = 65_500
"""The longest side that a JPEG can have; overlays of larger images are shrunk."""


@dataclass(frozen=True)
class Record:
    """A line of the manifest.

    Attributes:
        image: the image's name in the results.
        source: where the image was, as an absolute path.
        status: ``"ok"`` or ``"failed"``.
        model: the plugin and a hash of the weights.
        error: why it failed.
        size: height and width in pixels; None when the image could not be read.
        window: side of the sliding window in pixels, when there was one.
        objects: how many objects were found; None for semantic models.
        outputs: the files written, by kind, relative to the folder of the results.
    """

    image: str
    source: str
    status: str
    model: str
    error: str | None = None
    size: tuple[int, int] | None = None
    window: int | None = None
    objects: int | None = None
    outputs: dict[str, str] = field(default_factory=dict)

    def to_line(self) -> str:
        """The record as one line of JSON, without the fields that say nothing."""
        return (
            json.dumps({key: value for key, value in asdict(self).items() if value not in (None, {})}) + "\n"
        )


class ResultFolder:
    """Writes results, and knows what is done already.

    Args:
        folder: is made when missing.
        classes: names of the classes, for ``predictions.json`` and the overlays.
        palette: one RGB color a class.
        model: identifies the weights, so that results of two models do not mix.
        overlays: whether to draw the predictions over the photos.
        draw_above: score that an object needs to be drawn.
        resume: go on with the results that are there, rather than refuse to touch them.

    Raises:
        UsageError: when there are results already and ``resume`` is not asked for, or they are of another
            model.
        OutputError: when the folder cannot be written to.
    """

    def __init__(
        self,
        folder: Path,
        classes: Sequence[str],
        palette: Palette,
        *,
        model: str = "",
        overlays: bool = True,
        draw_above: float = 0.0,
        resume: bool = False,
    ) -> None:
        self.draw_above = draw_above
        self.folder, self.classes, self.palette, self.model, self.overlays = (
            folder,
            classes,
            palette,
            model,
            overlays,
        )
        self._done: dict[str, str] = {}  # the source of each image that is done, by name
        records = _latest(self._manifest)
        for record in filter(self._is_complete, records):
            if record["model"] != model:  # first, since --resume would not help
                raise UsageError(
                    f"{folder} holds results of another model ({record['model']}, not {model}). Hint:"
                    " choose another --out"
                )
            self._done[record["image"]] = record["source"]
        if self._manifest.exists() and not resume:
            raise UsageError(
                f"{folder} holds results already. Hint: go on with them by --resume, or choose another"
                " folder with --out"
            )
        if resume:
            remove_unfinished(folder)
        _write_lines(
            self._manifest, records
        )  # without the half of a line that a kill may have left at its end
        with writing(self._manifest):
            self._file: IO[str] = open(self._manifest, "a", encoding="utf-8", newline="\n")  # noqa: SIM115 - closed by __exit__

    @property
    def _manifest(self) -> Path:
        return self.folder / MANIFEST

    def __enter__(self) -> ResultFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def is_done(self, image: InputImage) -> bool:
        """Whether an image's results are there.

        Raises:
            UsageError: when results of this name are there, but of an image elsewhere.
        """
        source = self._done.get(image.name)
        if source is not None and source != _source(image):
            raise UsageError(
                f"{self.folder} holds results of another image named {image.name}: {source}, not"
                f" {_source(image)}. Hint: choose another --out"
            )
        return source is not None

    def write(self, image: InputImage, sample: Sample, prediction: Prediction, window: int | None) -> Record:
        """Write the files of one image; may be called from several threads. Does not enter the record in the
        manifest.

        Raises:
            OutputError: when a file cannot be written.
        """
        outputs: dict[str, str] = {}
        for write in registry.functions_for("write", prediction.fields()):
            outputs |= write(prediction, self.folder, image.stem, self.palette)
        if self.overlays:
            outputs["overlay"] = f"overlays/{image.stem}.jpg"
            drawn = overlay(sample.image, confident(prediction, self.draw_above), self.classes, self.palette)
            write_picture(self.folder / outputs["overlay"], _fit_jpeg(drawn))
        objects = None if prediction.instances is None else len(prediction.instances)
        return Record(
            image.name,
            _source(image),
            "ok",
            self.model,
            size=sample.size,
            window=window,
            objects=objects,
            outputs=outputs,
        )

    def failed(self, image: InputImage, error: str) -> Record:
        """The record of an image that could not be predicted."""
        return Record(image.name, _source(image), "failed", self.model, error)

    def append(self, record: Record) -> None:
        """Enter an image in the manifest. From then on it is done, even if the program is killed.

        Raises:
            OutputError: when the manifest cannot be written.
        """
        with writing(self._manifest):
            self._file.write(record.to_line())
            self._file.flush()

    def finish(self, images: Iterable[InputImage]) -> None:
        """Bring the manifest into the order of the images (results of others first) and write
        ``predictions.json``.

        Raises:
            OutputError: when a file cannot be written.
        """
        self._file.close()
        order = {image.name: i for i, image in enumerate(images)}
        kept = (
            record
            for record in _latest(self._manifest)
            if record["status"] != "ok" or self._is_complete(record)
        )
        ordered = sorted(kept, key=lambda record: order.get(record["image"], -1))  # stable
        _write_lines(self._manifest, ordered)
        with atomic_write(self.folder / PREDICTIONS, "w") as file:
            for piece in self._predictions(ordered):
                file.write(piece)

    def _is_complete(self, record: dict[str, Any]) -> bool:
        outputs = record["outputs"] if record["status"] == "ok" else {}
        missing_overlay = self.overlays and "overlay" not in outputs
        return (
            bool(outputs)
            and not missing_overlay
            and all((self.folder / path).is_file() for path in outputs.values())
        )

    def _predictions(self, records: list[dict[str, Any]]) -> Iterator[str]:
        """``predictions.json`` piece by piece, one entry a line, so that memory holds the objects of one
        image at a time.
        """
        done = [record for record in records if record["status"] == "ok"]
        categories = ({"id": i, "name": name} for i, name in enumerate(self.classes, start=1))
        yield from _array('{"images": [', (_image_entry(i, record) for i, record in enumerate(done, start=1)))
        yield from _array('],\n"categories": [', categories)
        yield from _array('],\n"annotations": [', self._annotations(done))
        yield "]}\n"

    def _annotations(self, records: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        number = 0
        for image_id, record in enumerate(records, start=1):
            if "instances" in record["outputs"]:
                for entry in json.loads(
                    (self.folder / record["outputs"]["instances"]).read_text(encoding="utf-8")
                ):
                    number += 1
                    yield {"id": number, "image_id": image_id, **entry}


def _source(image: InputImage) -> str:
    return os.path.abspath(image.path)  # without the dots of a path given as ../photos


def _latest(manifest: Path) -> list[dict[str, Any]]:
    """The records of a manifest, the last one where an image has several; a line that was cut off by a kill
    is dropped.
    """
    records: dict[str, dict[str, Any]] = {}
    if manifest.exists():
        with open(manifest, encoding="utf-8", errors="replace") as file:
            for line in file:
                try:
                    record = json.loads(line)
                    records[record["image"]] = {
                        "model": "",
                        "outputs": {},
                        "source": "",
                        **record,
                        "status": record["status"],
                    }
                except (ValueError, KeyError, TypeError):
                    continue
    return list(records.values())


def _write_lines(manifest: Path, records: Iterable[dict[str, Any]]) -> None:
    known = Record.__dataclass_fields__
    with atomic_write(manifest, "w") as file:
        file.writelines(
            Record(**{key: value for key, value in record.items() if key in known}).to_line()
            for record in records
        )


def _array(opening: str, entries: Iterable[dict[str, Any]]) -> Iterator[str]:
    yield opening
    separator = "\n"
    for entry in entries:
        yield separator + json.dumps(entry)
        separator = ",\n"


def _image_entry(number: int, record: dict[str, Any]) -> dict[str, Any]:
    height, width = record["size"]
    entry = {"id": number, "file_name": record["image"], "width": width, "height": height}
    inside = ("instances", "overlay")  # the former are among the annotations
    return entry | {kind: path for kind, path in record["outputs"].items() if kind not in inside}


def _fit_jpeg(picture: Picture) -> Picture:
    height, width = picture.shape[:2]
    scale = JPEG_SIDE / max(height, width)
    if scale >= 1:
        return picture
    size = max(1, int(width * scale)), max(1, int(height * scale))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
