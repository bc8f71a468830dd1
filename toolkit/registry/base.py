"""Name -> manifest: what a registry is."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from toolkit.errors import DuplicateNameError, UnavailableError, UnknownNameError
from toolkit.registry.manifests import Manifest

M = TypeVar("M", bound=Manifest)


@dataclass(frozen=True)
class Broken:
    """Something that was found and cannot be used: what it is called, where it is, and why, with the
    hint.
    """

    name: str
    origin: str
    reason: str


class Registry(Generic[M]):
    """The manifests of one kind, by name. What could not be loaded is kept in ``broken`` and explained when
    asked for.
    """

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
                f"two {self.kind.kind}s have the name {manifest.name!r}: one from {known.origin}, one from"
                f" {manifest.origin}. Hint: rename or remove one of them"
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
                raise UnavailableError(
                    f"{self.kind.kind} {name!r} from {broken.origin} cannot be used: {broken.reason}"
                )
        near = difflib.get_close_matches(name, self.names(), n=3, cutoff=0.5)
        hint = f" Did you mean {' or '.join(repr(n) for n in near)}?" if near else ""
        raise UnknownNameError(
            f"unknown {self.kind.kind} {name!r}.{hint} Expected one of: {', '.join(self.names()) or 'none'}"
        )

    def names(self) -> list[str]:
        """All usable names, sorted."""
        return sorted(self._manifests)

    def __iter__(self) -> Iterator[M]:
        return iter(self._manifests[name] for name in self.names())

    def __len__(self) -> int:
        return len(self._manifests)
