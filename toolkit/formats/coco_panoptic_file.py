"""One file in COCO's panoptic format, indexed by image: the truth of a dataset, or predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from toolkit.data.faults import fault
from toolkit.data.notes import note
from toolkit.errors import DataError
from toolkit.formats.coco_categories import categories_of
from toolkit.formats.coco_panoptic import (
    ClassOfCategory,
    PanopticAnnotation,
    PanopticCategory,
    PanopticImage,
    read_panoptic,
)
from toolkit.formats.regions import check_stated_size
from toolkit.reading.fields import Schema, shown
from toolkit.reading.json_text import load_json
from toolkit.reading.records import HINT, sift
from toolkit.types import PanopticMap, Size

R = TypeVar("R", bound=Schema)


class PanopticFile:
    """An annotation file and the folder of its PNGs.

    Attributes:
        path: the file.
        classes: the names of the categories, in the order of their ids, which may have gaps.
        things: the names of the thing classes.
        categories: the class of each category, by id.
        images: the records of the images that have an annotation, in the order of the file.

    Args:
        path: the file.
        pictures: the folder of the PNGs; by default, the folder of the same name without ``.json``.

    Raises:
        DataError: when it is not such a file, or there is no such folder. If errors are being collected,
            records with errors are left out.
    """

    def __init__(self, path: Path, pictures: Path | None = None) -> None:
        self.path = path
        self.pictures = path.with_suffix("") if pictures is None else pictures
        data = load_json(path, "annotations in COCO's panoptic format", DataError)
        if not is_panoptic(data) or not all(
            isinstance(data.get(name), list) for name in ("images", "categories")
        ):
            raise DataError(
                f"{path} is not a file of panoptic annotations: it must contain the lists images, categories"
                " and annotations, the latter with segments_info. Hint: name the file of the panoptic"
                " annotations, such as panoptic_val2017.json (for objects, use the dataset coco)"
            )
        if not self.pictures.is_dir():
            raise DataError(
                f"{path} has its segments in PNGs, but there is no folder {self.pictures}. Hint: unpack them"
                " there, or set data.options.segments=FOLDER"
            )
        annotations = _fitting(data["annotations"], PanopticAnnotation, path, "annotation", "image_id")
        self.categories, self.classes = _classes(data["categories"], annotations, path)
        self.things = tuple(self.classes[c.label] for c in self.categories.values() if c.is_thing)
        images = _once(_fitting(data["images"], PanopticImage, path, "image"), path, "images")
        self._annotations = _by_image(annotations, images, path)
        self.images = [image for key, image in images.items() if key in self._annotations]
        note("images without an annotation are left out", len(images) - len(self.images), log=True)

    def read(self, image: PanopticImage, size: Size) -> PanopticMap:
        """The segments of an image.

        Args:
            image: one of ``images``.
            size: height and width of the image.

        Raises:
            DataError: when its PNG cannot be used, or has another size.
        """
        annotation = self._annotations[image.id]
        where = f"{self.path}: image {image.id!r} ({image.file_name})"
        check_stated_size((image.height, image.width), size, where)
        path = self.pictures / annotation.file_name
        panoptic = read_panoptic(path, annotation.segments_info, self.categories, where)
        if panoptic.size != size:
            (height, width), (image_height, image_width) = panoptic.size, size
            raise DataError(
                f"{path} has {width} x {height} pixels, but its image {image.file_name} has {image_width} x"
                f" {image_height}. Hint: export the segments at the size of the photo"
            )
        return panoptic


def is_panoptic(data: object) -> bool:
    """Whether a JSON document has the format of panoptic annotations or results: its first annotation has
    segments.
    """
    if not isinstance(data, dict) or not isinstance(data.get("annotations"), list):
        return False
    if data["annotations"]:
        return isinstance(data["annotations"][0], dict) and "segments_info" in data["annotations"][0]
    categories = data.get("categories")
    return isinstance(categories, list) and any(
        isinstance(category, dict) and "isthing" in category for category in categories
    )


def _fitting(entries: Any, schema: type[R], path: Path, kind: str, key: str = "id") -> list[R]:
    """The records of a list that fit a schema; the others are reported as errors."""
    good, faults = sift(entries, schema, source=str(path), kind=kind, error=DataError, key=key)
    for each in faults:
        fault(DataError(f"{path}: {each.text}. Hint: {HINT}"))
    return [record for _, record in good]


def _once(records: Sequence[Any], path: Path, plural: str) -> dict[Any, Any]:
    """Records by id; a repeated id or image is an error."""
    found: dict[Any, Any] = {}
    names: set[str] = set()
    for record in records:
        name = getattr(record, "file_name", None)
        if record.id in found:
            fault(
                DataError(
                    f"{path}: the id {record.id!r} occurs twice among the {plural}. Hint: give each its"
                    " own id"
                )
            )
        elif name is not None and name in names:
            fault(
                DataError(
                    f"{path} has two images with the file_name {shown(name)}. Hint: merge them, or rename one"
                )
            )
        else:
            found[record.id] = record
            names |= {name} if name is not None else set()
    return found


def _classes(
    entries: Any, annotations: Sequence[PanopticAnnotation], path: Path
) -> tuple[dict[Any, ClassOfCategory], tuple[str, ...]]:
    """The class of each category, by id, and the names of the classes."""
    good, faults = sift(entries, PanopticCategory, source=str(path), kind="category", error=DataError)
    for each in faults:
        fault(DataError(f"{path}: {each.text}. Hint: {HINT}"))
    records = _once([record for _, record in good], path, "categories")
    raw = {record.id: entries[place] for place, record in reversed(good)}
    used = {info.category_id for annotation in annotations for info in annotation.segments_info}
    categories = categories_of(raw, used, path)
    meanings = {
        key: ClassOfCategory(label, bool(records[key].isthing))
        for label, key in enumerate(categories.records)
    }
    return meanings, categories.classes


def _by_image(
    annotations: Sequence[PanopticAnnotation], images: Mapping[Any, Any], path: Path
) -> dict[Any, PanopticAnnotation]:
    """The annotation of each image."""
    found: dict[Any, PanopticAnnotation] = {}
    for annotation in annotations:
        key = annotation.image_id
        if key not in images:
            what = f"has the image_id {key!r}, which is not one of the file's {len(images)} images"
        elif key in found:
            what = f"is a second one for the image {key!r}"
        else:
            found[key] = annotation
            continue
        fault(
            DataError(
                f"{path}: the annotation with {shown(annotation.file_name)} {what}. Hint: correct it, or"
                " remove the annotation"
            )
        )
    return found
