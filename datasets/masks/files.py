"""Finds the files of one split: matches images and label images, and selects those of the split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from toolkit.data.faults import fault
from toolkit.data.images import IMAGE_SUFFIXES
from toolkit.data.splits import NAMES, names_of, split_of, the_one
from toolkit.errors import DataError, MissingSplitError
from toolkit.formats.pairs import check_pairs, hashed_split, images_below, listed, read_lines
from toolkit.reading.files import is_there

_REPAIR = "create it, or set data.options.images=FOLDER and data.options.labels=FOLDER"


@dataclass(frozen=True)
class Item:
    """The files of one sample."""

    id: str
    image: Path
    label: Path


@dataclass(frozen=True)
class Folders:
    """Where images, label images and object ids are."""

    root: Path
    images: Path
    labels: Path
    instances: Path
    label_suffix: str = ""

    @cached_property
    def image_files(self) -> dict[str, Path]:
        """Every image, by id.

        Raises:
            DataError: when the folder is missing.
        """
        images = images_below(self.images, hint=_REPAIR)
        if self.images == self.labels:
            images = {
                name: path for name, path in images.items() if not path.stem.endswith(self.label_suffix)
            }
        return images

    @cached_property
    def label_files(self) -> dict[str, Path]:
        """Every label image, by id."""
        return images_below(self.labels, self.label_suffix, hint=_REPAIR)

    @cached_property
    def instance_files(self) -> dict[str, Path]:
        """Every image of object ids, by id; none if there is no folder for them.

        Raises:
            DataError: when one has no image.
        """
        if not self.instances.is_dir():
            return {}
        found = images_below(self.instances)
        alone = sorted(set(found) - set(self.image_files))
        if alone:
            what = listed(f"images of object ids without an image in {self.images}", alone)
            fault(DataError(f"{what}. Hint: give them the names of their images, or remove them"))
        return {key: path for key, path in found.items() if key in self.image_files}

    def lists(self) -> dict[str, Path]:
        """The list of ids of each split that has one."""
        names = [name for names in NAMES.values() for name in names]
        there = {name: path for name in names if is_there(path := self.root / f"{name}.txt")}
        chosen = {
            split: the_one(there, split, str(self.root), "remove one of these lists") for split in NAMES
        }
        return {split: path for split, path in chosen.items() if path is not None}


def find_items(folders: Folders, split: str, fractions: Mapping[str, float]) -> tuple[Item, ...]:
    """The samples of a split, by id.

    Args:
        folders: where the files are.
        split: the split.
        fractions: fraction of the images in each split, if the folder does not define splits.

    Raises:
        DataError: when a folder is missing or empty, or images and label images do not match; names the first
            five.
        MissingSplitError: when the folder does not have this split.
    """
    images, labels, lists = folders.image_files, folders.label_files, folders.lists()
    if not images:
        raise DataError(
            f"{folders.images} has no images ({', '.join(sorted(IMAGE_SUFFIXES))}). Hint: put them there,"
            " or set data.options.images=FOLDER"
        )
    if lists:
        ids = _ids_of_split(lists, split, images)
    else:
        hint = "give both the same name (data.options.label_suffix=_mask when labels are called ID_mask.png)"
        check_pairs(images, labels, folders.images, folders.labels, hint=hint)
        ids = _by_folder_or_hash(folders, split, images, fractions)
    missing = [i for i in ids if i not in labels]
    if missing and lists:  # otherwise the pairs were checked before
        hint = "add them, or remove the ids from the lists"
        what = listed(f"images without a label image in {folders.labels}", missing)
        fault(DataError(f"{what}. Hint: {hint}"))
    return tuple(Item(i, images[i], labels[i]) for i in sorted(set(ids) - set(missing)))


def unread(folders: Folders) -> list[str]:
    """The images that belong to no split: in no list, or in a folder with another name."""
    images, lists = folders.image_files, folders.lists()
    if lists:
        named = {one for split in lists for one in _ids_of_split(lists, split, images)}
        left = len(set(images) - named)
        names = ", ".join(path.name for path in lists.values())
        return [f"{left} images that are in none of {names}"] if left else []
    if not _split_folders(images):
        return []
    other = Counter(_first(i) for i in images if split_of(_first(i)) is None)
    return [f"{folders.images / name} ({count} images)" for name, count in sorted(other.items())]


def _first(key: str) -> str:
    """The first subfolder of an image's path; empty if there is none."""
    return key.partition("/")[0] if "/" in key else ""


def _split_folders(images: Iterable[str]) -> dict[str, str]:
    """The folders named like splits, by name."""
    return {name: name for name in dict.fromkeys(map(_first, images)) if split_of(name) is not None}


def _by_folder_or_hash(
    folders: Folders, split: str, images: Iterable[str], fractions: Mapping[str, float]
) -> list[str]:
    foldered = _split_folders(images)
    if foldered:
        hint = "move the images and label images of one folder into the other"
        own = the_one({name.lower(): name for name in foldered}, split, str(folders.images), hint)
        ids = [i for i in images if own is not None and _first(i) == own]
    else:
        ids = [i for i in images if hashed_split(i, fractions) == split]
    if ids:
        return ids
    how = (
        f"there are {', '.join(foldered)}"
        if foldered
        else f"none of the {len([*images])} images falls into it by the hash of its name"
    )
    raise MissingSplitError(
        f"{folders.root} has no split {split!r}: {how}. Hint: write train.txt, val.txt and test.txt with"
        " the ids of their images, one per line"
        + ("; or train without validation: data.val_split=" if split == "val" else "")
    )


def _ids_of_split(lists: Mapping[str, Path], split: str, images: Mapping[str, Path]) -> list[str]:
    if split not in lists:
        there = ", ".join(path.name for path in lists.values())
        raise MissingSplitError(
            f"there is no {names_of(split)[0]}.txt next to {there} in {next(iter(lists.values())).parent}."
            " Hint: write it, one id per line"
        )
    path = lists[split]
    lines = read_lines(path)
    ids = [line if line in images else _without_ending(line) for line in lines]
    unknown = [line for line, one in zip(lines, ids, strict=True) if one not in images]
    if unknown:
        hint = "write ids, which are the paths of the images below their folder, with or without suffix"
        fault(DataError(f"{listed(f'{path} lists ids without an image', unknown)}. Hint: {hint}"))
    return list(dict.fromkeys(one for one in ids if one in images))


def _without_ending(line: str) -> str:
    path = Path(line.replace("\\", "/"))
    return path.with_suffix("").as_posix() if path.suffix.lower() in IMAGE_SUFFIXES else path.as_posix()
