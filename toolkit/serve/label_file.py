"""The file of labels in COCO's format, in memory. A document never changes: each change makes a new one,
which shares what is the same, so that a failed save leaves the old one.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from toolkit.errors import DataError
from toolkit.formats.coco import CocoFile
from toolkit.runtime.files import atomic_write
from toolkit.serve.errors import RequestError
from toolkit.types import Masks, Size

VAL_OF = 5
"""One of so many images is for validation."""


@dataclass(frozen=True)
class LabeledImage:
    """An image with labels.

    Attributes:
        record: its entry in the file.
        annotations: the entries of its objects.
        text: these as JSON, separated by commas, since they are written with each change of any image.
    """

    record: dict[str, Any]
    annotations: tuple[dict[str, Any], ...]
    text: str

    @classmethod
    def of(cls, record: dict[str, Any], annotations: Sequence[dict[str, Any]]) -> LabeledImage:
        """An image with the text of its annotations."""
        return cls(record, tuple(annotations), ",\n".join(map(_dumped, annotations)))


@dataclass(frozen=True)
class LabelDocument:
    """All labels.

    Attributes:
        images: the labeled images, by name.
        categories: the names, by id.
        folder: the folder of the dataset.
        image_folder: the folder of the images.
        last_image, last_object: the largest ids that were ever used, so that none is used twice.
        rest: further contents of the file, which are kept.
    """

    folder: Path
    image_folder: Path
    images: Mapping[str, LabeledImage] = field(default_factory=dict)
    categories: Mapping[int, str] = field(default_factory=dict)
    last_image: int = 0
    last_object: int = 0
    rest: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path, folder: Path, image_folder: Path) -> LabelDocument:
        """The labels in a file; none if it does not exist.

        Raises:
            DataError: when it cannot be read, or has what was not written by the server.
        """
        if not path.exists():
            return cls(folder, image_folder)
        # checks ids and references
        file = CocoFile(path)
        data = file.document
        by_image: dict[Any, list[dict[str, Any]]] = {}
        for annotation in data["annotations"]:
            by_image.setdefault(annotation["image_id"], []).append(annotation)
        empty = cls(folder, image_folder)
        images = {}
        for record in data["images"]:
            annotations = by_image.get(record["id"], [])
            _check_ours(path, record, annotations)
            images[empty.name_of(record["file_name"])] = LabeledImage.of(record, annotations)
        own = ("images", "annotations", "categories")
        return replace(
            empty,
            images=images,
            categories=dict(zip(file.category_ids, file.classes, strict=True)),
            last_image=max((each.record["id"] for each in images.values()), default=0),
            last_object=max((each["id"] for each in data["annotations"]), default=0),
            rest={key: value for key, value in data.items() if key not in own},
        )

    def name_of(self, file_name: str) -> str:
        """The name of an image that the file refers to."""
        path = os.path.normpath(Path(os.path.realpath(self.folder)) / file_name)
        return Path(os.path.relpath(path, self.image_folder)).as_posix()

    def file_name_of(self, name: str) -> str:
        """How the file refers to an image: from the folder of the dataset, so that both can be moved
        together.
        """
        path = self.image_folder / name
        try:
            return Path(os.path.relpath(path, os.path.realpath(self.folder))).as_posix()
        except ValueError:  # on another drive
            return path.as_posix()

    def objects(self, name: str) -> list[dict[str, Any]]:
        """The objects of an image: ``id``, ``category`` and ``rle``."""
        found = self.images.get(name)
        return [
            {
                "id": each["id"],
                "category": self.categories[each["category_id"]],
                "rle": {"size": each["segmentation"]["size"], "counts": each["segmentation"]["counts"]},
            }
            for each in (found.annotations if found else ())
        ]

    def counts(self) -> Counter[int]:
        """The number of objects of each category."""
        return Counter(each["category_id"] for image in self.images.values() for each in image.annotations)

    def with_objects(
        self, name: str, size: Size, objects: Sequence[tuple[int | None, str, bytes]], split: str = ""
    ) -> LabelDocument:
        """The labels with other objects of an image.

        Args:
            name: the image.
            size: its height and width.
            objects: the id of each, if it had one, its category, and its run lengths.
            split: of a new image; if empty, every fifth one is for validation.
        """
        before = self.images.get(name)
        categories = {label: key for key, label in self.categories.items()}
        for _, label, _ in objects:
            categories.setdefault(label, max(categories.values(), default=0) + 1)
        record = before.record if before else self._new_record(name, size, split)
        own = {each["id"]: each for each in (before.annotations if before else ())}
        last, entries = self.last_object, []
        for key, label, code in objects:
            old = own.pop(key, {}) if key is not None else {}
            if not old:
                last += 1
            masks = Masks.encoded(size, [code])
            x0, y0, x1, y1 = masks.boxes_xyxy()[0].tolist()
            entries.append(
                {
                    **old,
                    "id": old.get("id", last),
                    "image_id": record["id"],
                    "category_id": categories[label],
                    "segmentation": {"size": list(size), "counts": code.decode()},
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": int(masks.areas()[0]),
                    "iscrowd": old.get("iscrowd", 0),
                }
            )
        images = {**self.images, name: LabeledImage.of(record, entries)}
        return replace(
            self,
            images=images,
            categories={key: label for label, key in categories.items()},
            last_image=max(self.last_image, record["id"]),
            last_object=last,
        )

    def _new_record(self, name: str, size: Size, split: str) -> dict[str, Any]:
        if not split:
            held_out = sum(each.record.get("split") == "val" for each in self.images.values())
            split = "val" if held_out < (len(self.images) + 1) // VAL_OF else "train"
        return {
            "id": self.last_image + 1,
            "file_name": self.file_name_of(name),
            "height": size[0],
            "width": size[1],
            "split": split,
        }

    def without(self, name: str) -> LabelDocument:
        """The labels without an image."""
        if name not in self.images:
            return self
        return replace(self, images={key: each for key, each in self.images.items() if key != name})

    def with_categories(self, named: Sequence[tuple[int | None, str]]) -> LabelDocument:
        """The labels with these categories: the id of each, if it exists, and its name.

        Raises:
            RequestError: 409 and 422, for a category that has objects and is left out, and an unknown id.
        """
        used, last = self.counts(), max(self.categories, default=0)
        after: dict[int, str] = {}
        for key, name in named:
            if key is not None and (key not in self.categories or key in after):
                raise RequestError(
                    422,
                    f"there is no category with the id {key}, or it is given twice. Hint: leave out the id",
                )
            if key is None:
                last += 1
            after[last if key is None else key] = name
        lost = next((key for key in self.categories if key not in after and used[key]), None)
        if lost is not None:
            raise RequestError(
                409,
                f"{self.categories[lost]!r} has {used[lost]} objects, so it is not removed. Hint: give these"
                " another category first",
            )
        return replace(self, categories=after)

    def write(self, path: Path) -> None:
        """Replace the file by these labels, at once.

        Raises:
            OutputError: when it cannot be written; the old file remains.
        """
        categories = [{"id": key, "name": name} for key, name in sorted(self.categories.items())]
        head = _dumped({**self.rest, "categories": categories})[:-1]
        images = ",\n".join(_dumped(each.record) for each in self.images.values())
        annotations = ",\n".join(each.text for each in self.images.values() if each.text)
        with atomic_write(path, "w") as file:
            file.write(f'{head},\n"images":[\n{images}\n],\n"annotations":[\n{annotations}\n]}}\n')


def _check_ours(path: Path, record: dict[str, Any], annotations: Sequence[dict[str, Any]]) -> None:
    """Refuse what the server has not written, since it could not write it again."""
    fault = ""
    if not all(isinstance(record.get(key), int) for key in ("id", "height", "width")):
        fault = f"the image {record.get('file_name')!r} has no width, no height, or no number as its id"
    for each in annotations:
        code = each.get("segmentation")
        if not isinstance(each.get("id"), int) or not isinstance(code, dict):
            fault = f"annotation {each.get('id')!r} has no number as its id, or no run lengths"
        elif not isinstance(code.get("counts"), str) or code.get("size") != [
            record["height"],
            record["width"],
        ]:
            fault = f"annotation {each.get('id')!r} has no compressed run lengths of the size of its image"
    if fault:
        raise DataError(
            f"{path}: {fault}, so it was not saved by toolkit serve. Hint: choose another"
            f" folder with --labels; to correct these annotations, add --import coco {path.parent.parent}"
        )


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
