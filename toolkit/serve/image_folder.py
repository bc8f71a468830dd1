"""The folder of images. Requests name images by their paths below it, and a name is looked up among those
that were found there, so that no request leads anywhere else.
"""

from __future__ import annotations

import io
import logging
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from toolkit.config.scale import Scale
from toolkit.data.image_files import ImageSearch, open_image_file
from toolkit.data.image_headers import Header, check_budget, read_header
from toolkit.data.images import decode_image, read_image
from toolkit.errors import ImageError, UsageError
from toolkit.serve.errors import RequestError
from toolkit.serve.options import Limits
from toolkit.types import Sample, Size
from toolkit.wording import counted

logger = logging.getLogger("toolkit")

FRESH_SECONDS = 2.0
"""For so long, the folder is not searched again."""

TIMES = 10
"""Nor for so many times as long as the search took."""

SHOWN_BY_BROWSERS = {"JPEG": "image/jpeg", "PNG": "image/png", "WebP": "image/webp"}
_MODES = ("L", "RGB", "P", "1")
"""Modes that browsers show as ``infer`` sees them: opaque, with 8 bits."""


@dataclass(frozen=True)
class Displayed:
    """An image for a browser.

    Attributes:
        data: a file.
        media_type: of the file.
    """

    data: bytes
    media_type: str


class ImageFolder:
    """The images below a folder.

    Args:
        folder: links in it that lead elsewhere are left out.
        limits: of the number of pixels.

    Raises:
        UsageError: when there is no such folder.
    """

    def __init__(self, folder: Path, limits: Limits) -> None:
        if not folder.is_dir():
            raise UsageError(f"--images {folder} is not a folder. Hint: give the folder of your images")
        self.folder, self._limits = Path(os.path.realpath(folder)), limits
        self._lock = threading.Lock()
        self._found: dict[str, Path] = {}
        self._searched, self._took = float("-inf"), 0.0
        self._told = False

    def names(self) -> Sequence[str]:
        """The names of all images, in the order of ``toolkit infer``; the folder is searched again if this
        was some seconds ago.
        """
        return list(self._current(FRESH_SECONDS))

    def path(self, name: str) -> Path:
        """The file of an image.

        Raises:
            RequestError: 404, when there is no image of this name.
        """
        found = self._found.get(name) or self._current(FRESH_SECONDS).get(name)
        if found is None:
            raise RequestError(
                404, f"there is no image {name!r} in the folder. Hint: GET /api/images lists them"
            )
        return found

    def sample(self, name: str, scale: Scale | None = None) -> Sample:
        """An image as ``toolkit infer`` reads it with a model of this scale.

        Raises:
            RequestError: 404 and 413, for an unknown name and an image that is too large.
            ImageError: when it cannot be read.
        """
        path = self.path(name)
        with _naming(path, name):
            self.size(name)
            return Sample(name, read_image(path, scale), path=str(path))

    def size(self, name: str) -> Size:
        """Height and width as displayed, from the header; ``sample`` describes the errors."""
        path = self.path(name)
        with _naming(path, name), open_image_file(path) as (file, size):
            header = read_header(path, file, size)
            check_pixels(header.pixels, self._limits, name)
            check_budget(header, 3)
            return header.size()

    def displayed(self, name: str, scale: Scale | None = None) -> Displayed:
        """An image as a browser can show it, in the orientation and with the colors that models see; the file
        itself if possible. ``sample`` describes the errors.
        """
        path = self.path(name)
        with _naming(path, name), open_image_file(path) as (file, size):
            header = read_header(path, file, size)
            check_pixels(header.pixels, self._limits, name)
            check_budget(header, 3)
            if _is_shown_alike(header):
                file.seek(0)
                return Displayed(file.read(), SHOWN_BY_BROWSERS[header.format])
            lossy = header.format in ("JPEG", "JPEG 2000")
        pixels = Image.fromarray(self.sample(name, scale).image.permute(1, 2, 0).numpy())
        data = io.BytesIO()
        if lossy:
            pixels.save(data, "JPEG", quality=95, subsampling=0)
        else:
            pixels.save(data, "PNG", compress_level=1)
        return Displayed(data.getvalue(), "image/jpeg" if lossy else "image/png")

    def _current(self, seconds: float) -> dict[str, Path]:
        with self._lock:
            start = time.monotonic()
            if start - self._searched > max(seconds, TIMES * self._took):
                self._found = self._search()
                self._searched = time.monotonic()
                self._took = self._searched - start
            return self._found

    def _search(self) -> dict[str, Path]:
        found: dict[str, Path] = {}
        inside: dict[Path, bool] = {}
        left_out = 0
        for each in ImageSearch((self.folder,)).below(self.folder):
            if each.error:
                continue
            name = each.path.relative_to(self.folder).as_posix()
            parent = each.path.parent
            if parent not in inside:
                inside[parent] = self._holds(parent)
            holds = self._holds(each.path) if each.path.is_symlink() else inside[parent]
            if holds and _can_be_asked_for(name):
                found[name] = each.path
            else:
                left_out += 1
        if left_out and not self._told:
            self._told = True
            logger.warning(
                "%s left out: links that lead out of %s, or names that are not UTF-8",
                counted(left_out, "image"),
                self.folder,
            )
        return found

    def _holds(self, path: Path) -> bool:
        """Whether a path leads to a place in the folder."""
        return Path(os.path.realpath(path)).is_relative_to(self.folder)


def uploaded(data: bytes, name: str, limits: Limits, scale: Scale | None = None) -> Sample:
    """An image from the body of a request, by the scale of the model.

    Raises:
        RequestError: 413, when it has too many pixels.
        ImageError: when it cannot be read.
    """
    header = read_header(name, io.BytesIO(data), len(data))
    check_pixels(header.pixels, limits, name)
    return Sample(name, decode_image(data, name, scale))


def check_pixels(pixels: int, limits: Limits, name: str) -> None:
    """Refuse an image that is too large to be served.

    Raises:
        RequestError: 413.
    """
    if pixels > limits.pixels:
        raise RequestError(
            413,
            f"{name} has {pixels:,} pixels, more than the {limits.pixels:,} that are served. Hint: make it"
            " smaller, or start the server with a larger --max-pixels",
        )


def _can_be_asked_for(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_shown_alike(header: Header) -> bool:
    """Whether a browser shows the pixels that models see."""
    image = header.image
    return (
        header.format in SHOWN_BY_BROWSERS
        and header.orientation() == 1
        and image.mode in _MODES
        and "transparency" not in image.info
        and "pages" not in header.notes()
    )


class _naming:  # noqa: N801 - a context manager, used like a function
    """Errors about a file name the image as requests do, and not its place on this machine."""

    def __init__(self, path: Path, name: str) -> None:
        self._path, self._name = str(path), name

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ImageError):
            raise ImageError(str(error).replace(self._path, self._name)) from error
