"""Checks of datasets."""

from __future__ import annotations

import hashlib
import pickle
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from toolkit import registry
from toolkit.data.dataset import Dataset, open_dataset
from toolkit.errors import MissingSplitError, ToolkitError
from toolkit.registry.manifests import DatasetManifest
from toolkit.testing.checks import expect, explain, skip
from toolkit.testing.second_process import elsewhere
from toolkit.types import VOID, Sample


@dataclass(frozen=True)
class DatasetCase:
    """A dataset, and how to check it.

    Attributes:
        dataset: a name, or the path of a file or folder that contains one.
        folder: folder of its files; None for a generated dataset, or for ``data/<name>``.
        options: the dataset's own settings.
        limit: number of samples to read from each split.
    """

    dataset: str
    folder: str | Path | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    limit: int = 20

    @property
    def manifest(self) -> DatasetManifest:
        """The dataset's manifest."""
        return registry.named(registry.datasets(), self.dataset, by_user=True)

    def open(self, split: str) -> Dataset:
        """One split, newly opened."""
        return open_dataset(self.manifest, self.folder, split, self.options)

    @cached_property
    def splits(self) -> dict[str, Dataset]:
        """All splits that the folder has; the training and validation splits must exist."""
        manifest, found = self.manifest, {}
        for split in manifest.splits:
            try:
                found[split] = self.open(split)
            except MissingSplitError:
                if split in (manifest.splits[0], manifest.val_split):
                    raise
        return found

    def samples(self) -> Iterator[tuple[str, int, Sample]]:
        """The first samples of every split, with the split and their index in it."""
        for split, dataset in self.splits.items():
            for index in range(min(self.limit, len(dataset))):
                yield split, index, dataset[index]


def splits_open(case: DatasetCase) -> None:
    """Every split opens, with the same classes and palette; the first is not empty, and `val_split` is one of
    them.
    """
    manifest = case.manifest
    expect(
        manifest.val_split in ("", *manifest.splits),
        f"val_split={manifest.val_split!r} is not one of {', '.join(manifest.splits)}",
    )
    splits = case.splits
    first = splits[manifest.splits[0]]
    expect(len(first) > 0, f"the split {manifest.splits[0]!r}, which is used for training, has no samples")
    for split, dataset in splits.items():
        classes, palette = tuple(dataset.classes), dataset.palette
        expect(
            classes == tuple(first.classes),
            f"split {split!r} has classes {classes}, but {manifest.splits[0]!r} has {first.classes}",
        )
        expect(
            0 < len(set(classes)) == len(classes),
            f"classes must be one or more different names, not {classes}",
        )
        expect(
            palette is None or len(palette) == len(classes),
            f"palette has {len(palette or ())} colors for {len(classes)} classes",
        )


def ids_are_unique(case: DatasetCase) -> None:
    """There are as many ids as samples, all different, and each sample has the id at its index."""
    for split, dataset in case.splits.items():
        ids = list(dataset.ids)
        expect(
            len(ids) == len(dataset), f"split {split!r} has {len(ids)} ids, but its length is {len(dataset)}"
        )
        twice = sorted({one for one in ids if ids.count(one) > 1}) if len(set(ids)) < len(ids) else []
        expect(not twice, f"split {split!r} has the ids {twice[:3]} more than once")
    for split, index, sample in case.samples():
        expected = case.splits[split].ids[index]
        expect(
            sample.id == expected,
            f"sample {index} of split {split!r} has the id {sample.id!r}, but ids[{index}] is {expected!r}",
        )


def samples_are_valid(case: DatasetCase) -> None:
    """Samples have the labels that the manifest's tasks need, with valid class indexes, and with boxes around
    the masks and inside the image.
    """
    tasks = case.manifest.tasks
    for split, dataset in case.splits.items():
        for index in range(min(case.limit, len(dataset))):
            sample = dataset[index]
            where = f"sample {sample.id!r} of split {split!r}"
            expect(isinstance(sample, Sample), f"{where} is a {type(sample).__name__}, not a toolkit.Sample")
            for task in map(registry.tasks().get, tasks):
                missing = [name for name in task.truth if sample.get(name) is None]
                expect(not missing, f"tasks has {task.name!r}, but {where} has no {' and no '.join(missing)}")
            _check_labels(sample, len(dataset.classes), where)


