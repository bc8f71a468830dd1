"""Paints objects into label maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from pycocotools import mask as coco_mask
from torch import Tensor

from toolkit.data.dataset import Dataset
from toolkit.errors import DataError, InvalidDataError
from toolkit.types import BACKGROUND, VOID, Instances, Sample


def instances_to_label_map(instances: Instances, classes: Sequence[str]) -> Tensor:
    """Paint instances over one another into a label map.

    Predictions are painted by score, so that the highest wins; truth by area, so that small objects are on
    top of large ones and, among equals, later ones on top of earlier ones. A pixel without an instance is
    ``background`` if a class has that name, else ``VOID``. Crowd regions are painted first, as ``VOID``,
    because their contents are not known in detail.

    Args:
        instances: with masks; labels index ``classes``.
        classes: the names that labels stand for.

    Returns:
        uint8 ``[H, W]`` of indexes into ``classes``.

    Raises:
        InvalidDataError: when there are no masks, or a label is out of range.
    """
    masks = instances.masks
    if masks is None and len(instances):
        raise InvalidDataError(
            f"a label map needs masks, but these {len(instances)} instances have only boxes"
        )
    if len(instances) and int(instances.labels.max()) >= len(classes):
        raise InvalidDataError(
            f"an instance has label {int(instances.labels.max())}, but there are {len(classes)} classes: 0 …"
            f" {len(classes) - 1}"
        )
    height, width = instances.size
    uncovered = classes.index(BACKGROUND) if BACKGROUND in classes else VOID
    # Transposed, like run-length encodings.
    painted = torch.full((width, height), uncovered, dtype=torch.uint8)
    if masks is None:
        return painted.T.contiguous()
    labels = instances.labels
    key = -masks.areas().double() if instances.scores is None else instances.scores.double()
    if instances.is_crowd is not None:
        labels = torch.where(instances.is_crowd, VOID, labels)
        key = torch.where(instances.is_crowd, -torch.inf, key)
    boxes = masks.boxes_xyxy().long()
    codes = masks.to_coco()
    for i in key.argsort(stable=True).tolist():
        x0, y0, x1, y1 = boxes[i].tolist()
        inside = torch.from_numpy(coco_mask.decode(codes[i]).T)[x0:x1, y0:y1] != 0
        painted[x0:x1, y0:y1].masked_fill_(inside, int(labels[i]))
    return painted.T.contiguous()


class WithBackground(Dataset):
    """A dataset whose classes have a background, which stands for all pixels outside of objects.

    Args:
        dataset: whose samples are converted. If its classes have no background, one is added as the first
            class.
        hint: what to choose where there are too many classes.

    Raises:
        DataError: when there are more classes than a label map can hold.
    """

    def __init__(self, dataset: Dataset, hint: str) -> None:
        self._dataset = dataset
        self.ids = dataset.ids
        self._shift = int(BACKGROUND not in dataset.classes)
        self.classes = (BACKGROUND, *dataset.classes) if self._shift else tuple(dataset.classes)
        if len(self.classes) > VOID:
            raise DataError(
                f"a label map can hold {VOID} classes, including the background, but there are"
                f" {len(self.classes)}. Hint: {hint}"
            )
        if dataset.palette is not None:
            self.palette = ((0, 0, 0), *dataset.palette) if self._shift else dataset.palette

    def _shifted(self, instances: Instances) -> Instances:
        """Objects of the dataset with the indexes of these classes."""
        return replace(instances, labels=instances.labels + self._shift)

    def fingerprint(self) -> str:
        """The fingerprint of the underlying dataset."""
        return self._dataset.fingerprint()


class ObjectsAsClasses(WithBackground):
    """The objects of each image are painted into a label map; everything else is background.

    Args:
        dataset: a dataset of objects with masks. If its classes have no background, one is added as the first
            class.

    Raises:
        DataError: when there are more classes than a label map can hold.
    """

    def __init__(self, dataset: Dataset) -> None:
        super().__init__(dataset, "choose an instance segmentation plugin")

    def __getitem__(self, index: int) -> Sample:
        """The sample at ``index``, with a label map instead of its objects.

        Raises:
            DataError: when its objects have no masks.
        """
        sample = self._dataset[index]
        if sample.instances is None:
            raise DataError(f"{sample.path or sample.id} has no objects to make a label map from")
        try:
            label_map = instances_to_label_map(self._shifted(sample.instances), self.classes)
        except InvalidDataError as error:
            raise DataError(
                f"{sample.path or sample.id}: {error}. Hint: choose an instance segmentation plugin"
            ) from error
        return sample.with_(label_map=label_map, instances=None)
