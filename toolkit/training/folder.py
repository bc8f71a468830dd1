"""The folder of a run: whether it may be used, and whether a run in it can continue with new settings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

import toolkit
from toolkit import registry
from toolkit.checkpoints import BEST, LAST, CheckpointManifest, read_manifest, runs_beside
from toolkit.config import RunSettings
from toolkit.config.keys import check_sections
from toolkit.config.schema import AUTO
from toolkit.config.settings import validate
from toolkit.config.tree import Tree, flat_items, merge, read_yaml
from toolkit.data.dataset import Dataset
from toolkit.errors import CheckpointError, UsageError
from toolkit.models.start_weights import StartWeights
from toolkit.reading.files import is_there
from toolkit.reading.yaml_written import forget_text
from toolkit.registry.manifests import PluginManifest
from toolkit.runtime.locks import require_unlocked
from toolkit.training.remains import CONFIG_FILE as CONFIG_FILE
from toolkit.training.remains import clear, never_stepped
from toolkit.training.state import RESUME_FILE

MAY_CHANGE = (
    "data.dir",
    "data.in_memory",
    "data.val_split",
    "evaluators.",
    "train.best_metric",
    "train.eval_first",
    "train.steps",
    "train.epochs",
    "train.patience",
    "train.precision",
    "train.accumulate",
    "train.eval_every",
    "train.eval_batch_size",
    "train.eval_window",
    "train.eval_overlap",
    "train.checkpoint_every",
    "train.log_every",
    "train.report",
    "train.loggers",
    "train.workers",
    "train.device",
    "train.devices",
    "train.num_nodes",
)
"""Settings that may change when a run is resumed: where and how it runs, how long, and what is measured.
Changing any other setting would make it a different run. A name that ends in a dot stands for a whole
section.
"""


def may_change(key: str) -> bool:
    """Whether a resumed run may have another value for a setting, by its full key."""
    return any(key == one or (one.endswith(".") and key.startswith(one)) for one in MAY_CHANGE)


def default_run(plugin: str, data: str) -> Path:
    """The default folder of a run.

    Args:
        plugin: its name, or the path of a file that defines it.
        data: name of the dataset, or the path of a file that defines it.
    """
    return Path("runs") / f"{registry.named(registry.plugins(), plugin).name}-{Path(data).stem}"


def has_begun(run: Path) -> bool:
    """Whether a run has been started in a folder, so that there is something to resume."""
    return (run / CONFIG_FILE).is_file()


def config_of_run(run: Path) -> Path:
    """The file with the settings with which a run was started.

    Raises:
        UsageError: when there is none, so that there is nothing to resume.
    """
    path = run / CONFIG_FILE
    if not has_begun(run):
        raise UsageError(
            f"nothing to resume in {run}: it has no {CONFIG_FILE}"
            + (runs_beside(run) or ". Hint: check its name, or leave out --resume")
        )
    return path


def kept_settings(run: Path) -> Tree:
    """The settings that a run was started with, as saved in its folder.

    Raises:
        UsageError: when there are none, so that there is nothing to resume.
        ConfigError: when they cannot be read.
    """
    path = config_of_run(run)
    tree: Tree = forget_text(read_yaml(path))
    check_sections(tree, str(path))
    return tree


def check_folder(run: Path, settings: RunSettings, resume: bool, before: Tree | None = None) -> None:
    """Check that a new run overwrites nothing, and that a resumed one exists and has compatible settings.

    Args:
        run: the folder.
        settings: settings of the run.
        resume: whether to resume it.
        before: its ``kept_settings``, if they have been read already.

    Raises:
        UsageError: says which command or settings to change, or that another process is at work there.
    """
    require_unlocked(run)
    if not resume:
        if never_stepped(run):
            clear(run)
        if run.exists() and (not run.is_dir() or any(run.iterdir())):
            goes_on = "continue it with --resume, or " if has_begun(run) else ""
            raise UsageError(
                f"{run} exists and is not empty. Hint: {goes_on}choose another folder with --out"
            )
        return
    if not is_there(run / RESUME_FILE) and _has_learned(run):
        raise UsageError(
            f"{run} cannot be resumed: it has weights, but its state, {RESUME_FILE}, is missing. Hint:"
            f" start a new run from them, with weights={run} and another --out"
        )
    kept = _typed(kept_settings(run) if before is None else before, settings)
    old, now = _comparable(kept), _comparable(settings.model_dump(mode="json"))
    changed = [key for key in now | old if old.get(key) != now.get(key) and not may_change(key)]
    if changed:
        shown = "; ".join(f"{key} was {old.get(key)!r} and is now {now.get(key)!r}" for key in changed[:5])
        raise UsageError(
            f"{run} cannot be resumed with other settings: {shown}. Hint: leave these out, or start a new"
            " run with another --out"
        )


def _has_learned(run: Path) -> bool:
    """Whether a run has saved weights after its first step, which happens after saving its state."""
    try:
        saved = [read_manifest(run / name) for name in (BEST, LAST)]
    except CheckpointError:  # damaged, so somebody may want to look at it
        return True
    return any(manifest is not None and manifest.step > 0 for manifest in saved)


def as_before(run: Path, settings: RunSettings, before: Tree | None = None) -> RunSettings:
    """Settings in which everything left to the toolkit is as when the run was started: its length and batch
    size, if the settings give none, and its start weights; arguments as for ``check_folder``.

    Raises:
        UsageError: when there is nothing to resume.
        ConfigError: when a value saved by the run is not a valid setting.
    """
    before = kept_settings(run) if before is None else before
    known: Tree = {}
    if settings.weights == AUTO and "weights" in before:
        known["weights"] = before["weights"]
    train, length = settings.train, before.get("train") or {}
    if length and train.steps is None and train.epochs is None:
        known["train"] = {name: length.get(name) for name in ("steps", "epochs")}
    if train.batch_size is None and length.get("batch_size") is not None:
        known.setdefault("train", {})["batch_size"] = length["batch_size"]
    if not known:
        return settings
    given = settings.model_dump(mode="json")
    settings = validate(type(settings), merge(given, known), source=str(run / CONFIG_FILE))
    return settings


def _comparable(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by full keys, normalized so that equivalent settings are equal."""
    flat = dict(flat_items(settings))
    if flat.get("train.lr_batch_size") is None:
        flat["train.lr_batch_size"] = flat.get("train.batch_size")
    return flat


