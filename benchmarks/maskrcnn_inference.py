"""Mask R-CNN R50-FPN on one photo-sized image, against Detectron2 itself on the same device with the same
weights.

``PYTHONPATH=. python benchmarks/maskrcnn_inference.py [--device auto|cpu|cuda] [--json]``, in an environment
with Detectron2 and the toolkit's requirements.

800 × 1066 pixels, 1,000 proposals, from the image to boxes, scores, classes and run-length coded masks. On a
CPU Detectron2 runs as it is, in fp32; on a GPU in the same precision as ours, under autocast. Its masks are
encoded as by its own COCO evaluator. The same run checks that the detections are the same; the table shows
how closely they agree. Weights are random, but scaled to behave like trained ones.
"""

from __future__ import annotations

import numpy as np
import torch
from _maskrcnn import inputs, ours, peer, require_detectron2, sample
from _timing import Comparison, Options, compare, parse, report
from pycocotools import mask as coco_mask
from torch import nn
from torchvision.ops import box_iou

from toolkit.types import Instances, Masks, Sample

TITLE = "Mask R-CNN R50-FPN, inference, 800 × 1066"
TARGETS: dict[str, dict[str, float | None]] = {
    "cpu": {"fp32": 1.6, "bf16": 2.8},
    "cuda": {"fp32": None, "tf32": None, "bf16": None, "fp16": None},  # not measured yet
}


def predict_peer(model: nn.Module, image: Sample) -> Instances:
    """Detectron2's detections; masks coded one by one, as its COCO evaluator does."""
    with torch.no_grad():
        found = model(inputs(image))[0]["instances"].to("cpu")
    codes = [
        coco_mask.encode(np.array(m[:, :, None], order="F", dtype="uint8"))[0]["counts"]
        for m in found.pred_masks.numpy()
    ]
    masks = Masks(image.size, tuple(codes))
    boxes, scores = found.pred_boxes.tensor.float(), found.scores.float()
    return Instances(image.size, boxes, found.pred_classes, masks, scores)


def agreement(found: Instances, expected: Instances) -> tuple[float, float]:
    """The part of ``expected`` that was found (same class, box IoU above 0.9), and the mean IoU of the masks
    of these.
    """
    assert found.masks is not None
    assert expected.masks is not None
    overlap = box_iou(expected.boxes_xyxy, found.boxes_xyxy) * (expected.labels[:, None] == found.labels)
    best, partner = overlap.max(dim=1)
    matched = best > 0.9
    pairs = zip(expected.masks[matched].to_coco(), found.masks[partner[matched]].to_coco(), strict=True)
    ious = [
        float(coco_mask.iou([a], [b], [0])[0, 0]) if coco_mask.area(a) + coco_mask.area(b) else 1.0
        for a, b in pairs
    ]
    return float(matched.float().mean()), float(np.mean(ious))


def measure(options: Options) -> list[Comparison]:
    image, device = sample(), options.device
    theirs = peer(device).eval()
    model = ours(theirs).eval()
    expected = predict_peer(theirs, image)
    comparisons = []
    for name, target in TARGETS[device].items():
        peer_precision = "fp32" if device == "cpu" else name

        def predict(precision: str = name) -> Instances:
            with options.autocast(precision):
                found = model.predict([image])[0].instances
            assert found is not None
            return found

        def peer_predict(precision: str = peer_precision) -> Instances:
            with options.autocast(precision):
                return predict_peer(theirs, image)

        part, mask_iou = agreement(predict(), expected)
        if name == "fp32" and (part < 0.97 or mask_iou < 0.999):
            raise SystemExit(
                f"fp32 finds {part:.0%} of what Detectron2 finds, with a mask IoU of {mask_iou:.4f}: not the"
                " same detections"
            )
        case = f"{name}: {part:.0%} of {len(expected)} detections found, mask IoU {mask_iou:.4f}"
        comparisons.append(
            compare(
                case,
                ("toolkit", predict),
                (f"Detectron2, {peer_precision}", peer_predict),
                rounds=5,
                target=target,
                device=device,
            )
        )
    return comparisons


if __name__ == "__main__":
    chosen = parse(TITLE, with_device=True)
    require_detectron2()
    raise SystemExit(report(TITLE, measure(chosen), chosen))
