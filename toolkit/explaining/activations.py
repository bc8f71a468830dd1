"""The feature maps of a layer, and the kernels of the first one."""

from __future__ import annotations

from torch import Tensor, nn

from toolkit.errors import UsageError
from toolkit.explaining.layers import layer_name, record_maps
from toolkit.inference.predictor import Predictor
from toolkit.models.capabilities import Explainable, Promptable
from toolkit.types import Sample


def activations(predictor: Predictor, sample: Sample, layer: str) -> tuple[str, Tensor]:
    """The feature maps of a layer for an image, while it is predicted, or encoded by a promptable model.

    Args:
        predictor: the model.
        sample: the image.
        layer: name of the layer, or the end of it.

    Returns:
        Its full name, and floating ``[C, h, w]`` on the CPU.

    Raises:
        UsageError: when there is no such layer, or it does not run once and return feature maps.
    """
    model, promptable = predictor.model, predictor.model.capability(Promptable)
    network = network_of(predictor)
    name = layer_name(network, layer)

    def compute() -> Tensor:
        with predictor.computing():
            _ = promptable.encode([sample]) if promptable is not None else model.predict([sample])
        return sample.image

    _, maps = record_maps(network, name, compute)
    return name, maps[0].detach().float().cpu()


def network_of(predictor: Predictor) -> nn.Module:
    """The module that has the layers: of a wrapper, the model inside it."""
    for kind in (Explainable, Promptable):
        found = predictor.model.capability(kind)
        if isinstance(found, nn.Module):
            return found
    return predictor.model


def first_kernels(predictor: Predictor) -> tuple[str, Tensor] | None:
    """The name and the kernels ``[K, 3, h, w]``, RGB, of the first convolution that sees the image; None if
    there is none.
    """
    network = network_of(predictor)
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d) and module.in_channels == 3 and module.groups == 1:
            kernels = module.weight.detach().float().cpu()
            order = network.channel_order if isinstance(network, Explainable) else "RGB"
            return name, kernels.flip(1) if order == "BGR" else kernels
    return None


def check_layer(predictor: Predictor, layer: str) -> str:
    """The full name of a layer.

    Raises:
        UsageError: when there is no such layer.
    """
    if not layer:
        raise UsageError("the name of the layer is empty. Hint: give one, such as those of toolkit summary")
    return layer_name(network_of(predictor), layer)
