"""What a model consists of and what it costs: layers, parameters, FLOPs, activations, receptive field and
output stride.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from toolkit.errors import ToolkitError, UsageError
from toolkit.models.capabilities import Inspectable, Tileable
from toolkit.models.contract import Model
from toolkit.models.parts import untrained_parameters
from toolkit.models.receptive_field import Field, receptive_field
from toolkit.types import Size

Shape: TypeAlias = tuple[int, ...]


@dataclass(frozen=True)
class Layer:
    """One module of the network.

    Attributes:
        name: dotted path in the network.
        type: name of its class.
        output_shapes: shapes of all tensors that it returns for one image, in order; empty when that is not
            known or it was not called.
        parameters: number of its parameters, including those of the modules inside it.
        trainable: number of those that are trained.
        untrained: number of those that training does not use (``Model.untrained``); they are not frozen.
        kernel: for a convolution, its height and width in values; None for other modules.
        dilation: for a convolution, along the height and the width.
        effective_kernel: the extent of the kernel, ``k + (k - 1)(d - 1)`` along each axis.
    """

    name: str
    type: str
    output_shapes: tuple[Shape, ...]
    parameters: int
    trainable: int
    untrained: int = 0
    kernel: tuple[int, ...] | None = None
    dilation: tuple[int, ...] | None = None
    effective_kernel: tuple[int, ...] | None = None

    @property
    def depth(self) -> int:
        """1 for the parts of the network, 2 for the parts of those, and so on."""
        return self.name.count(".") + 1


@dataclass(frozen=True)
class ModelSummary:
    """Figures of a model; None if they are not available, and ``notes`` say why.

    Attributes:
        layers: the layers, in the order of the network's modules.
        parameters: number of parameters of the whole model.
        trainable: number of those that are trained.
        untrained: number of those that training does not use (``Model.untrained``); they are not frozen.
        input_shape: shape of the network's input for one image, after downscaling and padding.
        output_shape: shape of its logits.
        flops: multiply-adds for one image, as fvcore counts them: one multiplication with its addition counts
            as one.
        activations: number of output values of convolutions and matrix products for one image (fvcore).
        uncounted: operators that ``flops`` leaves out, with how often they run; they are cheap compared with
            those counted.
        receptive_field: along the height and the width; None if the output has no height and width.
        output_stride: number of input pixels per logit, along the height and the width; None if the output
            has none.
        notes: remarks about the figures.
    """

    layers: tuple[Layer, ...]
    parameters: int
    trainable: int
    input_shape: Shape | None = None
    output_shape: Shape | None = None
    flops: int | None = None
    activations: int | None = None
    uncounted: Mapping[str, int] = field(default_factory=dict)
    receptive_field: tuple[Field, Field] | None = None
    output_stride: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()
    untrained: int = 0

    @property
    def frozen(self) -> int:
        """Number of parameters that could be trained but are not."""
        return self.parameters - self.trainable - self.untrained


def summarize(model: Model, size: Size = (512, 512)) -> ModelSummary:
    """Summarize a model, which is not changed.

    Args:
        model: any model; all figures are known if it is Inspectable, most if it is Tileable, and for
            others only layers and parameters.
        size: height and width of the image for which shapes and costs are computed.

    Raises:
        UsageError: when the network cannot work on an image of this size.
    """
    unused = untrained_parameters(model)
    parameters, trainable, untrained = _count(model, unused)
    if model.capability(Inspectable) is None and model.capability(Tileable) is None:
        note = (
            "this model declares neither of the capabilities Inspectable and Tileable, so output"
            " shapes, FLOPs, activations, receptive field and output stride are not known"
        )
        layers = tuple(_layers(model, {}, unused))
        return ModelSummary(layers, parameters, trainable, notes=(note,), untrained=untrained)
    model = copy.deepcopy(model).eval()
    network, unused = _Network(model), untrained_parameters(model)
    shapes, input_shape = _shapes(model, size)
    notes = []
    flops = activations = fields = None
    uncounted: dict[str, int] = {}
    try:
        flops, activations, uncounted = _cost(network, torch.zeros(input_shape, dtype=network.input_dtype))
    except Exception as error:  # tracing the network may fail in any way
        notes.append(
            f"FLOPs and activations cannot be counted: tracing fails with {type(error).__name__}: {error}"
        )
    if uncounted:
        names = ", ".join(
            f"{name} ({count} ×)" for name, count in sorted(uncounted.items(), key=lambda item: -item[1])
        )
        notes.append(f"FLOPs leave out: {names}")
    output_shape = shapes[""][0]
    is_map = len(output_shape) == 4
    if is_map:
        try:
            fields = network.receptive_field(input_shape[1])
        except ToolkitError as error:
            notes.append(str(error))
    else:
        notes.append("The output has no height and width, and so neither receptive field nor output stride.")
    return ModelSummary(
        tuple(_layers(network.layers, shapes, unused)),
        parameters,
        trainable,
        input_shape,
        output_shape,
        flops,
        activations,
        uncounted,
        fields,
        _stride(input_shape, output_shape, fields) if is_map else None,
        tuple(notes),
        untrained,
    )


def _stride(
    input_shape: Shape, output_shape: Shape, fields: tuple[Field, Field] | None
) -> tuple[float, float]:
    """Pixels from one output to the next, along the height and the width."""
    if fields:
        return fields[0].stride, fields[1].stride
    return input_shape[2] / output_shape[2], input_shape[3] / output_shape[3]


class _Network(nn.Module):
    """The network of a model, and how to feed images to it. If a model declares no network, its ``logits``
    for a window serve as the network.

    Args:
        model: Inspectable, or else Tileable.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        self._inspectable, self._tileable = model.capability(Inspectable), model.capability(Tileable)
        self.layers: nn.Module = model if self._inspectable is None else self._inspectable.network
        self.input_dtype = torch.uint8 if self._inspectable is None else torch.float32

    def input_for(self, images: Tensor) -> Tensor:
        """The input of ``forward`` for uint8 images."""
        return images if self._inspectable is None else self._inspectable.network_input(images)

    def forward(self, images: Tensor) -> Any:
        """The network's output."""
        if self._inspectable is not None:
            return self._inspectable.network(images)
        assert self._tileable is not None  # checked by the caller
        return self._tileable.logits(images)

    def receptive_field(self, channels: int) -> tuple[Field, Field]:
        """The receptive field of the network.

        Raises:
            ToolkitError: when it is not available.
        """
        if self._inspectable is None:
            raise UsageError(
                "The receptive field is known for models that declare the capability Inspectable."
            )
        return receptive_field(
            self._inspectable.network, channels=channels, divisor=self._inspectable.divisor
        )


