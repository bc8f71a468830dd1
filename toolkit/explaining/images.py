"""The images that are explained: those of files and folders, or of a dataset."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from toolkit.config.scale import Scale
from toolkit.data.dataset import Dataset
from toolkit.errors import DataError, UsageError
from toolkit.inference.inputs import InputImage
from toolkit.inference.reading import read_input
from toolkit.inference.sources import find_inputs
from toolkit.types import Sample


@dataclass(frozen=True)
class ImageToExplain:
    """An image that is not read yet.

    Attributes:
        name: its name in the results.
        source: where it is.
        stem: the name of its files, without suffix.
        read: returns the image, or None and why it could not be read.
    """

    name: str
    source: str
    stem: str
    read: Callable[[], tuple[Sample | None, str]]


def images_of(
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], out: Path, scale: Scale | None = None
) -> list[ImageToExplain]:
    """The images that files, folders and patterns refer to, without those in ``out``, read by a scale.

    Raises:
        UsageError: when there are none, or one is a video or a camera.
    """
    words = [paths] if isinstance(paths, (str, os.PathLike)) else paths
    inputs = find_inputs(words, exclude=out)
    if inputs.streams:
        raise UsageError(
            f"{inputs.streams[0].name} is a video or a camera, whose frames are not explained. Hint: save the"
            " frames as images, and give these"
        )
    return [
        ImageToExplain(each.name, each.source, each.stem, partial(_read, each, scale))
        for each in inputs.images
    ]


def _read(image: InputImage, scale: Scale | None) -> tuple[Sample | None, str]:
    read = read_input(image, scale=scale)
    return read.sample, read.error


def samples_of(data: Dataset) -> list[ImageToExplain]:
    """The images of a dataset, with their truth."""

    def read(number: int) -> tuple[Sample | None, str]:
        try:
            return data[number], ""
        except DataError as error:
            return None, str(error)

    return [ImageToExplain(name, name, name, partial(read, number)) for number, name in enumerate(data.ids)]
