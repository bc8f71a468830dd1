"""A split as ``toolkit data check --fix`` writes it: without errors, and with a list of what was changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch

from toolkit.data.dataset import Dataset
from toolkit.data.faults import gathering
from toolkit.data.object_checks import object_findings
from toolkit.data.repairs import LEFT_OUT, LEFT_OUT_OBJECT, TOOK_BOX, Change
from toolkit.errors import DataError
from toolkit.formats.regions import Region, RegionDataset, to_instances
from toolkit.types import VOID, Instances, Sample, Size

C = TypeVar("C")


class RepairedSplit(Dataset):
    """Some samples of a split, with their objects repaired as they are read.

    Objects that cover no pixels or occur twice are left out, boxes that do not match their masks are
    replaced, and records that the reader refuses are left out.

    Args:
        dataset: the split, opened while errors are being collected.
        split: its name.
        kept: positions of the samples that are kept; they can be read, and their labels stand for classes.
        classes: the same as the dataset's, perhaps in another order.
    """

    def __init__(self, dataset: Dataset, split: str, kept: Sequence[int], classes: Sequence[str]) -> None:
        self._dataset, self._split, self._kept = dataset, split, list(kept)
        self.classes = tuple(classes)
        self.ids = [dataset.ids[position] for position in self._kept]
        self.keypoint_names = dataset.keypoint_names
        self._labels = [self.classes.index(name) for name in dataset.classes]
        if dataset.palette is not None:
            colors = dict(zip(dataset.classes, dataset.palette, strict=True))
            self.palette = tuple(colors[name] for name in self.classes)
        self._changes: dict[int, list[Change]] = {}

    @property
    def changes(self) -> list[Change]:
        """What was changed in the samples that have been read so far, in their order."""
        return [change for place in sorted(self._changes) for change in self._changes[place]]

    def __getitem__(self, index: int) -> Sample:
        """The repaired sample."""
        place = range(len(self.ids))[index]
        changes = self._changes[place] = []
        with gathering() as faults:
            sample = self._dataset[self._kept[place]]
        changes += [self._change(place, "", fault, LEFT_OUT) for fault in faults]
        if sample.instances is not None:
            sample = sample.with_(instances=self._repaired(place, sample.instances))
        return sample.with_(id=self.ids[place], label_map=self._label_map(sample))

    def capability(self, kind: type[C]) -> C | None:
        """The dataset's capability, if the classes have the same order."""
        return self._dataset.capability(kind) if self.classes == tuple(self._dataset.classes) else None

    def _change(self, place: int, index: int | str, found: str, change: str) -> Change:
        return Change(self._split, self.ids[place], str(index), found, change)

    def _decide(self, place: int, instances: Instances) -> tuple[list[int], list[int]]:
        """The positions of the objects to keep, and of those whose box is to be replaced by that of their
        mask.
        """
        dropped, boxes = set[int](), []
        for each in object_findings(instances):
            if each.kind in ("empty", "twice"):
                dropped.add(each.index)
                self._changes[place].append(self._change(place, each.index, each.what, LEFT_OUT_OBJECT))
            elif each.kind == "box":
                boxes.append(each.index)
                self._changes[place].append(self._change(place, each.index, each.what, TOOK_BOX))
        return [index for index in range(len(instances)) if index not in dropped], boxes

    def _repaired(self, place: int, instances: Instances) -> Instances:
        kept, boxes = self._decide(place, instances)
        if boxes and instances.masks is not None:
            changed = instances.boxes_xyxy.clone()
            changed[boxes] = instances.masks[boxes].boxes_xyxy()
            instances = replace(instances, boxes_xyxy=changed)
        labels = torch.tensor(self._labels, dtype=torch.int64)[instances.labels]
        return replace(instances, labels=labels)[kept]

    def _label_map(self, sample: Sample) -> torch.Tensor | None:
        if sample.label_map is None:
            return None
        table = torch.full((VOID + 1,), VOID, dtype=torch.uint8)
        table[: len(self._labels)] = torch.tensor(self._labels, dtype=torch.uint8)
        return table[sample.label_map.long()]


class RepairedRegions(RepairedSplit, RegionDataset):
    """The same for a dataset of records, so that polygons stay polygons and photos are copied as they are."""

    def __init__(
        self, dataset: RegionDataset, split: str, kept: Sequence[int], classes: Sequence[str]
    ) -> None:
        super().__init__(dataset, split, kept, classes)
        self._records, self.num_keypoints = dataset, dataset.num_keypoints

    def image_path(self, index: int) -> Path:
        """The image."""
        return self._records.image_path(self._kept[index])

    def image_size(self, index: int) -> Size:
        """Its size."""
        return self._records.image_size(self._kept[index])

    def regions(self, index: int, size: Size) -> list[Region]:
        """The repaired objects."""
        changes = self._changes[index] = []
        with gathering() as faults:
            given = self._records.regions(self._kept[index], size)
        changes += [self._change(index, "", fault, LEFT_OUT) for fault in faults]
        regions = [region for region in given if self._has_pixels(index, region, size)]
        kept, boxes = self._decide(index, to_instances(regions, size, self.num_keypoints))
        for place in boxes:
            regions[place] = replace(regions[place], box_xyxy=None)
        return [replace(regions[i], label=self._labels[regions[i].label]) for i in kept]

    def _has_pixels(self, place: int, region: Region, size: Size) -> bool:
        """Whether the mask of an object, if it has one, can be built."""
        try:
            if region.has_mask:
                region.counts(size)
        except DataError as error:
            self._changes[place].append(self._change(place, "", str(error), LEFT_OUT))
            return False
        return True


def repaired(dataset: Dataset, split: str, kept: Sequence[int], classes: Sequence[str]) -> RepairedSplit:
    """A split without its errors; arguments as for ``RepairedSplit``."""
    if isinstance(dataset, RegionDataset):
        return RepairedRegions(dataset, split, kept, classes)
    return RepairedSplit(dataset, split, kept, classes)
