"""What a run saves: checkpoints, and the state from which it resumes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric

from toolkit.checkpoints import LAST, read_manifest, save_checkpoint
from toolkit.config import RunSettings
from toolkit.data.dataset import Dataset
from toolkit.errors import CheckpointError
from toolkit.models.building import changed_since, manifest_of_run
from toolkit.models.contract import TrainableModel
from toolkit.models.start_weights import RANDOM, StartWeights
from toolkit.registry.manifests import PluginManifest
from toolkit.training.data_record import DataRecord
from toolkit.training.diagnosis import Diagnosis
from toolkit.training.folder import run_manifest
from toolkit.training.optimizer import Ema, averaged_weights, take_moments
from toolkit.training.state import Progress, load_state, save_state


@dataclass
class Keeper:
    """Writes checkpoints and states of a run, and restores them. With several processes, the first one
    writes.

    Attributes:
        run: its folder.
        settings: the settings of the run.
        plugin: the plugin that it trains.
        plugin_code: hash of the plugin's files as they were when they were imported.
        train_set: its training split.
        model, optimizer, ema, diagnosis: everything that training changes.
        fabric: processes and precision.
        start_weights: the weights that it started from.
        progress: the progress of the run.
    """

    run: Path
    settings: RunSettings
    plugin: PluginManifest
    plugin_code: str
    train_set: Dataset
    model: TrainableModel
    optimizer: Any
    ema: Ema | None
    diagnosis: Diagnosis
    fabric: Fabric
    start_weights: StartWeights = RANDOM
    progress: Progress = field(default_factory=Progress)
    _data: DataRecord | None = None
    _last_step: int = -1

    def checkpoint(self, name: str, metrics: dict[str, float]) -> None:
        """Write the model's current weights with their manifest."""
        if self.fabric.is_global_zero:
            self._write(name, metrics)
        self.fabric.barrier()

    def save(self) -> None:
        """Write the state to resume from, then ``last.safetensors``."""
        if self.fabric.is_global_zero:
            self._data = self._data or DataRecord.of(self.train_set)
            parts = {
                "model": self.model.state_dict(),
                "start_weights": {"name": self.start_weights.name, "license": self.start_weights.license},
                "optimizer": self.optimizer.state_dict(),
                "precision": self.fabric.strategy.precision.state_dict(),
                "diagnosis": self.diagnosis.state_dict(),
                "data": self._data.state_dict(),
                "measured": {"by": measured_by(self.settings)},
            }
            save_state(self.run, self.progress, **parts, **({"ema": self.ema.average} if self.ema else {}))
            if self._last_step != self.progress.step:
                self._write_last()
        self.fabric.barrier()

    def restore(self) -> bool:
        """Restore the state in the folder of the run.

        Returns:
            Whether the same is measured as before; if not, the best value so far is discarded.

        Raises:
            CheckpointError: when it is damaged, or does not fit the model.
            UsageError: when the training data are not those that it was trained on.
        """
        self.progress, parts = load_state(self.run)
        if "data" in parts:
            self._data = DataRecord.from_state(parts["data"])
            self._data.check(self.train_set, self.run)
        self.start_weights = StartWeights(**parts["start_weights"])
        # each has its own exception for a state that does not fit
        try:
            self._take_over(parts)
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            why = changed_since(manifest_of_run(self.run))
            found = str(error) if isinstance(error, RuntimeError) else f"{type(error).__name__}: {error}"
            raise CheckpointError(
                f"the state in {self.run} does not fit the model that its settings make: {found}{why}"
            ) from error
        now = measured_by(self.settings)
        is_same = bool(parts.get("measured", {}).get("by", now) == now)
        if not is_same:
            self.progress.forget_best()
        return is_same

    def _take_over(self, parts: dict[str, Any]) -> None:
        self.model.load_state_dict(parts["model"])
        take_moments(self.optimizer, parts["optimizer"])
        if parts["precision"]:  # of a GradScaler, which other precisions do not have
            own = self.fabric.strategy.precision
            if own.state_dict():
                own.load_state_dict(parts["precision"])
        self.diagnosis.load_state_dict(parts.get("diagnosis", {}))
        if self.ema:
            self.ema.load(parts["ema"])

    def renew_last(self) -> None:
        """Write ``last.safetensors`` unless it is from the same step as the state: a kill may have come
        between writing the two. For the first process.
        """
        try:
            manifest = read_manifest(self.run / LAST)
        except CheckpointError:
            manifest = None
        if manifest is None or manifest.step != self.progress.step:
            self._write_last()

    def _write_last(self) -> None:
        with averaged_weights(self.model, self.ema):
            self._write(LAST, {})
        self._last_step = self.progress.step

    def _write(self, name: str, metrics: dict[str, float]) -> None:
        manifest = run_manifest(
            self.settings,
            self.plugin,
            self.train_set,
            self.start_weights,
            self.progress.step,
            metrics,
            self.plugin_code,
        )
        save_checkpoint(self.run / name, self.model.state_dict(), manifest)


def measured_by(settings: RunSettings) -> str:
    """What determines the best checkpoint, as text that can be compared."""
    tree = settings.model_dump(mode="json")
    train = tree["train"]
    chosen = [tree["evaluators"], train["best_metric"], tree["data"]["val_split"]]
    windows = train["eval_window"], train["eval_overlap"]
    chosen += [windows] if windows != (None, 0.25) else []  # states of older versions have none
    return json.dumps(chosen, sort_keys=True)
