"""A simulated second device for machines without a GPU; mixing devices is an error, as on a real one.

A tensor on it is a wrapper around an ordinary tensor that does the computing; the wrapper claims to be on
``meta``, the only device besides the CPU that every build of torch has. So values are real, and code that
depends on them works.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing

AWAY = torch.device("meta")
_ATEN = torch.ops.aten
# Copies go between devices, and indexes may stay on the CPU.
_MAY_MIX = {
    _ATEN._to_copy.default,
    _ATEN.copy_.default,
    _ATEN.index.Tensor,
    _ATEN.index_put_.default,
    _ATEN.index_put.default,
}
_FROM_VALUES = {torch.tensor, torch.as_tensor, torch.asarray}


class _Away(Tensor):
    """A tensor that claims to be on the simulated device; ``inner`` holds its values."""

    inner: Any

    @staticmethod
    def __new__(cls, inner: Tensor) -> _Away:
        wrapper: _Away = Tensor._make_wrapper_subclass(
            cls,
            inner.shape,
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=AWAY,
        )
        wrapper.inner = inner
        return wrapper

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        return _run(func, args, kwargs or {})


def _run(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Run the operation on the CPU, after checking that all tensors are on one device."""
    tensors = [value for value in pytree.tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
    away = any(isinstance(tensor, _Away) for tensor in tensors)
    here = [tensor for tensor in tensors if not isinstance(tensor, _Away) and tensor.dim() > 0]
    if away and here and func not in _MAY_MIX:
        raise RuntimeError(
            f"expected all tensors on one device, but {func.overloadpacket.__name__} got one on the CPU:"
            f" {str(here[0].dtype).removeprefix('torch.')} {list(here[0].shape)}"
        )
    kwargs = dict(kwargs)
    result_away = away
    if kwargs.get("device") is not None:
        result_away = torch.device(kwargs["device"]).type == AWAY.type
        kwargs["device"] = torch.device("cpu")
    plain_args, plain_kwargs = pytree.tree_map(
        lambda value: value.inner if isinstance(value, _Away) else value, (args, kwargs)
    )
    result = func(*plain_args, **plain_kwargs)
    if not result_away:
        return result
    result = pytree.tree_map(lambda value: _Away(value) if isinstance(value, Tensor) else value, result)
    return return_and_correct_aliasing(func, args, kwargs, result) if away else result  # type: ignore[no-untyped-call]


class _Dispatch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Intercepts functions that create tensors on the device, or move them to it."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class _Functions(TorchFunctionMode):
    """Intercepts ``torch.tensor(values, device=…)`` and similar functions, which bypass the dispatcher."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        is_new = func is Tensor.new_tensor and isinstance(args[0], _Away)
        if is_new or (
            func in _FROM_VALUES
            and kwargs.get("device") is not None
            and torch.device(kwargs["device"]).type == AWAY.type
        ):
            kwargs.pop("device", None)
            if is_new:
                kwargs.setdefault("dtype", args[0].dtype)
                func, args = torch.tensor, args[1:]
            return func(*args, **kwargs).to(AWAY)
        return func(*args, **kwargs)


class _Autocast(torch.autocast):
    """Autocast does not support ``meta``; use the CPU's instead."""

    def __init__(
        self,
        device_type: str,
        dtype: torch.dtype | None = None,
        enabled: bool = True,
        cache_enabled: bool | None = None,
    ) -> None:
        super().__init__("cpu" if device_type == AWAY.type else device_type, dtype, enabled, cache_enabled)


@contextmanager
def pretended_device() -> Iterator[torch.device]:
    """Context manager; the device that it yields can be used like a real one."""
    autocast, its_other_name = (
        mock.patch.object(module, "autocast", _Autocast) for module in (torch, torch.amp)
    )
    with _Functions(), _Dispatch(), autocast, its_other_name:  # type: ignore[no-untyped-call]
        yield AWAY


def send_away(module: nn.Module) -> None:
    """Put the parameters and buffers of a module on the simulated device, as ``Module.to`` does for a real
    one.
    """
    for part in module.modules():
        moved: Callable[[Tensor], Tensor] = _Away
        for name, parameter in part._parameters.items():
            if parameter is not None:
                part._parameters[name] = nn.Parameter(
                    moved(parameter.detach()), requires_grad=parameter.requires_grad
                )
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = moved(buffer)
