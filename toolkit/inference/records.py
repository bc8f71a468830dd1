"""The lines of ``manifest.jsonl``: what became of each image."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from toolkit.inference.findings import Findings
from toolkit.runtime.files import atomic_write


@dataclass(frozen=True)
class Record:
    """A line of the manifest.

    Attributes:
        image: the image's name in the results.
        source: where the image was, as an absolute path or an address.
        status: ``"ok"`` or ``"failed"``.
        model: the plugin and a hash of the weights.
        error: why it failed.
        size: height and width in pixels; None when the image could not be read.
        window: side of the sliding window in pixels, when there was one.
        objects: how many objects were found; None for semantic models.
        found: how many of them are drawn, by class.
        best_score: the highest score of any object.
        pixels: of a label map, how many pixels each class has.
        outputs: the files written, by kind, relative to the folder of the results.
        sizes: of these files in bytes, by kind.
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

    def to_line(self) -> str:
        """The record as one line of JSON, without the fields that say nothing."""
        return (
            json.dumps({key: value for key, value in asdict(self).items() if value not in (None, {})}) + "\n"
        )

    @property
    def findings(self) -> Findings:
        """What was found in the image."""
        return Findings(
            self.objects, self.found, self.best_score, self.pixels, has_label_map="label_map" in self.outputs
        )


def latest_records(manifest: Path) -> list[dict[str, Any]]:
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


def write_records(manifest: Path, records: Iterable[dict[str, Any]]) -> None:
    """Write a manifest anew, with what is known of each field.

    Raises:
        OutputError: when the file cannot be written.
    """
    known = Record.__dataclass_fields__
    with atomic_write(manifest, "w") as file:
        file.writelines(
            Record(**{key: value for key, value in record.items() if key in known}).to_line()
            for record in records
        )
