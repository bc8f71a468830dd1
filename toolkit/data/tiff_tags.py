"""Reads the tags of the first image of a TIFF file, without its pixels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, BinaryIO, cast

from PIL import TiffImagePlugin

from toolkit.data.bounded_file import BoundedFile
from toolkit.data.image_files import FilePath, open_image_file

_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def tiff_tags(path: FilePath) -> Mapping[int, Any]:
    """The tags by their numbers; those that cannot be read are left out. Empty for a file of another format.

    Raises:
        ImageError: when the file cannot be opened.
    """
    with open_image_file(path) as (file, size):
        return _tags(file, size)


def _tags(file: BinaryIO, size: int) -> dict[int, Any]:
    start = file.read(16)
    if not start.startswith(_MAGIC):
        return {}
    try:
        # The header of a BigTIFF has 16 bytes.
        directory = TiffImagePlugin.ImageFileDirectory_v2(start if 43 in start[2:4] else start[:8])
        reader = BoundedFile(file, size)
        reader.seek(directory.next)
        directory.load(cast(Any, reader))
    except Exception:  # what Pillow raises for damaged tags is not documented
        return {}
    found = {}
    for number in directory:
        try:
            found[number] = directory[number]
        except Exception:  # as above
            continue
    return found
