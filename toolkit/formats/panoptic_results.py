"""Panoptic predictions on disk: ours, or those of any software that writes COCO's format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from toolkit.errors import DataError
from toolkit.formats.coco_panoptic import (
    ClassOfCategory,
    PanopticAnnotation,
    PanopticCategory,
    PanopticImage,
    read_panoptic,
)
from toolkit.reading.fields import shown
from toolkit.reading.records import check_unique, fault_list, records
from toolkit.types import BACKGROUND, PanopticMap, Size
from toolkit.wording import some

PANOPTIC_FILE = "panoptic.json"


class PanopticResults:
    """The segments of many images, read one at a time.

    Args:
        path: the JSON file; its PNGs are in the folder of the same name without ``.json``.
        data: its contents.
        classes: the classes of the dataset; the file's categories are matched with them by name.
        image_ids: the number that stands for each sample in a file without ``images``.
        category_ids: the number of each class in a file without ``categories``.

    Raises:
        DataError: when a record does not fit, or refers to an unknown image or class; lists all errors.
    """

    def __init__(
        self,
        path: Path,
        data: Mapping[str, Any],
        classes: Sequence[str],
        *,
        image_ids: Mapping[str, int] | None,
        category_ids: Sequence[int],
    ) -> None:
        self.path = path
        source = str(path)
        found = records(
            data.get("annotations"),
            PanopticAnnotation,
            source=source,
            kind="annotation",
            error=DataError,
            key="image_id",
        )
        check_unique([each.image_id for each in found], source, "annotation", DataError, key="image_id")
        self._categories = _categories(data, source, classes, category_ids)
        names = _names_of_images(data, source, image_ids)
        unknown = [each.image_id for each in found if each.image_id not in names]
        if unknown:
            faults = [f"the image_id {shown(key)} belongs to no known image" for key in unknown]
            raise DataError(fault_list(source, faults))
        self._by_name = {names[each.image_id]: each for each in found}

    @property
    def names(self) -> list[str]:
        """The names of the images."""
        return list(self._by_name)

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def read(self, name: str, size: Size) -> PanopticMap:
        """The segments of an image.

        Args:
            name: one of ``names``.
            size: height and width of the image.

        Raises:
            DataError: when the PNG cannot be used, or has another size.
        """
        annotation = self._by_name[name]
        path = self.path.with_suffix("") / annotation.file_name
        found = read_panoptic(path, annotation.segments_info, self._categories, f"{self.path}: image {name}")
        if found.size != size:
            raise DataError(
                f"{path} is {list(found.size)} (height, width), but the image {name} is {list(size)}. Hint:"
                " predict in the pixels of the image"
            )
        return found


def _categories(
    data: Mapping[str, Any], source: str, classes: Sequence[str], category_ids: Sequence[int]
) -> dict[Any, ClassOfCategory | None]:
    """The class of each category; None for a background class that the dataset does not have.

    Without categories it is unknown which classes are things; the truth provides this when they are measured.
    """
    if data.get("categories") in (None, []):
        return {key: ClassOfCategory(label, False) for label, key in enumerate(category_ids)}
    given = records(data["categories"], PanopticCategory, source=source, kind="category", error=DataError)
    check_unique([each.id for each in given], source, "category", DataError)
    unknown = [each.name for each in given if each.name not in (*classes, BACKGROUND)]
    if unknown:
        raise DataError(
            f"{source} has the classes {some(map(shown, unknown))}, which the dataset does not have;"
            f" it has {some(classes, 10)}. Hint: choose the dataset"
            " that they belong to"
        )
    return {
        each.id: ClassOfCategory(classes.index(each.name), bool(each.isthing))
        if each.name in classes
        else None
        for each in given
    }


def _names_of_images(
    data: Mapping[str, Any], source: str, image_ids: Mapping[str, int] | None
) -> dict[Any, str]:
    """The name of each image, by id."""
    if data.get("images") in (None, []):
        if image_ids is None:
            raise DataError(
                f"{source} names images by numbers that are not known here. Hint: add the list images, with"
                " id and file_name of each"
            )
        return {number: name for name, number in image_ids.items()}
    images = records(data["images"], PanopticImage, source=source, kind="image", error=DataError)
    check_unique([each.id for each in images], source, "image", DataError)
    return {each.id: each.file_name for each in images}
