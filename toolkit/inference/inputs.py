"""Finding the images that the words on a command line stand for, and a name in the results for each."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from torch import Tensor

from toolkit.data.images import IMAGE_SUFFIXES, image_size, read_image
from toolkit.errors import ImageError, UsageError
from toolkit.runtime.files import nearest_path


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

    def read(self) -> Tensor:
        """The image, uint8 ``[3, H, W]``, RGB; may be called from any thread.

        Raises:
            ImageError, DownloadError: when it cannot be had or read.
        """
        return read_image(self.path)

    def expected_pixels(self) -> int:
        """How many pixels it will have, from its header alone; 0 for what will fail anyway."""
        try:
            height, width = image_size(self.path)
        except ImageError:
            return 0
        return height * width


@dataclass(frozen=True)
class _Found:
    path: Path
    root: Path
    error: str = ""


def find_images(words: Sequence[str | os.PathLike[str]], exclude: Path | None = None) -> list[InputImage]:
    """The images that files, folders and glob patterns stand for, each once, in a fixed order.

    Folders are searched to any depth, through symbolic links as well (a link back to a folder above is not
    followed again); files and folders whose names begin with a dot are left out. An image is named by its
    path below the folder that was given, below the fixed part of the pattern, or, for a file, by its file
    name. Where two would have one name, all are named by their path below the deepest folder that holds them
    all. Outputs take the name without its suffix; where two images of a folder differ only in that
    (``a.jpg``, ``a.png``), all of that folder keep theirs (``a.jpg.png``, ``a.png.png``).

    Args:
        words: paths and patterns (``*``, ``?``, ``[…]``, and ``**`` for any depth).
        exclude: a folder to leave out, such as that of the results.

    Raises:
        UsageError: when a path does not exist, a pattern matches nothing, or there is no image at all.
    """
    found: dict[str, _Found] = {}
    for word in words:
        for item in _search(os.fspath(word), exclude):
            found.setdefault(os.path.abspath(item.path), item)
    if all(item.error for item in found.values()):
        reasons = "".join(f"; {item.error}" for item in found.values())
        raise UsageError(
            f"no image ({', '.join(sorted(IMAGE_SUFFIXES))}) in {', '.join(map(str, words))}{reasons}."
            " Hint: check the path and the suffixes"
        )
    return with_stems(_with_names(found))


def _search(word: str, exclude: Path | None) -> Iterator[_Found]:
    path = Path(word)
    if path.is_dir():
        yield from _walk(path, path, exclude)
    elif os.path.lexists(path):
        yield _Found(path, path.parent)
    elif glob.has_magic(word):
        yield from _match(path, exclude)
    else:
        near = nearest_path(path)
        raise UsageError(
            f"{word} does not exist. Hint: {f'did you mean {near}?' if near else 'check the path'}"
        )


def _match(pattern: Path, exclude: Path | None) -> Iterator[_Found]:
    """What a pattern matches; ``**`` does not follow symbolic links, as is pathlib's way, so no loop can trap
    it.
    """
    parts = [*pattern.parts]
    fixed = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    root = Path(*parts[:fixed])
    rest = parts[fixed:] + (["*"] if parts[-1] == "**" else [])
    matches = [match for match in sorted(root.glob(os.path.join(*rest))) if not _is_hidden(match, root)]
    if not matches:
        raise UsageError(f"no file matches {pattern}. Hint: check the pattern")
    for match in matches:
        if match.is_dir():
            if "**" not in rest:  # else its images match too
                yield from _walk(match, root, exclude)
        elif match.suffix.lower() in IMAGE_SUFFIXES and not _is_inside(match, exclude):
            yield _Found(match, root)


def _is_hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") and part != ".." for part in path.relative_to(root).parts)


def _is_inside(path: Path, folder: Path | None) -> bool:
    return folder is not None and path.resolve().is_relative_to(folder.resolve())


def _walk(top: Path, root: Path, exclude: Path | None) -> Iterator[_Found]:
    """The images below a folder: those of a folder itself first, then its folders', both by name."""
    left_out = os.path.realpath(exclude) if exclude else None
    stack: list[tuple[Path, frozenset[str]]] = [(top, frozenset())]
    while stack:
        folder, above = stack.pop()
        real = os.path.realpath(folder)
        if real in above or real == left_out:
            continue
        try:
            with os.scandir(folder) as entries:
                visible = sorted(
                    (entry for entry in entries if not entry.name.startswith(".")),
                    key=lambda entry: entry.name,
                )
        except OSError as error:
            yield _Found(
                folder,
                root,
                f"{folder} cannot be searched: {error.strerror or error}. Hint: change its permissions",
            )
            continue
        folders = []
        for entry in visible:
            if entry.is_dir():
                folders.append(folder / entry.name)
            elif os.path.splitext(entry.name)[1].lower() in IMAGE_SUFFIXES:
                yield _Found(folder / entry.name, root)
        stack.extend((path, above | {real}) for path in reversed(folders))


def _with_names(found: dict[str, _Found]) -> list[InputImage]:
    """Names below each image's own root, or all below their common folder; a folder that cannot be searched
    is named as it was given.
    """
    own = {
        path: _relative(path, os.path.abspath(item.root)) for path, item in found.items() if not item.error
    }
    if len(set(own.values())) < len(own):
        common = os.path.commonpath([os.path.dirname(path) for path in own])
        own = {path: _relative(path, common) for path in own}
    names = {path: own.get(path, f"{item.path}{os.sep}") for path, item in found.items()}
    return [InputImage(item.path, names[path], names[path], item.error) for path, item in found.items()]


def _relative(path: str, folder: str) -> str:
    return Path(os.path.relpath(path, folder)).as_posix()


def with_stems(images: Sequence[InputImage]) -> list[InputImage]:
    """The images with stems made from their names: without the suffix, but not in folders where that would
    make two the same.
    """
    stems = {
        image.name: str(PurePosixPath(image.name).with_suffix("")) for image in images if not image.error
    }
    counts = Counter(stems.values())
    crowded = {os.path.dirname(stem) for stem, count in counts.items() if count > 1}
    return [
        (
            image
            if image.error or os.path.dirname(stems[image.name]) in crowded
            else replace(image, stem=stems[image.name])
        )
        for image in images
    ]
