"""The folder of a run: whether it may be used, and whether new settings may go on with what is in it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

import toolkit
from toolkit import registry
from toolkit.checkpoints import BEST, CheckpointManifest, read_manifest, runs_beside
from toolkit.config import RunSettings
from toolkit.config.schema import AUTO
from toolkit.config.settings import validate
from toolkit.config.tree import Tree, flat_items, merge, read_yaml
from toolkit.data.dataset import Dataset
from toolkit.errors import CheckpointError, UsageError
from toolkit.models.start_weights import StartWeights
from toolkit.reading.figures import METRICS_FILE
from toolkit.reading.yaml_text import forget_text
from toolkit.registry.manifests import PluginManifest
from toolkit.runtime.files import UNFINISHED, is_unfinished
from toolkit.runtime.locks import LOCK_FILE, require_unlocked
from toolkit.training.history import RESULTS_FILE
from toolkit.training.label_file import LABELS_FILE
from toolkit.training.log import LOG_FILE, last_step
from toolkit.training.pictures import PICTURES

CONFIG_FILE = "config.yaml"

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
    "train.checkpoint_every",
    "train.log_every",
    "train.report",
    "train.loggers",
    "train.workers",
    "train.device",
    "train.devices",
    "train.num_nodes",
)
"""Settings that a resumed run may be given anew: where and how it runs, how long, and what is measured. The
rest would make it another run. What ends in a dot stands for a whole section.
"""


def may_change(key: str) -> bool:
    """Whether a resumed run may have another value for a setting, by its full key."""
    return any(key == one or (one.endswith(".") and key.startswith(one)) for one in MAY_CHANGE)


LEFT_BEFORE_STEPS = (
    *(CONFIG_FILE, METRICS_FILE, LOG_FILE, BEST, LOCK_FILE, "events.out.tfevents.*", UNFINISHED),
    *(RESULTS_FILE, LABELS_FILE, *PICTURES),
)
"""What a run may have written by then."""


def default_run(plugin: str, data: str) -> Path:
    """Where a run goes that was given no folder.

    Args:
        plugin: its name, or the path of a file that brings it.
        data: name of the dataset, or the path of a file that brings it.
    """
    return Path("runs") / f"{registry.named(registry.plugins(), plugin).name}-{Path(data).stem}"


def config_of_run(run: Path) -> Path:
    """The file of the settings that a run was started with.

    Raises:
        UsageError: when there is none, so that there is nothing to resume.
    """
    path = run / CONFIG_FILE
    if not path.is_file():
        raise UsageError(
            f"nothing to resume in {run}: it has no {CONFIG_FILE}"
            + (runs_beside(run) or ". Hint: check its name, or leave out --resume")
        )
    return path


def check_folder(run: Path, settings: RunSettings, resume: bool) -> None:
    """Make sure that a new run overwrites nothing, and that a resumed one is there and stays itself.

    Raises:
        UsageError: says which command or settings to change, or that another process is at work there.
    """
    require_unlocked(run)
    if not resume:
        if _never_stepped(run):
            for path in run.iterdir():
                path.unlink()
        if run.exists() and (not run.is_dir() or any(run.iterdir())):
            goes_on = "continue it with --resume, or " if (run / CONFIG_FILE).is_file() else ""
            raise UsageError(
                f"{run} exists and is not empty. Hint: {goes_on}choose another folder with --out"
            )
        return
    before, now = (
        _comparable(_read(config_of_run(run), settings)),
        _comparable(settings.model_dump(mode="json")),
    )
    changed = [key for key in now | before if before.get(key) != now.get(key) and not may_change(key)]
    if changed:
        shown = "; ".join(f"{key} was {before.get(key)!r} and is now {now.get(key)!r}" for key in changed[:5])
        raise UsageError(
            f"{run} cannot be resumed with other settings: {shown}. Hint: leave these out, or start a new"
            " run with another --out"
        )


def as_before(run: Path, settings: RunSettings) -> RunSettings:
    """Settings with what they leave to the toolkit as the run was started with: its length and batch size,
    where they give none, and its start weights.

    Raises:
        UsageError: when there is nothing to resume.
        ConfigError: when what the run kept is no such setting.
    """
    config = config_of_run(run)
    before: Tree = forget_text(read_yaml(config))
    known: Tree = {}
    if settings.weights == AUTO and "weights" in before:
        known["weights"] = before["weights"]
    train, length = settings.train, before.get("train")
    length = length if isinstance(length, dict) else {}
    if length and train.steps is None and train.epochs is None:
        known["train"] = {name: length.get(name) for name in ("steps", "epochs")}
    if train.batch_size is None and length.get("batch_size") is not None:
        known.setdefault("train", {})["batch_size"] = length["batch_size"]
    if not known:
        return settings
    settings = validate(type(settings), merge(settings.model_dump(mode="json"), known), source=str(config))
    return settings


def _comparable(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by full keys; those that mean the same are the same."""
    flat = dict(flat_items(settings))
    if flat.get("train.lr_batch_size") is None:
        flat["train.lr_batch_size"] = flat.get("train.batch_size")
    return flat


def _holds_remains_only(run: Path) -> bool:
    """Whether a folder holds nothing but what a run has left that was killed before it could say what it
    is.
    """
    if not run.is_dir() or run.is_symlink():
        return False
    left = list(run.iterdir())
    return bool(left) and all(
        path.is_file() and not path.is_symlink() and (path.name == LOCK_FILE or is_unfinished(path))
        for path in left
    )


def _never_stepped(run: Path) -> bool:
    """Whether a folder holds nothing but what a run leaves that stopped before it had learned anything."""
    if _holds_remains_only(run):
        return True
    # Settings alone may be anybody's; with the lock beside them, they are those of a run.
    if not (run / CONFIG_FILE).is_file() or not any((run / n).is_file() for n in (METRICS_FILE, LOCK_FILE)):
        return False
    if not all(path.is_file() and any(map(path.match, LEFT_BEFORE_STEPS)) for path in run.iterdir()):
        return False
    if (run / METRICS_FILE).is_file() and last_step(run):
        return False
    try:
        best = read_manifest(run / BEST)  # of a validation before the first step
    except CheckpointError:  # damaged, so somebody may want to look at it
        return False
    return best.step == 0 if best else not (run / BEST).exists()


def _read(config: Path, settings: RunSettings) -> Mapping[str, Any]:
    """The settings of a run; those that its toolkit did not know yet have their default."""
    tree: Tree = forget_text(read_yaml(config))
    try:
        return type(settings).model_validate(tree).model_dump(mode="json")
    except ValidationError:  # of another plugin or dataset, say
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
    """What a checkpoint of a run says of itself.

    Args:
        settings: of the run.
        plugin: that it trains.
        train_set: that it learns from.
        start_weights: that it started from.
        step: optimizer steps done.
        metrics: on the validation split; what is undefined becomes None.
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
