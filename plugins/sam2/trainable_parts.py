"""Selects the trainable parts of the network."""

from __future__ import annotations

from torch import nn

from toolkit.models.freezing import freeze, unfreeze
from toolkit.models.parts import matches

from .lora import add_adapters
from .settings import LoraSettings, Trainable
from .upstream import SAM2Base

ADAPTED = ("qkv", "proj")
"""The linear layers of the backbone's attention that get adapters."""
ONLY_FOR_VIDEOS = (
    "memory_attention",
    "memory_encoder",
    "mask_downsample",
    "maskmem_tpos_enc",
    "no_mem_pos_enc",
    "no_obj_ptr",
    "no_obj_embed_spatial",
    "obj_ptr_proj",
    "obj_ptr_tpos_proj",
)
"""The memory and the object pointers, which do not affect the loss on still images. Version 2.0 does not have
all of them.
"""
WITHOUT_EFFECT = ("*token_to_image.k_proj.bias",)
"""Parameters of the mask decoder that cancel out: the bias of the keys adds the same value to all inputs of a
softmax.
"""
UNTRAINED = (*ONLY_FOR_VIDEOS, *WITHOUT_EFFECT)
"""Patterns of parameters that training never uses."""


def choose_trainable(network: SAM2Base, trainable: Trainable, lora: LoraSettings) -> None:
    """Make the parts given by ``trainable`` trainable, and freeze the rest.

    ``decoder`` is the mask decoder and the prompt encoder, without the decoder's two projections of finer
    features: as in SAM 2's own image predictor and in the short recipe, they count as part of the image's
    features, which are computed once. With all other choices they are trained. Parameters that match
    ``UNTRAINED`` are always frozen.
    """
    freeze(network)
    heads: list[nn.Module] = [network.sam_mask_decoder, network.sam_prompt_encoder]
    encoder = network.image_encoder
    unfreeze(
        *{
            "decoder": heads,
            "decoder+neck": [*heads, encoder.neck],
            "full": [*heads, encoder, network.no_mem_embed],
            "lora": heads,
        }[trainable]
    )
    if trainable == "decoder":
        freeze(network.sam_mask_decoder.conv_s0, network.sam_mask_decoder.conv_s1)
    for name, parameter in network.named_parameters():
        if any(matches(pattern, name) for pattern in UNTRAINED):
            freeze(parameter)
    if trainable == "lora":
        for block in encoder.trunk.blocks:
            add_adapters(block.attn, ADAPTED, lora.rank, lora.alpha)
