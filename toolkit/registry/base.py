"""The registry class: name -> manifest."""

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
    """A plugin, dataset or evaluator that was found but cannot be used: its name, origin, and the reason with
    a hint.
    """

    name: str
    origin: str
    reason: str


class Registry(Generic[M]):
    """The manifests of one kind, by name. Those that could not be loaded are kept in ``broken``; accessing
    one raises an error with the reason.
    """

    def __init__(self, kind: type[M]) -> None:
        self.kind = kind
        self.broken: list[Broken] = []
        self._manifests: dict[str, M] = {}

    def add(self, manifest: M) -> None:
        """Register a manifest.

        Raises:
            DuplicateNameError: when another origin has registered the same name; names both.
        """
        known = self._manifests.get(manifest.name)
        # Naming the same file twice is not a conflict.
        if known is not None and known.origin != manifest.origin:
            raise DuplicateNameError(
                f"two {self.kind.kind}s have the name {manifest.name!r}: one from {known.origin}, one from"
                f" {manifest.origin}. Hint: rename or remove one of them"
            )
        self._manifests[manifest.name] = manifest

    def discard(self, name: str, reason: str, origin: str) -> None:
        """Mark a name as unusable and store the reason."""
        self._manifests.pop(name, None)
        self.broken.append(Broken(name, origin, reason))

    def get(self, name: str) -> M:
        """The manifest of this name.

        Raises:
            UnavailableError: when it was found but is broken; says why.
            UnknownNameError: when it was not found; suggests the closest names and lists all.
        """
        if name in self._manifests:
            return self._manifests[name]
        for broken in self.broken:
            if broken.name == name:
                raise UnavailableError(
                    f"{self.kind.kind} {name!r} from {broken.origin} cannot be used: {broken.reason}"
                )
        near = [each for each in self.names() if _letters(each) == _letters(name)]
        near = near or difflib.get_close_matches(name.lower(), self.names(), n=3, cutoff=0.5)
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


def _letters(name: str) -> str:
    """A name for comparison: ``U-Net`` and ``unet`` are the same."""
    return "".join(letter for letter in name.lower() if letter.isalnum())
