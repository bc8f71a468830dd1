"""The batch size and the length of a run whose settings do not give them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from toolkit.config import RunSettings, TrainSettings
from toolkit.data.dataset import Dataset
from toolkit.data.transforms import build_transform
from toolkit.registry.manifests import PluginManifest

PASSES = 50
"""Passes over a split of the usual size of hundreds of images."""
LEAST_IMAGES, MOST_IMAGES = 4_000, 16_000
"""Number of images that a run sees: it makes more passes over smaller splits, and fewer over larger ones."""
LEAST_PASSES = 4
"""Smallest number of passes, however large the split is."""
LEAST_STEPS = 4
"""Steps per epoch for which a batch size is reduced."""
MOST_PIXELS = 4_000_000
"""Largest number of pixels in a batch, equal to 8 images of 800 × 600."""
LEAST_BATCH = 2
"""The smallest reduced batch size: batch norm needs two values."""
MEASURED = 4
"""Number of images whose size is read."""


def usual_batch_size(images: int, pixels: int, most: int, parts: int = 1) -> int:
    """The batch size for a training split: ``most``, halved until an epoch has ``LEAST_STEPS`` steps and a
    batch has no more than ``MOST_PIXELS`` pixels, but not below ``LEAST_BATCH``.

    Args:
        images: number of images in the split, one or more.
        pixels: number of pixels of one image.
        most: the batch size that the plugin uses for large splits of small images.
        parts: number of parts that the batch is split into; the result is a multiple of it.
    """
    size = most
    while size // 2 >= LEAST_BATCH and (size * LEAST_STEPS > images or size * pixels > MOST_PIXELS):
        size //= 2
    return math.ceil(size / parts) * parts


def with_batch_size(
    settings: RunSettings, dataset: Dataset, plugin: PluginManifest
) -> tuple[RunSettings, str]:
    """The settings of a run with its batch size, and a sentence about it; unchanged and without a sentence if
    they already give one.

    Args:
        settings: the settings of the run.
        dataset: the training split, with one sample or more.
        plugin: the plugin that is trained.

    Raises:
        ToolkitError: when a sample cannot be read or augmented.
    """
    train = settings.train
    if train.batch_size is not None:
        return settings, ""
    most = own_batch_size(plugin)
    height, width = _usual_size(settings, dataset)
    parts = train.accumulate * train.devices * train.num_nodes
    size = usual_batch_size(len(dataset), height * width, most, parts)
    chosen = settings.model_copy(update={"train": train.model_copy(update={"batch_size": size})})
    for_what = f"{len(dataset):,} training images of {width} × {height} pixels"
    return chosen, f"Batch size {size} chosen for {for_what}; train.batch_size sets another"


def own_batch_size(plugin: PluginManifest) -> int:
    """The default batch size of a plugin, or else the toolkit's."""
    own = (plugin.defaults.get("train") or {}).get("batch_size")
    usual = TrainSettings.model_fields["batch_size"].default
    return int(own or usual)


def _usual_size(settings: RunSettings, dataset: Dataset) -> tuple[int, int]:
    """Height and width of the largest of a few images, after augmentation."""
    transform = build_transform(settings.augment) if settings.augment else None
    places: Sequence[int] = sorted({i * len(dataset) // MEASURED for i in range(MEASURED)})
    seed = settings.train.seed
    samples = [dataset[i] if transform is None else transform.read(dataset, i, seed) for i in places]
    return max((sample.size for sample in samples), key=lambda size: size[0] * size[1])


def usual_steps(images: int, batch_size: int) -> int:
    """The steps of a run over a training split: enough to see its images ``PASSES`` times, but at least
    ``LEAST_IMAGES`` and at most ``MOST_IMAGES`` images, and each image at least ``LEAST_PASSES`` times.

    Args:
        images: number of images in the split, one or more.
        batch_size: number of images per step.
    """
    looked_at = min(max(PASSES * images, LEAST_IMAGES), MOST_IMAGES)
    return math.ceil(max(looked_at, LEAST_PASSES * images) / batch_size)


def with_length(settings: RunSettings, images: int) -> RunSettings:
    """The settings of a run with its steps, if they give neither steps nor epochs."""
    train = settings.train
    if train.steps is not None or train.epochs is not None:
        return settings
    steps = usual_steps(images, train.images_per_step)
    return settings.model_copy(update={"train": train.model_copy(update={"steps": steps})})
