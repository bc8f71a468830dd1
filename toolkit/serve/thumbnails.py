"""Small pictures of the images for the list of the page, made when they are asked for. They are kept in
memory, within a bound, and not on the disk, where they would have to be found, renewed and removed.
"""

from __future__ import annotations

import io
import threading
from collections import OrderedDict

from PIL import Image, ImageOps

from toolkit.config.scale import Scale
from toolkit.data.image_files import open_image_file
from toolkit.data.image_headers import check_budget, read_header
from toolkit.serve.image_folder import ImageFolder

SIDE = 96
"""Longest side, in pixels."""

MOST_BYTES = 32 << 20
"""Memory for those that are kept: some 10,000."""

_Key = tuple[str, Scale | None, int, int]


class Thumbnails:
    """The thumbnails of the images of a folder.

    Args:
        images: the folder.
        most_bytes: of those that are kept; the ones that were not asked for longest are forgotten first.
    """

    def __init__(self, images: ImageFolder, most_bytes: int = MOST_BYTES) -> None:
        self._images, self._most = images, most_bytes
        self._kept: OrderedDict[_Key, bytes] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, name: str, scale: Scale | None = None) -> bytes:
        """A JPEG of at most ``SIDE`` pixels per side, in the orientation and with the colors that models see.

        Raises:
            RequestError: 404 and 413, for an unknown name and an image that is too large.
            ImageError: when it cannot be read.
        """
        self._images.size(name)
        state = self._images.path(name).stat()
        key = (name, scale, state.st_mtime_ns, state.st_size)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        data = io.BytesIO()
        self._small(name, scale).save(data, "JPEG", quality=80)
        self._keep(key, data.getvalue())
        return data.getvalue()

    def _keep(self, key: _Key, data: bytes) -> None:
        with self._lock:
            self._bytes += len(data) - len(self._kept.pop(key, b""))
            self._kept[key] = data
            while self._bytes > self._most:
                _, old = self._kept.popitem(last=False)
                self._bytes -= len(old)

    def _small(self, name: str, scale: Scale | None) -> Image.Image:
        found = self._from_jpeg(name)
        if found is None:
            found = Image.fromarray(self._images.sample(name, scale).image.permute(1, 2, 0).numpy())
        found.thumbnail((SIDE, SIDE))
        return found

    def _from_jpeg(self, name: str) -> Image.Image | None:
        """The image at a fraction of its size, which JPEGs can be decoded at in a tenth of the time; None for
        others, and those that are not whole.
        """
        path = self._images.path(name)
        with open_image_file(path) as (file, size):
            header = read_header(path, file, size)
            image = header.image
            if header.format != "JPEG" or image.mode not in ("L", "RGB"):
                return None
            check_budget(header, 3)
            try:
                image.draft("RGB", (2 * SIDE, 2 * SIDE))
                return ImageOps.exif_transpose(image).convert("RGB")
            except (OSError, SyntaxError, ValueError):
                # the reader of whole images says what is wrong
                return None