def _count(module: nn.Module, unused: Collection[int]) -> tuple[int, int, int]:
    """Parameters of a module, each counted once; how many of them are trained; and how many are ``unused`` in
    training, by ``id``.
    """
    parameters = list(module.parameters())
    untrained = sum(p.numel() for p in parameters if id(p) in unused)
    trainable = sum(p.numel() for p in parameters if p.requires_grad and id(p) not in unused)
    return sum(p.numel() for p in parameters), trainable, untrained


def _layers(
    network: nn.Module, shapes: Mapping[str, tuple[Shape, ...]], unused: Collection[int]
) -> Iterator[Layer]:
    for name, module in network.named_modules():
        if name:
            counts = _count(module, unused)
            yield Layer(name, type(module).__name__, shapes.get(name, ()), *counts, *_kernel(module))


def _kernel(module: nn.Module) -> tuple[Shape | None, Shape | None, Shape | None]:
    """Kernel, dilation and effective kernel of a convolution (and of other modules that have such sizes for
    two axes, such as deformable convolutions).
    """
    kernel, dilation = getattr(module, "kernel_size", None), getattr(module, "dilation", None)
    if not hasattr(module, "weight") or not all(
        isinstance(sizes, tuple) and len(sizes) == 2 for sizes in (kernel, dilation)
    ):
        return None, None, None
    assert isinstance(kernel, tuple)  # as just checked; the type checker cannot infer it
    assert isinstance(dilation, tuple)
    return kernel, dilation, tuple(k + (k - 1) * (d - 1) for k, d in zip(kernel, dilation, strict=True))


def _shapes(model: Model, size: Size) -> tuple[dict[str, tuple[Shape, ...]], Shape]:
    """Output shapes of every module of the network by name ("" is the network), and the shape of its input.

    Found on the meta device, which computes nothing; a network that creates its own tensors on the CPU is run
    there.
    """
    images = torch.zeros(1, 3, *size, dtype=torch.uint8)
    try:
        return _run(_Network(copy.deepcopy(model).to("meta")), images.to("meta"))
    except ToolkitError:
        raise
    except Exception:  # meta tensors refuse anything that needs values
        try:
            return _run(_Network(model), images)
        except ToolkitError:
            raise
        except Exception as error:
            raise UsageError(
                f"the network fails on an image of {size[0]} × {size[1]} pixels with {type(error).__name__}:"
                f" {error}. Hint: use another --size"
            ) from error


def _run(network: _Network, images: Tensor) -> tuple[dict[str, tuple[Shape, ...]], Shape]:
    shapes: dict[str, tuple[Shape, ...]] = {}

    def remember(name: str) -> Any:
        def hook(module: nn.Module, args: object, output: object) -> None:
            shapes.setdefault(name, _shapes_of(output))

        return hook

    handles = [
        module.register_forward_hook(remember(name))
        for name, module in network.layers.named_modules()
        if name
    ]
    try:
        with torch.no_grad():
            given = network.input_for(images)
            shapes[""] = _shapes_of(network(given))
    finally:
        for handle in handles:
            handle.remove()
    return shapes, tuple(given.shape)


def _shapes_of(output: object) -> tuple[Shape, ...]:
    return tuple(tuple(leaf.shape) for leaf in tree_leaves(output) if isinstance(leaf, Tensor))


def _cost(network: nn.Module, image: Tensor) -> tuple[int, int, dict[str, int]]:
    """FLOPs, activations, and the operators that the FLOPs do not include."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter(
            "ignore"
        )  # fvcore uses deprecated parts of torch, and tracing warns about size-specific code
        from fvcore.nn import ActivationCountAnalysis, FlopCountAnalysis

        analyses = [kind(network, image) for kind in (FlopCountAnalysis, ActivationCountAnalysis)]
        for analysis in analyses:
            analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
        analyses[0].set_op_handle("aten::scaled_dot_product_attention", _attention_flops)
        flops, activations = (int(analysis.total()) for analysis in analyses)
        uncounted = {name.removeprefix("aten::").rstrip("_"): 0 for name in analyses[0].unsupported_ops()}
        for name, count in analyses[0].unsupported_ops().items():
            uncounted[name.removeprefix("aten::").rstrip("_")] += count
    return flops, activations, uncounted


def _attention_flops(inputs: list[Any], outputs: list[Any]) -> int:
    """Scores from queries ``[…, L, E]`` and keys ``[…, S, E]``, and their sums of values ``[…, S, V]``;
    fvcore does not know this operator.
    """
    query, key, value = (tensor.type().sizes() for tensor in inputs[:3])
    count: int = torch.Size(query[:-1]).numel() * key[-2] * (query[-1] + value[-1])
    return count
