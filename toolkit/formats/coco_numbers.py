"""The numbers by which COCO's files name images and classes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from toolkit.data.dataset import Dataset


class CocoNumbered(ABC):
    """A dataset that comes from a COCO file, whose results files name images and classes by its numbers.

    Attributes:
        coco_image_ids: the number of each sample, by its id; None where the file has none.
        coco_category_ids: the number of each class.
    """

    coco_image_ids: Mapping[str, int] | None = None
    coco_category_ids: Sequence[int] = ()

    @abstractmethod
    def coco_document(self) -> dict[str, Any]:
        """The truth as it stands in the file.

        It holds ``images``, ``categories`` (those of ``coco_category_ids``, in any order) and ``annotations``
        of this split only, with numbers in the file's own precision. With it a COCO results file is measured
        exactly as by pycocotools, without reading an image.
        """


@dataclass(frozen=True)
class CocoNumbers:
    """By which numbers COCO files name the samples and classes of a dataset.

    Attributes:
        image_ids: sample id -> number.
        category_ids: one per class.
        document: the COCO file that the dataset comes from, where there is one.
    """

    image_ids: Mapping[str, int]
    category_ids: Sequence[int]
    document: Callable[[], dict[str, Any]] | None = None


def coco_numbers(dataset: Dataset) -> CocoNumbers:
    """The numbers of the COCO file that a dataset comes from, or else the places of samples and classes,
    from 1.
    """
    source = dataset.capability(CocoNumbered)
    if source is not None and source.coco_image_ids is not None:
        return CocoNumbers(source.coco_image_ids, source.coco_category_ids, source.coco_document)
    image_ids = {sample_id: place for place, sample_id in enumerate(dataset.ids, start=1)}
    return CocoNumbers(image_ids, range(1, len(dataset.classes) + 1))
