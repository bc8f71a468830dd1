"""The networks of a model as graphs of tensors: how a model declares them, and how one runs on another
runtime in the place of the network.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from toolkit.errors import ConfigError, InvalidDataError, UsageError
from toolkit.runtime.devices import find_device
from toolkit.runtime.engines import ComputePrecision, Engine

Axes: TypeAlias = tuple[int | str, ...]
"""The size of each dimension: a number, or the name of a dynamic axis."""

SIDES = ("height", "width")
"""The names of the axes whose size depends on that of the image alone."""

GraphCall: TypeAlias = Callable[..., tuple[Tensor, ...]]
"""Tensors in the order of a graph's inputs to tensors in the order of its outputs."""

OpenEngine: TypeAlias = Callable[[str, int], Engine]
"""Prepares a graph for a device of torch and a number of threads."""

RunsOn: TypeAlias = Callable[[str], bool]
"""Whether a graph could run on a device of torch."""

logger = logging.getLogger("toolkit")


@dataclass(frozen=True)
class Graph:
    """A network as a function of tensors, without Python values among its arguments and results.

    Attributes:
        name: stem of the file that it is exported to.
        network: takes the inputs in order, and returns a tensor or a tuple of tensors. Which operations it
            computes must not depend on the values of its inputs, except through operators of torch.
        inputs, outputs: the names of its arguments and results, in order, with the size of each dimension.
            Axes of inputs that depend on the size of the image are called ``height`` and ``width``, so that
            they can be fixed.
        examples: arguments of different sizes, the extremes included: no object and very many, the smallest
            image and an odd one. The graph is traced with the first and compared with the network on each.
        tolerance: by how much exported results may differ, as a fraction of the largest absolute value.
        ranked: whether the results are objects, one per row of each output, the best first. Where two have
            almost the same score, or are at a limit, rounding decides on their order and on which is there,
            so that rows are compared with the nearest ones by the first output.
        for_cpu: computes the same as ``network`` in operators that are faster in fp32 on CPUs: what OpenVINO
            gets, except in other precisions. None for ``network`` itself.
        reduced: the precisions other than fp32 that it may be computed in. A part that is small but needs all
            digits, such as the encoding of positions, has none.
    """

    name: str
    network: nn.Module
    inputs: Mapping[str, Axes]
    outputs: Mapping[str, Axes]
    examples: tuple[tuple[Tensor, ...], ...]
    tolerance: float = 1e-3
    ranked: bool = False
    reduced: tuple[ComputePrecision, ...] = ("bf16", "int8")
    for_cpu: nn.Module | None = None

    def for_inputs(self, examples: tuple[tuple[Tensor, ...], ...]) -> Graph:
        """The same graph with other examples, for the height and width of the first alone; where no axis of
        its inputs is called so, nothing but the examples changes.
        """
        inputs = {
            name: tuple(tensor.shape[place] if axis in SIDES else axis for place, axis in enumerate(axes))
            for (name, axes), tensor in zip(self.inputs.items(), examples[0], strict=True)
        }
        return replace(self, inputs=inputs, examples=examples)

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise UsageError(f"a graph's name must be an identifier, such as 'network', not {self.name!r}")
        if not self.examples or any(len(each) != len(self.inputs) for each in self.examples):
            raise UsageError(
                f"the graph {self.name!r} needs examples of its {len(self.inputs)} inputs"
                f" ({', '.join(self.inputs)}); it has {[len(each) for each in self.examples]}"
            )


def _fits(axes: Axes, tensor: Tensor) -> bool:
    """Whether a tensor has the sizes of axes, where those are numbers."""
    fixed = [(axis, size) for axis, size in zip(axes, tensor.shape, strict=False) if isinstance(axis, int)]
    return len(axes) == tensor.dim() and all(axis == size for axis, size in fixed)


def as_tuple(results: Any) -> tuple[Tensor, ...]:
    """The results of a network that returns a tensor or several."""
    return (results,) if isinstance(results, Tensor) else tuple(results)


