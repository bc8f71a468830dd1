"""The data of a run: the training split and the validation split."""

from __future__ import annotations

from dataclasses import dataclass

from toolkit import registry
from toolkit.config import RunSettings, Scale, Settings
from toolkit.data.dataset import Dataset, InMemory, open_for_task
from toolkit.errors import DataError, UsageError
from toolkit.reading.files import expanded
from toolkit.registry.manifests import TaskManifest


@dataclass(frozen=True)
class Splits:
    """The splits of a run.

    Attributes:
        train: the training split.
        val: the validation split, if there is one.
        conversion: a description of how samples were converted for the task; empty when they were not
            changed.

    Raises:
        DataError: when the two have different classes, or the same in a different order.
    """

    train: Dataset
    val: Dataset | None
    conversion: str = ""

    def __post_init__(self) -> None:
        if self.val is not None and tuple(self.val.classes) != tuple(self.train.classes):
            raise DataError(
                "the splits have different classes, or the same in a different order:"
                f" {', '.join(self.train.classes)} for training, {', '.join(self.val.classes)} for validation"
                ". Hint: give both the same classes in the same order"
            )


def open_splits(settings: RunSettings, task: TaskManifest) -> Splits:
    """The splits that settings name, with the labels that a task learns from.

    Raises:
        DataError: when the first is empty, or the two have different classes.
    """
    data = settings.data
    manifest = registry.named(registry.datasets(), data.name)
    split = data.train_split or manifest.splits[0]
    train_set, conversion = open_for_task(manifest, task, data.dir, split, data.options)
    if not len(train_set):
        raise DataError(f"dataset {data.name!r}: the split {split!r} has no images")
    options = _with_scale(data.options, train_set.scale)
    if data.in_memory:
        train_set = InMemory(train_set)
    if data.dir and data.val_split and expanded(data.dir).is_file():
        raise UsageError(
            f"{data.dir} is one file, which cannot be used for both training and validation. Hint: give the"
            " folder that contains the files of both splits, or train without validation: data.val_split="
        )
    if not data.val_split:
        return Splits(train_set, None, conversion)
    val_set, _ = open_for_task(manifest, task, data.dir, data.val_split, options)
    if tuple(val_set.classes) != tuple(train_set.classes):
        raise DataError(
            f"dataset {data.name!r}: the splits have different classes: {train_set.classes} and"
            f" {val_set.classes}"
        )
    return Splits(train_set, val_set if len(val_set) else None, conversion)


def with_scale(settings: RunSettings, scale: Scale | None) -> RunSettings:
    """The settings of a run with the scale of its training images, which knows their depth."""
    options = _with_scale(settings.data.options, scale)
    return settings.model_copy(update={"data": settings.data.model_copy(update={"options": options})})


def _with_scale(options: Settings, scale: Scale | None) -> Settings:
    return options if scale is None else options.model_copy(update={"scale": scale})
