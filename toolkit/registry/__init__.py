"""Name -> manifest, for plugins, datasets, evaluators and tasks.

``plugins()``, ``datasets()``, ``evaluators()`` and ``tasks()`` return what discovery found; nothing here
imports torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar

from toolkit.errors import UnknownNameError
from toolkit.registry import discovery
from toolkit.registry.base import Broken, Registry
from toolkit.registry.manifests import (
    DatasetManifest,
    EvaluatorManifest,
    Manifest,
    PluginManifest,
    TaskManifest,
)

M = TypeVar("M", bound=Manifest)

__all__ = [
    "Broken",
    "Registry",
    "add_path",
    "clear",
    "datasets",
    "evaluators",
    "functions_for",
    "is_path",
    "named",
    "plugins",
    "stable_name",
    "task_of",
    "tasks",
]


@cache
def plugins() -> Registry[PluginManifest]:
    """All model plugins that are found."""
    found = discovery.discover(PluginManifest)
    for plugin in list(found):
        try:
            task_of(plugin)
        except UnknownNameError as error:
            found.discard(plugin.name, str(error), plugin.origin)
    return found


@cache
def datasets() -> Registry[DatasetManifest]:
    """All datasets that are found."""
    return discovery.discover(DatasetManifest)


@cache
def evaluators() -> Registry[EvaluatorManifest]:
    """All evaluators that are found."""
    return discovery.discover(EvaluatorManifest)


@cache
def tasks() -> Registry[TaskManifest]:
    """All tasks that are found."""
    return discovery.discover(TaskManifest)


def clear() -> None:
    """Forget what was found and what was loaded by path; the next question looks anew."""
    for registry in (plugins, datasets, evaluators, tasks):
        registry.cache_clear()
    discovery.forget_paths()


def add_path(path: str | Path) -> list[Manifest]:
    """Load what one file or folder that the user named brings, and register it.

    Raises:
        UsageError: when there is nothing there, it fails to import, holds no manifest, or a plugin of an
            unknown task; says which.
        DuplicateNameError: when a manifest's name is taken.
    """
    manifests = discovery.load_path(Path(path))
    for manifest in manifests:  # first, for the plugins beside them may be of these
        if isinstance(manifest, TaskManifest):
            tasks().add(manifest)
    for manifest in manifests:
        if isinstance(manifest, PluginManifest):
            task_of(manifest)
            plugins().add(manifest)
        elif isinstance(manifest, DatasetManifest):
            datasets().add(manifest)
        elif isinstance(manifest, EvaluatorManifest):
            evaluators().add(manifest)
    return manifests


def task_of(plugin: PluginManifest) -> TaskManifest:
    """The task of a plugin.

    Raises:
        UnknownNameError: when there is none of that name; suggests the nearest and lists all.
    """
    try:
        return tasks().get(plugin.task)
    except UnknownNameError as error:
        raise UnknownNameError(f"plugin {plugin.name!r}: {error}") from None


def functions_for(what: Literal["draw", "write"], fields: Iterable[str]) -> list[Callable[..., Any]]:
    """The functions of the tasks that draw or write what a prediction has, in the order of its fields, each
    once.

    Args:
        what: which function of ``TaskManifest``.
        fields: names, as ``Prediction.fields`` gives them.
    """
    references: dict[tuple[str, str], TaskManifest] = {}
    for name in fields:
        for task in tasks():
            reference = getattr(task, what)
            if reference and name in task.predicts:
                references.setdefault(
                    (task.module if reference.startswith((":", ".")) else "", reference), task
                )
                break
    return [task.resolve(reference) for (_, reference), task in references.items()]


def named(registry: Registry[M], name: str) -> M:
    """The manifest that a user means by a name, or by the path of a file or folder that brings one.

    Raises:
        UnknownNameError, UnavailableError, UsageError: as ``Registry.get`` and ``add_path``.
    """
    if not is_path(name):
        return registry.get(name)
    found = [manifest for manifest in add_path(name) if isinstance(manifest, registry.kind)]
    if not found:
        raise UnknownNameError(f"{name} contains no {registry.kind.kind}")
    return found[0]


def stable_name(name: str) -> str:
    """A name as it is; a path made absolute, so that it means the same from any folder."""
    return str(Path(name).expanduser().resolve()) if is_path(name) else name


def is_path(name: str) -> bool:
    """Whether a name is meant as the path of a file or folder: it ends in ``.py`` or has a slash in it."""
    return name.endswith(".py") or "/" in name or "\\" in name
