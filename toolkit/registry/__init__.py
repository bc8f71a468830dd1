"""Name -> manifest, for plugins, datasets and evaluators.

``plugins()``, ``datasets()`` and ``evaluators()`` return what discovery found; nothing here imports torch.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Generic, TypeVar

from toolkit.errors import DuplicateNameError, UnavailableError, UnknownNameError
from toolkit.registry.manifests import DatasetManifest, EvaluatorManifest, Manifest, PluginManifest

M = TypeVar("M", bound=Manifest)


@dataclass(frozen=True)
class Broken:
    """Something that was found and cannot be used: what it is called, where it is, and why, with the repair."""

    name: str
    origin: str
    reason: str


class Registry(Generic[M]):
    """The manifests of one kind, by name. What could not be loaded is kept in ``broken`` and explained when asked for."""

    def __init__(self, kind: type[M]) -> None:
        self.kind = kind
        self.broken: list[Broken] = []
        self._manifests: dict[str, M] = {}

    def add(self, manifest: M) -> None:
        """Enter a manifest.

        Raises:
            DuplicateNameError: when another origin has entered the same name; names both.
        """
        known = self._manifests.get(manifest.name)
        if known is not None and known.origin != manifest.origin:  # the same file named twice is no clash
            raise DuplicateNameError(
                f"two {self.kind.kind}s are called {manifest.name!r}: one from {known.origin}, one from {manifest.origin}. "
                "Repair: rename or remove one of them"
            )
        self._manifests[manifest.name] = manifest

    def discard(self, name: str, reason: str, origin: str) -> None:
        """Take a name out of use and remember why."""
        self._manifests.pop(name, None)
        self.broken.append(Broken(name, origin, reason))

    def get(self, name: str) -> M:
        """The manifest of this name.

        Raises:
            UnavailableError: when it was found but is broken; says why.
            UnknownNameError: when it was not found; suggests the nearest names and lists all.
        """
        if name in self._manifests:
            return self._manifests[name]
        for broken in self.broken:
            if broken.name == name:
                raise UnavailableError(f"{self.kind.kind} {name!r} from {broken.origin} cannot be used: {broken.reason}")
        near = difflib.get_close_matches(name, self.names(), n=3, cutoff=0.5)
        hint = f" Did you mean {' or '.join(repr(n) for n in near)}?" if near else ""
        raise UnknownNameError(f"no {self.kind.kind} is called {name!r}.{hint} There are: {', '.join(self.names()) or 'none'}")

    def names(self) -> list[str]:
        """All usable names, sorted."""
        return sorted(self._manifests)

    def __iter__(self) -> Iterator[M]:
        return iter(self._manifests[name] for name in self.names())

    def __len__(self) -> int:
        return len(self._manifests)


@cache
def plugins() -> Registry[PluginManifest]:
    """All model plugins that are found."""
    from toolkit.registry import discovery

    return discovery.discover(PluginManifest)


@cache
def datasets() -> Registry[DatasetManifest]:
    """All datasets that are found."""
    from toolkit.registry import discovery

    return discovery.discover(DatasetManifest)


@cache
def evaluators() -> Registry[EvaluatorManifest]:
    """All evaluators that are found."""
    from toolkit.registry import discovery

    return discovery.discover(EvaluatorManifest)


def add_path(path: str | Path) -> list[Manifest]:
    """Load a plugin, dataset or evaluator from one file or folder that the user named, and enter it.

    Raises:
        UsageError: when there is nothing there, it fails to import, or it holds no manifest; says which.
        DuplicateNameError: when a manifest's name is taken.
    """
    from toolkit.registry import discovery

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
