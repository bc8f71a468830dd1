"""Draws a contact sheet of a dataset, original or augmented, for ``toolkit data preview``."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from toolkit.config import Settings, validate
from toolkit.config.augmentations import AugmentSettings
from toolkit.data.dataset import Dataset
from toolkit.data.transforms import build_transform
from toolkit.errors import ConfigError, DataError
from toolkit.reading.yaml_text import parse_yaml
from toolkit.runtime.locks import locked_file
from toolkit.runtime.seeding import derive_seed
from toolkit.types import Sample
from toolkit.visualization.palettes import class_palette
from toolkit.visualization.sheets import Cell, grid_sheet

VARIANTS = 3
"""Number of augmented variants shown for each sample."""


class _List(Settings):
    """Validates a list of augmentations."""

    augment: tuple[AugmentSettings, ...]


def parse_augment(text: str) -> tuple[Settings, ...]:
    """Augmentations from the command line: a YAML list as in a recipe, or names separated by commas,
    such as ``flip,blur``.

    Raises:
        ConfigError: when the list is empty, or with all errors in one message.
    """
    value: Any = parse_yaml(text, f"--augment {text!r}", ConfigError).written
    if isinstance(value, str):
        value = [{"name": name.strip()} for name in value.split(",")]
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list) or not value:
        raise ConfigError(
            f"--augment {text!r}: expected names, such as flip,blur, or a list, such as '[{{name: crop, size:"
            " [64, 64]}]'"
        )
    value = [{"name": entry} if isinstance(entry, str) else entry for entry in value]
    checked: _List = validate(_List, {"augment": value}, source=f"--augment {text!r}")
    return tuple(checked.augment)


def preview(
    dataset: Dataset,
    path: str | os.PathLike[str],
    *,
    augment: Sequence[Settings] = (),
    count: int = 8,
    seed: int = 0,
    cell: int = 320,
    on_progress: Callable[[], None] = lambda: None,
) -> int:
    """Write a picture with one row per sample: the image, the image with its labels, and augmented variants
    of it with theirs.

    Args:
        dataset: the dataset; the samples are spread evenly over it.
        path: the picture to write; its suffix determines the format.
        augment: the augmentations, in order; without them there are no augmented variants.
        count: largest number of samples.
        seed: determines the augmented variants.
        cell: width of a column in pixels.
        on_progress: called after each sample.

    Returns:
        The number of samples shown.

    Raises:
        DataError: when the dataset is empty, or a sample cannot be read.
        OutputError: when the picture cannot be written.
        UsageError: when another process is writing it.
    """
    if not len(dataset):
        raise DataError("the split has no samples to show")
    shown = min(count, len(dataset))
    indexes = [i * len(dataset) // shown for i in range(shown)]
    transform = build_transform(augment, dataset.keypoint_names) if augment else None
    columns = ["image", "labels", *(f"augmented {i + 1}" for i in range(VARIANTS if transform else 0))]
    rows = []
    for index in indexes:
        rows.append(_row(dataset[index], transform, derive_seed(seed, index)))
        on_progress()
    titles = [dataset.ids[index] for index in indexes]
    palette = dataset.palette or class_palette(dataset.classes)
    with locked_file(Path(path)):
        grid_sheet(columns, rows, path, classes=dataset.classes, palette=palette, titles=titles, cell=cell)
    return shown


def _row(sample: Sample, transform: Callable[[Sample, int], Sample] | None, seed: int) -> list[Cell | None]:
    forms = (
        [transform(sample, derive_seed(seed, variant)) for variant in range(VARIANTS)] if transform else []
    )
    return [(sample.image, None), (sample.image, sample), *((form.image, form) for form in forms)]
