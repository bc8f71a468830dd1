"""Images in object stores: single ones, and all that are below an address, found folder by folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from toolkit.config.scale import Scale
from toolkit.data.image_files import IMAGE_SUFFIXES
from toolkit.data.images import Picture, decode_picture
from toolkit.errors import DownloadError, UsageError
from toolkit.inference.inputs import FileState, InputImage, LaterImages
from toolkit.runtime.stores import (
    StoredFile,
    host_and_path,
    open_store,
    read_store,
    shown_url,
    stat_store,
    walk_store,
)

_PIXELS = 1 << 23  # assumed size of an image until it is read


@dataclass(frozen=True)
class StoreImage(InputImage):
    """An image in a store, read when it is needed.

    Attributes:
        url: its address.
        listed: what the store said of it when it was found; None if nobody has asked.
    """

    url: str = ""
    listed: FileState | None = None

    @property
    def source(self) -> str:
        """The address, without a password."""
        return shown_url(self.url)

    @property
    def where(self) -> str:
        """The address, without a password."""
        return shown_url(self.url)

    def state(self) -> FileState | None:
        """Size and time of the last change, as the store says; None if it does not."""
        if self.listed is not None:
            return self.listed
        try:
            return _state(stat_store(self.url))
        except DownloadError:
            return None

    def read(self, scale: Scale | None = None) -> Picture:
        """Read and decode it."""
        return decode_picture(read_store(self.url), self.where, scale)

    def expected_pixels(self) -> int:
        """An estimate, since asking would take as long as reading."""
        return _PIXELS


def _state(file: StoredFile) -> FileState | None:
    return None if file.modified is None else FileState(file.size, file.modified)


def store_image(url: str, file_name: str) -> StoreImage:
    """An image of which the results have the name of its file, or any other name that is unique."""
    return StoreImage(Path(file_name), file_name, file_name, unique=True, url=url)


@dataclass(frozen=True)
class StoreFolder(LaterImages):
    """All images below an address, such as ``s3://bucket/photos/``, each named by its path below it. Results
    keep the suffix, so that names are unique without knowing the others.

    Attributes:
        url: ends with ``/``.
        exclude: the address of a folder to leave out, such as that of the results; empty for none.
    """

    url: str
    exclude: str = ""

    def __iter__(self) -> Iterator[InputImage]:
        """The images, folder by folder."""
        root = PurePosixPath(host_and_path(self.url))
        other = PurePosixPath(host_and_path(self.exclude)) if self.exclude else None
        for file in walk_store(self.url):
            path = PurePosixPath(host_and_path(file.url))
            if other is not None and path.is_relative_to(other):
                continue
            if path.suffix.lower() in IMAGE_SUFFIXES and path.is_relative_to(root):
                name = path.relative_to(root).as_posix()
                yield StoreImage(Path(name), name, name, unique=True, url=file.url, listed=_state(file))

    def names(self) -> Iterator[str]:
        """Their names; the store is asked again."""
        return (image.name for image in self)

    def check(self) -> None:
        """Find the first image.

        Raises:
            UnavailableError: when a library is missing.
            UsageError: when the folder cannot be listed, or has no image.
        """
        open_store(self.url)
        try:
            first = next(iter(self), None)
        except DownloadError as error:
            raise UsageError(str(error)) from None
        if first is None:
            suffixes = ", ".join(sorted(IMAGE_SUFFIXES))
            raise UsageError(f"no image ({suffixes}) in {shown_url(self.url)}. Hint: check the address")


@dataclass(frozen=True)
class StoreFiles(LaterImages):
    """Single images in stores, each named by its address.

    Attributes:
        urls: their addresses.
    """

    urls: tuple[str, ...]

    def __iter__(self) -> Iterator[InputImage]:
        """The images, each once."""
        return (store_image(url, host_and_path(url)) for url in dict.fromkeys(self.urls))

    def names(self) -> Iterator[str]:
        """Their names."""
        return (image.name for image in self)

    def check(self) -> int:
        """Check that their protocols are known.

        Raises:
            UnavailableError, UsageError: as ``open_store``.
        """
        for url in self.urls:
            open_store(url)
        return len(set(self.urls))


def stores_of(urls: list[str], others: int, exclude: str = "") -> tuple[LaterImages, ...]:
    """A folder of a store, whose images are found later, or single images of stores.

    Args:
        urls: addresses in stores; those of folders end with ``/``.
        others: number of other inputs of the command.
        exclude: the address of a folder to leave out.

    Raises:
        UnavailableError: when a library is missing.
        UsageError: when an address is not valid, or a folder is not given alone, or has no image.
    """
    folders = [url for url in urls if url.endswith("/")]
    if folders and (len(urls) > 1 or others):
        raise UsageError(
            f"{shown_url(folders[0])} is a folder of a store, which is predicted alone, since its images are"
            " only known when they are found. Hint: give each folder a command with its own --out, or list"
            " all images in a file for --list"
        )
    found: list[LaterImages] = [StoreFolder(url, exclude) for url in folders] or [StoreFiles(tuple(urls))]
    for each in found if urls else ():
        each.check()
    return tuple(found) if urls else ()
