"""The mask decoder of SAM 2, computed in a different order: the same results up to rounding, with about half
the operations and memory.

A prompt has a dozen tokens, the image thousands. For the cross-attention between tokens and image, the
original code projects the image's features for each prompt. Here the projections are applied to the tokens
instead (``q · (W k) = (Wᵀ q) · k``), and everything that is the same for all prompts of an image is computed
once. The upscaling by transposed convolutions, whose kernels do not overlap, is a matrix product per pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from .clicks import BOTTOM_RIGHT, OFF, ON, TOP_LEFT
from .features import ImageFeatures
from .upstream import Attention, MaskDecoder, SAM2Base

_PEAK = 8.0
"""The logit at a point in a rough mask; half of it inside a box, and minus half outside."""


@dataclass(frozen=True)
class DecoderOutput:
    """The decoder's output for ``P`` prompts.

    Attributes:
        masks: logits ``[P, 4, S / 4, S / 4]`` for images of ``S`` pixels: the single mask, then the three for
            ambiguous prompts.
        ious: ``[P, 4]``, the predicted IoU of each.
        object_logits: ``[P, 1]``, above 0 if there is an object.
    """

    masks: Tensor
    ious: Tensor
    object_logits: Tensor


@dataclass(frozen=True)
class PixelFeatures:
    """The features of ``B`` images with the channels last, in the order in which the decoder uses them.

    Attributes:
        embedding: ``[B, N, C]`` for the ``N = h w`` pixels at stride 16, row by row.
        stride8: ``[B, N, 4 C / 4]``, the four pixels of stride 8 in each of them, with the bias of the first
            upscaling.
        stride4: ``[B, 4 N, 4 C / 8]``, the four pixels of stride 4 in each of those, with the bias of the
            second.
        height, width: ``h`` and ``w``.
    """

    embedding: Tensor
    stride8: Tensor
    stride4: Tensor
    height: int
    width: int


def arranged(network: SAM2Base, features: Sequence[ImageFeatures]) -> PixelFeatures:
    """The features of some images as the decoder uses them."""
    images = torch.stack([each.embedding for each in features])
    b, _, h, w = images.shape
    first, _, _, second, _ = network.sam_mask_decoder.output_upscaling
    blocks = torch.stack([each.stride8 for each in features]).view(b, -1, h, 2, w, 2)
    stride8 = blocks.permute(0, 2, 4, 3, 5, 1).reshape(b, h * w, -1) + _bias(first)
    blocks = torch.stack([each.stride4 for each in features]).view(b, -1, h, 2, 2, w, 2, 2)
    stride4 = blocks.permute(0, 2, 5, 3, 6, 4, 7, 1).reshape(b, 4 * h * w, -1) + _bias(second)
    return PixelFeatures(images.flatten(2).transpose(1, 2), stride8, stride4, h, w)


class ImageDecoder:
    """The mask decoder on the features of some images, with everything that does not depend on prompts
    precomputed.

    Args:
        network: provides the weights; gradients reach those that are trainable.
        features: the features of each image.
        drawn: whether the network also gets each prompt as a rough mask (``rough_masks``), instead of an
            earlier prediction.
    """

    def __init__(self, network: SAM2Base, features: Sequence[ImageFeatures], *, drawn: bool = False) -> None:
        self.drawn = drawn
        self.prompt_encoder, self.decoder = network.sam_prompt_encoder, network.sam_mask_decoder
        self.position = self.prompt_encoder.get_dense_pe()[0].flatten(1).T
        self.features = arranged(network, features)

    def __call__(
        self, points: Tensor, labels: Tensor, masks: Tensor | None = None, images: Tensor | None = None
    ) -> DecoderOutput:
        """Decode ``P`` prompts of ``K`` points.

        Args:
            points: float32 ``[P, K, 2]``, x and y in pixels of the network's input.
            labels: int64 ``[P, K]``: 1 on the object, 0 off it, 2 and 3 the corners of a box, -1 padding.
            masks: logits ``[P, 1, S / 4, S / 4]`` of an earlier prediction that the prompt corrects, or None.
            images: the image index of each prompt, ``[P]``; None if there is only one image.
        """
        if self.drawn:
            masks = rough_masks(points, labels, 4 * self.features.height, 4 * self.features.width)
        # As in ``SAM2ImagePredictor``, a mask alone has no points, not even a padding point.
        given = (points, labels) if points.shape[1] else None
        sparse, dense = self.prompt_encoder(points=given, boxes=None, masks=masks)
        own_mask = (
            self.prompt_encoder.no_mask_embed.weight[None]
            if masks is None
            else dense.flatten(2).transpose(1, 2)
        )
        return decoded(self.decoder, self.features, self.position, sparse, own_mask, images)


def decoded(
    head: MaskDecoder,
    features: PixelFeatures,
    position: Tensor,
    sparse: Tensor,
    dense: Tensor,
    images: Tensor | None = None,
) -> DecoderOutput:
    """The decoder's output for encoded prompts.

    Args:
        head: provides the weights.
        features: the features of ``B`` images.
        position: the encoding of each pixel's position, ``[N, C]``.
        sparse: points, ``[P, K, C]``.
        dense: masks, ``[P, N, C]``, or one for all prompts and pixels, with ones in their place.
        images: the image index of each prompt, ``[P]``; None if there is only one image.
    """
    image = _of(features.embedding, images) + dense  # [1, N, C] if all prompts share it
    own = torch.cat([head.obj_score_token.weight, head.iou_token.weight, head.mask_tokens.weight])
    tokens = torch.cat([own.expand(sparse.shape[0], -1, -1), sparse], dim=1)
    queries, image = _transform(head, tokens, image, position)
    return DecoderOutput(
        _masks(head, features, queries[:, 2 : 2 + head.num_mask_tokens], image, images),
        head.iou_prediction_head(queries[:, 1]),
        head.pred_obj_score_head(queries[:, 0]),
    )


def _masks(
    head: MaskDecoder, features: PixelFeatures, mask_tokens: Tensor, image: Tensor, images: Tensor | None
) -> Tensor:
    """Mask logits ``[P, M, 4 h, 4 w]`` from tokens ``[P, M, C]`` and the image ``[P, h w, C]``."""
    first, norm, activation, second, last_activation = head.output_upscaling
    pixels = _upscaled(first, image, _of(features.stride8, images))  # [P, 4 N, C / 4]
    pixels = activation(F.layer_norm(pixels, norm.weight.shape, norm.weight, norm.bias, norm.eps))
    pixels = last_activation(_upscaled(second, pixels, _of(features.stride4, images)))  # [P, 16 N, C / 8]
    kernels = [mlp(mask_tokens[:, i]) for i, mlp in enumerate(head.output_hypernetworks_mlps)]
    blocks = torch.stack(kernels, dim=1) @ pixels.transpose(1, 2)
    p, m, h, w = *mask_tokens.shape[:2], features.height, features.width
    whole: Tensor = (
        blocks.view(p, m, h, w, 2, 2, 2, 2).permute(0, 1, 2, 4, 6, 3, 5, 7).reshape(p, m, 4 * h, 4 * w)
    )
    return whole


def rough_masks(points: Tensor, labels: Tensor, height: int, width: int) -> Tensor:
    """Prompts drawn as approximate mask logits: a filled box, and a disc around each point.

    A network with random weights takes very long to learn which location the encoding of a point refers to,
    but it also accepts masks as input.

    Args:
        points, labels: the points of ``P`` prompts, as for ``ImageDecoder``.
        height, width: size of the logits; one of their pixels is 4 of the network's input.

    Returns:
        Float32 ``[P, 1, height, width]``, from about -4 (outside a box) to 8 (at a point).
    """
    x = 4 * torch.arange(width, device=points.device) + 2
    y = (4 * torch.arange(height, device=points.device) + 2)[:, None]
    logits = torch.zeros(len(points), height, width, device=points.device)
    for point, label in zip(points.unbind(1), labels.unbind(1), strict=True):
        distance = (x - point[:, 0, None, None]) ** 2 + (y - point[:, 1, None, None]) ** 2
        sign = (label == ON).int() - (label == OFF).int()
        logits = logits + _PEAK * sign[:, None, None] * torch.exp(-distance / (2 * (width / 4) ** 2))
    if labels.shape[1] >= 2:
        is_box = ((labels[:, 0] == TOP_LEFT) & (labels[:, 1] == BOTTOM_RIGHT))[:, None, None]
        x0, y0, x1, y1 = points[:, :2].flatten(1)[:, :, None, None].unbind(1)
        inside = (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)
        logits = logits + is_box * (inside.float() - 0.5) * _PEAK
    return logits[:, None]


def _of(features: Tensor, images: Tensor | None) -> Tensor:
    """The features of each prompt's image; with a single image they are shared."""
    return (
        features if images is None else features.index_select(0, images)
    )  # its gradient is faster than that of indexing


