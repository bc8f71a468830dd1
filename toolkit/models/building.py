"""Builds models from a plugin and its settings, with random, start or checkpoint weights."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from toolkit import registry
from toolkit.checkpoints import (
    CheckpointManifest,
    checkpoint_of_export,
    find_checkpoint,
    is_export,
    own,
    read_export,
    read_manifest,
    read_own,
)
from toolkit.config import Scale, Settings, settings_class, validate
from toolkit.config.scale import scale_of
from toolkit.config.tree import merge
from toolkit.errors import CheckpointError, ConfigError, ToolkitError, UnknownNameError, UsageError
from toolkit.models.contract import Model, with_gradients
from toolkit.models.exported import (
    bytes_of_graphs,
    needs_plugin_code,
    run_on_graphs,
    semantic_on_graph,
)
from toolkit.models.weights import compare_tensors
from toolkit.registry.code import code_hash
from toolkit.registry.manifests import PluginManifest

logger = logging.getLogger("toolkit")

SPARE = 250_000_000
"""How many more values than twice those in its file a network may have while it is built: libraries build
whole encoders before they drop stages, and heads with a thousand classes. In float32, a gigabyte.
"""


def load_model(
    run_or_file: str | Path, settings: Mapping[str, Any] | None = None
) -> tuple[Model, CheckpointManifest]:
    """Rebuild the model of a run or a checkpoint file, with its weights, in eval mode on the CPU; of an
    exported folder, with its graphs.

    Args:
        run_or_file: a run's folder, a checkpoint file, or an exported folder.
        settings: settings of the model, nested; they override those that it was trained with. The weights
            must still fit.

    Raises:
        CheckpointError: when the file is damaged, was not written by the toolkit, or does not fit its own
            plugin.
        UnavailableError: when the plugin cannot be loaded here.
    """
    path = find_checkpoint(run_or_file)
    with with_gradients():  # otherwise its parameters could never be trained
        return (_load_exported if is_export(path) else _load_model)(path, settings)


def _load_exported(path: Path, settings: Mapping[str, Any] | None) -> tuple[Model, CheckpointManifest]:
    """The plugin's model around the graphs of an exported folder."""
    folder = path.parent
    if settings:
        raise UsageError(
            f"{folder} is an exported model, whose settings are fixed: {', '.join(settings)} cannot be"
            " changed. Hint: use the run itself, or export it with these settings"
        )
    export = read_export(folder)
    manifest = checkpoint_of_export(export, folder)
    if not needs_plugin_code(export):
        plugin_of(manifest, path)
        return semantic_on_graph(export, manifest, folder), manifest
    # int8 graphs have one byte per weight
    plain = rebuild_model(manifest, path, most=2 * bytes_of_graphs(export) + SPARE)
    return run_on_graphs(plain, export, folder), manifest


def _load_model(path: Path, settings: Mapping[str, Any] | None) -> tuple[Model, CheckpointManifest]:
    tensors, manifest = read_own(path)
    held = sum(tensor.numel() for tensor in tensors.values())
    model = rebuild_model(manifest, path, settings, most=2 * held + SPARE)
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
    """The manifest of a run's checkpoint; its tensors are not read.

    Raises:
        CheckpointError: when there is none, it is damaged, or the toolkit did not write it; says what it is.
    """
    path = find_checkpoint(run_or_file)
    return own(read_manifest(path), path)


def plugin_of_run(run_or_file: str | Path) -> PluginManifest:
    """The plugin that a run belongs to.

    Raises:
        CheckpointError: as ``manifest_of_run``.
        UnknownNameError, UnavailableError: when it is not installed.
    """
    path = find_checkpoint(run_or_file)
    return plugin_of(manifest_of_run(path), path)


