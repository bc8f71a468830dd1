"""Finds the images that the arguments of a command refer to, and names them in the results."""

from __future__ import annotations

import glob
import os
import stat
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from toolkit.config.scale import Scale
from toolkit.data.image_files import IMAGE_SUFFIXES, Found, ImageSearch
from toolkit.data.images import Picture, pixel_count, read_picture
from toolkit.errors import ImageError, UsageError
from toolkit.runtime.files import nearest_path

OUTPUT_SUFFIXES = (".png", ".json", ".jpg")
"""The suffixes of result files; a folder of photos with such a name would be in the way."""


@dataclass(frozen=True)
class FileState:
    """The properties by which an unchanged file is recognized.

    Attributes:
        size: size in bytes.
        modified: time of the last change, in nanoseconds.
    """

    size: int
    modified: int

    @classmethod
    def of(cls, path: Path) -> FileState | None:
        """The state of a regular file; None if there is none."""
        try:
            state = os.stat(path)
        except (OSError, ValueError):
            return None
        return cls(state.st_size, state.st_mtime_ns) if stat.S_ISREG(state.st_mode) else None


@dataclass(frozen=True)
class InputImage:
    """An image to predict.

    Attributes:
        path: the path of the image.
        name: its unique name in the results: its path below the folder that was given, with ``/``.
        stem: the unique name of its outputs without suffix.
        error: why it cannot be read, if that is already known (such as a folder without permission).
        unique: whether no other image can have outputs of the same name.
    """

    path: Path
    name: str
    stem: str
    error: str = ""
    unique: bool = False

    @property
    def source(self) -> str:
        """Its absolute path, without the dots of one given as ``../photos``."""
        return os.path.abspath(self.path)

    @property
    def where(self) -> str:
        """Its path as given, for messages."""
        return str(self.path)

    @property
    def file(self) -> Path | None:
        """The file that holds it alone; None if there is none, as for a frame of a video."""
        return self.path

    def state(self) -> FileState | None:
        """The state by which changes are detected; None if that is not possible."""
        return FileState.of(self.path)

    def read(self, scale: Scale | None = None) -> Picture:
        """The image, with notes on what else its file contains; may be called from any thread.

        Args:
            scale: how its values become 8 bits, as for ``toolkit.data.images.read_image``.

        Raises:
            ImageError, DownloadError: when it is not available or cannot be read.
        """
        return read_picture(self.path, scale)

    def expected_pixels(self) -> int:
        """The number of pixels that it will have, from its header; 0 if reading it will fail anyway."""
        try:
            return pixel_count(self.path)
        except ImageError:
            return 0


class LaterImages(ABC):
    """Images that are found one after another, while those before them are predicted."""

    @abstractmethod
    def __iter__(self) -> Iterator[InputImage]:
        """The images, each once."""

    @abstractmethod
    def names(self) -> Iterator[str]:
        """Their names, perhaps some repeatedly."""

    @abstractmethod
    def check(self) -> int | None:
        """Look whether they can be found, before anything is done; returns about how many they are, if that
        is known.

        Raises:
            UsageError: when they cannot.
        """


@dataclass(frozen=True)
class _Placed:
    """A file, and the folder to which its name is relative."""

    found: Found
    root: Path


def find_images(
    words: Sequence[str | os.PathLike[str]],
    exclude: Path | None = None,
    *,
    search: ImageSearch | None = None,
) -> list[InputImage]:
    """The images that files, folders and glob patterns refer to, each once, in a fixed order.

    Folders are searched to any depth, each real folder once: symbolic links are followed, but not to places
    that are searched anyway nor to a parent folder. Hidden files and folders, system files, results of
    earlier runs, folders of training runs, and anything that is not a regular file are left out. An image is
    named by its path below the folder that was given, below the fixed part of the pattern, or, for a file, by
    its file name. If two would have the same name, or one would lead out of that folder, all are named by
    their path below the deepest folder that contains all of them. Outputs have the name without its suffix;
    if two images in a folder differ only in the suffix (``a.jpg``, ``a.png``), or another folder has the name
    of an output, all images in that folder keep theirs (``a.jpg.png``, ``a.png.png``).

    Args:
        words: paths and patterns (``*``, ``?``, ``[…]``, and ``**`` for any depth).
        exclude: a folder to leave out, such as the folder of the results.
        search: counts what is found and left out; a new search when None.

    Raises:
        UsageError: when a path does not exist, a pattern matches nothing, or there are no images.
    """
    paths = [os.fspath(word) for word in words]
    if search is None:
        search = search_of(paths, exclude)
    found: dict[str, _Placed] = {}
    for path in paths:
        for item in _search(path, search):
            found.setdefault(os.path.abspath(item.found.path), item)
    if all(item.found.error for item in found.values()):
        reasons = [item.found.error for item in found.values()]
        if left_out := search.left_out():
            reasons.append(f"left out: {', '.join(left_out)}")
        other = "choose another --out, or check the path and" if search.own else "check the path and"
        raise UsageError(
            f"no image ({', '.join(sorted(IMAGE_SUFFIXES))}) in"
            f" {', '.join(paths)}{''.join(f'; {reason}' for reason in reasons)}. Hint: {other} the"
            " suffixes, or list the files themselves"
        )
    return with_stems(_with_names(found))