def _upscaled(convolution: torch.nn.ConvTranspose2d, pixels: Tensor, finer: Tensor) -> Tensor:
    """A transposed convolution of kernel 2 and stride 2, added to finer features that already include its
    bias.

    Args:
        convolution: from ``C`` to ``C'`` channels.
        pixels: ``[P, N, C]``.
        finer: ``[P, N, 4 C']``, or ``[1, N, 4 C']`` if all prompts share them; the four in reading order.

    Returns:
        ``[P, 4 N, C']``.
    """
    p, n, c = pixels.shape
    kernel = convolution.weight.permute(0, 2, 3, 1).reshape(c, -1)  # [C, 4 C']
    return torch.baddbmm(finer.expand(p, -1, -1), pixels, kernel.expand(p, -1, -1)).view(p, 4 * n, -1)


def _bias(convolution: torch.nn.ConvTranspose2d) -> Tensor:
    """The bias for the four output pixels of each pixel, ``[4 C']``."""
    assert convolution.bias is not None
    return convolution.bias.repeat(4)


def _transform(head: MaskDecoder, tokens: Tensor, image: Tensor, position: Tensor) -> tuple[Tensor, Tensor]:
    """The two-way transformer: tokens ``[P, T, C]`` and the image ``[P, N, C]``, given as ``[1, N, C]`` if
    all prompts share it.
    """
    transformer = head.transformer
    queries = tokens
    for layer in transformer.layers:
        if layer.skip_first_layer_pe:
            queries = layer.norm1(layer.self_attn(q=queries, k=queries, v=queries))
        else:
            q = queries + tokens
            queries = layer.norm1(queries + layer.self_attn(q=q, k=q, v=queries))
        placed = image + position
        queries = layer.norm2(
            queries + _look_at_image(layer.cross_attn_token_to_image, queries + tokens, placed, image)
        )
        queries = layer.norm3(queries + layer.mlp(queries))
        image = layer.norm4(
            image + _look_at_tokens(layer.cross_attn_image_to_token, placed, queries + tokens, queries)
        )
    seen = _look_at_image(transformer.final_attn_token_to_image, queries + tokens, image + position, image)
    return transformer.norm_final_attn(queries + seen), image


