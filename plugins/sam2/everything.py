"""Segments everything in an image without prompts, with the package's ``SAM2AutomaticMaskGenerator``."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from toolkit.types import Instances, Masks

from .settings import Sam2Settings
from .upstream import SAM2Base, automatic_mask_generator


@torch.no_grad()
def find_all(network: SAM2Base, settings: Sam2Settings, image: Tensor) -> Instances:
    """The masks found by the package's generator, best first, labeled 0.

    Args:
        network: used directly, so without rough masks.
        settings: of the generator.
        image: uint8 ``[3, H, W]``.
    """
    size = int(image.shape[1]), int(image.shape[2])
    generator = automatic_mask_generator(
        network, output_mode="coco_rle", mask_threshold=settings.mask_threshold, **settings.auto.model_dump()
    )
    found: list[dict[str, Any]] = generator.generate(image.permute(1, 2, 0).contiguous().cpu().numpy())
    found.sort(key=lambda each: -each["predicted_iou"])
    masks = Masks.from_coco([each["segmentation"] for each in found], size)
    scores = torch.tensor([each["predicted_iou"] for each in found], dtype=torch.float32).clamp(0, 1)
    return Instances(size, masks.boxes_xyxy(), torch.zeros(len(found), dtype=torch.int64), masks, scores)
