"""The models that are served, each with its own thread while it is in memory."""

from __future__ import annotations

import contextlib
import logging
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.checkpoints import find_checkpoint, is_export
from toolkit.config.scale import Scale
from toolkit.inference.image_prediction import ImagePrediction
from toolkit.inference.predictor import Predictor, load
from toolkit.models.capabilities import MaskPromptable, Promptable
from toolkit.reading.files import expanded
from toolkit.serve.errors import RequestError, busy
from toolkit.serve.metrics import Metrics
from toolkit.serve.options import Limits
from toolkit.serve.worker import Worker
from toolkit.types import Sample

logger = logging.getLogger("toolkit")


@dataclass(frozen=True)
class ServedModel:
    """A model in memory, and the thread that computes with it.

    Attributes:
        name: by which requests choose it.
        predictor: the model.
        worker: its thread; items are samples, results predictions.
    """

    name: str
    predictor: Predictor
    worker: Worker[Sample, ImagePrediction]


@dataclass
class ListedModel:
    """A model that can be chosen, whether or not it is in memory.

    Attributes:
        name: by which requests choose it.
        about: what ``/api/models`` says about it.
        run: the folder or file of a run, which can be fine-tuned; None for an exported model.
        source: from which it is loaded again; None for one that stays in memory.
        scale: how it gets 8 bits of deep images; None for the usual way.
        loaded: the model, while it is in memory.
        users: the number of requests that are using it.
    """

    name: str
    about: dict[str, Any]
    run: Path | None
    source: Path | None
    scale: Scale | None
    loaded: ServedModel | None
    users: int = 0

    @property
    def is_promptable(self) -> bool:
        """Whether it segments what points and boxes indicate."""
        return bool(self.about["promptable"])

    @property
    def waiting(self) -> int:
        """The number of jobs that wait for it."""
        loaded = self.loaded
        return 0 if loaded is None else loaded.worker.waiting


