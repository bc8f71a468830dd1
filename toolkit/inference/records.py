"""The lines of ``manifest.jsonl``: the result of each image."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, ValidationError

from toolkit.errors import DataError
from toolkit.inference.findings import Findings
from toolkit.reading.fields import AnyText, Count, Name, Number, Schema, Text, below
from toolkit.reading.files import read_bytes
from toolkit.reading.records import judge
from toolkit.runtime.files import atomic_write, writing

PARTS = "manifests"
"""The folder, in that of the results, with a manifest of each of several processes."""


_SHORT = 4000  # bytes of a line


@dataclass(frozen=True)
class Record:
    """A line of the manifest.

    Attributes:
        image: the image's name in the results.
        source: the absolute path or the address of the image.
        status: ``"ok"`` or ``"failed"``.
        model: the plugin and a hash of the weights.
        error: why it failed.
        size: height and width in pixels; None when the image could not be read.
        window: side of the sliding window in pixels, if there was one.
        objects: number of objects found; None for semantic models.
        found: number of objects drawn, by class.
        best_score: the highest score of any object.
        pixels: for a label map, the number of pixels of each class.
        outputs: the files written, by kind, relative to the folder of the results.
        sizes: sizes of these files in bytes, by kind.
        source_bytes, source_modified: size of the image's file, and the time of its last change, in
        nanoseconds since
            1970, so that another image under the same path is predicted again; None if unknown.
        notes: what in the file is not in the prediction, see ``toolkit.data.images.Picture``.
        actor: which of several processes predicted it.
        frame: the number of the frame in a video through which objects were tracked, from 0.
    """

    image: str
    source: str
    status: str
    model: str
    error: str | None = None
    size: tuple[int, int] | None = None
    window: int | None = None
    objects: int | None = None
    found: Mapping[str, int] = field(default_factory=dict)
    best_score: float | None = None
    pixels: Mapping[str, int] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    source_bytes: int | None = None
    source_modified: int | None = None
    notes: Mapping[str, str] = field(default_factory=dict)
    actor: str | None = None
    frame: int | None = None

    def to_line(self) -> str:
        """The record as one line of JSON, without empty fields."""
        return (
            json.dumps({key: value for key, value in asdict(self).items() if value not in (None, {})}) + "\n"
        )

    @property
    def findings(self) -> Findings:
        """What was found in the image."""
        return Findings(
            self.objects, self.found, self.best_score, self.pixels, has_label_map="label_map" in self.outputs
        )


def _not_empty(value: str) -> str:
    if not value:
        raise ValueError("should not be empty")
    return value


class _Line(Schema):
    """The required fields of a line of the manifest; other fields are kept, so that those of a newer version
    are not lost.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    # File names may not be UTF-8, which Python represents by lone surrogates.
    image: Annotated[AnyText, AfterValidator(_not_empty)]
    status: Name
    source: AnyText = ""
    model: Text = ""
    error: AnyText | None = None
    size: Annotated[list[Annotated[Count, Field(gt=0)]], Field(min_length=2, max_length=2)] | None = None
    window: Count | None = None
    objects: Count | None = None
    found: Mapping[str, Count] = Field(default_factory=dict)
    best_score: Number | None = None
    pixels: Mapping[str, Count] = Field(default_factory=dict)
    outputs: Mapping[str, Annotated[AnyText, AfterValidator(below)]] = Field(default_factory=dict)
    sizes: Mapping[str, Count] = Field(default_factory=dict)
    source_bytes: Count | None = None
    source_modified: int | None = None
    notes: Mapping[str, Text] = Field(default_factory=dict)
    actor: Text | None = None
    frame: Count | None = None


def latest_records(*manifests: Path) -> list[dict[str, Any]]:
    """The records of manifests, the last one if an image has several. A line that was cut off by a kill, or
    is not a record, is dropped, so that its image is predicted again.

    Raises:
        DataError: when a manifest cannot be read.
    """
    latest: dict[str, dict[str, Any]] = {}
    for manifest in filter(Path.exists, manifests):
        for line in read_bytes(manifest, "the records of a folder of results", DataError).splitlines():
            record = record_of(line)
            if record is not None:
                latest[record["image"]] = record
    return list(latest.values())


def parts_of(folder: Path) -> list[Path]:
    """The manifests of the processes that write into a folder of results together, the oldest first."""
    return sorted((folder / PARTS).glob("*.jsonl"), key=lambda path: (path.stat().st_mtime_ns, path.name))


def remove_parts(folder: Path) -> None:
    """Remove these manifests, once what they say is in the manifest of the folder.

    Raises:
        OutputError: when one cannot be removed.
    """
    for path in parts_of(folder):
        with writing(path):
            path.unlink(missing_ok=True)
    # Not empty, or not there.
    with contextlib.suppress(OSError):
        (folder / PARTS).rmdir()


def record_of(line: bytes) -> dict[str, Any] | None:
    """The record of a line of a manifest; None if it is none, such as one that was cut off by a kill."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    found, faults = judge(value, _Line)
    if faults or not found.image or (found.status == "ok" and found.size is None):
        return None
    return completed(value)


def outline_of(line: bytes) -> tuple[str, str] | None:
    """The name of the image and the status of the record of a line; None if it is none, as ``record_of``
    says, in a third of its time.
    """
    # A longer one may hold what the parser here accepts, and that of ``record_of`` does not.
    if len(line) <= _SHORT:
        with contextlib.suppress(ValidationError):
            found = _Line.model_validate_json(line)
            if found.image and (found.status != "ok" or found.size is not None):
                return found.image, found.status
    record = record_of(line)
    return None if record is None else (record["image"], record["status"])


def completed(value: Mapping[str, Any]) -> dict[str, Any]:
    """A record with the fields that every record has."""
    given = {key: item for key, item in value.items() if item is not None}
    return {"model": "", "outputs": {}, "source": "", **given}


def write_records(manifest: Path, lines: Iterable[bytes]) -> None:
    """Rewrite a manifest.

    Args:
        manifest: the file.
        lines: one for each record.

    Raises:
        OutputError: when the file cannot be written.
    """
    with atomic_write(manifest) as file:
        file.writelines(lines)