class RuntimeGraph(nn.Module):
    """A graph on another runtime, in the place of a network: takes and returns tensors.

    It is prepared when it is first used, and again when the model has moved to another device.

    Args:
        name: of the graph.
        inputs, outputs: the names of the arguments and of the results, in order.
        open_engine: prepares the graph.
        runs_on: whether its runtime has what a device needs; None if it has for all.
        axes: the sizes of the dimensions of each input, in their order; not checked when None.
    """

    _place: Tensor

    def __init__(
        self,
        name: str,
        inputs: tuple[str, ...],
        outputs: tuple[str, ...],
        open_engine: OpenEngine,
        runs_on: RunsOn | None = None,
        axes: tuple[Axes, ...] | None = None,
    ) -> None:
        super().__init__()
        self.name, self.inputs, self.outputs = name, inputs, outputs
        self._open_engine, self._runs_on, self._axes = open_engine, runs_on, axes
        self._engine, self._device = None, ""
        self.register_buffer("_place", torch.zeros(0), persistent=False)

    _engine: Engine | None

    @property
    def ran_on(self) -> tuple[str, ...]:
        """What it has run on, as the runtime reports it; empty if it has not run."""
        return self._engine.ran_on if self._engine is not None else ()

    def runs_on(self, device: torch.device) -> bool:
        """Whether its runtime, as it is installed here, has what a device needs."""
        return self._runs_on is None or self._runs_on(str(device))

    def prepared(self) -> Engine:
        """The graph, ready to run on the device of the model.

        Raises:
            ConfigError: when the runtime cannot use this device.
        """
        device = str(self._place.device)
        if self._engine is None or self._device != device:
            self._engine, self._device = self._open_engine(device, torch.get_num_threads()), device
        return self._engine

    def forward(self, *tensors: Tensor) -> Any:
        """One tensor for a graph with one output, else a tuple.

        Raises:
            InvalidDataError: when the runtime cannot compute it.
            ConfigError: when mixed precision is asked for, which has no effect on an exported graph.
        """
        engine = self.prepared()
        place = self._place.device
        if torch.is_autocast_enabled(place.type):
            raise ConfigError(
                "the precision of an exported model is that of its export. Hint: use the precision fp32 here,"
                " and toolkit export --precision bf16 for a folder that computes in bf16"
            )
        if len(tensors) != len(self.inputs):
            raise InvalidDataError(
                f"the graph {self.name!r} takes {len(self.inputs)} tensors ({', '.join(self.inputs)}), not"
                f" {len(tensors)}"
            )
        for i, axes in enumerate(self._axes or ()):
            if not _fits(axes, tensors[i]):
                wanted, given = (" x ".join(map(str, each)) for each in (axes, tensors[i].shape))
                raise InvalidDataError(
                    f"the graph {self.name!r} takes {self.inputs[i]} of {wanted}, but this image makes it"
                    f" {given}: the model was exported for images of one size. Hint: resize the image, or"
                    " export the run without --size"
                )
        arrays = {
            name: tensor.detach().cpu().contiguous().numpy()
            for name, tensor in zip(self.inputs, tensors, strict=True)
        }
        results = dict(zip(engine.outputs, engine.run(arrays), strict=True))
        found = tuple(torch.from_numpy(results[name]).to(place) for name in self.outputs)
        return found[0] if len(found) == 1 else found


def device_for(models: Iterable[nn.Module], wanted: str | torch.device = "auto") -> torch.device:
    """The device for models of which some may be exported: ``find_device``, except that ``auto`` is the CPU
    if the runtime of a graph has nothing for the GPU that torch sees; this is logged.

    Raises:
        ConfigError: as ``find_device``.
    """
    device = find_device(wanted)
    if wanted != "auto" or device.type == "cpu":
        return device
    graphs = (each for model in models for each in model.modules() if isinstance(each, RuntimeGraph))
    left = next((graph.name for graph in graphs if not graph.runs_on(device)), None)
    if left is None:
        return device
    logger.warning(
        "Everything is computed on the CPU rather than on %s: the runtime of the exported graph %r that is"
        " installed here does not use it",
        device,
        left,
    )
    return torch.device("cpu")


def accelerator_for(models: Iterable[nn.Module], wanted: str) -> str:
    """The accelerator for ``make_fabric``: as wanted, except that ``auto`` is the CPU where ``device_for``
    chooses it.
    """
    return wanted if wanted != "auto" or device_for(models).type != "cpu" else "cpu"
