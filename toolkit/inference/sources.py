"""Further inputs of a command besides files and folders: addresses of images, a list on standard input,
videos, and cameras.
"""

from __future__ import annotations

import glob
import hashlib
import itertools
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import IO
from urllib.parse import unquote, urlsplit

import cv2
from torch import Tensor

from toolkit.config.scale import Scale
from toolkit.data.image_files import ImageSearch
from toolkit.data.images import Picture, as_read, decode_picture
from toolkit.errors import DownloadError, UsageError
from toolkit.inference.inputs import FileState, InputImage, LaterImages, find_images, search_of, with_stems
from toolkit.inference.store_images import stores_of
from toolkit.inference.videos import frame_tensor, no_video
from toolkit.runtime.remote import check_address, fetch_bytes, is_url
from toolkit.runtime.stores import is_store

VIDEO_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv"})
"""Suffixes of video files that are given directly; folders are not searched for them."""

STANDARD_INPUT = "-"
_PIXELS_OF_REMOTE = 1 << 23  # assumed size of an image from the web until it is downloaded
_LONGEST_PART = 200  # bytes of a name; file systems allow 255, including what results add


@dataclass(frozen=True)
class FrameChoice:
    """Which frames of videos and cameras are predicted.

    Attributes:
        every: 1 for each frame, 2 for every second one, and so on.
        limit: maximum number of frames from each video or camera; None for all.

    Raises:
        UsageError: when a number is below 1.
    """

    every: int = 1
    limit: int | None = None

    def __post_init__(self) -> None:
        for name, value in (("every", self.every), ("max_frames", self.limit)):
            if value is not None and value < 1:
                raise UsageError(f"{name} must be at least 1, not {value}")


@dataclass(frozen=True)
class RemoteImage(InputImage):
    """An image at an address, fetched when it is read."""

    url: str = ""

    @property
    def source(self) -> str:
        """The address."""
        return self.url

    @property
    def where(self) -> str:
        """The address."""
        return self.url

    @property
    def file(self) -> None:
        """None."""

    def state(self) -> None:
        """None, since only downloading it would show whether it has changed."""

    def read(self, scale: Scale | None = None) -> Picture:
        """Fetch and decode it."""
        return decode_picture(fetch_bytes(self.url), self.url, scale)

    def expected_pixels(self) -> int:
        """An estimate, since asking the server would take as long as downloading the image."""
        return _PIXELS_OF_REMOTE


@dataclass(frozen=True)
class Frame(InputImage):
    """A decoded frame of a video or camera."""

    origin: str = ""
    video: FileState | None = None
    pixels: Tensor | None = field(default=None, repr=False, compare=False)

    @property
    def source(self) -> str:
        """The video or camera."""
        return self.origin

    @property
    def file(self) -> None:
        """None."""

    def state(self) -> FileState | None:
        """The state of the video when it was opened."""
        return self.video

    def read(self, scale: Scale | None = None) -> Picture:
        """The pixels."""
        assert self.pixels is not None  # a frame without pixels has an error
        return as_read(self.pixels, self.name, scale)

    def expected_pixels(self) -> int:
        """The number of its pixels."""
        return 0 if self.pixels is None else self.pixels[0].numel()


