"""SAM 2.1 tiny at 1024 pixels with random weights and 16 boxes in a photo."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _exported import photo
from _ungated import random_run, ungated
from pycocotools import mask as coco_mask
from sam2_inference import BOXES, SIZE, network

from toolkit.inference.predictor import load
from toolkit.types import Masks, Prompts

Key = tuple[str, str]
Work = Callable[[], Any]
GRID = 4
SETTINGS = {"size": "tiny", "preset": "sam2", "mask": "single", "cache": {"enabled": False}}
EXPORTS = (("openvino", "fp32"), ("openvino", "bf16"), ("openvino", "int8"), ("onnx", "fp32"))


def sam2_ways(folder: Path) -> tuple[dict[Key, Work], dict[Key, float]]:
    """The ways of getting the masks of 16 boxes in a photo, ``SAM2ImagePredictor`` first, and the mean IoU of
    each with those of torch.
    """
    from sam2.sam2_image_predictor import SAM2ImagePredictor

    weights = network()
    state = {f"network.{name}": tensor for name, tensor in weights.state_dict().items()}
    run = random_run(folder / "sam2-1024", "sam2", "promptable", ("object",), SETTINGS, state)
    sample = photo(SIZE, 128)
    boxes = _boxes()
    theirs, image = SAM2ImagePredictor(weights), sample.image.permute(1, 2, 0).numpy()

    def peer() -> Masks:
        theirs.set_image(image)
        masks, _, _ = theirs.predict(box=boxes.numpy(), multimask_output=False)
        codes = [coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"] for mask in masks[:, 0]]
        return Masks(SIZE, tuple(codes))

    prompted = sample.with_(prompts=Prompts(boxes_xyxy=boxes))

    def ours(run: Path, precision: Any = "fp32") -> Work:
        predictor = load(run, device="cpu", precision=precision)

        def work() -> Masks:
            with predictor.computing():
                (found,) = predictor.model.model.predict([prompted])  # inside of what finds everything
            assert found.instances is not None
            assert found.instances.masks is not None
            return found.instances.masks

        return work

    ways: dict[Key, Work] = {("SAM2ImagePredictor", "fp32"): peer}
    ways |= {("torch", precision): ours(run, precision) for precision in ("fp32", "bf16")}
    ways |= {key: ours(ungated(run, folder / f"sam2-1024-{'-'.join(key)}", *key)) for key in EXPORTS}
    wanted = ways["torch", "fp32"]()
    return ways, {key: _iou(work(), wanted) for key, work in ways.items()}


def _boxes() -> torch.Tensor:
    """A box in every cell of a grid, float32 ``[16, 4]``."""
    height, width = SIZE[0] / GRID, SIZE[1] / GRID
    assert GRID**2 == BOXES
    corners = [(column * width, row * height) for row in range(GRID) for column in range(GRID)]
    return torch.tensor(
        [(x + width * 0.15, y + height * 0.2, x + width * 0.9, y + height * 0.85) for x, y in corners]
    )


def _iou(found: Masks, wanted: Masks) -> float:
    pairs = zip(found.to_coco(), wanted.to_coco(), strict=True)
    return float(np.mean([coco_mask.iou([a], [b], [0])[0, 0] for a, b in pairs]))