def _look_at_image(attention: Attention, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Tokens ``[P, T, C]`` attend to the image, ``[P, N, C]`` or ``[1, N, C]``."""
    query = _heads(attention, attention.q_proj(queries))  # [P, H, T, D]
    by_key, by_value = (
        _head_weights(attention, attention.k_proj),
        _head_weights(attention, attention.v_proj),
    )  # [H, D, C]
    scale = query.shape[-1] ** -0.5
    moved = (_by_head(query, by_key) * scale).flatten(
        1, 2
    )  # [P, H T, C]; the bias of the keys adds the same to all, which softmax ignores
    attended = (moved @ _shared(keys).transpose(-1, -2)).softmax(-1) @ _shared(values)
    heads = _by_head(attended.view(*query.shape[:3], -1), by_value.transpose(1, 2))
    out: Tensor = attention.out_proj(heads.transpose(1, 2).flatten(2) + attention.v_proj.bias)
    return out


def _look_at_tokens(attention: Attention, image: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """The image, ``[P, N, C]`` or ``[1, N, C]``, attends to tokens ``[P, T, C]``; the result is
    ``[P, N, C]``.
    """
    key, value = (
        _heads(attention, attention.k_proj(keys)),
        _heads(attention, attention.v_proj(values)),
    )  # [P, H, T, D]
    scale = key.shape[-1] ** -0.5
    moved = (_by_head(key, _head_weights(attention, attention.q_proj)) * scale).flatten(1, 2)  # [P, H T, C]
    offset = (_by_head(key, attention.q_proj.bias.view(key.shape[1], -1, 1)) * scale).flatten(
        1, 2
    )  # [P, H T, 1]
    logits = moved @ _shared(image).transpose(-1, -2) + offset
    weights = logits.view(*key.shape[:3], -1).softmax(2).view_as(logits)  # over the tokens of a head
    back = attention.out_proj.weight.view(-1, key.shape[1], key.shape[3]).permute(1, 2, 0)  # [H, D, C]
    # The weights of each head sum to 1, so the bias can be distributed over the tokens, which are fewer than
    # the pixels.
    brought = _by_head(value, back) + attention.out_proj.bias / key.shape[1]
    update: Tensor = weights.transpose(1, 2) @ brought.flatten(1, 2)
    return update


def _by_head(tokens: Tensor, weights: Tensor) -> Tensor:
    """Tokens ``[P, H, T, A]`` times the weights ``[H, A, B]`` of each head. Unlike ``@``, this makes no copy
    of the weights for each prompt.
    """
    return torch.einsum("phta,hab->phtb", tokens, weights)


def _heads(attention: Attention, projected: Tensor) -> Tensor:
    return projected.view(*projected.shape[:2], attention.num_heads, -1).transpose(1, 2)


def _head_weights(attention: Attention, projection: torch.nn.Linear) -> Tensor:
    return projection.weight.view(attention.num_heads, -1, projection.in_features)


def _shared(image: Tensor) -> Tensor:
    """Drop the batch dimension of a shared tensor, so that all prompts are multiplied at once; not in a
    graph, which takes a shared one or one for each prompt.
    """
    is_graph = torch._C._get_tracing_state() is not None
    return image[0] if len(image) == 1 and not is_graph else image
