"""``toolkit.train``: training from Python, with names or objects and progress."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from toolkit.config import RunSettings, resolve
from toolkit.config.tree import as_tree, merge
from toolkit.data.dataset import Dataset
from toolkit.errors import UsageError
from toolkit.models.contract import Model
from toolkit.runtime.progress import shown_log
from toolkit.training import loop
from toolkit.training.folder import config_of_run, default_run
from toolkit.training.result import TrainResult


def train(
    settings: RunSettings | Mapping[str, Any] | Sequence[str] = (),
    out: str | os.PathLike[str] | None = None,
    *,
    plugin: str | None = None,
    data: str | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    config: str | os.PathLike[str] | None = None,
    resume: bool = False,
    progress: bool = True,
    model: Model | None = None,
    train_set: Dataset | None = None,
    val_set: Dataset | None = None,
) -> TrainResult:
    """Train a model on a dataset, and save everything in a folder::

        result = toolkit.train({"train.steps": 300}, plugin="unet", data="shapes")
        toolkit.load(result.run).predict("photo.jpg")

    Args:
        settings: changes to the recipe, or to the run that is resumed: dotted keys with values, or
            ``key=value`` words; or all settings of the run, from ``toolkit.resolve``.
        out: the run's folder; must be new or empty unless ``resume``. ``runs/<plugin>-<data>`` when None.
        plugin: its name, or the path of a file or folder that defines it; not needed to resume ``out``.
        data: name of the dataset, or the path of a file that defines it; not needed to resume ``out``.
        data_dir: folder of the dataset; ``data/<name>`` when None.
        config: a YAML file of settings, instead of the recipe for this plugin and dataset, or of those of
            the run that is resumed.
        resume: continue from the last saved state. A CPU run ends with the same weights, bit for bit, as one
            that was never stopped.
        progress: whether to show progress on standard error.
        model: a model to train, starting from its weights, instead of the one that the settings describe; the
            plugin in the settings must build one with the same tensors when the run is loaded.
        train_set, val_set: used instead of the splits that the settings name; both or neither.

    Returns:
        The folder of the run (``run``, which ``toolkit.load``, ``evaluate`` and ``compare`` take, as they
        take the result itself), and the ``best`` value of ``best_metric``.

    Raises:
        ConfigError: when settings are wrong; lists all errors.
        UsageError: when plugin, data or config are given in addition to settings that name them, or the
            folder already contains another run.
        NonFiniteLossError: when a loss or gradient becomes NaN or infinite; names step, loss and samples.
        ToolkitError: for any problem with the plugin, data, weights or disk.
    """
    if not isinstance(settings, RunSettings):
        before = config_of_run(_folder(out, plugin, data)) if resume and config is None else None
        settings = _resolved(settings, plugin, data, data_dir, before or config, resuming=before is not None)
    elif plugin or data or data_dir or config:
        raise UsageError(
            "plugin, data, data_dir and config are in the settings already. Hint: leave them out, or give"
            " settings as a mapping such as {'train.steps': 300}"
        )
    run = default_run(settings.plugin, settings.data.name) if out is None else Path(out)
    with shown_log() if progress else contextlib.nullcontext():
        return loop.train(
            settings,
            run,
            resume=resume,
            show_progress=progress,
            model=model,
            train_set=train_set,
            val_set=val_set,
        )


def _folder(out: str | os.PathLike[str] | None, plugin: str | None, data: str | None) -> Path:
    """The folder of the run that is resumed.

    Raises:
        UsageError: when it is not given.
    """
    if out is not None:
        return Path(out)
    if not (plugin and data):
        raise UsageError("resume=True needs the folder of a run. Hint: give it as out=")
    return default_run(plugin, data)


def _resolved(
    settings: Mapping[str, Any] | Sequence[str],
    plugin: str | None,
    data: str | None,
    data_dir: str | os.PathLike[str] | None,
    config: str | os.PathLike[str] | None,
    *,
    resuming: bool,
) -> RunSettings:
    tree = as_tree(settings)
    if data_dir is not None:
        tree = merge(tree, {"data": {"dir": os.fspath(data_dir)}})
    path = None if config is None else Path(config)
    return resolve(plugin=plugin, data=data, config=path, overrides=tree, resuming=resuming)
