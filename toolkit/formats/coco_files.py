"""Finds the annotation file and the images of a split of a dataset in one of COCO's formats."""

from __future__ import annotations

from collections.abc import Sequence, Set
from pathlib import Path
from typing import Any

from toolkit.data.folders import is_data
from toolkit.data.splits import is_of_other_split, names_of
from toolkit.errors import DataError, MissingSplitError
from toolkit.formats.image_paths import ImagePaths

SPLITS = ("train", "val", "test")
ANNOTATIONS = "annotations"

ALL_SPLITS = f"{ANNOTATIONS}/instances.json"
"""A file with the images of several splits, each with the name of its split in the field ``split``."""

LOST = "put them there, or set data.options.images=FOLDER"
"""What to do about missing images."""


def root_and_file(folder: Path, split: str, name: str, patterns: Sequence[str]) -> tuple[Path, Path]:
    """The dataset's folder, and the annotation file of a split.

    Args:
        folder: the folder of the dataset, or an annotation file.
        split: its name.
        name: name of the file in the folder; empty to search for it.
        patterns: where to search for it, in this order, with ``{}`` for the name of the split.

    Raises:
        DataError: when several files could be meant.
        MissingSplitError: when there is none.
    """
    if not folder.is_file():
        return folder, _annotation_file(folder, split, name, patterns)
    path, folder = _one_file(folder, split), folder.parent
    return folder.parent if folder.name == ANNOTATIONS else folder, path


def _one_file(path: Path, split: str) -> Path:
    """The file itself, unless its name says that it belongs to another split."""
    if is_of_other_split(path.stem, split):
        named = next(name for name in SPLITS if not is_of_other_split(path.stem, name))
        raise MissingSplitError(
            f"{path} is named after the split {named!r}, so it has no {split!r}. Hint: use --split {named},"
            " or give the folder that contains the files of all splits"
        )
    return path


def _annotation_file(folder: Path, split: str, name: str, patterns: Sequence[str]) -> Path:
    if name:
        return folder / name
    found = candidates(folder, split, patterns)
    if len(found) > 1:
        names = ", ".join(path.relative_to(folder).as_posix() for path in found)
        raise DataError(
            f"{folder} has more than one annotation file of the split {split!r}: {names}. Hint: set"
            f" {split}=FILE"
        )
    if found:
        return found[0]
    tried = ", ".join(pattern.format(split) for pattern in patterns)
    raise MissingSplitError(
        f"{folder} has no annotations of the split {split!r}: none of {tried}. Hint: set {split}=FILE"
    )


def candidates(folder: Path, split: str, patterns: Sequence[str]) -> list[Path]:
    """The annotation files of a split that match the first pattern with any match, under all names of the
    split.
    """
    for pattern in patterns:
        found = {path for name in names_of(split) for path in matching(folder, pattern.format(name))}
        if found:
            return sorted(found)
    return []


def has_all_splits(path: Path) -> bool:
    """Whether a file has the name of one with the images of several splits."""
    return path.parts[-2:] == Path(ALL_SPLITS).parts


def states_splits(document: Any) -> bool:
    """Whether the images of a file say which split they belong to."""
    images = document.get("images") if isinstance(document, dict) else None
    known = [name for split in SPLITS for name in names_of(split)]
    return isinstance(images, list) and any(
        isinstance(each, dict) and each.get("split") in known for each in images
    )


def of_split(document: dict[str, Any], split: str) -> dict[str, Any]:
    """The part of a file whose images state their splits that belongs to one of them; images without a split
    are for training. What is not a record is kept, so that it is reported.
    """
    names = names_of(split)
    is_other = [
        isinstance(each, dict) and each.get("split", "train") not in names for each in document["images"]
    ]
    images = [each for each, other in zip(document["images"], is_other, strict=True) if not other]
    others = [each.get("id") for each, other in zip(document["images"], is_other, strict=True) if other]
    gone = {key for key in others if isinstance(key, (int, str))}
    annotations = [each for each in document["annotations"] if not _is_of(each, gone)]
    return {**document, "images": images, "annotations": annotations}


def _is_of(annotation: Any, images: Set[Any]) -> bool:
    key = annotation.get("image_id") if isinstance(annotation, dict) else None
    return isinstance(key, (int, str)) and key in images


def matching(folder: Path, pattern: str) -> list[Path]:
    """The files of data that a pattern finds in a folder."""
    found = (path for path in folder.glob(pattern) if path.is_file())
    return [path for path in found if all(map(is_data, path.relative_to(folder).parts))]


def image_paths(folder: Path, split: str, file: Path, names: Sequence[str], setting: str) -> ImagePaths:
    """The folders to search for images; ``instances_train2017.json`` belongs to ``train2017/``.

    Args:
        folder: the folder of the dataset.
        split: its name.
        file: the annotation file.
        names: the names of the images in it.
        setting: their folder, relative to that of the dataset, with ``{split}`` for the split; empty for the
            usual ones.
    """
    hint = "put the images there, or set data.options.images=FOLDER"
    if setting:
        root = folder / setting.replace("{split}", split)
        return ImagePaths(file, names, [root], root, hint=hint)
    stem = file.stem.rpartition("_")[2]
    own = names_of(split)
    usual = (stem, *own, f"images/{stem}", *(f"images/{name}" for name in own), "images", ".")
    folders = dict.fromkeys([*(folder / name for name in usual), file.parent])
    return ImagePaths(file, names, [*folders], folder, split=split, hint=hint)