class Models:
    """All models by name, in the order in which they were added. A bounded number is in memory: the one that
    was not used for the longest time makes room for another, and is loaded again when it is asked for.

    Args:
        limits: of requests, and of the models in memory.
        metrics: in which batches are counted.
        settings: further arguments of ``toolkit.load``.
        on_drop: called with a model that leaves the memory.
    """

    def __init__(
        self,
        limits: Limits,
        metrics: Metrics,
        settings: Mapping[str, Any] | None = None,
        on_drop: Callable[[ServedModel], object] = lambda model: None,
    ) -> None:
        self._limits, self._metrics, self._settings = limits, metrics, dict(settings or {})
        self._on_drop = on_drop
        self._models: dict[str, ListedModel] = {}
        # the models that may be dropped, the one that was used last at the end
        self._order: OrderedDict[str, None] = OrderedDict()
        self._lock, self._loading = threading.Lock(), threading.Lock()
        metrics.loaded.set_function(lambda: len(self.loaded))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all models."""
        return tuple(self._models)

    @property
    def loaded(self) -> tuple[ServedModel, ...]:
        """The models in memory."""
        return tuple(each.loaded for each in self._models.values() if each.loaded is not None)

    @property
    def scale(self) -> Scale | None:
        """By which images are shown: that of the first model that has one."""
        return next((each.scale for each in self._models.values() if each.scale is not None), None)

    def about(self) -> list[dict[str, Any]]:
        """What ``/api/models`` says."""
        return [each.about for each in self._models.values()]

    def load(self, run: str | Path) -> ServedModel:
        """Load a run, a checkpoint or an exported folder, and serve it; while all models in memory are in
        use, as one more.

        Raises:
            ToolkitError: as ``toolkit.load``.
        """
        checkpoint = find_checkpoint(run)
        with self._loading:
            with contextlib.suppress(RequestError):
                self._make_room()
            predictor = load(run, **self._settings)
            return self.add(
                predictor, name_of(run), is_run=not is_export(checkpoint), source=expanded(run).resolve()
            )

    def add(
        self, predictor: Predictor, name: str, *, is_run: bool = False, source: Path | None = None
    ) -> ServedModel:
        """Serve a model; if the name is taken, a number is added to it.

        Args:
            predictor: the model.
            name: by which requests choose it.
            is_run: whether it is a run, rather than an exported model.
            source: from which it can be loaded again; without it, it stays in memory.
        """
        with self._lock:
            taken, number = name, 1
            while taken in self._models:
                number += 1
                taken = f"{name}-{number}"
            model = self._started(taken, predictor)
            about = _about(predictor, taken, is_run=is_run)
            listed = ListedModel(
                taken, about, predictor.run if is_run else None, source, predictor.scale, model
            )
            self._metrics.watch_queue(taken, lambda: listed.waiting)
            self._models = {**self._models, taken: listed}
            if source is not None:
                self._order[taken] = None
        return model

    def listed(self, name: str) -> ListedModel:
        """The model of a name, in memory or not; the first one for an empty name.

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

    def get(self, name: str) -> ServedModel:
        """The model of a name, loaded if it is not in memory, which takes seconds.

        Raises:
            RequestError: 404, with the names that there are; 503, when all models in memory are in use.
            ToolkitError: as ``toolkit.load``.
        """
        listed = self.listed(name)
        with self._loading:
            if listed.loaded is None:
                assert listed.source is not None  # or it would have stayed in memory
                self._make_room()
                predictor = load(listed.source, **self._settings)
                with self._lock:
                    listed.loaded = self._started(listed.name, predictor)
                    listed.about = _about(predictor, listed.name, is_run=listed.run is not None)
                    self._order[listed.name] = None
            return listed.loaded

    @contextlib.contextmanager
    def using(self, model: ServedModel) -> Iterator[ServedModel]:
        """Keep a model in memory within this context; it counts as used.

        Raises:
            RequestError: 503, when it has just been dropped.
        """
        listed = self._models[model.name]
        with self._lock:
            if listed.loaded is not model:
                raise busy(f"the model {model.name} has just made room for another. Hint: try again")
            listed.users += 1
            if model.name in self._order:
                self._order.move_to_end(model.name)
        try:
            yield model
        finally:
            with self._lock:
                listed.users -= 1

    def stop(self) -> None:
        """End all threads."""
        for model in self.loaded:
            model.worker.stop()

    def _make_room(self) -> None:
        """Drop models until another one fits.

        Raises:
            RequestError: 503, when all are in use.
        """
        while len(self._order) >= self._limits.models:
            with self._lock:
                unused = next((each for each in self._order if not self._models[each].users), None)
                if unused is None:
                    raise busy(
                        f"{len(self._order)} models are in use, the most that are kept in memory. Hint: try"
                        " again later, or start the server with a larger --models",
                        5,
                    )
                del self._order[unused]
                model, self._models[unused].loaded = self._models[unused].loaded, None
            assert model is not None  # those in the order are in memory
            self._on_drop(model)
            model.worker.stop()
            logger.info("the model %s makes room for another", unused)

    def _started(self, name: str, predictor: Predictor) -> ServedModel:
        # clicks wait for what has begun, and finding everything in an image may take seconds
        one_by_one = predictor.model.capability(Promptable) is not None
        worker = Worker(
            name,
            predictor.predict_named,
            batch_size=1 if one_by_one else self._limits.batch_size,
            limit=self._limits.queue,
            on_size=lambda size: self._metrics.batch_sizes.labels(name).observe(size),
        )
        return ServedModel(name, predictor, worker)


def _about(predictor: Predictor, name: str, *, is_run: bool) -> dict[str, Any]:
    model = predictor.model
    task = str(predictor.about.get("task") or "")
    return {
        "name": name,
        "plugin": predictor.about.get("plugin", ""),
        "task": task,
        "kind": task,
        "classes": list(predictor.classes),
        "colors": [list(color) for color in predictor.palette],
        "promptable": model.capability(Promptable) is not None,
        "takes_masks": model.capability(MaskPromptable) is not None,
        "draw_above": model.draw_above,
        "run": is_run,
    }


def name_of(run: str | Path) -> str:
    """A name for a run: that of its folder, with what is unusual in addresses replaced; of a checkpoint file,
    those of its folder and of the file.
    """
    path = expanded(run).resolve()
    words = [path.name] if path.is_dir() else [path.parent.name, path.stem]
    return re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(filter(None, words))) or "model"
