"""Lists of images in files, read as they are needed: millions of names, none of which are kept."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from toolkit.errors import UsageError
from toolkit.inference.inputs import InputImage, LaterImages
from toolkit.inference.name_digests import NameSet
from toolkit.inference.sources import RemoteImage, file_name
from toolkit.inference.store_images import store_image
from toolkit.reading.line_stream import count_lines, text_lines
from toolkit.reading.parquet_names import count_parquet, is_parquet, parquet_names
from toolkit.runtime.remote import is_url
from toolkit.runtime.stores import host_and_path, is_store

_WHAT = "names of images"
_PLAIN = re.compile(r"/?[^/.:][^/:]*(?:/[^/.:][^/:]*)*")
# A path of which the name is known without taking it apart.


@dataclass(frozen=True)
class ImageList(LaterImages):
    """A text file with one path or address of an image per line, or a Parquet file with one per row::

        toolkit.predict_folder("runs/unet", ImageList("names.txt"), "results")

    Paths are relative to the current folder. An image is named as in its line, without a leading ``/`` or
    ``./``, and results keep its suffix (``photos/a.jpg.png``), so that names are unique without knowing the
    others. A line that comes again is left out.

    Attributes:
        path: the file; of a Parquet file, the only column is read, or ``path``, ``url`` or ``image``.
    """

    path: Path

    def __iter__(self) -> Iterator[InputImage]:
        """The images, one after another.

        Raises:
            UsageError: when the file cannot be read, or is not text.
        """
        seen = NameSet()
        for line in self._lines():
            image = _image(line)
            if seen.add(image.name):
                yield image

    def names(self) -> Iterator[str]:
        """The names of the images, with those that come again."""
        return map(_name, self._lines())

    def _lines(self) -> Iterator[str]:
        if is_parquet(self.path):
            return parquet_names(self.path, _WHAT, UsageError)
        return text_lines(self.path, _WHAT, UsageError)

    def check(self) -> int:
        """Look at the file before anything is done.

        Returns:
            Its number of lines, about the number of images.

        Raises:
            UnavailableError: when it is a Parquet file, and the library for these is not installed.
            UsageError: when the file cannot be read, is not text, or names nothing.
        """
        if next(self._lines(), None) is None:
            raise UsageError(f"{self.path} names no image. Hint: write one path or URL per line")
        count = count_parquet if is_parquet(self.path) else count_lines
        return count(self.path, _WHAT, UsageError)


def _image(line: str) -> InputImage:
    name = _name(line)
    if is_store(line):
        return store_image(line, name)
    if is_url(line):
        return RemoteImage(Path(name), name, name, unique=True, url=line)
    return InputImage(Path(line), name, name, unique=True)


def _name(line: str) -> str:
    """What the image of a line is called."""
    if os.name == "posix" and _PLAIN.fullmatch(line):  # most of millions
        return line.removeprefix("/")
    if is_store(line):
        return file_name(host_and_path(line).replace(":", "_"))
    if is_url(line):
        parts = urlsplit(line)
        query = f"_{parts.query}" if parts.query else ""
        return file_name(f"{parts.netloc}{unquote(parts.path)}{query}".replace(":", "_"))
    path = Path(line)
    name = posixpath.normpath(path.as_posix())
    if name.startswith("../"):
        name = posixpath.normpath(path.absolute().as_posix())
    return name.removeprefix(Path(name).anchor) or line
