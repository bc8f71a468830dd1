"""Finds the files of one split: which image belongs to which label image, and which of them to the split."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from toolkit.errors import DataError, MissingSplitError
from toolkit.images import IMAGE_SUFFIXES

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Item:
    """The files of one sample."""

    id: str
    image: Path
    label: Path


@dataclass(frozen=True)
class Folders:
    """Where images, label images and object ids are."""

    images: Path
    labels: Path
    instances: Path


def all_labels(folders: Folders, label_suffix: str) -> dict[str, Path]:
    """Every label image, by id."""
    return _by_id(folders.labels, label_suffix)


def find_items(root: Path, folders: Folders, split: str, label_suffix: str, val_fraction: float, test_fraction: float) -> tuple[Item, ...]:
    """The samples of a split, by id.

    Raises:
        DataError: when a folder is missing or empty, or images and label images do not match; names the first five.
        MissingSplitError: when the folder does not have this split.
    """
    images, labels = _by_id(folders.images), _by_id(folders.labels, label_suffix)
    if folders.images == folders.labels:
        images = {name: path for name, path in images.items() if not path.stem.endswith(label_suffix)}
    if not images:
        raise DataError(
            f"{folders.images} has no images ({', '.join(sorted(IMAGE_SUFFIXES))}). Repair: put them there, or set data.options.images=FOLDER"
        )
    lists = {name: root / f"{name}.txt" for name in SPLITS if (root / f"{name}.txt").is_file()}
    if lists:
        ids = _listed(lists, split, images)
    else:
        _check_pairs(images, labels, folders)
        foldered = [name for name in SPLITS if any(i.startswith(f"{name}/") for i in images)]
        ids = [i for i in images if (i.split("/")[0] if foldered else _split_of(i, val_fraction, test_fraction)) == split]
        if not ids:
            how = (
                f"there are {', '.join(foldered)}"
                if foldered
                else f"none of the {len(images)} images falls into it by the hash of its name"
            )
            raise MissingSplitError(
                f"{root} has no split {split!r}: {how}. Repair: write train.txt, val.txt and test.txt with the ids of their images, one a line"
                + ("; or train without validation by data.val_split=" if split == "val" else "")
            )
    missing = [i for i in ids if i not in labels]
    if missing:
        raise DataError(_unmatched(f"images without a label image in {folders.labels}", missing))
    return tuple(Item(i, images[i], labels[i]) for i in sorted(ids))


def _by_id(folder: Path, suffix: str = "") -> dict[str, Path]:
    """Image files below a folder by id: the path in it without ending, and without ``suffix`` at the end of the name."""
    if not folder.is_dir():
        raise DataError(
            f"{folder} is not there, or not a folder. Repair: create it, or set data.options.images=FOLDER and data.options.labels=FOLDER"
        )
    found: dict[str, Path] = {}
    for parent, folders, names in os.walk(folder, onerror=_unreadable):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(parent, name)
            if path.suffix.lower() not in IMAGE_SUFFIXES or name.startswith(".") or not path.stem.endswith(suffix):
                continue
            key = path.with_name(path.stem.removesuffix(suffix)).relative_to(folder).as_posix()
            if key in found:
                raise DataError(f"{found[key]} and {path} have the same id {key!r}. Repair: rename or remove one of them")
            found[key] = path
    return found


def _unreadable(error: OSError) -> None:
    raise DataError(f"{error.filename} cannot be read: {error.strerror}. Repair: change its permissions") from error


def _listed(lists: Mapping[str, Path], split: str, images: Mapping[str, Path]) -> list[str]:
    if split not in lists:
        there = ", ".join(path.name for path in lists.values())
        raise MissingSplitError(
            f"there is no {split}.txt beside {there} in {next(iter(lists.values())).parent}. Repair: write it, one id a line"
        )
    path = lists[split]
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as a list of ids: {error}") from error
    ids = [line if line in images else _without_ending(line) for line in lines]
    unknown = [line for line, one in zip(lines, ids, strict=True) if one not in images]
    if unknown:
        raise DataError(_unmatched(f"{path} lists ids without an image", unknown))
    if not ids:
        raise DataError(f"{path} is empty. Repair: write the id of an image on each line")
    return list(dict.fromkeys(ids))


def _without_ending(line: str) -> str:
    path = Path(line)
    return path.with_suffix("").as_posix() if path.suffix.lower() in IMAGE_SUFFIXES else line


def _check_pairs(images: Iterable[str], labels: Iterable[str], folders: Folders) -> None:
    images, labels = set(images), set(labels)
    problems = []
    if images - labels:
        problems.append(_unmatched(f"images without a label image in {folders.labels}", sorted(images - labels)))
    if labels - images:
        problems.append(_unmatched(f"label images without an image in {folders.images}", sorted(labels - images)))
    if problems:
        raise DataError(
            "\n".join([*problems, "Repair: give both the same name (data.options.label_suffix=_mask when labels are called ID_mask.png)"])
        )


def _unmatched(what: str, names: list[str]) -> str:
    return f"{what}: {len(names)} ({', '.join(names[:5])}{', …' if len(names) > 5 else ''})"


def _split_of(name: str, val_fraction: float, test_fraction: float) -> str:
    """A split that depends on the id alone, so that it stays when images are added."""
    position = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
    if position < test_fraction:
        return "test"
    return "val" if position < test_fraction + val_fraction else "train"
