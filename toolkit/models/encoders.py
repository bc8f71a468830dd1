"""Encoders of segmentation_models.pytorch, including those of timm, for plugins that add their own decoder.

``segmentation_models_pytorch.encoders.get_encoder(name, weights=None)`` builds one; the functions here handle
the rest: names, unused parts, and (in ``toolkit.models.encoder_weights``) published weights.
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Sequence

import segmentation_models_pytorch as smp
import timm
import torch
from torch import Tensor, nn

from toolkit.errors import ConfigError
from toolkit.types import Size

UNFIT_ENCODER = (
    AssertionError,
    AttributeError,
    IndexError,
    KeyError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""Errors that the libraries raise for encoders that cannot be used as requested: without feature stages,
without a dilated form, or for a single image size only.
"""


def check_encoder_name(name: str, also: Sequence[str] = ()) -> None:
    """Check that there is an encoder of this name.

    Args:
        name: name in segmentation_models.pytorch, or ``tu-`` followed by a timm model.
        also: further names, of the plugin's own encoders.

    Raises:
        ConfigError: when there is no such encoder; suggests the closest names.
    """
    if name.startswith("tu-"):
        if timm.is_model(name[3:].split(".")[0]):
            return
        known = [f"tu-{model}" for model in timm.list_models()]
    else:
        known = [*also, *smp.encoders.get_encoder_names()]
        if name in known or smp.encoders.is_equivalent_to_timm_universal(name):
            return
    near = difflib.get_close_matches(name, known, n=3)
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"expected one of: {', '.join(known)}"
    raise ConfigError(f"model.encoder: unknown encoder {name!r}; {hint} (use tu-NAME for any timm model)")


class Skipped(nn.Module):
    """Placeholder for an unused part."""

    def forward(self, features: Tensor, *_: object) -> Tensor:
        """The features unchanged."""
        return features


def drop_unused(network: nn.Module, encoder: nn.Module, size: Size) -> None:
    """Remove the parts of an encoder that the logits do not depend on, such as a classifier, or the stages
    below a smaller depth.

    Otherwise they would be saved in every checkpoint, some would be computed for nothing, and distributed
    training would wait for their gradients. They are found with a forward and a backward pass; another
    forward pass checks that the rest works.

    Args:
        network: takes images ``[B, 3, H, W]`` and returns logits.
        encoder: a part of it.
        size: height and width of the images to try. Different values reveal encoders that only accept a
            single image size.

    Raises:
        Exception: whatever the network raises when it does not work on images of this size.
    """
    name = next(name for name, module in network.named_modules() if module is encoder)
    images = torch.zeros(1, 3, *size)
    shadow = copy.deepcopy(network).eval()  # so that no random number is drawn, and no statistics change
    shadow(images).sum().backward()
    unused = {
        inner for inner, parameter in shadow.get_submodule(name).named_parameters() if parameter.grad is None
    }
    if unused:
        _drop(encoder, "", unused)
        with torch.no_grad():
            copy.deepcopy(network).eval()(images)


def _drop(module: nn.Module, prefix: str, unused: set[str]) -> None:
    for name, child in list(module.named_children()):
        parameters = [f"{prefix}{name}.{inner}" for inner, _ in child.named_parameters()]
        if parameters and unused.issuperset(parameters):
            setattr(module, name, Skipped())
        else:
            _drop(child, f"{prefix}{name}.", unused)
