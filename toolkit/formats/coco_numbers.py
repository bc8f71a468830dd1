"""The ids by which COCO files refer to images and classes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from toolkit.data.dataset import Dataset


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
