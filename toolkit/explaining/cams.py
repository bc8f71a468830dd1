"""Methods that look at the feature maps of a layer (class activation maps)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from toolkit.errors import UsageError
from toolkit.explaining.layers import record_maps
from toolkit.explaining.subject import Map, Subject


def gradcam(subject: Subject) -> Map:
    """The channels of a layer, weighted by the mean gradient of the score in each; negative values are 0.

    Selvaraju et al., Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization, ICCV
    2017 (https://arxiv.org/abs/1610.02391), equations 1 and 2.
    """
    layer, maps, gradients = _maps_and_gradients(subject)
    weights = gradients.mean((2, 3), keepdim=True)
    return _placed(subject, (weights * maps).sum(1).clamp(min=0), layer)


def layercam(subject: Subject) -> Map:
    """The channels of a layer, each cell weighted by its own positive gradient; negative values are 0.

    Jiang, Zhang, Hou, Cheng and Wei, LayerCAM: Exploring Hierarchical Class Activation Maps for Localization,
    IEEE Transactions on Image Processing 2021 (https://doi.org/10.1109/TIP.2021.3089943). Unlike Grad-CAM, it
    does not highlight what looks alike elsewhere in the image.
    """
    layer, maps, gradients = _maps_and_gradients(subject)
    return _placed(subject, (gradients.clamp(min=0) * maps).sum(1).clamp(min=0), layer)


def cam(subject: Subject) -> Map:
    """The last feature maps of a network that ends in global average pooling and one linear layer, weighted
    by the weights of the class in it; may be negative.

    Zhou, Khosla, Lapedriza, Oliva and Torralba, Learning Deep Features for Discriminative Localization, CVPR
    2016 (https://arxiv.org/abs/1512.04150), equation 2.

    Raises:
        UsageError: when the score is not computed in this way.
    """
    ending = _ending(subject)
    weights = ending.weight.to(ending.maps)[None, :, None, None]
    return _placed(subject, (weights * ending.maps).sum(1), ending.layer)


def _maps_and_gradients(subject: Subject) -> tuple[str, Tensor, Tensor]:
    layer, images = subject.chosen_layer(), subject.images().requires_grad_()
    score, maps = record_maps(subject.network, layer, lambda: subject.score(images))
    (gradients,) = torch.autograd.grad(score.sum(), maps, allow_unused=True)
    if gradients is None:
        raise UsageError(
            f"the score does not depend on the layer {layer!r}. Hint: choose one of"
            f" {', '.join(subject.explainable.layers())}"
        )
    return layer, maps.detach(), gradients


def _placed(subject: Subject, maps: Tensor, layer: str) -> Map:
    values = subject.explainable.maps_in_image(maps.detach(), subject.sample.size)
    return Map(values[0], layer)


@dataclass(frozen=True)
class _Ending:
    """The end of a network: feature maps ``[1, C, h, w]``, their layer, the weights ``[C]`` of a class."""

    layer: str
    maps: Tensor
    weight: Tensor


def _ending(subject: Subject) -> _Ending:
    """The end of the network that gives the score, if it is a global average pooling and one linear layer.
    Which layers these are is found from what they compute, whatever the network calls them.
    """
    label = subject.target.label
    linear = _last_linear(subject) if subject.target.kind == "class" and label is not None else None
    if linear is not None and label is not None:
        module, inputs = linear
        found = _averaged_maps(subject, inputs)
        if found is not None:
            return _Ending(*found, module.weight[label].detach())
    others = [name for name in subject.explainable.layers()[:1]]
    raise UsageError(
        "cam needs a network that ends in global average pooling and one linear layer, and"
        f" this model does not compute its score in this way. Hint: use gradcam"
        f" instead{f' (it looks at {others[0]})' if others else ''}"
    )


@torch.no_grad()
def _last_linear(subject: Subject) -> tuple[nn.Linear, Tensor] | None:
    """The linear layer that returns the score, and its input ``[1, C]``."""
    calls: list[tuple[nn.Linear, Tensor, Tensor]] = []

    def keep(module: nn.Module, args: Any, output: Any) -> None:
        if isinstance(module, nn.Linear) and args[0].dim() == 2:
            calls.append((module, args[0], output))

    linears = [module for module in subject.network.modules() if isinstance(module, nn.Linear)]
    hooks = [module.register_forward_hook(keep) for module in linears]
    try:
        score = subject.score(subject.images())
    finally:
        for hook in hooks:
            hook.remove()
    label = subject.target.label
    for module, inputs, output in reversed(calls[-1:]):
        if len(output) == 1 and label is not None and label < output.shape[1]:
            return (module, inputs) if torch.allclose(output[0, label].to(score), score[0]) else None
    return None


@torch.no_grad()
def _averaged_maps(subject: Subject, features: Tensor) -> tuple[str, Tensor] | None:
    """The last feature maps whose means over all cells are the given features ``[1, C]``, and their layer."""
    found: list[tuple[str, Tensor]] = []
    names = {module: name for name, module in subject.network.named_modules()}

    def keep(module: nn.Module, args: Any, output: Any) -> None:
        if not isinstance(output, Tensor) or output.dim() != 4 or output.shape[:2] != features.shape:
            return
        means = output.mean((2, 3))
        cells = output.shape[2] * output.shape[3]
        if cells > 1 and torch.allclose(means, features, rtol=1e-4, atol=1e-6):
            found[:] = [(names[module], output.clone())]

    hooks = [module.register_forward_hook(keep) for module in names]
    try:
        subject.score(subject.images())
    finally:
        for hook in hooks:
            hook.remove()
    return found[0] if found else None
