"""Finds plugins, datasets and evaluators: built in, in installed packages, and in files or folders that the
user names.

A module has its manifest, or several in a tuple, in a variable named ``PLUGIN``, ``DATASET``, ``EVALUATOR``
or ``TASK``; it may have several of these variables. Any error in one of them is recorded in the registry's
``broken`` list; it never stops the program.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import logging
import os
import pkgutil
import sys
from functools import lru_cache
from importlib import metadata
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, TypeVar

from toolkit.errors import DuplicateNameError, ToolkitError, UsageError
from toolkit.reading.files import expanded
from toolkit.registry.base import Registry
from toolkit.registry.manifests import (
    DatasetManifest,
    EvaluatorManifest,
    Manifest,
    PluginManifest,
    TaskManifest,
)

logger = logging.getLogger("toolkit")

M = TypeVar("M", bound=Manifest)

VARIABLES: dict[type[Manifest], str] = {
    PluginManifest: "PLUGIN",
    DatasetManifest: "DATASET",
    EvaluatorManifest: "EVALUATOR",
    TaskManifest: "TASK",
}
ENTRY_POINT_GROUPS: dict[type[Manifest], str] = {
    PluginManifest: "toolkit.plugins",
    DatasetManifest: "toolkit.datasets",
    EvaluatorManifest: "toolkit.evaluators",
    TaskManifest: "toolkit.tasks",
}
BUILT_IN_PACKAGES: dict[type[Manifest], str] = {
    PluginManifest: "toolkit.plugins",
    DatasetManifest: "toolkit.datasets",
}
"""Where each folder has a manifest of this kind. A folder in either may also bring those of other kinds, such
as a plugin the task and the evaluator that it needs.
"""
BUILT_IN_MODULES: dict[type[Manifest], str] = {
    EvaluatorManifest: "toolkit.evaluation.manifests",
    TaskManifest: "toolkit.registry.builtin_tasks",
}
"""Evaluators and tasks are part of the core, but are registered in the same way; they are listed here, and
not imported.
"""


OF_RUNS = ("best.safetensors", "last.safetensors", "resume.pt", "metrics.jsonl")
"""Files that mark a folder as a run. Runs are data, whatever else is in their folders."""

_loaded: dict[Path, tuple[int, list[Manifest]]] = {}
"""The manifests by path and modification time, so that a file is executed only once."""


def discover(kind: type[M]) -> Registry[M]:
    """A registry of everything of this kind that is built in or installed."""
    registry = Registry(kind)
    if kind in BUILT_IN_MODULES:
        _load(registry, BUILT_IN_MODULES[kind], VARIABLES[kind], name=f"{kind.kind}s", origin="toolkit")
    for package_name in BUILT_IN_PACKAGES.values():
        package = importlib.import_module(package_name)
        for info in pkgutil.iter_modules(package.__path__):
            folder = getattr(info.module_finder, "path", package_name)
            _load(
                registry,
                f"{package_name}.{info.name}",
                VARIABLES[kind],
                name=info.name,
                origin=str(Path(folder) / info.name),
                required=BUILT_IN_PACKAGES.get(kind) == package_name,
            )
    for entry_point in _entry_points(ENTRY_POINT_GROUPS[kind]):
        distribution = entry_point.dist
        origin = (
            f"package {distribution.name} {distribution.version}"
            if distribution
            else f"entry point {entry_point.value}"
        )
        _load(
            registry,
            entry_point.module,
            entry_point.attr or VARIABLES[kind],
            name=entry_point.name,
            origin=origin,
        )
    return registry


def _entry_points(group: str) -> metadata.EntryPoints:
    """Those of all packages that are installed now. Their files are read once for all groups, and again when
    a folder of packages has changed: they take longer than all that is built in.
    """
    installed = _all_entry_points(tuple(_state_of(folder) for folder in sys.path))
    found: metadata.EntryPoints = installed.select(group=group)
    return found


@lru_cache(maxsize=1)
def _all_entry_points(folders: tuple[tuple[str, int], ...]) -> Any:  # of another class since Python 3.12
    return metadata.entry_points()


def _state_of(folder: str) -> tuple[str, int]:
    """A folder that modules come from, and when a package was last installed there or removed."""
    path = os.path.abspath(folder)
    try:
        return path, os.stat(path).st_mtime_ns
    except OSError:
        return path, 0


def load_path(path: Path) -> list[Manifest]:
    """The manifests in one Python file, or in a folder with an ``__init__.py``; at least one.

    Raises:
        UsageError: when the path does not exist, is the folder of a run, cannot be imported, or contains no
            manifest.
    """
    path = expanded(path).resolve()
    if is_run(path):
        raise UsageError(
            f"{path} is the folder of a run, and code in it is never run. Hint: give the file or folder of"
            " the plugin"
        )
    file = path / "__init__.py" if path.is_dir() else path
    if not file.is_file() or file.suffix != ".py":
        raise UsageError(f"no plugin at {path}: expected a .py file or a folder with an __init__.py")
    changed = file.stat().st_mtime_ns
    if path in _loaded and _loaded[path][0] == changed:
        return _loaded[path][1]
    logger.info("running the code in %s, which was named as a plugin, dataset or evaluator", file)
    module = _import_file(path, file)
    manifests: list[Manifest] = []
    for kind, variable in VARIABLES.items():
        if hasattr(module, variable):
            manifests += _placed(getattr(module, variable), kind, module.__name__, str(path))
    if not manifests:
        raise UsageError(
            f"{file} contains no manifest: expected a variable {' or '.join(VARIABLES.values())}, such as"
            " PLUGIN"
            " = PluginManifest(…)"
        )
    _loaded[path] = (changed, manifests)
    return manifests


def is_run(folder: Path) -> bool:
    """Whether a folder is that of a run."""
    return folder.is_dir() and any((folder / name).is_file() for name in OF_RUNS)


def loaded_paths() -> list[Path]:
    """The files and folders that were loaded by path, so that other processes can load them too."""
    return list(_loaded)


def forget_paths() -> None:
    """Clear the cache, so that files and folders are loaded again the next time."""
    _loaded.clear()


class _FreshSource(SourceFileLoader):
    """Compiles a file each time. Python recognizes an outdated bytecode file by the time in whole seconds and
    by the size, so after a quick change of one digit the old code would run. This also leaves no bytecode
    files in a user's folder.
    """

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def _import_file(path: Path, file: Path) -> ModuleType:
    """Import a file under a unique name, so that it cannot shadow an installed package (``sam2.py`` and
    ``sam2``).
    """
    module_name = f"toolkit_user_plugins.{path.stem}"
    search = [str(path)] if path.is_dir() else None
    loader = _FreshSource(module_name, str(file))
    spec = importlib.util.spec_from_file_location(
        module_name, file, loader=loader, submodule_search_locations=search
    )
    assert spec is not None  # a .py file always has a loader
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault("toolkit_user_plugins", ModuleType("toolkit_user_plugins"))
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except ToolkitError:
        del sys.modules[module_name]
        raise
    except Exception as error:  # a user's file may raise anything
        del sys.modules[module_name]
        raise UsageError(f"{file} cannot be imported: {type(error).__name__}: {error}") from error
    return module


def _load(
    registry: Registry[M], module_name: str, variable: str, *, name: str, origin: str, required: bool = True
) -> None:
    """Register the manifests of a module.

    Args:
        registry: gets them, or the reason why there are none.
        module_name: which module.
        variable: where they are.
        name: under which a reason is kept.
        origin: of the module, for messages.
        required: whether the module must have the variable. One that need not, and cannot be imported, is
            told by the registry of the kind that it must have.
    """
    try:
        module = importlib.import_module(module_name)
        if not required and not hasattr(module, variable):
            return
        manifests = _placed(getattr(module, variable, None), registry.kind, module_name, origin)
    except ModuleNotFoundError as error:
        if not required:
            return
        registry.discard(
            name,
            f"{error}. Hint: pip install {(error.name or '').split('.')[0]}, if that is the package's name",
            origin,
        )
        return
    except Exception as error:  # third-party modules may raise anything
        if required or module_name in sys.modules:
            registry.discard(name, f"{type(error).__name__}: {error}", origin)
        return
    for manifest in manifests:
        _enter(registry, manifest)


def _enter(registry: Registry[M], manifest: M) -> None:
    try:
        registry.add(manifest)
    except DuplicateNameError as error:
        registry.discard(manifest.name, str(error), manifest.origin)


def _placed(found: object, kind: type[M], module_name: str, origin: str) -> list[M]:
    """The manifests in a variable, with their module and origin filled in."""
    several = found if isinstance(found, tuple) and found else (found,)
    manifests: list[M] = []
    for manifest in several:
        if not isinstance(manifest, kind):
            raise UsageError(
                f"{origin} must define {VARIABLES[kind]} = {kind.__name__}(…), or several in a tuple, but"
                " there "
                + ("has no variable of that name" if manifest is None else f"it is {type(manifest).__name__}")
            )
        manifests.append(dataclasses.replace(manifest, module=module_name, origin=origin))
    return manifests
