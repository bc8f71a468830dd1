"""The ids by which COCO files refer to images and classes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.data.dataset import Dataset
from toolkit.formats.coco_files import LOST
from toolkit.formats.image_paths import ImagePaths, portable_names
from toolkit.formats.regions import unique_ids


class CocoNumbered(ABC):
    """A dataset that comes from a COCO file; COCO results files refer to images and classes by the ids in
    that file.

    Attributes:
        coco_image_ids: COCO image id by sample id; None if the file has none.
        coco_category_ids: the COCO category id of each class.
    """

    coco_image_ids: Mapping[str, int] | None = None
    coco_category_ids: Sequence[int] = ()

    @abstractmethod
    def coco_document(self) -> dict[str, Any] | None:
        """The truth as in the file, checked and completed as by ``toolkit.formats.coco_truth``; None if
        measuring requires the images.

        It contains ``images``, ``categories`` (those of ``coco_category_ids``, in any order) and
        ``annotations`` of this split only, with numbers in the file's own precision. With it, a COCO results
        file can be evaluated exactly as with pycocotools, without reading images.
        """


class CocoImages(CocoNumbered):
    """The images of a split that a COCO file lists.

    Args:
        images: their records, each with ``id`` and ``file_name``.
        paths: where they are.
        category_ids: the COCO category id of each class.

    Attributes:
        ids: of the samples.
        places: of the images among the records.
    """

    ids: Sequence[str] = ()

    def __init__(self, images: Sequence[Any], paths: ImagePaths, category_ids: Sequence[Any]) -> None:
        self._images, self._paths, self._keys = images, paths, category_ids
        self._use(range(len(images)))

    def _use(self, places: Iterable[int]) -> None:
        """Take these images of the file, by their places in it."""
        self.places = [*places]
        self.ids = unique_ids(portable_names([*map(self._name, self.places)]))
        numbers = [self._images[place].id for place in self.places]
        # As COCO's own; ids that are text cannot stand in files of results.
        if all(isinstance(key, int) for key in (*numbers, *self._keys)):
            self.coco_category_ids = self._keys
            self.coco_image_ids = dict(zip(self.ids, numbers, strict=True))

    def _name(self, place: int) -> str:
        return str(self._images[place].file_name)

    def require_images(self) -> None:
        """Look whether the first image is there; where faults are gathered, whether all are, and go on
        without the others.
        """
        there = self._paths.require_all([*map(self._name, self.places)], LOST)
        if len(there) < len(self.places):
            self._use([self.places[place] for place in there])

    def image_path(self, index: int) -> Path:
        """The image."""
        return self._paths.require(self._name(self.places[index]))


@dataclass(frozen=True)
class CocoNumbers:
    """The ids by which COCO files refer to the samples and classes of a dataset.

    Attributes:
        image_ids: sample id -> COCO image id.
        category_ids: one per class.
        document: the COCO file that the dataset comes from, if any.
    """

    image_ids: Mapping[str, int]
    category_ids: Sequence[int]
    document: Callable[[], dict[str, Any] | None] | None = None


def coco_numbers(dataset: Dataset) -> CocoNumbers:
    """The ids in the COCO file that a dataset comes from, or else the positions of samples and classes,
    counted from 1.
    """
    source = dataset.capability(CocoNumbered)
    if source is not None and source.coco_image_ids is not None:
        return CocoNumbers(source.coco_image_ids, source.coco_category_ids, source.coco_document)
    image_ids = {sample_id: place for place, sample_id in enumerate(dataset.ids, start=1)}
    return CocoNumbers(image_ids, range(1, len(dataset.classes) + 1))
