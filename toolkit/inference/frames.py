"""The frames of a video, one at a time: a video file, or a folder of images."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2

from toolkit.config.scale import Scale
from toolkit.data.image_files import IMAGE_SUFFIXES, images_in
from toolkit.data.images import as_read, read_image
from toolkit.errors import DataError, UsageError
from toolkit.inference.videos import frame_tensor, no_video
from toolkit.types import Sample


class FrameFolder(Sequence[Sample]):
    """The images of a folder, in the order of the numbers in their names (``2.jpg`` before ``10.jpg``);
    hidden files, and anything that is not a regular file, are left out.

    Raises:
        UsageError: when there are no images.
        DataError: on access, when one does not have the size of the first one.
        ImageError: on access, when one cannot be read.
    """

    def __init__(self, folder: Path, scale: Scale | None = None) -> None:
        self._scale = scale
        try:
            self.paths = sorted(images_in(folder), key=_natural)
        except OSError as error:
            reason = error.strerror or error
            raise UsageError(f"{folder} cannot be read: {reason}. Hint: change its permissions") from error
        if not self.paths:
            raise UsageError(
                f"{folder} contains no images ({', '.join(sorted(IMAGE_SUFFIXES))}). Hint: give a video or a"
                " folder of frames"
            )
        self.names = tuple(path.name for path in self.paths)
        self._size = tuple(read_image(self.paths[0], scale).shape[1:])

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: Any) -> Any:
        path = self.paths[index]
        image = read_image(path, self._scale)
        if tuple(image.shape[1:]) != self._size:
            ours, first = (f"{width} × {height}" for height, width in (tuple(image.shape[1:]), self._size))
            raise DataError(
                f"{path} is {ours} pixels (width × height), but the first frame {self.names[0]} is {first}"
            )
        return Sample(self.names[index], image, path=str(path))


class VideoFile(Sequence[Sample]):
    """The frames of a video that OpenCV can decode, named by their numbers, which count from 0.

    Raises:
        DataError: when it cannot be decoded, or has no frames.
    """

    def __init__(self, path: Path, scale: Scale | None = None) -> None:
        self.path, self._scale = path, scale
        self._last: tuple[int, Sample | None] = (-1, None)
        self._open()
        count = 0
        while self._capture.grab():  # the number in the header is often wrong
            count += 1
        if not count:
            raise DataError(no_video(path))
        self.names = tuple(f"{index:06d}" for index in range(count))
        self._open()

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(index)
        if index != self._last[0]:
            if index < self._next:
                self._open()
            while self._next < index:
                self._capture.grab()
                self._next += 1
            decoded, pixels = self._capture.read()
            self._next += 1
            if not decoded:
                raise DataError(
                    f"{self.path}: frame {index} of {len(self)} cannot be decoded. Hint: copy or convert"
                    " the video again"
                )
            where = f"{self.path}, frame {index}"
            image = as_read(frame_tensor(pixels), where, self._scale).pixels.contiguous()
            self._last = index, Sample(self.names[index], image, path=where)
        return self._last[1]

    def _open(self) -> None:
        self._capture = cv2.VideoCapture(str(self.path))
        self._next = 0  # the frame that the next read returns


def open_frames(path: Path, scale: Scale | None = None) -> FrameFolder | VideoFile:
    """The frames of a video file, or of a folder of images, by the scale of a model.

    Raises:
        UsageError: when there is no such file, or no image in the folder.
        DataError: when the video cannot be decoded.
    """
    if path.is_dir():
        return FrameFolder(path, scale)
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} is neither a file nor a folder. Hint: give a video or a folder of frames")
    if not path.is_file():
        raise UsageError(f"{path} does not exist. Hint: give a video or a folder of frames")
    return VideoFile(path, scale)


def _natural(path: Path) -> list[tuple[int, str]]:
    # Not every digit, such as ², is a decimal that can be converted to a number.
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", path.name)]
