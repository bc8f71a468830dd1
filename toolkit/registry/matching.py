"""Checks from their manifests whether a plugin, a dataset and an evaluator are compatible, before anything is
built.
"""

from __future__ import annotations

from toolkit.errors import UsageError
from toolkit.registry.manifests import DatasetManifest, EvaluatorManifest, PluginManifest, TaskManifest


def conversion_for(task: TaskManifest, data: DatasetManifest) -> str | None:
    """The conversion that makes a dataset usable for a task: empty if none is needed, a reference to be
    resolved by the task if its samples have to be converted, None if that is impossible.
    """
    if task.name in data.tasks:
        return ""
    return next((reference for other, reference in task.conversions.items() if other in data.tasks), None)


def check_trainable(plugin: PluginManifest, task: TaskManifest, data: DatasetManifest) -> None:
    """Check that a plugin can be trained on a dataset.

    Raises:
        UsageError: when it cannot; says what each one has and needs.
    """
    if conversion_for(task, data) is None:
        raise UsageError(
            f"plugin {plugin.name!r} ({task.name}) is trained on {' and '.join(task.truth)}, which dataset"
            f" {data.name!r} does not have: it is for {_joined(data.tasks)} models. Hint: choose another"
            " dataset (`toolkit data list` lists their tasks) or another plugin (`toolkit plugins"
            " list`)"
        )


def check_measurable(evaluator: EvaluatorManifest, task: TaskManifest, owner: str) -> None:
    """Check that an evaluator can measure the predictions of a task.

    Args:
        evaluator: an evaluator that does not declare what it measures is assumed to be compatible.
        task: the task of the model.
        owner: whose predictions they are, for the message.

    Raises:
        UsageError: when it cannot; says what each one has and needs.
    """
    if evaluator.measures and not set(evaluator.measures) & set(task.predicts):
        usual = f" Hint: choose {_joined(task.evaluators)}" if task.evaluators else ""
        raise UsageError(
            f"the evaluator {evaluator.name!r} measures {_joined(evaluator.measures)}, but {owner}"
            f" ({task.name}) predicts {_joined(task.predicts)}.{usual}"
        )


def _joined(names: tuple[str, ...]) -> str:
    return " or ".join(names)
