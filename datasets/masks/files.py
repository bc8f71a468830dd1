"""Finds the files of one split: which image belongs to which label image, and which of them to the split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from toolkit.data.faults import fault
from toolkit.data.images import IMAGE_SUFFIXES
from toolkit.errors import DataError, MissingSplitError
from toolkit.formats.pairs import check_pairs, hashed_split, images_below, listed, read_lines

SPLITS = ("train", "val", "test")
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

    images: Path
    labels: Path
    instances: Path


def all_labels(folders: Folders, label_suffix: str) -> dict[str, Path]:
    """Every label image, by id."""
    return images_below(folders.labels, label_suffix, hint=_REPAIR)


def find_items(
    root: Path, folders: Folders, split: str, label_suffix: str, val_fraction: float, test_fraction: float
) -> tuple[Item, ...]:
    """The samples of a split, by id.

    Raises:
        DataError: when a folder is missing or empty, or images and label images do not match; names the first
            five.
        MissingSplitError: when the folder does not have this split.
    """
    images, labels = images_below(folders.images, hint=_REPAIR), all_labels(folders, label_suffix)
    if folders.images == folders.labels:
        images = {name: path for name, path in images.items() if not path.stem.endswith(label_suffix)}
    if not images:
        raise DataError(
            f"{folders.images} has no images ({', '.join(sorted(IMAGE_SUFFIXES))}). Hint: put them there,"
            " or set data.options.images=FOLDER"
        )
    lists = {name: root / f"{name}.txt" for name in SPLITS if (root / f"{name}.txt").is_file()}
    if lists:
        ids = _ids_of_split(lists, split, images)
    else:
        hint = "give both the same name (data.options.label_suffix=_mask when labels are called ID_mask.png)"
        check_pairs(images, labels, folders.images, folders.labels, hint=hint)
        foldered = [name for name in SPLITS if any(i.startswith(f"{name}/") for i in images)]
        fractions = {"test": test_fraction, "val": val_fraction}
        ids = [i for i in images if (i.split("/")[0] if foldered else hashed_split(i, fractions)) == split]
        if not ids:
            how = (
                f"there are {', '.join(foldered)}"
                if foldered
                else f"none of the {len(images)} images falls into it by the hash of its name"
            )
            raise MissingSplitError(
                f"{root} has no split {split!r}: {how}. Hint: write train.txt, val.txt and test.txt with"
                " the ids of their images, one per line"
                + ("; or train without validation by data.val_split=" if split == "val" else "")
            )
    missing = [i for i in ids if i not in labels]
    if missing and lists:  # otherwise the pairs were looked at before
        fault(DataError(listed(f"images without a label image in {folders.labels}", missing)))
    return tuple(Item(i, images[i], labels[i]) for i in sorted(set(ids) - set(missing)))


def _ids_of_split(lists: Mapping[str, Path], split: str, images: Mapping[str, Path]) -> list[str]:
    if split not in lists:
        there = ", ".join(path.name for path in lists.values())
        raise MissingSplitError(
            f"there is no {split}.txt beside {there} in {next(iter(lists.values())).parent}. Hint: write"
            " it, one id per line"
        )
    path = lists[split]
    lines = read_lines(path)
    ids = [line if line in images else _without_ending(line) for line in lines]
    unknown = [line for line, one in zip(lines, ids, strict=True) if one not in images]
    if unknown:
        fault(DataError(listed(f"{path} lists ids without an image", unknown)))
    return list(dict.fromkeys(one for one in ids if one in images))


def _without_ending(line: str) -> str:
    path = Path(line)
    return path.with_suffix("").as_posix() if path.suffix.lower() in IMAGE_SUFFIXES else line
