"""Encoders of segmentation_models.pytorch, which bring those of timm, for plugins that put a decoder of their
own on top.

``segmentation_models_pytorch.encoders.get_encoder(name, weights=None)`` builds one; the functions here see to
the rest: names, parts that nothing uses, and (in ``toolkit.models.encoder_weights``) published weights.
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
"""What the libraries raise for encoders that cannot be used as wanted: without stages to take features from,
without a dilated form, or for images of one size only.
"""


def check_encoder_name(name: str, also: Sequence[str] = ()) -> None:
    """Make sure that there is an encoder of this name.

    Args:
        name: of segmentation_models.pytorch, or ``tu-`` and a model of timm.
        also: names that the plugin brings itself.

    Raises:
        ConfigError: with the nearest names, when no library has it.
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
    """Stands where a part was that nothing depends on."""

    def forward(self, features: Tensor, *_: object) -> Tensor:
        """The features as they are."""
        return features


def drop_unused(network: nn.Module, encoder: nn.Module, size: Size) -> None:
    """Take out the parts of an encoder that the logits do not depend on, such as a classifier, or the stages
    below a smaller depth.

    Left in, they would be saved with every checkpoint, some would be computed for nothing, and training in
    several processes would wait for their gradients. They are found by a pass forth and back; another one
    forth sees that the rest works.

    Args:
        network: takes images ``[B, 3, H, W]`` and returns logits.
        encoder: a part of it.
        size: height and width to try it on. Two that differ show encoders that only take images of one size.

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
