"""Which parts of the network learn."""

from __future__ import annotations

from torch import nn

from .lora import add_adapters
from .settings import LoraSettings, Trainable
from .upstream import SAM2Base

ADAPTED = ("qkv", "proj")
"""The linear layers of the backbone's attention that get adapters."""
WITHOUT_EFFECT = ("token_to_image.k_proj.bias",)
"""Ends of names of parameters of the mask decoder that cancel out: the bias of keys adds the same to all that
a softmax compares.
"""


def choose_trainable(network: SAM2Base, trainable: Trainable, lora: LoraSettings) -> None:
    """Let the parts learn that ``trainable`` names, and freeze the rest.

    ``decoder`` is the mask decoder and the prompt encoder, without the decoder's two projections of finer
    features: like SAM 2's own image predictor and the short recipe, they count as part of the image's
        features, which are computed once. They learn in all other choices. What
    only videos need (the memory, the object pointers) has no part in the loss of still images and is frozen
    always.
    """
    network.requires_grad_(False)
    heads: list[nn.Module] = [network.sam_mask_decoder, network.sam_prompt_encoder]
    encoder = network.image_encoder
    learning = {
        "decoder": heads,
        "decoder+neck": [*heads, encoder.neck],
        "full": [*heads, encoder],
        "lora": heads,
    }[trainable]
    for part in learning:
        part.requires_grad_(True)
    for name, parameter in network.sam_mask_decoder.named_parameters():
        if name.endswith(WITHOUT_EFFECT):
            parameter.requires_grad_(False)
    if trainable == "decoder":
        network.sam_mask_decoder.conv_s0.requires_grad_(False)
        network.sam_mask_decoder.conv_s1.requires_grad_(False)
    if trainable == "full":
        network.no_mem_embed.requires_grad_(True)
    if trainable == "lora":
        for block in encoder.trunk.blocks:
            add_adapters(block.attn, ADAPTED, lora.rank, lora.alpha)


def is_frozen(*parts: nn.Module | nn.Parameter) -> bool:
    """Whether nothing in these learns."""
    return not any(
        p.requires_grad
        for part in parts
        for p in ([part] if isinstance(part, nn.Parameter) else part.parameters())
    )


def hold_frozen_in_eval(module: nn.Module) -> None:
    """Put every module that has parameters, none of which learn, in eval mode, with all inside."""
    for part in module.modules():
        if any(True for _ in part.parameters()) and is_frozen(part):
            part.eval()