def _typed(tree: Tree, settings: RunSettings) -> Mapping[str, Any]:
    """The settings of a run; settings that its version of the toolkit did not have get their defaults."""
    try:
        return type(settings).model_validate(tree).model_dump(mode="json")
    except ValidationError:  # of another plugin or dataset, for example
        return tree


def run_manifest(
    settings: RunSettings,
    plugin: PluginManifest,
    train_set: Dataset,
    start_weights: StartWeights,
    step: int,
    metrics: Mapping[str, float],
    plugin_code: str = "",
) -> CheckpointManifest:
    """The manifest of a run's checkpoint.

    Args:
        settings: the settings of the run.
        plugin: the plugin that it trains.
        train_set: its training split.
        start_weights: the weights that it started from.
        step: number of optimizer steps taken.
        metrics: metrics on the validation split; undefined values become None.
        plugin_code: hash of the plugin's files as they were when they were imported.
    """
    return CheckpointManifest(
        plugin=plugin.name,
        plugin_version=plugin.version,
        plugin_code=plugin_code,
        task=plugin.task,
        classes=tuple(train_set.classes),
        palette=train_set.palette,
        label_values=None if train_set.label_values is None else train_set.label_values.to_dict(),
        model=settings.model.model_dump(mode="json"),
        config=settings.model_dump(mode="json"),
        dataset={
            "name": settings.data.name,
            "split": settings.data.train_split,
            "fingerprint": train_set.fingerprint(),
        },
        start_weights={"name": start_weights.name, "license": start_weights.license},
        metrics={name: value if math.isfinite(value) else None for name, value in metrics.items()},
        step=step,
        toolkit=toolkit.__version__,
    )
