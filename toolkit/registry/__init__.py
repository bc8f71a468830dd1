"""Name -> manifest, for plugins, datasets and evaluators.

``plugins()``, ``datasets()`` and ``evaluators()`` return what discovery found; nothing here imports torch.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TypeVar

from toolkit.errors import UnknownNameError
from toolkit.registry import discovery
from toolkit.registry.base import Broken, Registry
from toolkit.registry.manifests import DatasetManifest, EvaluatorManifest, Manifest, PluginManifest

M = TypeVar("M", bound=Manifest)

__all__ = [
    "Broken",
    "Registry",
    "add_path",
    "datasets",
    "evaluators",
    "is_path",
    "named",
    "plugins",
    "stable_name",
]


@cache
def plugins() -> Registry[PluginManifest]:
    """All model plugins that are found."""
    return discovery.discover(PluginManifest)


@cache
def datasets() -> Registry[DatasetManifest]:
    """All datasets that are found."""
    return discovery.discover(DatasetManifest)


@cache
def evaluators() -> Registry[EvaluatorManifest]:
    """All evaluators that are found."""
    return discovery.discover(EvaluatorManifest)


def add_path(path: str | Path) -> list[Manifest]:
    """Load a plugin, dataset or evaluator from one file or folder that the user named, and enter it.

    Raises:
        UsageError: when there is nothing there, it fails to import, or it holds no manifest; says which.
        DuplicateNameError: when a manifest's name is taken.
    """
    manifests = discovery.load_path(Path(path))
    for manifest in manifests:
        if isinstance(manifest, PluginManifest):
            plugins().add(manifest)
        elif isinstance(manifest, DatasetManifest):
            datasets().add(manifest)
        elif isinstance(manifest, EvaluatorManifest):
            evaluators().add(manifest)
    return manifests


def named(registry: Registry[M], name: str) -> M:
    """The manifest that a user means by a name, or by the path of a file or folder that brings one.

    Raises:
        UnknownNameError, UnavailableError, UsageError: as ``Registry.get`` and ``add_path``.
    """
    if not is_path(name):
        return registry.get(name)
    found = [manifest for manifest in add_path(name) if isinstance(manifest, registry.kind)]
    if not found:
        raise UnknownNameError(f"{name} brings no {registry.kind.kind}")
    return found[0]


def stable_name(name: str) -> str:
    """A name as it is; a path made absolute, so that it means the same from any folder."""
    return str(Path(name).expanduser().resolve()) if is_path(name) else name


def is_path(name: str) -> bool:
    """Whether a name is meant as the path of a file or folder: it ends in ``.py`` or has a slash in it."""
    return name.endswith(".py") or "/" in name or "\\" in name
