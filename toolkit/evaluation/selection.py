"""Builds evaluators from the settings that name them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from toolkit import registry
from toolkit.config import Settings, settings_class, validate
from toolkit.errors import UsageError
from toolkit.evaluation.base import Evaluator
from toolkit.registry.manifests import TaskManifest
from toolkit.registry.matching import check_measurable


def build_evaluators(
    settings: Mapping[str, Any] | Settings,
    classes: Sequence[str],
    *,
    task: TaskManifest | None = None,
    owner: str = "the model",
) -> list[Evaluator]:
    """Build the evaluators named in the settings.

    Args:
        settings: name -> the settings of that evaluator, validated or as plain values; or the section
            ``evaluators`` of a run.
        classes: the names that labels stand for.
        task: the task of the predictions, to reject evaluators that cannot measure them; None if unknown.
        owner: whose predictions they are, for messages.

    Raises:
        UsageError: when they name none, or one that cannot measure the task.
        ConfigError: when one of their settings is wrong.
    """
    if isinstance(settings, Settings):
        settings = {name: getattr(settings, name) for name in type(settings).model_fields}
    evaluators = []
    for name, values in settings.items():
        manifest = registry.named(registry.evaluators(), name)
        if task is not None:
            check_measurable(manifest, task, owner)
        if not isinstance(values, Settings):
            values = validate(settings_class(manifest), values or {}, source=f"evaluators.{name}")
        evaluators.append(manifest.resolve(manifest.build)(values, tuple(classes)))
    if not evaluators:
        raise UsageError("no evaluator is chosen. Hint: choose one, such as evaluators.iou={}")
    return evaluators