def build_model(plugin: PluginManifest, settings: Settings, classes: Sequence[str]) -> Model:
    """The model of a plugin with random weights.

    Args:
        plugin: the plugin.
        settings: the plugin's own settings, validated.
        classes: the names that labels stand for.

    Raises:
        UsageError: when the plugin returns something that is not a model.
        UnavailableError: when the plugin cannot be loaded here.
    """
    with with_gradients():  # some models use a backward pass to find out which of their parts are used
        model = plugin.resolve(plugin.build)(settings, tuple(classes))
    if not isinstance(model, Model):
        raise UsageError(
            f"plugin {plugin.name!r}: {plugin.build} must return a toolkit.Model, not {type(model).__name__}"
        )
    return model


def rebuild_model(
    manifest: CheckpointManifest,
    source: Path,
    settings: Mapping[str, Any] | None = None,
    *,
    most: int | None = None,
) -> Model:
    """The model that a checkpoint's manifest describes, with its settings overridden by others and with
    random weights.

    Args:
        manifest: the checkpoint's manifest.
        source: the checkpoint, for messages.
        settings: settings of the model, nested.
        most: largest number of values in its parameters; a file of a few kilobytes may describe a network
            that does not fit into any memory. None for no limit.

    Raises:
        CheckpointError: when it would have more, or the plugin cannot build it from these settings.
        UnknownNameError, UnavailableError: when the plugin is not installed.
    """
    plugin = plugin_of(manifest, source)
    where = f"the manifest in {source}{' with the settings given' * bool(settings)}"
    try:
        chosen = validate(settings_class(plugin), merge(dict(manifest.model), settings or {}), source=where)
    except ConfigError as error:
        raise ConfigError(f"{error}{changed_since(manifest)}") from None
    try:
        with _at_most(most, source):
            return build_model(plugin, chosen, manifest.classes)
    except ToolkitError:
        raise
    except Exception as error:  # plugins may raise anything for contradictory settings
        raise CheckpointError(
            f"{where}: the plugin {plugin.name!r} cannot build this model: {type(error).__name__}: {error}"
            f"{changed_since(manifest)}. Hint: check the file's origin, or copy it again"
        ) from error


@contextlib.contextmanager
def _at_most(most: int | None, source: Path) -> Iterator[None]:
    """Stop building a model in this thread before more than ``most`` values are written to memory: torch
    reserves memory for a parameter, but the system only provides it when it is written to.
    """
    held, thread = 0, threading.get_ident()

    def look(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        nonlocal held
        if most is None or parameter is None or threading.get_ident() != thread:
            return
        held += parameter.numel()
        if held > most:
            raise CheckpointError(
                f"the manifest in {source} describes a network of more than {most:,} numbers, more than the"
                " file contains. Hint: check the file's origin, or copy it again"
            )

    handle = register_module_parameter_registration_hook(look)
    try:
        yield
    finally:
        handle.remove()


def changed_since(manifest: CheckpointManifest) -> str:
    """A sentence that says that the plugin's code has changed since a checkpoint was written, to append to an
    error that this may explain; empty if it has not changed, or if that is unknown.
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


def plugin_of(manifest: CheckpointManifest, source: Path) -> PluginManifest:
    """The plugin of the model that a manifest describes.

    Args:
        manifest: of a checkpoint.
        source: where it is, for messages.

    Raises:
        UnknownNameError, UnavailableError: when it is not here.
    """
    try:
        return registry.plugins().get(manifest.plugin)
    except UnknownNameError as error:
        # the path when the run was trained; a checkpoint alone must not decide which code is run
        before = str(manifest.config.get("plugin", ""))
        file = before if registry.is_path(before) and Path(before).exists() else "FILE.py"
        raise UnknownNameError(
            f"{source} needs a plugin that is not installed: {error}. Hint: add --plugin {file} (in Python:"
            " toolkit.registry.add_path)"
        ) from None


def scale_of_run(manifest: CheckpointManifest, path: Path) -> Scale | None:
    """The scale that a run was trained with; None without one.

    Args:
        manifest: of its checkpoint.
        path: of the run, for messages.

    Raises:
        CheckpointError: when it is damaged.
    """
    try:
        return scale_of(manifest.config)
    except (ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{path} has a damaged data.options.scale: {error}. Hint: copy the run again"
        ) from error
