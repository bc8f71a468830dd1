"""Mask R-CNN R50-FPN with random weights that behave like trained ones, in a photo of 800 × 1066 pixels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _exported import photo
from _ungated import random_run, ungated
from pycocotools import mask as coco_mask
from torch import Tensor, nn
from torch.nn import functional

from toolkit import registry
from toolkit.inference.predictor import load
from toolkit.types import Instances, Sample

Key = tuple[str, str]
Work = Callable[[], Any]
SIZE = (800, 1066)
CLASSES = tuple(f"class {i}" for i in range(80))
SETTINGS = {"input": {"short_side_test": 0, "short_side_train": []}}
EXPORTS = (("openvino", "fp32"), ("openvino", "bf16"), ("onnx", "fp32"))


def maskrcnn_ways(folder: Path) -> tuple[dict[Key, Work], dict[Key, float]]:
    """The ways of finding the objects in a photo, torchvision's first, and the part of the objects of torch
    that each finds: with the same label and a box IoU above 0.9.
    """
    sample = photo(SIZE, 128)
    model = random_network(sample)
    run = random_run(folder / "maskrcnn-r50", "maskrcnn", "instance", CLASSES, SETTINGS, model.state_dict())

    def ours(run: Path, precision: Any = "fp32") -> Work:
        predictor = load(run, device="cpu", precision=precision)
        return lambda: predictor.predict_samples([sample])[0].instances

    ways: dict[Key, Work] = {("torchvision", "fp32"): torchvision_maskrcnn(sample)}
    ways |= {("torch", precision): ours(run, precision) for precision in ("fp32", "bf16")}
    ways |= {key: ours(ungated(run, folder / f"maskrcnn-r50-{'-'.join(key)}", *key)) for key in EXPORTS}
    wanted = ways["torch", "fp32"]()
    return ways, {key: part_found(work(), wanted) for key, work in ways.items() if key[0] != "torchvision"}


def part_found(found: Instances, wanted: Instances) -> float:
    from torchvision.ops import box_iou

    if len(wanted) < 50:
        raise SystemExit(f"maskrcnn: only {len(wanted)} objects are found, which is not the usual work")
    same = wanted.labels[:, None] == found.labels
    best = (box_iou(wanted.boxes_xyxy, found.boxes_xyxy) * same).amax(dim=1)
    return float((best > 0.9).float().mean())


@torch.no_grad()
def random_network(sample: Sample) -> Any:
    """Residual branches are weak, as in trained networks, and the last layers are scaled until objectness,
    classes and masks vary; without that, there would be one proposal and no object.
    """
    plugin = registry.plugins().get("maskrcnn")
    torch.manual_seed(0)
    model: Any = plugin.resolve(plugin.build)(plugin.resolve(plugin.settings)(**SETTINGS), CLASSES).eval()
    for name, module in model.named_modules():
        if name.endswith("conv3.norm"):
            module.weight.fill_(0.2)
    heads = model.roi_heads
    predictor = heads.mask_head.predictor
    layers: tuple[tuple[nn.Module, float], ...] = (
        (model.proposal_generator.rpn_head.objectness_logits, 2.0),
        (model.proposal_generator.rpn_head.anchor_deltas, 0.3),
        (heads.box_predictor.cls_score, 2.0),
        (heads.box_predictor.bbox_pred, 1.0),
        (predictor, 3.0),
    )
    for layer, spread in layers:
        # the mask head computes its last layer for the found classes alone; its input is that of the ReLU
        hooked = list(heads.mask_head)[-2] if layer is predictor else layer
        outputs: list[Tensor] = []
        hook = hooked.register_forward_hook(lambda _, __, output, kept=outputs: kept.append(output))
        model.predict([sample])
        hook.remove()
        if layer is predictor:
            width = predictor.in_channels
            outputs = [functional.linear(x.reshape(-1, width), layer.weight.flatten(1)) for x in outputs]
        layer.weight.mul_(spread / torch.cat([x.flatten() for x in outputs]).std())  # type: ignore[operator, union-attr]
    return model


def torchvision_maskrcnn(sample: Sample) -> Work:
    """torchvision's Mask R-CNN R50-FPN on the image as it is, to run-length coded masks."""
    from torchvision.models.detection import maskrcnn_resnet50_fpn

    torch.manual_seed(0)
    network = maskrcnn_resnet50_fpn(
        weights=None,
        weights_backbone=None,
        num_classes=len(CLASSES) + 1,
        min_size=min(SIZE),
        max_size=max(SIZE),
        box_score_thresh=0.0,
    ).eval()

    def work() -> object:
        with torch.no_grad():
            (found,) = network([sample.image / 255])
        masks = (found["masks"][:, 0] > 0.5).numpy()
        return [coco_mask.encode(np.asfortranarray(mask.astype(np.uint8))) for mask in masks]

    return work
