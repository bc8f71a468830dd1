"""The sanity check of randomized weights: a map that shows what a model has learned changes when the model
forgets it.

Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018. Some methods give nearly the same map for
random weights: then it shows edges of the photo, and nothing about the model.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from toolkit.explaining.cells import Cells
from toolkit.explaining.ranks import rank_correlation

M = TypeVar("M", bound=nn.Module)

UNRELATED = 0.3
"""The rank correlation below which two maps count as different."""

MOST_PIXELS = 1_000_000
"""Larger maps are averaged in cells before they are compared, to save time."""


@dataclass(frozen=True)
class Stage:
    """A comparison of the map with that of a model with some random weights.

    Attributes:
        layer: name of the module that was randomized last; empty for the whole model.
        correlation: Spearman's rank correlation of both maps; 0 if the map of the randomized model is
            constant, because nothing is left of the target.
    """

    layer: str
    correlation: float


@dataclass(frozen=True)
class SanityCheck:
    """How a map changes when more and more of the model's weights are random.

    Attributes:
        stages: in the order in which layers were randomized; in the last stage, all weights are random.
    """

    stages: tuple[Stage, ...]

    @property
    def correlation(self) -> float:
        """The rank correlation of the original map with that of entirely random weights."""
        return self.stages[-1].correlation

    @property
    def passed(self) -> bool:
        """Whether the map depends on what was learned: the absolute correlation is below 0.3."""
        return abs(self.correlation) < UNRELATED


def check_sanity(
    model: M,
    explain: Callable[[M], Tensor],
    *,
    run: Callable[[M], object] | None = None,
    stages: int = 1,
    seed: int = 0,
    original: Tensor | None = None,
) -> SanityCheck:
    """Compare a model's map with those of the same model with random weights.

    Args:
        model: stays as it is; a copy is randomized.
        explain: the map of a model, floating ``[H, W]``. The target must be the same for all.
        run: predicts with a model, to find the order of its layers; that of their definition if None.
        stages: 1: all weights at once; more: in so many stages of equal numbers of layers, the last layers
            first, each in addition to those before.
        seed: of the random weights.
        original: the map of the model, if it is known.
    """
    original = explain(model) if original is None else original
    changed, found = copy.deepcopy(model), []
    order = last_layers_first(changed, run)
    for layers in _parts(order, stages):
        for name, number in layers:
            randomize(changed.get_submodule(name), seed + number)
        name = layers[-1][0] if stages > 1 and layers else ""
        found.append(Stage(name, map_correlation(original, explain(changed))))
    return SanityCheck(tuple(found))


def randomize(layer: nn.Module, seed: int) -> None:
    """Give a layer new random weights, in place: by its own initialization (``reset_parameters``), as before
    training, or, if it has none, by shuffling the values of each of its weights and running statistics.
    """
    reset: Callable[[], None] | None = getattr(layer, "reset_parameters", None)
    if callable(reset):
        devices = {weight.device for weight in layer.parameters(recurse=False) if weight.is_cuda}
        with torch.random.fork_rng(devices=[*devices]), torch.no_grad():
            torch.manual_seed(seed)
            reset()
        return
    generator = torch.Generator().manual_seed(seed)
    own = (*layer.parameters(recurse=False), *layer.buffers(recurse=False))
    with torch.no_grad():
        for tensor in own:
            if tensor.is_floating_point() and tensor.numel() > 1:
                order = torch.randperm(tensor.numel(), generator=generator).to(tensor.device)
                tensor.copy_(tensor.flatten()[order].view_as(tensor))


def last_layers_first(model: M, run: Callable[[M], object] | None = None) -> list[str]:
    """Names of the modules with weights of their own, those that ran last first; then those that did not
    run.
    """
    defined = [
        name
        for name, module in model.named_modules()
        if next(module.parameters(recurse=False), None) is not None
    ]
    seen: dict[str, None] = {}
    if run is not None:
        handles = [
            model.get_submodule(name).register_forward_pre_hook(_noting(name, seen)) for name in defined
        ]
        try:
            run(model)
        finally:
            for handle in handles:
                handle.remove()
    rest = [name for name in defined if name not in seen]
    return [*reversed(seen), *reversed(rest)]


def map_correlation(a: Tensor, b: Tensor) -> float:
    """Spearman's rank correlation of two maps ``[H, W]``, -1 to 1; 0 if one of them is constant."""
    if a.numel() > MOST_PIXELS:
        height, width = (int(length) for length in a.shape)
        cells = Cells.of((height, width), math.isqrt(MOST_PIXELS))
        a, b = cells.means(a), cells.means(b)
    found = rank_correlation(a.numpy(), b.numpy())
    return 0.0 if math.isnan(found) else found


def _noting(name: str, seen: dict[str, None]) -> Callable[..., None]:
    def note(*_: object) -> None:
        # a layer that runs again belongs where it ran last
        seen.pop(name, None)
        seen[name] = None

    return note


def _parts(names: Sequence[str], count: int) -> Iterator[list[tuple[str, int]]]:
    """The names in so many parts of nearly equal length, each with its position."""
    numbered = [(name, number) for number, name in enumerate(names)]
    count = max(1, min(count, len(numbered)))
    for part in range(count):
        yield numbered[part * len(numbered) // count : (part + 1) * len(numbered) // count]
