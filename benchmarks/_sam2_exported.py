"""SAM 2.1 tiny at 1024 pixels with random weights: exported without the gate, which needs minutes at this
size, and compared with the masks of torch instead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _exported import photo
from pycocotools import mask as coco_mask
from sam2_inference import BOXES, network

from toolkit.checkpoints import CheckpointManifest, read_export, save_checkpoint
from toolkit.evaluation.opening import open_run
from toolkit.evaluation.requests import DataChoice, Prompting
from toolkit.export.front import build_folder, calibration_data, in_precision, write_manifest
from toolkit.export.quantizing import quantize
from toolkit.inference.predictor import load
from toolkit.models.building import load_model
from toolkit.types import Masks, Prompts

Key = tuple[str, str]
Work = Callable[[], Any]
SIZE = (1080, 1440)
GRID = 4
SETTINGS = {"size": "tiny", "preset": "sam2", "mask": "single", "cache": {"enabled": False}}
REDUCED = {
    "fp32": frozenset[str](),
    "bf16": frozenset({"encoder", "decoder"}),
    "int8": frozenset({"encoder"}),
}
EXPORTS = (
    *(("openvino", precision) for precision in REDUCED),
    ("onnx", "fp32"),
)


def sam2_ways(folder: Path) -> tuple[dict[Key, Work], dict[Key, float]]:
    """The ways of getting the masks of 16 boxes in a photo, ``SAM2ImagePredictor`` first, and the mean IoU of
    each with those of torch.
    """
    from sam2.sam2_image_predictor import SAM2ImagePredictor

    weights = network()
    run = _run(weights, folder / "sam2-1024")
    sample = photo(SIZE, 128)
    boxes = _boxes()
    theirs, image = SAM2ImagePredictor(weights), sample.image.permute(1, 2, 0).numpy()

    def peer() -> Masks:
        theirs.set_image(image)
        masks, _, _ = theirs.predict(box=boxes.numpy(), multimask_output=False)
        codes = [coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"] for mask in masks[:, 0]]
        return Masks(SIZE, tuple(codes))

    prompted = sample.with_(prompts=Prompts(boxes_xyxy=boxes))

    def ours(run: Path, precision: str = "fp32") -> Work:
        predictor = load(run, device="cpu", precision=precision)

        def work() -> Masks:
            with predictor.computing():
                (found,) = predictor.model.predict([prompted])
            assert found.instances is not None
            assert found.instances.masks is not None
            return found.instances.masks

        return work

    ways: dict[Key, Work] = {("SAM2ImagePredictor", "fp32"): peer}
    ways |= {("torch", precision): ours(run, precision) for precision in ("fp32", "bf16")}
    ways |= {key: ours(_export(run, folder / f"sam2-1024-{key[0]}-{key[1]}", *key)) for key in EXPORTS}
    wanted = ways["torch", "fp32"]()
    return ways, {key: _iou(work(), wanted) for key, work in ways.items()}


def _run(weights: Any, folder: Path) -> Path:
    manifest = CheckpointManifest(
        plugin="sam2",
        task="promptable",
        classes=("object",),
        model=SETTINGS,
        config={"data": {"name": "shapes", "options": {"size": 512}}},
        step=1,
    )
    state = {name: tensor.contiguous() for name, tensor in weights.state_dict().items()}
    save_checkpoint(folder / "best.safetensors", {f"network.{k}": v for k, v in state.items()}, manifest)
    return folder


def _export(run: Path, folder: Path, target: Any, precision: Any) -> Path:
    """The folder that ``toolkit export`` would write, without measuring it."""
    if (folder / "manifest.json").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    found = open_run(run, DataChoice(), Prompting())
    manifest = build_folder(found, folder, target)
    if precision == "int8":
        exported = load_model(folder)[0]
        graphs = quantize(manifest, exported, calibration_data(found), folder, REDUCED[precision], images=16)
        manifest = replace(read_export(folder), graphs=graphs)
    write_manifest(in_precision(manifest, precision, REDUCED[precision]), folder)
    return folder


def _boxes() -> torch.Tensor:
    """A box in every cell of a grid, float32 ``[16, 4]``."""
    height, width = SIZE[0] / GRID, SIZE[1] / GRID
    assert GRID**2 == BOXES
    corners = [(c * width, r * height) for r in range(GRID) for c in range(GRID)]
    return torch.tensor(
        [(x + width * 0.15, y + height * 0.2, x + width * 0.9, y + height * 0.85) for x, y in corners]
    )


def _iou(found: Masks, wanted: Masks) -> float:
    pairs = zip(found.to_coco(), wanted.to_coco(), strict=True)
    return float(np.mean([coco_mask.iou([a], [b], [0])[0, 0] for a, b in pairs]))
