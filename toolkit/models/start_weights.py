"""What training starts from: published weights, a checkpoint, or random numbers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from toolkit.checkpoints import LoadReport, is_own, license_of
from toolkit.config.schema import AUTO
from toolkit.errors import CheckpointError, DownloadError, UsageError
from toolkit.models.contract import Model
from toolkit.models.weights import load_weights
from toolkit.registry.manifests import PluginManifest
from toolkit.runtime.downloads import fetch, weights_folder


@dataclass(frozen=True)
class StartWeights:
    """Weights that were taken over.

    Attributes:
        name: ``weights=`` as it was given.
        license: of the weights, as far as it is known.
        report: what was taken from them; None for random weights.
        reason: why they are random although the plugin's own were wanted; empty otherwise.
    """

    name: str
    license: str
    report: LoadReport | None = None
    reason: str = ""


RANDOM = StartWeights("none", "none")


def take_start_weights(model: Model, plugin: PluginManifest, name: str) -> StartWeights:
    """Give a model the weights that a name stands for.

    Args:
        model: with random weights.
        plugin: of the model.
        name: an official name, the path of a checkpoint, ``none``, or ``auto``: the plugin's first official
            weights where they can be had and fit, else random ones.

    Raises:
        UsageError: when there are no such weights.
        CheckpointError: when they do not fit.
    """
    if name == "none":
        return RANDOM
    if name == AUTO:
        return _first_official(model, plugin)
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
        return StartWeights(name, license, plugin.resolve(plugin.load_weights)(model, source))
    return StartWeights(name, license, load_weights(model, Path(source), plugin.name))


def _first_official(model: Model, plugin: PluginManifest) -> StartWeights:
    if not plugin.weights:
        return RANDOM
    first = plugin.weights[0].name
    try:
        return take_start_weights(model, plugin, first)
    except (CheckpointError, DownloadError, UsageError) as error:
        # Only what went wrong: the advice in such a message is for those who asked for these weights.
        reason = str(error).splitlines()[0].partition(" Hint:")[0].rstrip(".")
        return StartWeights("none", "none", reason=f"weights={first} cannot be had: {reason}")
