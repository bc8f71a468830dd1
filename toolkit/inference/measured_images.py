"""The images that predictions on disk belong to: where they are, and their pixels."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError
from torch import Tensor

from toolkit.config.scale import Scale
from toolkit.data.georeference import Georeference, georeference
from toolkit.data.image_files import IMAGE_SUFFIXES, RESULT_MANIFEST
from toolkit.errors import DataError, ImageError
from toolkit.inference.reading import read_again
from toolkit.inference.records import latest_records
from toolkit.inference.result_options import ABOUT
from toolkit.reading.fields import shown
from toolkit.reading.files import is_there
from toolkit.reading.json_text import load_json
from toolkit.types import Size

MOST_PIXELS = 1 << 26
"""Larger images are not read for their colors alone."""


class MeasuredImages:
    """The images of predictions, in a folder, or where ``toolkit infer`` read them.

    Args:
        document: the ``predictions.json``.
        folder: the folder of the images; None for where ``toolkit infer`` read them.

    Raises:
        DataError: when the manifest beside the document, or the scale in ``about.json``, cannot be read.
    """

    def __init__(self, document: Path, folder: Path | None) -> None:
        self._document, self._folder = document, folder
        found = latest_records(document.parent / RESULT_MANIFEST) if folder is None else []
        self._sources = {record["image"]: record["source"] for record in found}
        self._scale = _scale_beside(document)

    def require(self) -> None:
        """Check that it is known where the images are.

        Raises:
            DataError: when it is not.
        """
        if self._folder is None and not self._sources:
            raise DataError(
                f"{self._document} does not say where its images are. Hint: name their folder: --images DIR"
            )

    def path(self, name: str) -> Path | None:
        """The file of an image; None if it is not known, or not there."""
        path = self._expected(name)
        return path if path is not None and is_there(path) else None

    def is_readable(self, name: str) -> bool:
        """Whether an image is there as a file."""
        path = self.path(name)
        return path is not None and path.suffix.lower() in IMAGE_SUFFIXES

    def is_small(self, name: str, size: Size) -> bool:
        """Whether an image is there as a file, and may be read at once."""
        return size[0] * size[1] <= MOST_PIXELS and self.is_readable(name)

    def read(self, name: str, size: Size) -> Tensor:
        """The image of a prediction of this size, uint8 ``[3, H, W]``.

        Raises:
            DataError: when it is not there, cannot be read, or has another size.
        """
        path = self.path(name)
        if path is None:
            raise DataError(
                f"{self._expected(name) or name} is not there, but {name} was predicted. Hint: name the"
                " folder of the images: --images DIR"
            )
        return read_again(path, size, self._scale)

    def _expected(self, name: str) -> Path | None:
        if self._folder is not None:
            return self._folder / name
        source = self._sources.get(name)
        return Path(source) if source else None


def _scale_beside(document: Path) -> Scale | None:
    """The scale by which ``toolkit infer`` read the images; None without one."""
    about = document.parent / ABOUT
    if not is_there(about):
        return None
    content = load_json(about, "what is known of results", DataError)
    model = content.get("model") if isinstance(content, dict) else None
    given = model.get("scale") if isinstance(model, dict) else None
    try:
        return None if given is None else Scale.model_validate(given)
    except ValidationError:
        raise DataError(
            f"{about} has the scale {shown(given)}, which is damaged. Hint: predict the images again"
        ) from None


def place_of(path: Path | None) -> tuple[Georeference | None, str]:
    """Where an image lies on a map, None if its file does not say; and why it cannot be told, if it says
    something else.
    """
    try:
        found = None if path is None else georeference(path)
    except ImageError:
        return None, ""
    if found is not None and found.transform is None:
        return None, f"{path} is a GeoTIFF, but {found.fault}: its polygons are in pixels"
    return found, ""
