"""The labels of images, as a dataset in COCO's format that is whole at any time: one file, which is replaced
as a whole.

Every fifth labeled image is for validation, which the file says in the field ``split`` of the image, and it
stays so.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.errors import InvalidDataError, UsageError
from toolkit.formats.coco_files import ALL_SPLITS
from toolkit.runtime.files import remove_unfinished
from toolkit.runtime.locks import locked
from toolkit.serve.errors import RequestError
from toolkit.serve.image_folder import ImageFolder
from toolkit.serve.label_file import LabelDocument
from toolkit.types import Masks, Size

MOST_OBJECTS = 10_000
LONGEST_NAME = 200
NO_LABELS = "unlabeled"
"""The revision of an image without labels."""


@dataclass(frozen=True)
class NewLabels:
    """Labels of an image that has none.

    Attributes:
        name: of the image.
        size: its height and width.
        objects: no id, the category, and the run lengths of each.
        split: to which the image belongs.
    """

    name: str
    size: Size
    objects: Sequence[tuple[None, str, bytes]]
    split: str


class LabelStore:
    """The labels of the images of a folder.

    Args:
        folder: the folder of the dataset; created with the first label.
        images: the images.

    Raises:
        DataError: when there are labels that cannot be read.
        UsageError: when the folder has other annotations, which ``toolkit train`` would read instead.
    """

    def __init__(self, folder: Path, images: ImageFolder) -> None:
        self.folder, self.images = Path(os.path.abspath(folder)), images
        self.path = self.folder / ALL_SPLITS
        self._lock = threading.RLock()
        self._refuse_others()
        self._document = LabelDocument.read(self.path, self.folder, images.folder)
        self._stamp = _stamp(self.path)

    def held(self) -> ExitStack:
        """Keep other processes from writing to the folder, within this context.

        Raises:
            UsageError: when another process does.
        """
        stack = ExitStack()
        stack.enter_context(locked(self.folder))
        # of a server that was killed while it saved
        remove_unfinished(self.folder)
        return stack

    def is_labeled(self, name: str) -> bool:
        """Whether labels of an image were saved, possibly none."""
        return name in self._fresh().images

    def labeled(self) -> frozenset[str]:
        """The names of all labeled images."""
        return frozenset(self._fresh().images)

    def has_objects(self) -> bool:
        """Whether any object was saved."""
        return any(image.annotations for image in self._fresh().images.values())

    def get(self, name: str) -> dict[str, Any]:
        """The objects of an image: ``revision`` and ``objects``, each with ``id``, ``category`` and ``rle``.

        Raises:
            RequestError: 404, when there is no such image.
        """
        self.images.path(name)
        document = self._fresh()
        return {"revision": _revision(document, name), "objects": document.objects(name)}

    def put(self, name: str, objects: Sequence[Mapping[str, Any]], revision: str | None) -> dict[str, Any]:
        """Replace the objects of an image, and save all labels.

        Args:
            name: the image.
            objects: each with ``category`` and ``rle``, and the ``id`` that it had, if any. Categories that
                do not exist are added.
            revision: of the labels that these replace; None replaces whatever there is.

        Returns:
            As ``get``.

        Raises:
            RequestError: 404 for an unknown image, 409 when the labels have changed since ``revision``, 422
                for objects that cannot be saved.
            OutputError: when the file cannot be written.
        """
        size = self.images.size(name)
        checked = [_checked(place, each, size) for place, each in enumerate(objects)]

        def change(document: LabelDocument) -> LabelDocument:
            self._require(document, name, revision)
            return document.with_objects(name, size, checked)

        return self._changed(
            change,
            lambda document: {"revision": _revision(document, name), "objects": document.objects(name)},
        )

    def add(self, labels: Sequence[NewLabels]) -> None:
        """Save the labels of several images at once.

        Raises:
            OutputError: when the file cannot be written.
        """

        def change(document: LabelDocument) -> LabelDocument:
            for each in labels:
                document = document.with_objects(each.name, each.size, each.objects, each.split)
            return document

        self._changed(change, lambda document: {})

    def delete(self, name: str, revision: str | None) -> None:
        """Remove an image from the labeled ones, with its objects; ``put`` describes the errors."""
        self.images.path(name)

        def change(document: LabelDocument) -> LabelDocument:
            self._require(document, name, revision)
            return document.without(name)

        self._changed(change, lambda document: {})

    def categories(self) -> dict[str, Any]:
        """``revision``, and ``categories``: each with ``id``, ``name``, and the number of ``objects``."""
        return _categories(self._fresh())

    def put_categories(self, categories: Sequence[Mapping[str, Any]], revision: str | None) -> dict[str, Any]:
        """Replace the list of categories: those with a known ``id`` are renamed, others added, and those left
        out removed.

        Raises:
            RequestError: 409 when they have changed since ``revision``, or a category to be removed has
                objects; 422 for names that cannot be used.
            OutputError: when the file cannot be written.
        """
        named = [(each.get("id"), category_name(each["name"])) for each in categories]
        names = [name for _, name in named]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise RequestError(422, f"two categories are called {twice!r}. Hint: give each its own name")

        def change(document: LabelDocument) -> LabelDocument:
            now = _categories(document)["revision"]
            if revision is not None and revision != now:
                raise RequestError(409, _conflict("the categories"), {"ETag": f'"{now}"'})
            return document.with_categories(named)

        return self._changed(change, _categories)

    def _require(self, document: LabelDocument, name: str, revision: str | None) -> None:
        now = _revision(document, name)
        if revision is not None and revision != now:
            raise RequestError(409, _conflict(f"the labels of {name!r}"), {"ETag": f'"{now}"'})

    def _changed(
        self,
        change: Callable[[LabelDocument], LabelDocument],
        answer: Callable[[LabelDocument], dict[str, Any]],
    ) -> dict[str, Any]:
        with self._lock:
            before = self._fresh()
            document = change(before)
            if document is not before:
                document.write(self.path)
                self._document, self._stamp = document, _stamp(self.path)
            return answer(document)

    def _fresh(self) -> LabelDocument:
        """The labels, read again if somebody else has changed the file."""
        with self._lock:
            stamp = _stamp(self.path)
            if stamp != self._stamp:
                self._document = LabelDocument.read(self.path, self.folder, self.images.folder)
                self._stamp = stamp
            return self._document

    def _refuse_others(self) -> None:
        """Refuse a folder in which the dataset ``coco`` would find other annotations first."""
        patterns = ("annotations/instances_*.json", "annotations/t*.json", "annotations/val*.json")
        others = [
            path
            for pattern in (*patterns, "*/_annotations.coco.json", "t*.json", "val*.json")
            for path in sorted(self.folder.glob(pattern))
        ]
        if others:
            raise UsageError(
                f"--labels {self.folder} has other annotations, {others[0].relative_to(self.folder)}, which"
                " would be read instead of the labels that are saved there. Hint: choose a new folder; to"
                f" correct these annotations, add --import coco {self.folder}"
            )


def _checked(place: int, given: Mapping[str, Any], size: Size) -> tuple[int | None, str, bytes]:
    """An object that can be saved: its id, its category and its run lengths."""
    try:
        masks = Masks.from_coco([given["rle"]], size)
    except InvalidDataError as error:
        raise RequestError(422, f"objects[{place}]: {error}. Hint: encode the mask again") from error
    if not int(masks.areas()[0]):
        raise RequestError(422, f"objects[{place}] covers no pixel. Hint: leave it out")
    return given.get("id"), category_name(given["category"]), masks.counts[0]


def category_name(name: str) -> str:
    """A name without needless spaces.

    Raises:
        RequestError: 422, when it cannot be the name of a category.
    """
    plain = " ".join(name.split())
    if not plain or len(plain) > LONGEST_NAME or not plain.isprintable():
        raise RequestError(
            422,
            f"{name[:LONGEST_NAME]!r} cannot be the name of a category: expected 1 to {LONGEST_NAME}"
            " printable characters. Hint: choose another name",
        )
    return plain


def _conflict(what: str) -> str:
    return f"{what} have changed since you read them. Hint: GET them again, and repeat your change"


def _revision(document: LabelDocument, name: str) -> str:
    """Changes whenever the objects of an image do, and is the same after a restart."""
    if name not in document.images:
        return NO_LABELS
    return _digest(document.objects(name))


def _categories(document: LabelDocument) -> dict[str, Any]:
    counts = document.counts()
    found = [
        {"id": key, "name": name, "objects": counts.get(key, 0)} for key, name in document.categories.items()
    ]
    return {"revision": _digest([[each["id"], each["name"]] for each in found]), "categories": found}


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_mtime_ns, state.st_size, state.st_ino
