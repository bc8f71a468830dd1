"""Finding the images that the words on a command line stand for, and a name in the results for each."""

from __future__ import annotations

import glob
import os
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from toolkit.data.image_files import IMAGE_SUFFIXES, Found, ImageSearch
from toolkit.data.images import Picture, pixel_count, read_picture
from toolkit.errors import ImageError, UsageError
from toolkit.runtime.files import nearest_path

OUTPUT_SUFFIXES = (".png", ".json", ".jpg")
"""What the names of results end in; a folder of photos that is called like one of them is in its way."""


@dataclass(frozen=True)
class FileState:
    """By what a file is known to be the same as before.

    Attributes:
        size: in bytes.
        modified: when it was changed, in nanoseconds.
    """

    size: int
    modified: int

    @classmethod
    def of(cls, path: Path) -> FileState | None:
        """That of a regular file; None where there is none."""
        try:
            state = os.stat(path)
        except (OSError, ValueError):
            return None
        return cls(state.st_size, state.st_mtime_ns) if stat.S_ISREG(state.st_mode) else None


@dataclass(frozen=True)
class InputImage:
    """An image to predict.

    Attributes:
        path: where it is.
        name: what it is called in the results: its path below the folder that was given, with ``/``; unique.
        stem: what its outputs are called, without their suffix; unique.
        error: why it cannot be read, if that is known already (such as a folder without permission).
    """

    path: Path
    name: str
    stem: str
    error: str = ""

    @property
    def source(self) -> str:
        """Where it is, as an absolute path, without the dots of one given as ``../photos``."""
        return os.path.abspath(self.path)

    @property
    def where(self) -> str:
        """Where it is, as it was given, for messages."""
        return str(self.path)

    def state(self) -> FileState | None:
        """By what to know whether it has changed; None if that cannot be known."""
        return FileState.of(self.path)

    def read(self) -> Picture:
        """The image, with notes on what its file has beyond it; may be called from any thread.

        Raises:
            ImageError, DownloadError: when it is not available or read.
        """
        return read_picture(self.path)

    def expected_pixels(self) -> int:
        """How many pixels it will have, from its header alone; 0 for what will fail anyway."""
        try:
            return pixel_count(self.path)
        except ImageError:
            return 0


@dataclass(frozen=True)
class _Placed:
    """A file with the folder that its name begins below."""

    found: Found
    root: Path


def find_images(
    words: Sequence[str | os.PathLike[str]],
    exclude: Path | None = None,
    *,
    search: ImageSearch | None = None,
) -> list[InputImage]:
    """The images that files, folders and glob patterns stand for, each once, in a fixed order.

    Folders are searched to any depth, each real folder once: symbolic links are followed, but not to what is
    searched anyway nor to a folder above. Left out are hidden files and folders, what systems put beside
    photos, results of earlier runs, folders of training runs, and what is no regular file. An image is named
    by its path below the folder that was given, below the fixed part of the pattern, or, for a file, by its
    file name. Where two would have one name, or one would lead out of that folder, all are named by their
    path below the deepest folder that holds them all. Outputs take the name without its suffix; where two
    images of a folder differ only in that (``a.jpg``, ``a.png``), or another folder is called like an output,
    all of that folder keep theirs (``a.jpg.png``, ``a.png.png``).

    Args:
        words: paths and patterns (``*``, ``?``, ``[…]``, and ``**`` for any depth).
        exclude: a folder to leave out, such as that of the results.
        search: counts what is found and left out; a new one when None.

    Raises:
        UsageError: when a path does not exist, a pattern matches nothing, or there is no image at all.
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
    """A search that knows which of its words are folders."""
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
    """What a pattern matches; ``**`` does not follow symbolic links, as is pathlib's way, so no loop can trap
    it.
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
            # With ``**``, its images match too.
            if match in folders and search.enters(match, root):
                yield from (_Placed(found, root) for found in search.below(match))
        elif search.takes_file(match, root):
            yield _Placed(Found(match), root)


def _with_names(placed: dict[str, _Placed]) -> list[InputImage]:
    """Names below each image's own root, or all below their common folder; a folder that cannot be searched
    is named as it was given.
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
    """The images with stems made from their names: without the suffix, but not in folders where that would
    make two the same, or the same as a folder of others.
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
    """The stems of outputs for which a folder of images, such as ``x.png/``, would be in the way."""
    folders = {str(parent) for name in names for parent in PurePosixPath(name).parents}
    return {folder[: -len(end)] for folder in folders for end in OUTPUT_SUFFIXES if folder.endswith(end)}