def search_of(words: Sequence[str], exclude: Path | None) -> ImageSearch:
    """A search that knows which of the arguments are folders."""
    return ImageSearch([Path(word) for word in words if os.path.isdir(word)], exclude)


def _search(word: str, search: ImageSearch) -> Iterator[_Placed]:
    path = Path(word)
    if os.path.isdir(path):
        yield from (_Placed(found, path) for found in search.below(path))
    elif os.path.lexists(path):
        yield _Placed(Found(path), path.parent)
    elif glob.has_magic(word):
        yield from _match(path, search)
    else:
        near = nearest_path(path)
        raise UsageError(
            f"{word} does not exist. Hint: {f'did you mean {near}?' if near else 'check the path'}"
        )


def _match(pattern: Path, search: ImageSearch) -> Iterator[_Placed]:
    """The matches of a pattern; as in pathlib, ``**`` does not follow symbolic links, so there are no endless
    loops.
    """
    parts = [*pattern.parts]
    fixed = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    root = Path(*parts[:fixed])
    rest = parts[fixed:] + (["*"] if parts[-1] == "**" else [])
    try:
        matches = sorted(root.glob(os.path.join(*rest)))
    except ValueError as error:
        raise UsageError(f"{pattern} is not a valid pattern: {error}. Hint: write photos/**/*.jpg") from None
    if not matches:
        raise UsageError(f"no file matches {pattern}. Hint: check the pattern")
    folders = set() if "**" in rest else {match for match in matches if os.path.isdir(match)}
    search.matched(folders)
    for match in matches:
        if os.path.isdir(match):
            # With ``**``, its images match, too.
            if match in folders and search.enters(match, root):
                yield from (_Placed(found, root) for found in search.below(match))
        elif search.takes_file(match, root):
            yield _Placed(Found(match), root)


def _with_names(placed: dict[str, _Placed]) -> list[InputImage]:
    """Assign names relative to each image's own root, or relative to their common folder; a folder that
    cannot be searched is named as it was given.
    """
    own = {
        path: _relative(path, os.path.abspath(item.root))
        for path, item in placed.items()
        if not item.found.error
    }
    if len(set(own.values())) < len(own) or any(
        PurePosixPath(name).parts[0] == ".." for name in own.values()
    ):
        common = os.path.commonpath([os.path.dirname(path) for path in own])
        own = {path: _relative(path, common) for path in own}
    found = {path: item.found for path, item in placed.items()}
    names = {path: own.get(path, f"{item.path}{os.sep}") for path, item in found.items()}
    return [InputImage(item.path, names[path], names[path], item.error) for path, item in found.items()]


def _relative(path: str, folder: str) -> str:
    return Path(os.path.relpath(path, folder)).as_posix()


def with_stems(images: Sequence[InputImage]) -> list[InputImage]:
    """The images with stems from their names: without the suffix, except in folders where that would
    make two equal, or equal to a folder of other images.
    """
    stems = {
        image.name: str(PurePosixPath(image.name).with_suffix("")) for image in images if not image.error
    }
    counts = Counter(stems.values())
    taken = _called_like_outputs(stems)
    crowded = {os.path.dirname(stem) for stem, count in counts.items() if count > 1 or stem in taken}
    return [
        (
            image
            if image.error or os.path.dirname(stems[image.name]) in crowded
            else replace(image, stem=stems[image.name])
        )
        for image in images
    ]


def _called_like_outputs(names: dict[str, str]) -> set[str]:
    """The stems of outputs that a folder of images, such as ``x.png/``, would block."""
    folders = {str(parent) for name in names for parent in PurePosixPath(name).parents}
    return {folder[: -len(end)] for folder in folders for end in OUTPUT_SUFFIXES if folder.endswith(end)}
