"""Segments everything in an image without prompts: a grid of points, prompted as in the network's training,
and filtered like the package's ``SAM2AutomaticMaskGenerator``.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toolkit.types import Instances, Masks

from .answering import Decoder
from .answers import candidates
from .clicks import ON
from .decoder import DecoderOutput, rough_masks
from .settings import Sam2Settings
from .upstream import SAM2AutomaticMaskGenerator, SAM2Base, amg, new_generator

CPU_PIXELS, GPU_PIXELS = 2**22, 2**26
"""Pixels of masks in the image's own size that are held at a time, as float32."""


@torch.no_grad()
def find_all(network: SAM2Base, settings: Sam2Settings, image: Tensor, *, chunk: int) -> Instances:
    """Everything that a grid of points finds in an image, best first, labeled 0; the score is the predicted
    IoU.

    Each point is prompted as in ``Sam2Model.answer``: with the same mask of the decoder, and also as a rough
    mask if the network was trained that way. With ``mask: best``, all three masks of a point count, so that
    the result is that of the package's generator.

    Args:
        network: the network that answers the points.
        settings: the settings of the model.
        image: uint8 ``[3, H, W]``.
        chunk: number of points decoded at a time, if ``auto.points_per_batch`` is not smaller.
    """
    return _found(_generator(_Generator, network, settings, chunk), image)


@torch.no_grad()
def find_all_with(
    encode: Callable[[Tensor], Decoder],
    settings: Sam2Settings,
    image: Tensor,
    *,
    chunk: int,
    device: torch.device,
) -> Instances:
    """Like ``find_all``, without the package's network.

    Args:
        encode: makes a decoder for an image, uint8 ``[3, H, W]``.
        settings, image, chunk: as for ``find_all``.
        device: where it computes.
    """
    # the generator asks a network for its size and its device alone
    stand_in = SimpleNamespace(image_size=settings.filled().image_size, device=device)
    generator = _generator(_OtherGenerator, stand_in, settings, chunk)
    generator.predictor = _OtherPredictor(encode, generator.predictor._transforms, device)
    return _found(generator, image)


def _generator(kind: Any, network: Any, settings: Sam2Settings, chunk: int) -> Any:
    options = settings.filled().auto.model_dump()
    options["points_per_batch"] = min(chunk, options["points_per_batch"])
    generator = new_generator(
        kind, network, output_mode="coco_rle", mask_threshold=settings.mask_threshold, **options
    )
    generator.settings = settings
    return generator


def _found(generator: Any, image: Tensor) -> Instances:
    size = int(image.shape[1]), int(image.shape[2])
    found: list[dict[str, Any]] = generator.generate(image.permute(1, 2, 0).contiguous().cpu().numpy())
    found.sort(key=lambda each: -each["predicted_iou"])
    masks = Masks.from_coco([each["segmentation"] for each in found], size)
    scores = torch.tensor([each["predicted_iou"] for each in found], dtype=torch.float32).clamp(0, 1)
    return Instances(size, masks.boxes_xyxy(), torch.zeros(len(found), dtype=torch.int64), masks, scores)