def _check_labels(sample: Sample, classes: int, where: str) -> None:
    if sample.label_map is not None:
        beyond = sample.label_map[(sample.label_map >= classes) & (sample.label_map != VOID)]
        expect(
            not beyond.numel(),
            f"the label map of {where} has values such as {beyond[:1].tolist()}, but there are {classes}"
            " classes",
        )
    instances = sample.instances
    if instances is None or not len(instances):
        return
    expect(
        int(instances.labels.max()) < classes,
        f"an object of {where} has label {int(instances.labels.max())} of {classes} classes",
    )
    height, width = sample.size
    boxes = instances.boxes_xyxy
    limit = torch.tensor([width, height, width, height]) + 1
    outside = ((boxes < -1) | (boxes > limit)).any(1)
    expect(
        not outside.any(),
        f"a box of {where} lies outside the image of {width}×{height} pixels: {boxes[outside][:1].tolist()}",
    )
    if instances.masks is not None:
        tight, filled = instances.masks.boxes_xyxy(), instances.masks.areas() > 0
        beyond = torch.cat([boxes[:, :2] - tight[:, :2], tight[:, 2:] - boxes[:, 2:]], 1).amax(1)
        worst = (beyond > 1) & filled
        expect(
            not worst.any(),
            f"a mask of {where} extends beyond its box {boxes[worst][:1].tolist()}:"
            f" {tight[worst][:1].tolist()}",
        )


def same_sample_each_time(case: DatasetCase) -> None:
    """The same index gives the same sample, even after the dataset is opened again."""
    for split, dataset in case.splits.items():
        again = case.open(split)
        expect(
            list(again.ids) == list(dataset.ids), f"split {split!r} has different ids when it is opened again"
        )
        for index in range(min(case.limit, len(dataset))):
            one, other, third = dataset[index], dataset[index], again[index]
            same = digest(one) == digest(other) == digest(third)
            expect(
                same,
                f"sample {one.id!r} of split {split!r} changes from one reading to the next. Hint: seed by"
                " the index",
            )
            expect(
                torch.equal(dataset.image(index), one.image),
                f"the image of sample {one.id!r} of split {split!r} is another one when it is read alone."
                " Hint: image(index) must return dataset[index].image",
            )


def same_in_another_process(case: DatasetCase) -> None:
    """A dataset sent to a loader process, or opened in a new process, gives the same ids, samples and
    fingerprint.
    """
    name, folder = (
        registry.stable_name(case.dataset),
        None if case.folder is None else Path(case.folder).resolve(),
    )
    opened = elsewhere(_digests, replace(case, dataset=name, folder=folder)).result()
    for split, dataset in case.splits.items():
        ids, fingerprint, digests = opened[split]
        expect(
            ids == list(dataset.ids),
            f"split {split!r} has different ids in another process. Hint: sort them; sets have no order",
        )
        expect(
            fingerprint == dataset.fingerprint(),
            f"fingerprint() of split {split!r} is different in another process. Hint: use hashlib",
        )
        own = [digest(dataset[index]) for index in range(len(digests))]
        expect(digests == own, f"samples of split {split!r} are different in another process")
        try:
            pickled = pickle.dumps(dataset)
        except Exception as error:
            raise AssertionError(
                f"split {split!r} cannot be sent to loader processes: {explain(error, case.manifest)}."
                " Hint: keep no open files, locks or functions defined inside functions in the dataset"
            ) from error
        sent = elsewhere(_digests_of_sent, name, pickled, len(digests)).result()
        expect(
            sent == own,
            f"samples of split {split!r} are different after the dataset was sent to another process",
        )


def _digests(case: DatasetCase) -> dict[str, tuple[list[str], str, list[str]]]:
    return {
        split: (
            list(dataset.ids),
            dataset.fingerprint(),
            [digest(dataset[i]) for i in range(min(3, len(dataset)))],
        )
        for split, dataset in case.splits.items()
    }


def _digests_of_sent(name: str, pickled: bytes, count: int) -> list[str]:
    registry.named(registry.datasets(), name, by_user=True)  # a file is loaded, as loader processes do
    dataset = pickle.loads(pickled)
    return [digest(dataset[index]) for index in range(count)]


