"""A model as Label Studio's machine-learning backend: what its requests ask for, without the web server
(``toolkit.annotate.label_studio_routes``).
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from typing import Any

from toolkit.annotate.label_studio_images import ImageSource
from toolkit.annotate.label_studio_prompts import Marks, marks_of
from toolkit.annotate.label_studio_results import missing_labels, results_of, score_of
from toolkit.annotate.prompting import Prompting
from toolkit.annotate.shapes import Shape, names_of_objects, shapes_of
from toolkit.errors import InvalidDataError, ToolkitError, UsageError
from toolkit.formats.label_config import LabelConfig, parse_config
from toolkit.inference.predictor import Predictor
from toolkit.models.capabilities import Promptable
from toolkit.reading.fields import shown
from toolkit.types import Size

logger = logging.getLogger("toolkit")

MOST_PROJECTS = 100
"""Number of projects whose labeling configuration is remembered."""


class LabelStudioBackend:
    """Answers the requests of Label Studio, in any thread.

    Args:
        predictor: the model; with a promptable one, smart key points and rectangles are answered.
        images: where the images of tasks may come from.
        above: minimum score of objects; the model's own when None.
        lock: held while the model computes, for servers that use the same model in other ways, too.

    Attributes:
        version: the name of the model, by which Label Studio keeps predictions apart.
    """

    def __init__(
        self,
        predictor: Predictor,
        images: ImageSource,
        *,
        above: float | None = None,
        lock: threading.Lock | None = None,
    ) -> None:
        self._predictor, self._images = predictor, images
        self._above = predictor.model.draw_above if above is None else above
        self._lock = lock or threading.Lock()
        takes_prompts = predictor.model.capability(Promptable) is not None
        self._prompting = Prompting(predictor, self._lock) if takes_prompts else None
        self._configs_lock = threading.Lock()
        self._configs: OrderedDict[str, LabelConfig] = OrderedDict()
        self._told: set[tuple[str, ...]] = set()
        self.version = predictor.name or type(predictor.model).__name__

    def setup(self, payload: Any) -> dict[str, Any]:
        """Remember the labeling configuration of a project.

        The address and the token of Label Studio in the request are not used: whoever can send a request
        would choose what this machine fetches.

        Raises:
            InvalidDataError: when the request is not one of Label Studio's.
            DataError: when the configuration cannot be read.
        """
        fields = _record(payload, "the request")
        config = fields.get("schema")
        if isinstance(config, str) and config.strip():
            self._config({"label_config": config, "project": fields.get("project")})
        return {"model_version": self.version}

    def predict(self, payload: Any) -> dict[str, Any]:
        """Predictions for tasks, or the object that a user has marked.

        Args:
            payload: ``tasks``, ``label_config``, and possibly ``params.context`` with marks.

        Returns:
            ``results`` with ``result`` and ``score`` for each task, and ``model_version``. Where some of the
            images cannot be read, their results are empty, and the log says why.

        Raises:
            InvalidDataError: when the request is not one of Label Studio's.
            ToolkitError: when none of the images can be read, or a mark cannot be answered.
        """
        fields = _record(payload, "the request")
        tasks = fields.get("tasks")
        if not isinstance(tasks, list):
            raise InvalidDataError(f"tasks must be a list, not {shown(tasks)}")
        config, context = self._config(fields), _context(fields)
        found, errors = [], []
        for task in tasks:
            try:
                shapes, size = self._shapes(task, config, context)
            except ToolkitError as error:
                logger.warning("task %s: %s", task.get("id") if isinstance(task, dict) else "?", error)
                errors.append(error)
                shapes, size = [], (1, 1)
            answer = {"result": results_of(shapes, config, size), "score": score_of(shapes)}
            found.append(answer | {"model_version": self.version})
        if errors and len(errors) == len(tasks):
            raise errors[0]
        return {"results": found, "model_version": self.version}

    def _config(self, fields: dict[str, Any]) -> LabelConfig:
        """The labeling configuration in a request, or the one that its project had before."""
        project, text = str(fields.get("project")), fields.get("label_config")
        config = None
        if isinstance(text, str) and text.strip():
            config = parse_config(text, f"the labeling configuration of project {project}")
        with self._configs_lock:
            config = config or self._configs.get(project)
            if config is None:
                raise InvalidDataError(
                    f"the request has no label_config, and project {shown(project)} is not known. Hint:"
                    " connect the model again in Label Studio"
                )
            self._configs[project] = config
            self._configs.move_to_end(project)
            while len(self._configs) > MOST_PROJECTS:
                self._configs.popitem(last=False)
        return config

    def _shapes(self, task: Any, config: LabelConfig, context: Any) -> tuple[list[Shape], Size]:
        name = _image_of(task, config)
        if context is not None:
            return self._answer(name, context)
        names = names_of_objects(self._predictor)
        missing = missing_labels(names, config)
        if missing and tuple(missing) not in self._told:
            self._told.add(tuple(missing))
            logger.warning(
                "the project has no labels for the classes %s, which are left out. Hint: add them to its"
                " labeling interface",
                ", ".join(missing),
            )
        image = self._images.read(name, self._predictor.scale)
        size = image.size
        if len(missing) == len(names):
            return [], size
        with self._lock:
            prediction = self._predictor.predict(image)
        return shapes_of(prediction, self._predictor.classes, self._above), size

    def _answer(self, name: str, context: Any) -> tuple[list[Shape], Size]:
        """The object that a user has marked."""
        if self._prompting is None:
            raise UsageError(
                f"{self.version} takes no prompts, so it cannot answer what is marked with a smart tool."
                " Hint: use the run of a promptable plugin, such as sam2, or turn off the smart tools"
            )
        encoded = self._prompting.encoded(name, lambda: self._images.read(name, self._predictor.scale))
        marks: Marks | None = marks_of(context, encoded.size)
        if marks is None:
            return [], encoded.size
        shape = self._prompting.answer(encoded, marks.label, marks.points, marks.labels, marks.box)
        return ([] if shape is None else [shape]), encoded.size


def _record(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidDataError(f"{what} must be a JSON object, not {shown(value)}")
    return value


def _context(fields: dict[str, Any]) -> Any:
    """What the user has marked; None in a request for predictions."""
    params = fields.get("params")
    context = params.get("context") if isinstance(params, dict) else fields.get("context")
    return context if isinstance(context, dict) and context.get("result") else None


def _image_of(task: Any, config: LabelConfig) -> str:
    """The image of a task, by the tag of the labeling configuration that shows it."""
    data = _record(_record(task, "a task").get("data"), "the data of a task")
    for key in config.images.values():
        if isinstance(data.get(key), str) and data[key]:
            return str(data[key])
    keys = ", ".join(config.images.values()) or "no image"
    raise InvalidDataError(
        f"a task has the data {shown(sorted(data))}, but the labeling interface shows {keys}. Hint: add an"
        " Image tag for it"
    )
