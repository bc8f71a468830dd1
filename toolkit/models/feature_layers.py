"""Finds the layers of a network whose feature maps are worth looking at."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from toolkit.models.contract import evaluating
from toolkit.types import Size

_CHANGE_NOTHING = (nn.Identity, nn.Dropout, nn.Dropout2d)
_POOLING = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)


def feature_layers(network: nn.Module, inputs: Tensor) -> tuple[str, ...]:
    """Names of modules that return feature maps: the last one at each resolution, in the reverse of the order
    in which they run, so that the first is the last before the network's output.

    Left out are modules that run more than once, the layers that give the network's output, poolings, parts
    of modules that change the resolution, maps of a single cell, and maps in another layout than
    ``[B, C, h, w]``, which are recognized by their aspect ratio.

    Args:
        network: called in eval mode and without gradients.
        inputs: its input, floating ``[B, C, H, W]``; a small one is enough.
    """
    calls: list[tuple[str, nn.Module, Any]] = []
    names = {module: name for name, module in network.named_modules() if module is not network}
    hooks = [
        module.register_forward_hook(lambda m, _, output: calls.append((names[m], m, output)))
        for module in names
    ]
    try:
        with evaluating(network):
            result = network(inputs)
    finally:
        for hook in hooks:
            hook.remove()
    size = (inputs.shape[2], inputs.shape[3])
    return _chosen(_maps_by_name(calls, result, size))


def _maps_by_name(calls: list[tuple[str, nn.Module, Any]], result: Any, size: Size) -> dict[str, Size]:
    """The sizes of the maps that modules return, in the order in which they finish; of modules that return
    the same tensor, the outermost.
    """
    seen = [name for name, _, _ in calls]
    excluded = {id(result)} | {id(output) for _, module, output in calls if isinstance(module, _POOLING)}
    found: dict[int, tuple[str, Size]] = {}
    for name, module, output in calls:
        if seen.count(name) > 1 or isinstance(module, _CHANGE_NOTHING) or id(output) in excluded:
            continue
        if isinstance(output, Tensor) and output.is_floating_point() and output.dim() == 4:
            cells = (output.shape[2], output.shape[3])
            if cells != (1, 1) and _covers(cells, size):
                found.pop(id(output), None)
                found[id(output)] = name, cells
    return dict(found.values())


def _covers(cells: Size, size: Size) -> bool:
    """Whether a grid of cells may cover an image of a size, up to what rounding and borders take."""
    strides = size[0] / cells[0], size[1] / cells[1]
    return max(strides) <= 2 * min(strides) and min(strides) >= 0.5


def _chosen(maps: dict[str, Size]) -> tuple[str, ...]:
    last: dict[Size, str] = {}
    for name, cells in maps.items():
        parents = (name[:i] for i, letter in enumerate(name) if letter == ".")
        if all(maps.get(parent, cells) == cells for parent in parents):
            last.pop(cells, None)
            last[cells] = name
    return tuple(reversed(last.values()))


def probe(network: nn.Module, height: int, width: int) -> Tensor:
    """Gray images float ``[1, 3, height, width]`` on the network's device and of its dtype, in channels-last
    memory, for finding layers.
    """
    like = next(network.parameters(), torch.empty(0))
    images = torch.zeros(1, 3, height, width, device=like.device, dtype=like.dtype)
    return images.contiguous(memory_format=torch.channels_last)
