"""Image files on a disk: opens them safely, and finds those in a folder.

A folder of photos contains other things, too: notes, thumbnails of the system, results of an earlier run,
circular links, pipes. Skipped files are counted, so that nobody believes that they were processed.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, TypeAlias

from toolkit.data.folders import OTHER_PICTURES, is_data, is_folder, is_regular_or_lost
from toolkit.errors import ImageError
from toolkit.wording import counted

FilePath: TypeAlias = "str | os.PathLike[str]"

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".jp2", ".j2k"}
)
"""What counts as an image when a folder is searched; the real type of a file is read from its first bytes."""

RESULT_MANIFEST = "manifest.jsonl"
"""The file that identifies a folder of results of ``toolkit infer``."""

EXPLANATIONS = "explanations.json"
"""The file that identifies a folder of results of ``toolkit explain``."""

_SYSTEM = ("/proc", "/sys", "/dev")
_MOST_SUFFIXES = 6


@contextlib.contextmanager
def open_image_file(path: FilePath) -> Iterator[tuple[BinaryIO, int]]:
    """Open a regular file; pipes, sockets and devices, which may never end, are refused.

    Yields:
        The file, and its size in bytes, which is above 0.

    Raises:
        ImageError: when it cannot be opened or read, is empty, or is not a regular file.
    """
    file, size = _opened(path)
    with file:
        try:
            yield file, size
        except OSError as error:
            raise unreadable(path, error) from error


def _opened(path: FilePath) -> tuple[BinaryIO, int]:
    try:
        # Non-blocking, because opening a pipe waits for a writer.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise unreadable(path, error) from error
    state = os.fstat(descriptor)
    reason = ""
    if stat.S_ISDIR(state.st_mode):
        reason = "is a folder, not an image. Hint: give a file inside it"
    elif not stat.S_ISREG(state.st_mode):
        reason = f"is {_kind(state.st_mode)}, not a regular file. Hint: give an image file"
    elif not state.st_size:
        # Files under /proc also report this, and reading some of them blocks.
        reason = "is empty (0 bytes). Hint: copy or download it again"
    if reason:
        os.close(descriptor)
        raise ImageError(f"{path} {reason}")
    return open(descriptor, "rb"), state.st_size


def unreadable(path: FilePath, error: OSError | ValueError) -> ImageError:
    """The error for a file that the system refuses to open or read."""
    hints: dict[type[Exception], str] = {
        FileNotFoundError: "does not exist. Hint: check the path",
        PermissionError: "cannot be read: permission denied. Hint: change its permissions",
        IsADirectoryError: "is a folder, not an image. Hint: give a file inside it",
    }
    reason = getattr(error, "strerror", None) or error
    return ImageError(f"{path} {hints.get(type(error)) or f'cannot be read: {reason}. Hint: check the disk'}")


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFIFO: "a pipe (FIFO)",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return kinds.get(stat.S_IFMT(mode), "something else")


def is_image_name(name: str) -> bool:
    """Whether a file of this name counts as an image when a folder is searched."""
    return _has_image_suffix(name) and is_data(name)


def _has_image_suffix(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def images_in(folder: Path) -> list[Path]:
    """The images directly in a folder, sorted by name: regular files, and links that lead nowhere.

    Raises:
        OSError: when the folder cannot be read.
    """
    with os.scandir(folder) as entries:
        return sorted(
            folder / each.name for each in entries if is_image_name(each.name) and is_regular_or_lost(each)
        )


def is_result_folder(folder: Path) -> bool:
    """Whether ``toolkit infer``, ``toolkit track`` or ``toolkit explain`` wrote its results there."""
    if _is_explained(folder):
        return True
    first = _json_line(folder / RESULT_MANIFEST)
    if first == {}:  # a run that was stopped before its first image
        return {"toolkit", "model"} <= _json_line(folder / "about.json", whole=True).keys()
    return {"image", "status"} <= first.keys()


def _is_explained(folder: Path) -> bool:
    """Whether ``toolkit explain`` wrote there; its document begins with the version, and may be large."""
    try:
        with open_image_file(folder / EXPLANATIONS) as (file, _):
            return file.read(1 << 10).lstrip(b"{ \n").startswith(b'"toolkit":')
    except ImageError:
        return False


def is_run_folder(folder: Path) -> bool:
    """Whether it is a run of ``toolkit train``, whose pictures are not photos."""
    return (folder / "config.yaml").is_file() and "step" in _json_line(folder / "metrics.jsonl")


def _json_line(path: Path, *, whole: bool = False) -> dict[str, object]:
    """The JSON object in the first line of a file, or in the whole file; empty if there is none."""
    try:
        with open_image_file(path) as (file, _):
            found = json.loads(file.read(1 << 20) if whole else file.readline(1 << 20))
    except (ImageError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


@dataclass(frozen=True)
class Found:
    """An image that a search found, or a folder that could not be searched.

    Attributes:
        path: the image or the folder.
        error: why the folder could not be searched; empty for an image.
    """

    path: Path
    error: str = ""


@dataclass
class ImageSearch:
    """Searches folders for images at any depth, each real folder once, and counts what was left out.

    Args:
        tops: the folders to search; links to places in or above them are not followed.
        exclude: a folder to leave out.

    Attributes:
        other: number of files that are not images according to their suffix, by suffix.
        hidden: number of images that are hidden or in a folder that does not count as data.
        irregular: number of pipes, sockets and devices that are named like images.
        results: folders of results of an earlier run.
        runs: folders of training runs, which contain pictures of their own.
        skipped: folders of the system, such as ``/proc``.
        own: whether one of ``tops`` is itself the folder to exclude.
    """

    tops: Sequence[Path] = ()
    exclude: Path | None = None
    other: Counter[str] = field(default_factory=Counter)
    hidden: int = 0
    irregular: int = 0
    results: list[Path] = field(default_factory=list)
    runs: list[Path] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)
    own: bool = False

    def __post_init__(self) -> None:
        self._real_tops = [os.path.realpath(top) for top in self.tops]
        self._excluded = os.path.realpath(self.exclude) if self.exclude is not None else None
        self.own = self._excluded in self._real_tops
        self._seen: set[str] = set()
        self._written_by_us: dict[Path, bool] = {}

    def below(self, top: Path) -> Iterator[Found]:
        """The images below a folder: first those in a folder itself, then those in its subfolders, both by
        name.
        """
        stack = [top] if self._claims(top) else []
        while stack:
            folder = stack.pop()
            try:
                with os.scandir(folder) as entries:
                    listed = sorted(entries, key=lambda entry: entry.name)
            except OSError as error:
                reason = error.strerror or error
                yield Found(folder, f"{folder} cannot be searched: {reason}. Hint: change its permissions")
                continue
            yield from (Found(folder / entry.name) for entry in listed if self._takes(entry))
            folders = [entry for entry in listed if is_folder(entry) and is_data(entry.name)]
            # Claim all of them before entering any, so that a link from one to another does not come first.
            inner = [folder / each.name for each in folders if self._follows(each)]
            stack += [each for each in inner if self._claims(each)][::-1]

    def matched(self, folders: Iterable[Path]) -> None:
        """Add folders that a pattern matches, as if they had been given."""
        self._real_tops += map(os.path.realpath, folders)

    def enters(self, folder: Path, root: Path) -> bool:
        """Whether a folder that a pattern matches below ``root`` should be searched."""
        return not self._is_left_out(folder.relative_to(root).parts, root)

    def takes_file(self, path: Path, root: Path) -> bool:
        """Whether a file that a pattern matches below ``root`` is an image to include; else it is counted."""
        parts = path.relative_to(root).parts
        if self._is_left_out(parts[:-1], root):
            self.hidden += _has_no_data(parts[:-1]) and _has_image_suffix(path.name)
            return False
        if self._excluded is not None and _is_below(os.path.realpath(path), (self._excluded,)):
            return False
        return self._counts(path.name, os.path.isfile(path) or not os.path.exists(path))

    def _is_left_out(self, parts: Sequence[str], root: Path) -> bool:
        if _has_no_data(parts):
            return True
        return any(self._is_written_by_us(root.joinpath(*parts[:depth])) for depth in range(len(parts) + 1))

    def _takes(self, entry: os.DirEntry[str]) -> bool:
        return not is_folder(entry) and self._counts(entry.name, is_regular_or_lost(entry))

    def _counts(self, name: str, is_file: bool) -> bool:
        """Whether a file is an image to include; else it is counted."""
        if not is_data(name):
            self.hidden += _has_image_suffix(name)
            return False
        if not _has_image_suffix(name):
            self.other[os.path.splitext(name)[1].lower()] += 1
            return False
        self.irregular += not is_file
        return is_file

    def _claims(self, folder: Path) -> bool:
        """Whether to search a folder: only once, and not if it belongs to the system or was written by the
        toolkit.
        """
        real = os.path.realpath(folder)
        if real in self._seen or real == self._excluded:
            return False
        self._seen.add(real)
        if _is_below(real, _SYSTEM) and not _is_below(real, ("/dev/shm",)):
            self.skipped.append(folder)
            return False
        return not self._is_written_by_us(folder)

    def _follows(self, entry: os.DirEntry[str]) -> bool:
        """Whether a subfolder is entered: not if it is a link to a place that is searched anyway, or to a
        folder that contains all of that.
        """
        if not entry.is_symlink():
            return True
        target = os.path.realpath(entry.path)
        return not any(_is_below(target, (top,)) or _is_below(top, (target,)) for top in self._real_tops)

    def _is_written_by_us(self, folder: Path) -> bool:
        if folder not in self._written_by_us:
            holds_results, is_run = is_result_folder(folder), is_run_folder(folder)
            self._written_by_us[folder] = holds_results or is_run
            if holds_results:
                self.results.append(folder)
            elif is_run:
                self.runs.append(folder)
        return self._written_by_us[folder]

    def left_out(self) -> list[str]:
        """A description of what was left out, with counts; empty if everything was included."""
        parts = []
        if self.other:
            passed = counted(self.other.total(), "file")
            parts.append(f"{passed} skipped because of their suffix ({_by_suffix(self.other)})")
            pictures = sorted(OTHER_PICTURES & self.other.keys())
            if pictures:
                parts[-1] += f"; convert {', '.join(pictures)} to JPEG or PNG to include them"
        if self.hidden:
            parts.append(f"{counted(self.hidden, 'file')} hidden or created by the system")
        if self.irregular:
            parts.append(f"{counted(self.irregular, 'file')} not regular (pipes, sockets, devices)")
        if self.results:
            parts.append(f"results of an earlier run in {', '.join(map(str, self.results))}")
        if self.runs:
            parts.append(f"pictures of training runs in {', '.join(map(str, self.runs))}")
        if self.own:
            parts.append(f"{self.exclude}, the output folder")
        if self.skipped:
            parts.append(f"system folders: {', '.join(map(str, self.skipped))}")
        return parts


def _has_no_data(parts: Sequence[str]) -> bool:
    return not all(part == ".." or is_data(part) for part in parts)


def _is_below(path: str, folders: Sequence[str]) -> bool:
    return any(path == folder or path.startswith(folder.rstrip(os.sep) + os.sep) for folder in folders)


def _by_suffix(counts: Counter[str]) -> str:
    """``3 .heic, 2 .txt``: the most frequent first."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{count:,} {suffix or 'without a suffix'}" for suffix, count in ordered[:_MOST_SUFFIXES]]
    rest = sum(count for _, count in ordered[_MOST_SUFFIXES:])
    return ", ".join([*shown, *([f"{rest:,} others"] if rest else [])])
