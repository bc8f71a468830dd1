"""The parts of a run, made from its settings: data, evaluators and the model with its start weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from toolkit import registry
from toolkit.checkpoints import LoadReport, is_own, license_of
from toolkit.config import RunSettings
from toolkit.data.dataset import Dataset, InMemory, open_dataset
from toolkit.errors import DataError, UsageError
from toolkit.evaluation.base import Evaluator
from toolkit.models.contract import TrainableModel
from toolkit.models.weights import load_weights
from toolkit.registry.manifests import PluginManifest
from toolkit.runtime.downloads import fetch, weights_folder


def open_splits(settings: RunSettings) -> tuple[Dataset, Dataset | None]:
    """The split to learn from, and the one to validate on if the settings name one.

    Raises:
        DataError: when the first is empty, or the two have different classes.
    """
    data = settings.data
    manifest = registry.named(registry.datasets(), data.name)
    train_set = open_dataset(manifest, data.dir, data.train_split or manifest.splits[0], data.options)
    if not len(train_set):
        raise DataError(f"dataset {data.name!r}: the split {data.train_split!r} has no images")
    if data.in_memory:
        train_set = InMemory(train_set)
    if not data.val_split:
        return train_set, None
    val_set = open_dataset(manifest, data.dir, data.val_split, data.options)
    if tuple(val_set.classes) != tuple(train_set.classes):
        raise DataError(
            f"dataset {data.name!r}: the splits have different classes: {train_set.classes} and"
            f" {val_set.classes}"
        )
    return train_set, val_set if len(val_set) else None


def build_evaluators(settings: RunSettings, classes: tuple[str, ...]) -> list[Evaluator]:
    """The evaluators that the settings name, each with its own settings."""
    evaluators = []
    for name in type(settings.evaluators).model_fields:
        manifest = registry.evaluators().get(name)
        evaluators.append(manifest.resolve(manifest.build)(getattr(settings.evaluators, name), classes))
    return evaluators


@dataclass(frozen=True)
class StartWeights:
    """What training starts from: ``weights=`` as given, the license as far as it is known, and what was taken
    from it.
    """

    name: str
    license: str
    report: LoadReport | None = None


def build_model(
    settings: RunSettings, plugin: PluginManifest, classes: tuple[str, ...], *, with_weights: bool = True
) -> tuple[TrainableModel, StartWeights]:
    """The model with its start weights; ``with_weights=False`` leaves them random, for a run that is about to
    be resumed.

    Raises:
        UsageError: when the plugin brings a model that cannot be trained, or there are no such weights.
        CheckpointError: when the weights do not fit.
    """
    model = plugin.resolve(plugin.build)(settings.model, tuple(classes))
    if not isinstance(model, TrainableModel):
        raise UsageError(
            f"plugin {plugin.name!r} cannot be trained: {plugin.build} returned {type(model).__name__}, which"
            " is no TrainableModel"
        )
    name = settings.weights
    if name == "none" or not with_weights:
        return model, StartWeights(name, "none")
    official = {weights.name: weights for weights in plugin.weights}
    if name not in official and not Path(name).exists():
        names = ", ".join(official) or "none"
        raise UsageError(
            f"weights={name}: no such file, and no official weights of plugin {plugin.name!r} (there are:"
            f" {names}; or weights=none)"
        )
    if name in official:
        license, download = official[name].license, official[name].download
        source = name if download is None else str(fetch(download, weights_folder()))
    else:
        license, source = license_of(name), name
    if plugin.load_weights and not is_own(source):
        return model, StartWeights(name, license, plugin.resolve(plugin.load_weights)(model, source))
    return model, StartWeights(name, license, load_weights(model, Path(source), plugin.name))
