"""Finds the layers of a network whose feature maps are worth looking at."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from toolkit.models.contract import evaluating
from toolkit.types import Size

_CHANGE_NOTHING = (nn.Identity, nn.Dropout, nn.Dropout2d)
_NO_FEATURES = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.Softmax)
"""Poolings repeat the features before them; a softmax gives attention, whose rows and columns are tokens."""


@dataclass(frozen=True)
class _Call:
    """One call of a module: its name, the module, the first of its inputs, and its output."""

    name: str
    module: nn.Module
    given: Any
    output: Any


def feature_layers(network: nn.Module, inputs: Tensor) -> tuple[str, ...]:
    """Names of modules that return feature maps: the last one at each resolution, in the reverse of the order
    in which they run, so that the first is the last before the network's output.

    Left out are modules that run more than once, the layers that give the network's output, poolings, the
    beginnings of modules that change the resolution, maps of a single cell, and maps in another layout than
    ``[B, C, h, w]``, which are recognized by their aspect ratio.

    Args:
        network: called in eval mode and without gradients.
        inputs: its input, floating ``[B, C, H, W]``; a small one is enough.
    """
    calls: list[_Call] = []
    names = {module: name for name, module in network.named_modules() if module is not network}

    def keep(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        calls.append(_Call(names[module], module, args[0] if args else None, output))

    hooks = [module.register_forward_hook(keep) for module in names]
    try:
        with evaluating(network):
            result = network(inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return _chosen(_maps_by_name(calls, result, (inputs.shape[2], inputs.shape[3])), calls)


def _maps_by_name(calls: list[_Call], result: Any, size: Size) -> dict[str, Size]:
    """The sizes of the maps that modules return, in the order in which they finish; of modules that return
    the same tensor, the last, which is the outermost.
    """
    counts = Counter(call.name for call in calls)
    excluded = {id(call.output) for call in calls if isinstance(call.module, _NO_FEATURES)}
    found: dict[int, tuple[str, Size]] = {}
    for call in calls:
        cells = _cells(call.output)
        if counts[call.name] > 1 or _changes_nothing(call.module) or id(call.output) in excluded:
            continue
        if cells in (None, (1, 1)) or _is_part_of(result, call.output):
            continue
        if cells is not None and _covers(cells, size):
            found.pop(id(call.output), None)
            found[id(call.output)] = call.name, cells
    return dict(found.values())


def _cells(value: Any) -> Size | None:
    """Height and width of feature maps; None if it is something else."""
    if not isinstance(value, Tensor) or value.dim() != 4 or not value.is_floating_point():
        return None
    return value.shape[2], value.shape[3]


def _is_part_of(result: Any, output: Tensor) -> bool:
    """Whether the network's result is an output, or is cut from it."""
    if not isinstance(result, Tensor):
        return False
    # tensors without memory of their own, such as those on the device meta, have the address 0
    address = result.untyped_storage().data_ptr()
    return result is output or (address != 0 and address == output.untyped_storage().data_ptr())


def _changes_nothing(module: nn.Module) -> bool:
    """Whether a module, or everything in it, returns its input in eval mode."""
    children = [*module.children()]
    return all(map(_changes_nothing, children)) if children else isinstance(module, _CHANGE_NOTHING)


def _covers(cells: Size, size: Size) -> bool:
    """Whether a grid of cells may cover an image of a size, up to what rounding and borders take."""
    strides = size[0] / cells[0], size[1] / cells[1]
    return max(strides) <= 1.5 * min(strides)


def _chosen(maps: dict[str, Size], calls: list[_Call]) -> tuple[str, ...]:
    changes = {call.name: (_cells(call.given), _cells(call.output)) for call in calls}
    last: dict[int, str] = {}
    finest = max((cells[0] for cells in maps.values()), default=1)
    for name, cells in maps.items():
        parents = [name[:i] for i, letter in enumerate(name) if letter == "."]
        begins = any(
            given == cells and after not in (cells, None)
            for given, after in (changes.get(parent, (None, None)) for parent in parents)
        )
        if not begins:
            # convolutions without padding take some cells at each resolution
            halvings = round(math.log2(finest / cells[0]))
            last.pop(halvings, None)
            last[halvings] = name
    return tuple(reversed(last.values()))


def probe(network: nn.Module, height: int, width: int) -> Tensor:
    """Gray images float ``[1, 3, height, width]`` on the network's device and of its dtype, in channels-last
    memory, for finding layers.
    """
    like = next(network.parameters(), torch.empty(0))
    images = torch.zeros(1, 3, height, width, device=like.device, dtype=like.dtype)
    return images.contiguous(memory_format=torch.channels_last)
