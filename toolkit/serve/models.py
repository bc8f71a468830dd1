"""The models that are served, each with its own thread."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.checkpoints import find_checkpoint, is_export
from toolkit.inference.image_prediction import ImagePrediction
from toolkit.inference.predictor import Predictor, load
from toolkit.models.capabilities import MaskPromptable, Promptable
from toolkit.reading.files import expanded
from toolkit.serve.errors import RequestError
from toolkit.serve.metrics import Metrics
from toolkit.serve.options import Limits
from toolkit.serve.worker import Worker
from toolkit.types import Sample

logger = logging.getLogger("toolkit")


@dataclass(frozen=True)
class ServedModel:
    """A model, and the thread that computes with it.

    Attributes:
        name: by which requests choose it.
        predictor: the model.
        worker: its thread; items are samples, results predictions.
        kind: its task, such as ``semantic``.
        is_run: whether it is a run, which can be fine-tuned, rather than an exported model.
    """

    name: str
    predictor: Predictor
    worker: Worker[Sample, ImagePrediction]
    kind: str
    is_run: bool

    @property
    def is_promptable(self) -> bool:
        """Whether it segments what points and boxes indicate."""
        return self.predictor.model.capability(Promptable) is not None

    def about(self) -> dict[str, Any]:
        """What ``/api/models`` says about it."""
        predictor = self.predictor
        return {
            "name": self.name,
            "plugin": predictor.about.get("plugin", ""),
            "task": predictor.about.get("task", ""),
            "kind": self.kind,
            "classes": list(predictor.classes),
            "colors": [list(color) for color in predictor.palette],
            "promptable": self.is_promptable,
            "takes_masks": predictor.model.capability(MaskPromptable) is not None,
            "draw_above": predictor.model.draw_above,
            "run": self.is_run,
        }


class Models:
    """All models by name, in the order in which they were added.

    Args:
        limits: of requests.
        metrics: in which batches are counted.
        settings: further arguments of ``toolkit.load``.
    """

    def __init__(self, limits: Limits, metrics: Metrics, settings: Mapping[str, Any] | None = None) -> None:
        self._limits, self._metrics, self._settings = limits, metrics, dict(settings or {})
        self._models: dict[str, ServedModel] = {}
        self._lock = threading.Lock()

    def load(self, run: str | Path) -> ServedModel:
        """Load a run, a checkpoint or an exported folder, and serve it.

        Raises:
            ToolkitError: as ``toolkit.load``.
        """
        checkpoint = find_checkpoint(run)
        return self.add(load(run, **self._settings), name_of(run), is_run=not is_export(checkpoint))

    def add(self, predictor: Predictor, name: str, *, is_run: bool = False) -> ServedModel:
        """Serve a model; if the name is taken, a number is added to it."""
        with self._lock:
            taken = name
            number = 1
            while taken in self._models:
                number += 1
                taken = f"{name}-{number}"
            # clicks wait for what has begun, and finding everything in an image may take seconds
            one_by_one = predictor.model.capability(Promptable) is not None
            worker = Worker(
                taken,
                _predicting(predictor),
                batch_size=1 if one_by_one else self._limits.batch_size,
                limit=self._limits.queue,
                on_size=lambda size: self._metrics.batch_sizes.labels(taken).observe(size),
            )
            kind = str(predictor.about.get("task") or "")
            model = ServedModel(taken, predictor, worker, kind, is_run)
            self._metrics.watch_queue(taken, lambda: worker.waiting)
            self._models = {**self._models, taken: model}
        return model

    def get(self, name: str) -> ServedModel:
        """The model of a name; the first one for an empty name.

        Raises:
            RequestError: 404, with the names that there are.
        """
        if not name and self._models:
            return next(iter(self._models.values()))
        if name not in self._models:
            raise RequestError(
                404, f"there is no model {name!r}. Hint: choose one of {', '.join(self._models)}"
            )
        return self._models[name]

    def __iter__(self) -> Any:
        return iter(self._models.values())

    def stop(self) -> None:
        """End all threads."""
        for model in self:
            model.worker.stop()


def name_of(run: str | Path) -> str:
    """A name for a run: that of its folder, with what is unusual in addresses replaced; of a checkpoint file,
    those of its folder and of the file.
    """
    path = expanded(run).resolve()
    words = [path.name] if path.is_dir() else [path.parent.name, path.stem]
    return re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(filter(None, words))) or "model"


def _predicting(predictor: Predictor) -> Any:
    """The function that predicts a batch of samples. Images that are predicted window by window come one by
    one anyway.
    """

    def predict(samples: Sequence[Sample]) -> list[ImagePrediction]:
        return predictor.predict_named(samples)

    return predict
