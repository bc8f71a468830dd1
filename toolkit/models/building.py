"""Models made from a plugin and its settings, with random weights, start weights or those of a checkpoint."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from toolkit import registry
from toolkit.checkpoints import (
    CheckpointManifest,
    describe_foreign,
    find_checkpoint,
    read_checkpoint,
    read_manifest,
)
from toolkit.config import Settings, settings_class, validate
from toolkit.config.tree import merge
from toolkit.errors import CheckpointError, ConfigError, UnknownNameError, UsageError
from toolkit.models.contract import Model
from toolkit.models.weights import compare_tensors
from toolkit.registry.code import code_hash
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
    manifest_of_run(path)
    tensors, manifest = read_checkpoint(path)
    assert manifest is not None  # as just seen; the checker does not follow
    model = rebuild_model(manifest, path, settings)
    fit = compare_tensors(model, tensors)
    if fit.missing or fit.unexpected or fit.mismatched:
        raise CheckpointError(
            f"{path} does not fit the plugin {manifest.plugin!r} that is installed"
            f" here{', with the settings given' * bool(settings)}: {fit}{changed_since(manifest)}"
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


def manifest_of_run(run_or_file: str | Path) -> CheckpointManifest:
    """What the checkpoint of a run says of itself; its tensors are not read.

    Raises:
        CheckpointError: when there is none, it is damaged, or the toolkit did not write it; says what it is.
    """
    path = find_checkpoint(run_or_file)
    manifest = read_manifest(path)
    if manifest is not None:
        return manifest
    known = describe_foreign(path)
    if known is not None:
        raise CheckpointError(f"{path} is no run of the toolkit: it {known}")
    raise CheckpointError(
        f"{path} was not written by the toolkit: it has no manifest. Hint: name the folder of a run here; to"
        f" train from this file, name its plugin and data: toolkit train --weights {path} --plugin P --data D"
    )


def plugin_of_run(run_or_file: str | Path) -> PluginManifest:
    """The plugin that a run belongs to.

    Raises:
        CheckpointError: as ``manifest_of_run``.
        UnknownNameError, UnavailableError: when it is not here.
    """
    return _plugin_of(manifest_of_run(run_or_file), find_checkpoint(run_or_file))


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
    plugin = _plugin_of(manifest, source)
    where = f"the manifest in {source}{' with the settings given' * bool(settings)}"
    try:
        chosen = validate(settings_class(plugin), merge(dict(manifest.model), settings or {}), source=where)
    except ConfigError as error:
        raise ConfigError(f"{error}{changed_since(manifest)}") from None
    return build_model(plugin, chosen, manifest.classes)


def changed_since(manifest: CheckpointManifest) -> str:
    """A line that says that the plugin's code has changed since a checkpoint was written, to stand behind an
    error that this may explain; empty when it has not, or nobody knows.
    """
    if manifest.plugin not in registry.plugins().names():
        return ""
    plugin = registry.plugins().get(manifest.plugin)
    now = code_hash(plugin)
    if not (manifest.plugin_code and now) or manifest.plugin_code == now:
        return ""
    kind = "folder" if Path(plugin.origin).is_dir() else "file"
    return (
        f"\nThe plugin's {kind} {plugin.origin} has changed since this was trained. Hint: undo the change"
        " there, or train again"
    )


def _plugin_of(manifest: CheckpointManifest, source: Path) -> PluginManifest:
    try:
        return registry.plugins().get(manifest.plugin)
    except UnknownNameError as error:
        # where it was found when the run was trained; a checkpoint may not say by itself what code is run
        before = str(manifest.config.get("plugin", ""))
        file = before if registry.is_path(before) and Path(before).exists() else "FILE.py"
        raise UnknownNameError(
            f"{source} needs a plugin that is not here: {error}. Hint: add --plugin {file} (in Python:"
            " toolkit.registry.add_path)"
        ) from None
