"""Fine-tuning on the labels, in a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.config import resolve
from toolkit.errors import DataError, ToolkitError
from toolkit.models.building import manifest_of_run, scale_of_run
from toolkit.reading.figures import METRICS_FILE, read_figures
from toolkit.reading.yaml_text import dump_yaml, load_yaml
from toolkit.runtime.children import isolated_environment
from toolkit.runtime.files import atomic_write, open_to_append
from toolkit.serve.errors import RequestError
from toolkit.serve.labels import LabelStore
from toolkit.serve.models import ListedModel

SETTINGS = frozenset(
    f"train.{name}"
    for name in (
        *("steps", "epochs", "batch_size", "lr", "eval_every", "log_every", "patience", "precision", "seed"),
        *("weight_decay", "warmup_steps", "freeze", "unfreeze_at", "workers"),
    )
)
"""Settings that requests may change: none of them names a file."""

PROGRAM = (sys.executable, "-m", "toolkit")
OUTPUT = "output.log"
"""What the process has printed, in the folder of the run; beside it, under a hidden name, until it ends."""
TAIL_LINES = 20
KILL_SECONDS = 60.0
CURVE_POINTS = 1000


@dataclass
class Training:
    """A fine-tuning that was started.

    Attributes:
        run: the folder of the new run.
        model: the name of the model that it started from.
        process: its process.
        output: the file with what it prints.
        result: the name of the new model, once it is served.
        error: why it could not be served.
        is_stopped: whether it was told to stop.
    """

    run: Path
    model: str
    process: subprocess.Popen[bytes]
    output: Path
    result: str = ""
    error: str = ""
    is_stopped: bool = False


class Trainer:
    """Starts one fine-tuning at a time, and serves its result.

    Args:
        labels: what is trained on.
        folder: where new runs are made; next to the run that they start from when None.
        serve: called with a finished run; returns the name of the new model.
        plugins: files of plugins that the server was started with, which a run may need.
        device: as for ``toolkit train``.
    """

    def __init__(
        self,
        labels: LabelStore,
        folder: Path | None,
        serve: Callable[[Path], str],
        *,
        plugins: Mapping[str, str] | None = None,
        device: str = "auto",
    ) -> None:
        self._labels, self._folder, self._serve = labels, folder, serve
        self._plugins, self._device = dict(plugins or {}), device
        self._lock = threading.Lock()
        self._current: Training | None = None

    def start(self, model: ListedModel, name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Start to fine-tune a run.

        Args:
            model: the run.
            name: of the new run.
            settings: of the training, by full keys.

        Raises:
            RequestError: 409 when one is at work or the name is taken; 422 for a model that is no run, a name
                that cannot be a folder's, and a setting that cannot be changed here.
        """
        path = model.run
        if path is None:
            raise RequestError(
                422, f"{model.name} is an exported model, which cannot be trained. Hint: serve its run"
            )
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
            raise RequestError(
                422, f"{name!r} cannot be the name of a run. Hint: use 1 to 64 letters, digits, '.', '-', '_'"
            )
        if wrong := sorted(set(settings) - SETTINGS):
            raise RequestError(
                422, f"{wrong[0]!r} cannot be set here. Hint: choose among {', '.join(sorted(SETTINGS))}"
            )
        base = path if path.is_dir() else path.parent
        run = (self._folder or base.parent) / name
        if not self._labels.has_objects():
            raise RequestError(422, "there are no labels to train on. Hint: save the objects of some images")
        recipe = self._recipe(path, settings)
        with self._lock:
            if self._current is not None and self._current.process.poll() is None:
                raise RequestError(
                    409, f"{self._current.run.name} is being trained. Hint: wait for it, or stop it"
                )
            if os.path.lexists(run):
                raise RequestError(
                    409, f"there is something called {name} already. Hint: choose another name"
                )
            self._current = self._started(model, recipe, run)
        return self.state()

    def _recipe(self, path: Path, changes: Mapping[str, Any]) -> dict[str, Any]:
        """The settings of a run that continues from a model: the model's own, and what is recommended for the
        rest.

        Raises:
            ConfigError: when a setting has a value that it cannot have.
        """
        manifest = manifest_of_run(path)
        plugin = self._plugins.get(manifest.plugin, manifest.plugin)
        scale = scale_of_run(manifest, path)
        options = {} if scale is None else {"options": {"scale": scale.model_dump(mode="json")}}
        given = {
            "model": dict(manifest.model),
            "weights": str(path.resolve()),
            "data": {"dir": str(self._labels.folder), **options},
            "augment": "auto",
        }
        settings = resolve(
            plugin=plugin, data="coco", overrides={**given, **changes, "train.device": self._device}
        )
        return settings.model_dump(mode="json") | {"plugin": plugin}

    def _started(self, model: ListedModel, settings: dict[str, Any], run: Path) -> Training:
        recipe = run.with_name(f".{run.name}.yaml")
        with atomic_write(recipe, "w") as file:
            file.write(dump_yaml(settings))
        words = ["train", "--plugin", settings["plugin"], "--config", str(recipe), "--out", str(run)]
        output = run.with_name(f".{run.name}.log")
        output.unlink(missing_ok=True)
        with open_to_append(output) as file:
            process = subprocess.Popen(
                [*PROGRAM, *words],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=os.environ | isolated_environment(),
                start_new_session=True,
            )
        threading.Thread(target=self._attend, args=(recipe,), daemon=True).start()
        return Training(run, model.name, process, output)

    def _attend(self, recipe: Path) -> None:
        """Wait for the process, and serve its run."""
        with self._lock:
            training = self._current
        assert training is not None  # the caller is about to release the lock
        code = training.process.wait()
        recipe.unlink(missing_ok=True)
        if training.run.is_dir():
            training.output = training.output.replace(training.run / OUTPUT)
        if code == 0:
            try:
                training.result = self._serve(training.run)
            except ToolkitError as error:
                training.error = str(error)

    def state(self) -> dict[str, Any]:
        """How far the last training is: ``state`` (``idle``, ``running``, ``done``, ``stopped``, ``failed``),
        and for all but the first ``run``, ``model``, ``step``, ``steps``, ``losses``, ``validation``, ``log``
        (the last lines) and ``result``, the name of the new model.
        """
        with self._lock:
            training = self._current
        if training is None:
            return {"state": "idle"}
        figures = _figures(training.run)
        losses = [[each["step"], each["loss"]] for each in figures if "loss" in each]
        validation = [
            {
                key.removeprefix("val/"): value
                for key, value in each.items()
                if key == "step" or key[:4] == "val/"
            }
            for each in figures
            if any(key.startswith("val/") for key in each)
        ]
        return {
            "state": _state(training),
            "run": training.run.name,
            "model": training.model,
            "step": max((each["step"] for each in figures), default=0),
            "steps": _steps(training.run),
            "losses": losses[:: max(1, len(losses) // CURVE_POINTS)],
            "validation": validation,
            "log": _tail(training.output),
            "error": training.error,
            "result": training.result,
        }

    def stop(self) -> None:
        """Tell the training to stop; it saves its state. It is killed if that takes long."""
        with self._lock:
            training = self._current
        if training is None or training.process.poll() is not None:
            return
        training.is_stopped = True
        training.process.send_signal(signal.SIGTERM)
        timer = threading.Timer(KILL_SECONDS, training.process.kill)
        timer.daemon = True
        timer.start()

    def close(self) -> None:
        """Stop the training, and wait for it."""
        self.stop()
        with self._lock:
            training = self._current
        if training is not None:
            try:
                training.process.wait(KILL_SECONDS)
            except subprocess.TimeoutExpired:
                training.process.kill()
                training.process.wait()


def _state(training: Training) -> str:
    code = training.process.poll()
    if code is None:
        return "stopping" if training.is_stopped else "running"
    if training.is_stopped:
        return "stopped"
    if code == 0 and not training.error:
        return "done" if training.result else "running"
    return "failed"


def _figures(run: Path) -> list[dict[str, Any]]:
    try:
        return read_figures(run / METRICS_FILE)
    except DataError:  # not written yet
        return []


def _steps(run: Path) -> int | None:
    """The number of steps of a run, once it has begun."""
    try:
        settings = load_yaml(run / "config.yaml", "the settings of a run", DataError).value
        steps = settings["train"]["steps"]
    except (DataError, KeyError, TypeError):
        return None
    return steps if isinstance(steps, int) else None


def _tail(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - (1 << 14)))
            return file.read().decode("utf-8", "replace").splitlines()[-TAIL_LINES:]
    except OSError:
        return []
