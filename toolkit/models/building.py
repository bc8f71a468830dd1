"""Models made from a plugin and its settings, with random weights, start weights or those of a checkpoint."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from toolkit import registry
from toolkit.checkpoints import CheckpointManifest, find_checkpoint, read_checkpoint
from toolkit.config import Settings, settings_class, validate
from toolkit.config.tree import merge
from toolkit.errors import CheckpointError, UnknownNameError, UsageError
from toolkit.models.contract import Model
from toolkit.models.weights import compare_tensors
from toolkit.registry.manifests import PluginManifest

logger = logging.getLogger("toolkit")


def load_model(
    run_or_file: str | Path, settings: Mapping[str, Any] | None = None
) -> tuple[Model, CheckpointManifest]:
    """Rebuild the model that a run or a checkpoint file holds, with its weights, in eval mode on the CPU.

    Args:
        run_or_file: a run's folder or a checkpoint file.
        settings: of the model, nested; they are laid over those that it was trained with. The weights must
            still fit.

    Raises:
        CheckpointError: when the file is damaged, was not written by the toolkit, or does not fit its own
            plugin.
        UnavailableError: when the plugin cannot be loaded here.
    """
    path = find_checkpoint(run_or_file)
    if path.suffix != ".safetensors":
        raise CheckpointError(
            f"{path} is no checkpoint of the toolkit (those end in .safetensors). Hint: pass it to training"
            f" as weights={path}"
        )
    tensors, manifest = read_checkpoint(path)
    if manifest is None:
        raise CheckpointError(
            f"{path} was not written by the toolkit: it has no manifest. Hint: pass it to training as"
            f" weights={path}"
        )
    model = rebuild_model(manifest, path, settings)
    fit = compare_tensors(model, tensors)
    if fit.missing or fit.unexpected or fit.mismatched:
        raise CheckpointError(
            f"{path} does not fit the plugin {manifest.plugin!r} that is installed"
            f" here{', with the settings given' * bool(settings)}: {fit}"
        )
    version = registry.plugins().get(manifest.plugin).version
    if version != manifest.plugin_version:
        logger.warning(
            "%s was written by version %s of the plugin %s; this is version %s",
            path,
            manifest.plugin_version,
            manifest.plugin,
            version,
        )
    model.load_state_dict(tensors)
    return model.eval(), manifest


def build_model(plugin: PluginManifest, settings: Settings, classes: Sequence[str]) -> Model:
    """The model of a plugin with random weights.

    Args:
        plugin: whose model.
        settings: the plugin's own, validated.
        classes: what labels stand for.

    Raises:
        UsageError: when the plugin brings something that is no model.
        UnavailableError: when the plugin cannot be loaded here.
    """
    model = plugin.resolve(plugin.build)(settings, tuple(classes))
    if not isinstance(model, Model):
        raise UsageError(
            f"plugin {plugin.name!r}: {plugin.build} must return a toolkit.Model, not {type(model).__name__}"
        )
    return model


def rebuild_model(
    manifest: CheckpointManifest, source: Path, settings: Mapping[str, Any] | None = None
) -> Model:
    """The model that a checkpoint's manifest describes, other settings laid over its own, with random
    weights.

    Args:
        manifest: of the checkpoint.
        source: where it is, for messages.
        settings: of the model, nested.
    """
    try:
        plugin = registry.plugins().get(manifest.plugin)
    except UnknownNameError as error:
        raise UnknownNameError(
            f"{source} needs a plugin that is not here: {error}. Hint: add --plugin FILE.py (in Python:"
            " toolkit.registry.add_path)"
        ) from None
    where = f"the manifest in {source}{' with the settings given' * bool(settings)}"
    chosen = validate(settings_class(plugin), merge(dict(manifest.model), settings or {}), source=where)
    return build_model(plugin, chosen, manifest.classes)
