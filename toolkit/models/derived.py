"""Caches values derived from parameters until these change: folded, cast and reordered weights.

Recomputing them for every image can take a tenth of the time. They are kept outside the modules, so they are
not in a ``state_dict``, copy or pickle of a module, and they are freed with it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

T = TypeVar("T")


class _Derived(NamedTuple):
    """A value and its sources.

    ``sources`` are aliases, so that their memory is not reused by other tensors while it is compared with
    that of the current parameters. ``versions`` are their version counters, which count in-place writes.
    """

    key: Hashable
    sources: list[Tensor]
    versions: list[int]
    value: Any

    def is_current(self, key: Hashable, sources: Sequence[Tensor]) -> bool:
        return (
            self.key == key
            and len(self.sources) == len(sources)
            and all(
                old.data_ptr() == new.data_ptr() and version == new._version
                for old, new, version in zip(self.sources, sources, self.versions, strict=True)
            )
        )


_kept: WeakKeyDictionary[nn.Module, _Derived] = WeakKeyDictionary()


def needs_gradient(*tensors: Tensor | None) -> bool:
    """Whether computations on these tensors will be differentiated. If so, values derived without gradients
    must not be used.
    """
    return torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in tensors)


def derived(module: nn.Module, sources: Sequence[Tensor], key: Hashable, make: Callable[[], T]) -> T:
    """The result of ``make()``, called without gradients and autocast, or its cached result.

    Args:
        module: the owner of the value; one value is kept per module.
        sources: the tensors that ``make`` reads. The value is recomputed when one of them was written to or
            replaced.
        key: anything else that it depends on.
        make: computes the value.
    """
    if any(tensor.is_inference() for tensor in sources):  # inference tensors have no version counter
        return _plainly(make, sources)
    entry = _kept.get(module)
    if entry is None or not entry.is_current(key, sources):
        versions = [tensor._version for tensor in sources]
        entry = _kept[module] = _Derived(
            key, [tensor.detach() for tensor in sources], versions, _plainly(make, sources)
        )
    value: T = entry.value
    return value


def forget(module: nn.Module) -> None:
    """Free the cached value of a module whose parameters are about to change."""
    _kept.pop(module, None)


def _plainly(make: Callable[[], T], sources: Sequence[Tensor]) -> T:
    """``make()`` without gradients, and without autocast on the CPU and on the device of the sources."""
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        for kind in {"cpu", *(tensor.device.type for tensor in sources)}:
            if torch.amp.is_autocast_available(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        return make()
