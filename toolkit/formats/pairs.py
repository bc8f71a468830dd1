"""Images and label images in folders: finding them, pairing them, and splitting data without a published
split.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from toolkit import wording
from toolkit.data.faults import fault, is_gathering
from toolkit.data.folders import OTHER_PICTURES, data_files
from toolkit.data.images import IMAGE_SUFFIXES
from toolkit.data.notes import note
from toolkit.errors import DataError, MissingSplitError
from toolkit.reading import files

REPAIR = "unpack the whole archive; metrics on only a part of it cannot be compared with others"
"""What to do where files of a published split are missing."""


def images_below(
    folder: Path, ending: str = "", *, hint: str = "check the folder that is named"
) -> dict[str, Path]:
    """Image files below a folder, by id: the relative path without suffix, and without ``ending`` at the end
    of the name.

    Files that do not count as data are skipped: hidden files and folders, `__MACOSX` and the like.

    Args:
        folder: the folder to search.
        ending: only files whose names end in this (before the suffix), such as ``_mask``.
        hint: what to do if the folder does not exist, for the message.

    Raises:
        DataError: when the folder does not exist or cannot be read, or two files have the same id.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} does not exist, or is not a folder. Hint: {hint}")
    found: dict[str, Path] = {}
    for path in images_in(folder):
        if not path.stem.endswith(ending):
            continue
        key = path.with_name(path.stem.removesuffix(ending)).relative_to(folder).as_posix()
        if key in found:
            why = f"{found[key]} and {path} have the same id {key!r}"
            fault(DataError(f"{why}. Hint: rename or remove one of them"))
            continue
        found[key] = path
    return found


def images_in(folder: Path) -> list[Path]:
    """Image files below a folder, each folder in the order of its names; pictures of unsupported kinds
    are noted.

    Raises:
        DataError: when a folder cannot be read.
    """
    found, other = [], Counter[str]()
    for path in data_files(folder, IMAGE_SUFFIXES | OTHER_PICTURES, on_error=_unreadable):
        if path.suffix.lower() in IMAGE_SUFFIXES:
            found.append(path)
        else:
            other[path.suffix.lower()] += 1
    for suffix, count in other.items():
        note(f"files {suffix} are skipped, because this kind of picture is not supported", count, log=True)
    return found


def _unreadable(error: OSError) -> None:
    raise DataError(
        f"{error.filename} cannot be read: {error.strerror}. Hint: change its permissions"
    ) from error


def check_pairs(
    images: Iterable[str], labels: Iterable[str], image_folder: Path, label_folder: Path, *, hint: str
) -> None:
    """Check that every image has a label image, and vice versa; if errors are being collected, callers leave
    out those without a counterpart.

    Args:
        images: ids of the images.
        labels: ids of the label images.
        image_folder: the folder of the images, for the message.
        label_folder: the folder of the label images.
        hint: what to do, for the message.

    Raises:
        DataError: when some have no counterpart; gives their number and names the first five.
    """
    images, labels = set(images), set(labels)
    problems = []
    if images - labels:
        problems.append(listed(f"images without a label image in {label_folder}", sorted(images - labels)))
    if labels - images:
        problems.append(listed(f"label images without an image in {image_folder}", sorted(labels - images)))
    if problems:
        fault(DataError("\n".join([*problems, f"Hint: {hint}"])))


def complete(folder: Path, pattern: str, names: Sequence[str], hint: str) -> tuple[str, ...]:
    """The names of a published split whose files are there; what is missing is a fault.

    Args:
        folder: of the files.
        pattern: what the file of a name is called, such as ``{}.png``.
        names: of the split.
        hint: what to do where some are missing.

    Raises:
        DataError: when files are missing.
    """
    present = {file.name for file in folder.iterdir()} if folder.is_dir() else set()
    missing = [file for file in map(pattern.format, names) if file not in present]
    if missing:
        fault(DataError(f"{listed(f'files of the split missing in {folder}', missing)}. Hint: {hint}"))
    return tuple(name for name in names if pattern.format(name) in present)


def listed(what: str, names: Sequence[str]) -> str:
    """``what: 7 (a, b, c, d, e and 2 more)``: how many there are, and the first of them."""
    return f"{what}: {len(names)} ({some(names)})"


def some(names: Sequence[str]) -> str:
    """The first of several names, or all of them where faults are gathered."""
    return wording.some(names, len(names) if is_gathering() else 5)


def read_lines(path: Path) -> list[str]:
    """The lines of a list of names, without empty lines.

    Raises:
        DataError: when the file cannot be read, is not text, or is empty.
    """
    lines = files.read_lines(path, "a list of names", DataError)
    if not lines:
        raise DataError(f"{path} is empty. Hint: restore it, with a name on each line")
    return lines


def hashed_split(name: str, fractions: Mapping[str, float], rest: str = "train") -> str:
    """The split that a name falls into by its hash, which does not change when other names are added or
    removed.

    Args:
        name: the name of an image, or of a group that must stay together, such as a patient.
        fractions: the fraction of names that falls into each split; their sum is below 1.
        rest: the split of all others.
    """
    position = (
        int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[:8], "big") / 2**64
    )
    bound = 0.0
    for split, fraction in fractions.items():
        bound += fraction
        if position < bound:
            return split
    return rest


def places_in_split(names: Sequence[str], split: str, val_fraction: float, source: Path) -> list[int]:
    """The positions of the images of a split: ``train`` and ``val`` divide a published training set by
    ``hashed_split``; any other split has all.

    Args:
        names: the names of all images of the published set.
        split: the split.
        val_fraction: the fraction of ``val``, the setting of this name.
        source: where the images come from, for the message.

    Raises:
        MissingSplitError: when the split has none.
    """
    divided = split in ("train", "val")
    fractions = {"val": val_fraction}
    kept = [i for i, name in enumerate(names) if not divided or hashed_split(name, fractions) == split]
    if not kept:
        raise MissingSplitError(
            f"none of the {len(names)} images in {source} falls into the split {split!r}. Hint: set another"
            " data.options.val_fraction"
        )
    return kept
