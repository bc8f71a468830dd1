"""Registries (name -> manifest) of plugins, datasets, evaluators and tasks.

``plugins()``, ``datasets()``, ``evaluators()`` and ``tasks()`` return what was discovered; nothing here
imports torch.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar

from toolkit.errors import UnknownNameError, UsageError
from toolkit.reading.files import expanded
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
    "fields_to_draw",
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
    """The registry of model plugins."""
    found = discovery.discover(PluginManifest)
    for plugin in list(found):
        try:
            task_of(plugin)
        except UnknownNameError as error:
            found.discard(plugin.name, str(error), plugin.origin)
    return found


@cache
def datasets() -> Registry[DatasetManifest]:
    """The registry of datasets."""
    return discovery.discover(DatasetManifest)


@cache
def evaluators() -> Registry[EvaluatorManifest]:
    """The registry of evaluators."""
    return discovery.discover(EvaluatorManifest)


@cache
def tasks() -> Registry[TaskManifest]:
    """The registry of tasks."""
    return discovery.discover(TaskManifest)


def clear() -> None:
    """Clear everything that was discovered or loaded by path; the next access runs discovery again."""
    for registry in (plugins, datasets, evaluators, tasks):
        registry.cache_clear()
    discovery.forget_paths()


def add_path(path: str | Path) -> list[Manifest]:
    """Load the manifests of a file or folder that the user named, and register them.

    Raises:
        UsageError: when the path does not exist, fails to import, contains no manifest, or contains a plugin
            of an unknown task; says which.
        DuplicateNameError: when a manifest's name is taken.
    """
    manifests = discovery.load_path(Path(path))
    for manifest in manifests:  # tasks come first, because plugins in the same file may use them
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
        UnknownNameError: when there is no task of that name; suggests the closest names and lists all.
    """
    try:
        return tasks().get(plugin.task)
    except UnknownNameError as error:
        raise UnknownNameError(f"plugin {plugin.name!r}: {error}") from None


def fields_to_draw(fields: Iterable[str]) -> list[str]:
    """The fields of a sample or a prediction that are drawn: all except those drawn with another one."""
    names = list(fields)
    drawn = {other for task in tasks() if set(task.predicts) & set(names) for other in task.draws}
    return [name for name in names if name not in drawn]


def functions_for(
    what: Literal["draw", "write", "collect"], fields: Iterable[str]
) -> list[Callable[..., Any]]:
    """The task functions that draw, write or collect the fields of a prediction, in the order of the fields,
    each once.

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


def named(registry: Registry[M], name: str, *, by_user: bool = False) -> M:
    """The manifest for a name, or for the path of a file or folder that contains one.

    A path is code, and code is run only if it was named as such: with ``--plugin`` or ``--data``, as an
    argument of a function, or by ``add_path``. A path in a settings file, a run or a checkpoint does not
    count, because anybody may have written it.

    Args:
        registry: the registry to look in.
        name: the name, or the path.
        by_user: whether the user has just named it as code; otherwise a path must have been loaded before.

    Raises:
        UnknownNameError, UnavailableError, UsageError: as ``Registry.get`` and ``add_path``.
    """
    if "://" in name:
        raise UsageError(
            f"{name} is a URL; expected the name of a {registry.kind.kind}, or the path of a file that"
            f" defines one. Hint: choose one of: {', '.join(registry.names())}"
        )
    if not is_path(name):
        if name not in registry.names() and by_user:
            _refuse_other_folders(registry, name)
        return registry.get(name)
    if not by_user and expanded(name).resolve() not in discovery.loaded_paths():
        raise UnknownNameError(_not_named(registry, name))
    _refuse_other_folders(registry, name)
    found = [manifest for manifest in add_path(name) if isinstance(manifest, registry.kind)]
    if not found:
        raise UnknownNameError(f"{name} contains no {registry.kind.kind}")
    return found[0]


def _not_named(registry: Registry[Any], name: str) -> str:
    """The message for code that a file names, but the user did not."""
    kind = registry.kind.kind
    option = "--data" if kind == "dataset" else "--plugin"
    return (
        f"{name} is named as a {kind} in a settings file, a run or a checkpoint, which is not enough to run"
        f" code. Hint: if you trust it, add {option} {shlex.quote(name)} (in Python:"
        f" toolkit.registry.add_path({name!r}))"
    )


def _refuse_other_folders(registry: Registry[Any], name: str) -> None:
    """Raise ``UsageError`` for the folder of a run, or of files, where code is expected; says which option to
    use instead.
    """
    folder, kind = expanded(name), registry.kind.kind
    is_code = (folder / "__init__.py").is_file()
    if not folder.is_dir() or (is_code and not discovery.is_run(folder)):
        return
    if is_code or (folder / "config.yaml").is_file():
        raise UsageError(
            f"{name} is a run, not a {kind}. Hint: --resume {name} continues it, --weights {name} starts"
            f" from it, --config {name} takes its settings"
        )
    if kind == "dataset":
        raise UsageError(
            f"{name} is a folder of files, not a dataset. Hint: use --data-dir {name}, with the name of the"
            " dataset as --data, or as NAME of toolkit data. Expected one of:"
            f" {', '.join(registry.names())}"
        )


def stable_name(name: str) -> str:
    """A name unchanged; a path made absolute, so that it is valid from any folder."""
    return str(expanded(name).resolve()) if is_path(name) else name


def is_path(name: str) -> bool:
    """Whether a name is the path of a file or folder: it ends in ``.py`` or has a slash in it."""
    return name.endswith(".py") or "/" in name or "\\" in name
