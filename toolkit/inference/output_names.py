"""The names of the files of results: each is of one image."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolkit.errors import DataError
from toolkit.inference.inputs import InputImage
from toolkit.inference.outputs import stem_of
from toolkit.runtime.confine import check_name


class OutputNames:
    """Which image the outputs of a name are of.

    Args:
        folder: of the results.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._images: dict[str, str] = {}

    def keep(self, record: Mapping[str, Any]) -> None:
        """Take down the names of an image that is done, from its record in the manifest."""
        for stem in {stem_of(path) for path in record["outputs"].values()} - {record["image"]}:
            self._images.setdefault(stem, record["image"])

    def claim(self, image: InputImage) -> None:
        """Make sure that the outputs of an image lie in the folder, and replace those of no other image.

        Raises:
            DataError: when they do not, or would.
        """
        check_name(self._folder, image.stem)
        if image.unique:
            return
        other = self._images.setdefault(image.stem, image.name)
        if other != image.name:
            raise DataError(
                f"the results of {image.name} would have the same name, {image.stem}, as those of {other}."
                " Hint: rename one of the two, or give each a separate --out"
            )