class _Generator(SAM2AutomaticMaskGenerator):  # type: ignore[misc]  # the package has no types
    """The package's generator, with prompts and answers according to the settings, and with bounded memory:
    masks get the image's own size only if their predicted IoU is high enough, and a few at a time.

    Attributes:
        settings: the settings of the model.
    """

    settings: Sam2Settings

    def _process_batch(
        self,
        points: NDArray[np.float64],
        im_size: tuple[int, int],
        crop_box: list[int],
        orig_size: tuple[int, int],
        normalize: bool = False,
    ) -> Any:
        """What some points find in a crop; the original's steps in its order, except for the sizes."""
        device = self.predictor.device
        given = torch.as_tensor(points, dtype=torch.float32, device=device)
        placed = self.predictor._transforms.transform_coords(given, normalize=normalize, orig_hw=im_size)
        masks, ious = candidates(self._decode(placed[:, None]), self.settings.filled().mask)
        each = given.repeat_interleave(masks.shape[1], dim=0)
        small, ious = masks.flatten(0, 1), ious.flatten(0, 1)
        if self.pred_iou_thresh > 0:
            keep = ious > self.pred_iou_thresh
            small, ious, each = small[keep], ious[keep], each[keep]
        pixels = CPU_PIXELS if device.type == "cpu" else GPU_PIXELS
        step = max(1, pixels // (orig_size[0] * orig_size[1]))
        data = amg.MaskData()
        for rows in torch.split(torch.arange(len(small), device=device), step):
            full = self.predictor._transforms.postprocess_masks(small[rows][:, None], im_size)[:, 0]
            data.cat(self._in_pixels(full, ious[rows], each[rows], crop_box, orig_size))
        return data

    def _decode(self, points: Tensor) -> DecoderOutput:
        """The decoder's output for points ``[P, 1, 2]`` of the network's input.

        Uses the package's own decoder, so that the rounding is that of its generator.
        """
        predictor, network = self.predictor, self.predictor.model
        labels = torch.full(points.shape[:2], ON, dtype=torch.int, device=points.device)
        drawn = None
        if self.settings.rough_masks:
            drawn = rough_masks(points, labels, *network.sam_prompt_encoder.mask_input_size)
        sparse, dense = network.sam_prompt_encoder(points=(points, labels), boxes=None, masks=drawn)
        masks, ious, _, exists = network.sam_mask_decoder.predict_masks(
            image_embeddings=predictor._features["image_embed"][-1:],
            image_pe=network.sam_prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            repeat_image=len(points) > 1,
            high_res_features=[level[-1:] for level in predictor._features["high_res_feats"]],
        )
        return DecoderOutput(masks, ious, exists)

    def _in_pixels(
        self, logits: Tensor, ious: Tensor, points: Tensor, crop_box: list[int], orig_size: tuple[int, int]
    ) -> Any:
        """The masks that are stable and not cut off by the edge of their crop, at the size of the crop."""
        height, width = orig_size
        stability = amg.calculate_stability_score(logits, self.mask_threshold, self.stability_score_offset)
        data = amg.MaskData(masks=logits, iou_preds=ious, points=points, stability_score=stability)
        if self.stability_score_thresh > 0:
            data.filter(stability >= self.stability_score_thresh)
        data["masks"] = data["masks"] > self.mask_threshold
        data["boxes"] = amg.batched_mask_to_box(data["masks"])
        data.filter(~amg.is_box_near_crop_edge(data["boxes"], crop_box, [0, 0, width, height]))
        whole = amg.uncrop_masks(data["masks"], crop_box, height, width)
        data["rles"] = amg.mask_to_rle_pytorch(whole)
        del data["masks"]
        return data


class _OtherGenerator(_Generator):
    """The same around any decoder."""

    def _decode(self, points: Tensor) -> DecoderOutput:
        labels = torch.full(points.shape[:2], ON, dtype=torch.int64, device=points.device)
        decoder: Decoder = self.predictor.decoder
        return decoder(points, labels, None)


class _OtherPredictor:
    """What the package's generator uses of its predictor of images.

    Args:
        encode: makes a decoder for an image, uint8 ``[3, H, W]``.
        transforms: the package's conversions of points and masks.
        device: where the decoder computes.
    """

    def __init__(self, encode: Callable[[Tensor], Decoder], transforms: Any, device: torch.device) -> None:
        self._encode, self._transforms, self.device = encode, transforms, device
        self.decoder: Decoder | None = None

    def set_image(self, image: NDArray[np.uint8]) -> None:
        """Encode a crop, ``[H, W, 3]``."""
        self.decoder = self._encode(torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1))

    def reset_predictor(self) -> None:
        """Forget it."""
        self.decoder = None
