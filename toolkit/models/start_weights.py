"""What training starts from: published weights, a checkpoint, or random numbers."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from toolkit.checkpoints import (
    CheckpointManifest,
    LoadReport,
    exported_manifest,
    find_checkpoint,
    license_of,
    read_foreign,
    read_manifest,
)
from toolkit.config import Scale, Settings
from toolkit.config.schema import AUTO
from toolkit.config.tree import flat_items
from toolkit.errors import CheckpointError, DownloadError, UsageError
from toolkit.models.building import build_model, changed_since, scale_of_run
from toolkit.models.contract import Model
from toolkit.models.weight_names import names_in_files
from toolkit.models.weights import load_weights
from toolkit.reading.files import expanded
from toolkit.registry.manifests import PluginManifest
from toolkit.runtime.downloads import fetch, weights_folder


@dataclass(frozen=True)
class StartWeights:
    """The weights that training starts from.

    Attributes:
        name: the value of ``weights=``.
        license: the license of the weights, as far as it is known.
        report: which tensors were loaded from them; None for random weights.
        reason: why they are random although the plugin's own were requested; empty otherwise.
        scale: how the values of the images became 8 bits that they were trained with, if they are of a run
            that has one.
    """

    name: str
    license: str
    report: LoadReport | None = None
    reason: str = ""
    scale: Scale | None = None


RANDOM = StartWeights("none", "none")
HANDED_OVER = StartWeights("handed over", "unknown")
"""The weights of a model that was built elsewhere."""


def take_start_weights(
    model: Model, plugin: PluginManifest, name: str, settings: Settings | None = None
) -> StartWeights:
    """Load the weights that a name stands for into a model.

    Args:
        model: the model, with random weights.
        plugin: the model's plugin.
        name: an official name, the path of a checkpoint, ``none``, or ``auto``: the plugin's first official
            weights if they are available and fit, otherwise random ones.
        settings: settings of the model, to report which of them differ from those with which a run's weights
            were trained, if these do not fit.

    Raises:
        UsageError: when there are no such weights.
        DownloadError: when they cannot be fetched; says which file to fetch by hand, and where to put it.
        CheckpointError: when they do not fit.
    """
    if name == "none":
        return RANDOM
    if name == AUTO:
        return _first_official(model, plugin)
    official = {weights.name: weights for weights in plugin.weights}
    if name not in official and not expanded(name).exists():
        near = difflib.get_close_matches(name, official, n=1)
        meant = f"weights={near[0]}, or " if near else ""
        raise UsageError(
            f"weights={name}: no such file, and no official weights of plugin {plugin.name!r} (expected one"
            f" of: {', '.join(official) or 'none'}). Hint: {meant}weights=none for random weights"
        )
    source, chosen = name, official.get(name)
    if chosen is not None and chosen.download is not None:
        instead = chosen.instead or "give the path of such a file as weights=FILE, or set weights=none"
        source = str(fetch(chosen.download, weights_folder(), instead=instead))
    own = read_manifest(source)
    exported = exported_manifest(source) if own is None else None
    license = license_of(own or exported) if chosen is None else chosen.license
    is_known = own is not None or _was_exported(exported, source, model, plugin)
    if plugin.load_weights and (not is_known or _has_encoder_for(own, plugin)):
        path = source if own is None else str(find_checkpoint(source))
        report = plugin.resolve(plugin.load_weights)(model, path)
        return StartWeights(name, license, report, scale=_scale_of(own, source))
    build = None if settings is None else partial(build_model, plugin, settings)
    try:
        report = load_weights(model, Path(source), plugin.name, build)
        return StartWeights(name, license, report, scale=_scale_of(own, source))
    except CheckpointError as error:
        raise CheckpointError(f"{error}{_learned_with(own, plugin, settings)}") from None


def _scale_of(manifest: CheckpointManifest | None, source: str) -> Scale | None:
    """The scale of the run that weights are of."""
    return None if manifest is None else scale_of_run(manifest, Path(source))


def _was_exported(
    manifest: CheckpointManifest | None, source: str, model: Model, plugin: PluginManifest
) -> bool:
    """Whether a file was exported from the plugin's model with tensor names of the model; files that were
    converted during export are read by the plugin itself.
    """
    if manifest is None or manifest.plugin != plugin.name:
        return False
    return set(read_foreign(expanded(source))) <= set(names_in_files(model))


def _has_encoder_for(manifest: CheckpointManifest | None, plugin: PluginManifest) -> bool:
    """Whether a checkpoint is of another plugin, and this one takes the encoder out of it."""
    return plugin.takes_encoders and manifest is not None and manifest.plugin != plugin.name


def _first_official(model: Model, plugin: PluginManifest) -> StartWeights:
    if not plugin.weights:
        return RANDOM
    first = plugin.weights[0].name
    try:
        return take_start_weights(model, plugin, first)
    except (CheckpointError, DownloadError, UsageError) as error:
        # Only the reason: the hint in such a message is for users who asked for these weights.
        reason = str(error).splitlines()[0].partition(" Hint:")[0].rstrip(".")
        return StartWeights("none", "none", reason=f"weights={first} are not available: {reason}")


def _learned_with(
    manifest: CheckpointManifest | None, plugin: PluginManifest, settings: Settings | None
) -> str:
    """The settings of the model that are others than those of the run that weights are of, as a hint."""
    if settings is None or manifest is None or manifest.plugin != plugin.name:
        return ""
    before, now = dict(flat_items(manifest.model)), dict(flat_items(settings.model_dump(mode="json")))
    others = [f"model.{key}={before[key]}" for key in before if before[key] != now.get(key, before[key])]
    if not others:
        return changed_since(manifest)
    return f"\nThese weights were trained with other settings. Hint: {' '.join(others)}"
