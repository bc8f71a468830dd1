"""The heat maps of a folder that ``toolkit explain`` wrote, for the page to show over its images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from toolkit.data.image_files import EXPLANATIONS
from toolkit.errors import DataError
from toolkit.reading.fields import Number, Schema
from toolkit.reading.files import read_bytes
from toolkit.reading.json_text import load_json
from toolkit.reading.records import record
from toolkit.runtime.confine import inside
from toolkit.serve.errors import RequestError

MOST_BYTES = 128 << 20
"""The largest map that is sent: 64 megapixels of 16 bits."""


class _Image(Schema):
    image: str
    method: str = ""
    target: dict[str, Any] = Field(default_factory=dict)
    range: list[Number] = Field(default_factory=lambda: [0.0, 1.0], min_length=2, max_length=2)
    outputs: dict[str, str] = Field(default_factory=dict)


class _Document(Schema):
    """As far as the page uses it."""

    images: list[_Image]


class ExplanationFolder:
    """The explanations of images, by their names.

    Args:
        folder: that was given to ``toolkit explain`` as ``--out``.

    Raises:
        DataError: when there are no explanations in it, or they are damaged.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / EXPLANATIONS
        if not path.is_file():
            raise DataError(
                f"--explanations {folder} has no {EXPLANATIONS}. Hint: name the folder that toolkit explain"
                " wrote, its --out"
            )
        document = record(
            load_json(path, "explanations", DataError), _Document, source=str(path), error=DataError
        )
        self.folder = folder
        self._images: dict[str, list[_Image]] = {}
        for image in document.images:
            if "map" in image.outputs:
                self._images.setdefault(image.image, []).append(image)

    def maps(self, name: str) -> list[dict[str, Any]]:
        """The maps of an image: ``name`` and ``range``, its smallest and its largest value."""
        return [
            {"name": ": ".join(filter(None, (each.method, _target(each)))), "range": each.range}
            for each in self._images.get(name, ())
        ]

    def picture(self, name: str, number: int) -> bytes:
        """A map as a gray PNG of 16 bits, from its smallest to its largest value.

        Args:
            name: the image.
            number: of the map, from 0.

        Raises:
            RequestError: 404, when there is no such map.
            DataError: when its file cannot be read, or is not in the folder.
        """
        found = self._images.get(name, [])
        if not 0 <= number < len(found):
            raise RequestError(
                404, f"there is no map {number} of {name!r}. Hint: GET /api/explanations lists them"
            )
        return read_bytes(
            inside(self.folder, found[number].outputs["map"]), "a map", DataError, most=MOST_BYTES
        )


def _target(image: _Image) -> str:
    found = image.target.get("class", image.target.get("kind", ""))
    return str(found)