@dataclass(frozen=True)
class Stream:
    """A video or a camera, decoded from beginning to end and never kept: memory holds only the frames that
    are being processed.

    Attributes:
        device: the path of a video, or the number of a camera.
        name: a unique name; frames are called ``<name>/000012``, by their index from 0.
        choice: which frames are predicted.
    """

    device: str | int
    name: str
    choice: FrameChoice = FrameChoice()

    @property
    def is_endless(self) -> bool:
        """Whether only the user can end it."""
        return isinstance(self.device, int) and self.choice.limit is None

    @property
    def origin(self) -> str:
        """Where frames come from, for manifests."""
        return f"camera {self.device}" if isinstance(self.device, int) else os.path.abspath(self.device)

    def expected_frames(self) -> int | None:
        """The approximate number of frames; None if unknown."""
        if isinstance(self.device, int):
            return self.choice.limit
        if not self._can_be_opened():
            return 0
        capture = cv2.VideoCapture(self.device)
        count = max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        capture.release()
        chosen = -(-count // self.choice.every)
        return chosen if self.choice.limit is None else min(chosen, self.choice.limit)

    def frames(self, is_done: Callable[[Frame], bool]) -> Iterator[Frame]:
        """The frames, one after another; those that are done are returned without pixels, undecoded.

        If a video cannot be opened or has no frames, the only frame has an error.
        """
        if not self._can_be_opened():
            yield replace(self._frame(self.name, None), error=self._fault())
            return
        video = FileState.of(Path(self.device)) if isinstance(self.device, str) else None
        capture = cv2.VideoCapture(self.device)
        try:
            given, index = 0, -1
            while self.choice.limit is None or given < self.choice.limit:
                if not capture.grab():
                    break
                index += 1
                if index % self.choice.every:
                    continue
                given += 1
                frame = self._frame(f"{self.name}/{index:06d}", video)
                if is_done(frame):
                    yield frame
                    continue
                decoded, picture = capture.retrieve()
                if not decoded:
                    yield replace(frame, error=f"frame {index} of {self.origin} cannot be decoded")
                    continue
                yield replace(frame, pixels=frame_tensor(picture))
            if index < 0:
                yield replace(self._frame(self.name, video), error=self._fault())
        finally:
            capture.release()

    def _can_be_opened(self) -> bool:
        """False for anything that is not a regular file: opening a pipe would wait for a writer."""
        return isinstance(self.device, int) or os.path.isfile(self.device)

    def _frame(self, name: str, video: FileState | None) -> Frame:
        return Frame(Path(str(self.device)), name, name, origin=self.origin, video=video)

    def _fault(self) -> str:
        if isinstance(self.device, int):
            return (
                f"{self.origin} cannot be opened. Hint: check that it is plugged in, that no other program"
                " uses it, and its number, which counts from 0"
            )
        return no_video(self.device)


@dataclass(frozen=True)
class Inputs:
    """The inputs to predict: images that are known by name, then lists, then videos and cameras.

    Attributes:
        images, streams: these inputs.
        lists: images whose names are not known yet, which come between the two.
        search: what was found and left out while searching for them.
    """

    images: tuple[InputImage, ...]
    streams: tuple[Stream, ...] = ()
    lists: tuple[LaterImages, ...] = ()
    search: ImageSearch = field(default_factory=ImageSearch)

    def names(self) -> Iterator[str]:
        """The names of all images but frames; a list is read anew for each."""
        yield from (image.name for image in self.images)
        for each in self.lists:
            yield from each.names()


def find_inputs(
    words: Sequence[str | os.PathLike[str]],
    exclude: Path | str | None = None,
    *,
    choice: FrameChoice | None = None,
    stdin: IO[str] | None = None,
) -> Inputs:
    """The inputs that the arguments of a command refer to.

    Args:
        words: files, folders and patterns, see ``find_images``; addresses (``https://…``); videos by their
            suffix, in patterns as well; the number of a camera; images in stores (``s3://…``), or one folder
            of a store, which ends with ``/``; and ``-`` for a list of such words on
            standard input, one per line. An image from the web is named by the last part of its address.
        exclude: a folder to leave out, such as the folder of the results, or its address.
        choice: which frames of videos and cameras are predicted.
        stdin: replaces standard input.

    Raises:
        UsageError: when a path does not exist, a pattern matches nothing, an address is not one that may be
            fetched, or there are no inputs.
    """
    files: list[str] = []
    urls: list[str] = []
    devices: list[str | int] = []
    stores: list[str] = []
    for word in _with_standard_input(words, stdin or sys.stdin):
        if is_store(word):
            stores.append(word)
        elif is_url(word):
            try:
                check_address(word)
            except DownloadError as error:  # nothing has been done yet
                raise UsageError(str(error)) from None
            urls.append(word)
        elif word.isdecimal() and not os.path.lexists(word):
            devices.append(int(word))
        elif Path(word).suffix.lower() in VIDEO_SUFFIXES and not Path(word).is_dir():
            devices += _videos(word)
        else:
            files.append(word)
    address = exclude if isinstance(exclude, str) and is_store(exclude) else ""
    lists = stores_of(stores, len(files) + len(urls) + len(devices), address)
    search = search_of(files, None if exclude is None or address else Path(exclude))
    images = find_images(files, search=search) if files else []
    images = with_stems([*images, *_remote(dict.fromkeys(urls), {image.name for image in images})])
    folders = {image.name.partition("/")[0] for image in images if not image.error}
    streams = _streams(dict.fromkeys(devices), choice or FrameChoice(), folders)
    return Inputs(tuple(images), streams, lists, search)


def _with_standard_input(words: Sequence[str | os.PathLike[str]], stdin: IO[str]) -> Iterator[str]:
    for word in [os.fspath(each) for each in words]:
        if word != STANDARD_INPUT:
            yield word
            continue
        lines = [line.strip("\r\n") for line in stdin]
        named = [line for line in lines if line.strip() and line != STANDARD_INPUT]
        if not named:
            raise UsageError("standard input names no image. Hint: write one path or URL per line")
        yield from named


def _videos(word: str) -> list[str]:
    if os.path.lexists(word):
        return [word]
    found = sorted(glob.glob(word, recursive=True)) if glob.has_magic(word) else []
    if not found:
        reason = "no file matches it" if glob.has_magic(word) else "it does not exist"
        raise UsageError(f"{word}: {reason}. Hint: check the path")
    return found


def _remote(urls: dict[str, None], taken: set[str]) -> Iterator[RemoteImage]:
    """Images named by the last part of their address, or by the whole address if that is not unique."""
    short = {url: PurePosixPath(unquote(urlsplit(url).path)).name or "image" for url in urls}
    names, used = [*short.values()], set(taken)
    for url in urls:
        name = short[url]
        if names.count(name) > 1 or name in taken:
            parts = urlsplit(url)
            query = f"_{parts.query}" if parts.query else ""
            name = f"{parts.netloc}{unquote(parts.path)}{query}".replace(":", "_")
        name = _unused(file_name(name), used)
        used.add(name)
        yield RemoteImage(Path(name), name, name, url=url)


def file_name(text: str) -> str:
    """A relative path below the results for an address: without dots, control characters and empty parts, and
    with parts that a file system accepts; long ones are shortened and marked with their hash.
    """
    parts = [re.sub(r"[\x00-\x1f\x7f\\]", "_", part) for part in text.split("/")]
    parts = [part for part in parts if part.strip(".")]
    for place, part in enumerate(parts):
        if len(os.fsencode(part)) > _LONGEST_PART:
            mark = hashlib.sha256(os.fsencode(part)).hexdigest()[:12]
            stem, suffix = os.path.splitext(part)
            parts[place] = f"{stem[: _LONGEST_PART // 5]}-{mark}{suffix[:8]}"
    return "/".join(parts) or "image"


def _streams(devices: dict[str | int, None], choice: FrameChoice, taken: set[str]) -> tuple[Stream, ...]:
    """Streams with names that neither another stream nor a folder of images has, ``film.mp4~2`` if needed."""
    streams: list[Stream] = []
    used = set(taken)
    for device in devices:
        name = f"camera-{device}" if isinstance(device, int) else Path(device).name
        name = _unused(name, used)
        used.add(name)
        streams.append(Stream(device, name, choice))
    return tuple(streams)


def _unused(name: str, used: set[str]) -> str:
    """A name, with a number appended if it is already used."""
    names = (f"{name}~{number}" for number in itertools.count(2))
    return next(each for each in itertools.chain([name], names) if each not in used)
