"""Makes the package's video predictor prompt and answer as in the network's training.

The predictor has its own rule for selecting a mask of the decoder, and it has no rough masks. Both are
settings of the model, which apply to training and to prompts in still images.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from .answers import SINGLE
from .decoder import rough_masks
from .settings import Sam2Settings


def ask_as_trained(predictor: Any, settings: Sam2Settings) -> None:
    """Change a ``SAM2VideoPredictor`` so that it uses the masks that ``model.mask`` selects, in frames with
    and without prompts, and draws prompts as rough masks with ``model.rough_masks``.

    With ``mask: best`` and without rough masks, nothing is changed.
    """
    choice = settings.filled().mask
    decoder = predictor.sam_mask_decoder
    if choice in ("single", "only"):
        predictor.multimask_output_in_sam = False
    if choice == "only":
        decoder.dynamic_multimask_via_stability = False
    if choice == "first":
        decoder.register_forward_pre_hook(_ask_for_three, with_kwargs=True)
        decoder.register_forward_hook(_take_first)
    if settings.rough_masks:
        predictor.sam_prompt_encoder.register_forward_pre_hook(_draw, with_kwargs=True)


def _ask_for_three(
    decoder: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return args, {**kwargs, "multimask_output": True}


def _take_first(decoder: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
    masks, ious, tokens, exists = output
    return masks[:, SINGLE], ious[:, SINGLE], tokens[:, SINGLE], exists


def _draw(
    encoder: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Draw points and boxes; a frame without prompts, where all points are padding, is left as it is."""
    points, labels = kwargs["points"]
    if (labels < 0).all():
        return args, kwargs
    return args, {**kwargs, "masks": rough_masks(points, labels, *encoder.mask_input_size)}