def splits_are_disjoint(case: DatasetCase) -> None:
    """No image is in two splits."""
    seen: dict[str, tuple[str, str]] = {}
    for split, dataset in case.splits.items():
        for index in range(min(case.limit, len(dataset))):
            sample = dataset[index]
            key = hashlib.sha256(sample.image.numpy().tobytes()).hexdigest()
            other, twin = seen.setdefault(key, (split, sample.id))
            expect(
                other == split,
                f"the image {sample.id!r} of split {split!r} is also in split {other!r}, as {twin!r}",
            )
    names = list(case.splits)
    for one, other in ((one, other) for i, one in enumerate(names) for other in names[i + 1 :]):
        _check_common_ids(case.splits[one], case.splits[other], f"splits {one!r} and {other!r}", case.limit)


def _check_common_ids(one: Dataset, other: Dataset, which: str, limit: int) -> None:
    """An id may occur in two splits if each has its own folder; an image may not."""
    places = {name: index for index, name in enumerate(other.ids)}
    common = [(index, places[name]) for index, name in enumerate(one.ids) if name in places]
    for index, place in common[:limit]:
        same = torch.equal(one[index].image, other[place].image)
        expect(not same, f"{which} share {len(common)} ids, and {one.ids[index]!r} is the same image in both")


def ends_where_it_ends(case: DatasetCase) -> None:
    """An index beyond the end is an IndexError, so that a loop over the dataset ends."""
    for split, dataset in case.splits.items():
        try:
            dataset[len(dataset)]
        except IndexError:
            continue
        raise AssertionError(
            f"split {split!r} has {len(dataset)} samples, but returns one at index {len(dataset)}. Hint:"
            " raise IndexError"
        )


def an_empty_folder_is_explained(case: DatasetCase) -> None:
    """A folder without the expected files raises a toolkit error that names the folder."""
    if not case.manifest.needs_folder:
        skip("the dataset is generated and reads no folder")
    with tempfile.TemporaryDirectory() as folder:
        try:
            dataset = open_dataset(case.manifest, folder, case.manifest.splits[0], case.options)
            empty = len(dataset) == 0
        except ToolkitError as error:
            expect(
                Path(folder).name in str(error), f"the error for an empty folder does not name it: {error}"
            )
            return
        except Exception as error:
            raise AssertionError(
                f"an empty folder raises {explain(error, case.manifest)}. Hint: raise DataError with the"
                " path and the hint"
            ) from error
        raise AssertionError(
            f"an empty folder opens as a dataset of {'no' if empty else len(dataset)} samples. Hint: raise"
            " DataError"
        )


def manifest_tells_where_from(case: DatasetCase) -> None:
    """The manifest names the license and, if files are read, the layout of the folder."""
    expect(
        bool(case.manifest.license),
        "license is empty. Hint: name the license of the data, or say that it is unknown",
    )
    expect(
        not case.manifest.needs_folder or bool(case.manifest.layout),
        "layout is empty. Hint: describe what the folder must contain",
    )


def digest(sample: Sample) -> str:
    """A fingerprint of a sample's image and labels."""
    found = hashlib.sha256(sample.id.encode("utf-8", "surrogatepass"))
    instances = sample.instances
    tensors: list[Tensor | None] = [sample.image, sample.label_map]
    if instances is not None:
        tensors += [instances.boxes_xyxy, instances.labels, instances.keypoints, instances.is_crowd]
        found.update(b"".join(instances.masks.counts if instances.masks is not None else ()))
    for name, value in sorted(sample.extras.items()):
        found.update(name.encode() + _bytes_of(value))
    for tensor in tensors:
        found.update(b"none" if tensor is None else tensor.contiguous().numpy().tobytes())
    return found.hexdigest()


def _bytes_of(value: object) -> bytes:
    """The contents of a value of ``extras``; the repr of the toolkit's own types does not include them."""
    if isinstance(value, Tensor):
        return value.contiguous().numpy().tobytes()
    if is_dataclass(value):
        return b"".join(_bytes_of(getattr(value, each.name)) for each in fields(value))
    if isinstance(value, (list, tuple)):
        return b"".join(map(_bytes_of, value))
    return repr(value).encode()
