"""Tiny networks of Detectron2's topologies, with images, weights and a sampler that are the same on every
machine.

Everything random comes from the raw bits of Philox, which are the same everywhere and for ever. Nothing here
needs Detectron2 or the toolkit: tests/fixtures/maskrcnn/make.py runs the networks in Detectron2, and
test_maskrcnn_fixtures.py in the toolkit.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

STEPS = 10
"""Steps of SGD."""
PROJECTIONS = 3
"""Directions along which gradients and weights are kept."""

_FPN: dict[str, Any] = {  # of Base-RCNN-FPN.yaml
    "MODEL.META_ARCHITECTURE": "GeneralizedRCNN",
    "MODEL.BACKBONE.NAME": "build_resnet_fpn_backbone",
    "MODEL.RESNETS.OUT_FEATURES": ["res2", "res3", "res4", "res5"],
    "MODEL.FPN.IN_FEATURES": ["res2", "res3", "res4", "res5"],
    "MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS": [[0.5, 1.0, 2.0]],
    "MODEL.RPN.IN_FEATURES": ["p2", "p3", "p4", "p5", "p6"],
    "MODEL.ROI_HEADS.NAME": "StandardROIHeads",
    "MODEL.ROI_HEADS.IN_FEATURES": ["p2", "p3", "p4", "p5"],
    "MODEL.ROI_BOX_HEAD.NAME": "FastRCNNConvFCHead",
    "MODEL.ROI_BOX_HEAD.NUM_FC": 2,
    "MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION": 7,
    "MODEL.ROI_MASK_HEAD.NAME": "MaskRCNNConvUpsampleHead",
}
_TINY: dict[str, Any] = {
    **_FPN,
    "MODEL.MASK_ON": True,
    "MODEL.PIXEL_STD": [57.375, 57.12, 58.395],
    "MODEL.RESNETS.STEM_OUT_CHANNELS": 8,
    "MODEL.RESNETS.RES2_OUT_CHANNELS": 16,
    "MODEL.RESNETS.WIDTH_PER_GROUP": 8,
    "MODEL.FPN.OUT_CHANNELS": 16,
    "MODEL.ANCHOR_GENERATOR.SIZES": [[8], [16], [32], [64], [96]],
    "MODEL.RPN.BATCH_SIZE_PER_IMAGE": 64,
    "MODEL.RPN.PRE_NMS_TOPK_TRAIN": 12,
    "MODEL.RPN.PRE_NMS_TOPK_TEST": 15,
    "MODEL.RPN.POST_NMS_TOPK_TRAIN": 24,
    "MODEL.RPN.POST_NMS_TOPK_TEST": 30,
    "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE": 32,
    "MODEL.ROI_HEADS.SCORE_THRESH_TEST": 0.2,
    "MODEL.ROI_BOX_HEAD.FC_DIM": 32,
    "MODEL.ROI_MASK_HEAD.NUM_CONV": 2,
    "MODEL.ROI_MASK_HEAD.CONV_DIM": 16,
    "MODEL.ROI_KEYPOINT_HEAD.CONV_DIMS": [16, 16],
    "MODEL.ROI_KEYPOINT_HEAD.NUM_KEYPOINTS": 5,
    "TEST.DETECTIONS_PER_IMAGE": 15,
    "INPUT.MIN_SIZE_TRAIN": [112],
    "INPUT.MIN_SIZE_TEST": 96,
    "INPUT.MAX_SIZE_TRAIN": 160,
    "INPUT.MAX_SIZE_TEST": 160,
    "INPUT.RANDOM_FLIP": "none",
    "SOLVER.IMS_PER_BATCH": 2,
    "SOLVER.MAX_ITER": STEPS,
    "SOLVER.STEPS": [8],
    "SOLVER.WARMUP_ITERS": 4,
    "SOLVER.WARMUP_FACTOR": 0.1,
    "SOLVER.BASE_LR": 0.001,
}


@dataclass(frozen=True)
class Case:
    """One network.

    Attributes:
        keys: Detectron2's configuration, where it differs from its defaults.
        class_count: classes of the objects.
    """

    keys: dict[str, Any]
    class_count: int = 3


CASES = {
    "frozen_r50": Case(_TINY),
    "bn_r18": Case(
        {
            **_TINY,
            "MODEL.RESNETS.DEPTH": 18,
            "MODEL.RESNETS.NORM": "BN",
            "MODEL.RESNETS.RES2_OUT_CHANNELS": 64,
            "MODEL.FPN.NORM": "BN",
            "MODEL.RPN.PRE_NMS_TOPK_TRAIN": 6,
            "SOLVER.WEIGHT_DECAY_NORM": 0.01,
            "SOLVER.BASE_LR": 1e-4,
        }
    ),
    "gn_r50": Case(
        {
            **_TINY,
            "MODEL.BACKBONE.FREEZE_AT": 0,
            "MODEL.RESNETS.NORM": "GN",
            "MODEL.RESNETS.STRIDE_IN_1X1": False,
            "MODEL.RESNETS.STEM_OUT_CHANNELS": 32,
            "MODEL.RESNETS.RES2_OUT_CHANNELS": 64,
            "MODEL.RESNETS.WIDTH_PER_GROUP": 32,
            "MODEL.FPN.NORM": "GN",
            "MODEL.FPN.OUT_CHANNELS": 128,
            "MODEL.ROI_BOX_HEAD.NUM_CONV": 4,
            "MODEL.ROI_BOX_HEAD.CONV_DIM": 128,
            "MODEL.ROI_BOX_HEAD.NUM_FC": 1,
            "MODEL.ROI_BOX_HEAD.NORM": "GN",
            "MODEL.ROI_MASK_HEAD.CONV_DIM": 128,  # group norms of fewer channels would enlarge rounding
            "MODEL.ROI_MASK_HEAD.NORM": "GN",
            "MODEL.RPN.PRE_NMS_TOPK_TRAIN": 6,
            "SOLVER.BASE_LR": 1e-4,
        }
    ),
    "keypoints_r50": Case(
        {
            **_TINY,
            "MODEL.MASK_ON": False,
            "MODEL.KEYPOINT_ON": True,
            "MODEL.ROI_BOX_HEAD.SMOOTH_L1_BETA": 0.5,
            "MODEL.RPN.SMOOTH_L1_BETA": 0.1,
        },
        class_count=1,
    ),
    "agnostic_rgb": Case(
        {
            **_TINY,
            "MODEL.KEYPOINT_ON": True,
            "MODEL.ROI_KEYPOINT_HEAD.NORMALIZE_LOSS_BY_VISIBLE_KEYPOINTS": False,
            "MODEL.ROI_KEYPOINT_HEAD.LOSS_WEIGHT": 4.0,
            "MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG": True,
            "MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_WEIGHT": 2.0,
            "MODEL.ROI_MASK_HEAD.CLS_AGNOSTIC_MASK": True,
            "MODEL.ROI_HEADS.PROPOSAL_APPEND_GT": False,
            "MODEL.ROI_HEADS.IOU_THRESHOLDS": [0.3],
            "MODEL.RPN.LOSS_WEIGHT": 0.5,
            "MODEL.RPN.BBOX_REG_LOSS_WEIGHT": 3.0,
            "MODEL.RPN.BBOX_REG_WEIGHTS": [1.0, 1.0, 2.0, 2.0],
            "MODEL.PROPOSAL_GENERATOR.MIN_SIZE": 4,
            "MODEL.ANCHOR_GENERATOR.OFFSET": 0.5,
            "MODEL.ANCHOR_GENERATOR.SIZES": [[6, 8], [16, 20], [32, 40], [64, 80], [96, 120]],
            "MODEL.FPN.FUSE_TYPE": "avg",
            "INPUT.FORMAT": "RGB",
            "MODEL.PIXEL_MEAN": [123.675, 116.28, 103.53],
        }
    ),
}


def bits(name: str, count: int) -> np.ndarray[Any, Any]:
    """``count`` random 64-bit numbers that belong to a name."""
    return np.random.Philox(key=zlib.crc32(name.encode())).random_raw(count)


def uniform(name: str, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """float64 numbers between -1 and 1 that belong to a name."""
    raw = bits(name, int(np.prod(shape, dtype=np.int64))) >> np.uint64(11)
    return (raw.astype(np.float64) * 2.0**-52 - 1.0).reshape(shape)


def weight(name: str, shape: tuple[int, ...], seed: int) -> torch.Tensor:
    """The start value of a tensor of the network: of a size that keeps activations alive and makes detections
    differ.
    """
    noise = uniform(f"{seed} {name}", shape)
    kind = name.rpartition(".")[2]
    if kind == "num_batches_tracked":
        return torch.tensor(0)
    if kind == "running_var" or (".norm." in name and kind == "weight"):
        value = (0.3 if "conv3.norm.weight" in name else 1) * (
            1 + 0.3 * noise
        )  # residuals that are small let rounding stay small
    elif len(shape) == 1:
        value = 0.1 * noise
    else:
        fan_in = shape[0] if ".deconv." in name or ".score_lowres." in name else int(np.prod(shape[1:]))
        value = noise * np.sqrt(3 * _gain(name) / fan_in)
    return torch.from_numpy(value.astype(np.float32))


def _gain(name: str) -> float:
    """Variance of a layer's output over that of its input."""
    gains = {
        "cls_score": 3.0,
        "bbox_pred": 0.2,
        "anchor_deltas": 0.02,
        "objectness_logits": 6.0,
        "conv3": 0.2,
        "conv2": 1.0,
        "score_lowres": 4.0,
    }
    if ".fpn_" in name:
        return 0.3
    return next((gain for part, gain in gains.items() if f".{part}." in name), 2.0)


def permutation(count: int, **_: Any) -> torch.Tensor:
    """What ``torch.randperm`` gives while the sampler is pinned."""
    return torch.from_numpy(np.argsort(bits(f"permutation of {count}", count), kind="stable"))


@contextmanager
def pinned_sampler() -> Iterator[None]:
    """``torch.randperm``, by which both implementations draw anchors and proposals, without chance."""
    randperm = torch.randperm
    torch.randperm = permutation  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.randperm = randperm


def some_channels(features: torch.Tensor) -> np.ndarray[Any, Any]:
    """Four channels of features ``[1, C, H, W]``."""
    return features[0, :: features.shape[1] // 4].numpy()


def projections(name: str, value: torch.Tensor) -> np.ndarray[Any, Any]:
    """The norm of a tensor, and its lengths along a few directions, float64 ``[1 + PROJECTIONS]``."""
    flat = value.detach().double().numpy().ravel()
    directions = (
        bits(f"directions of {name}", PROJECTIONS * flat.size).reshape(PROJECTIONS, -1) & np.uint64(1)
    ).astype(np.float64) * 2 - 1
    return np.concatenate([[np.linalg.norm(flat)], directions @ flat])


@dataclass(frozen=True)
class Thing:
    """An object of an image."""

    mask: np.ndarray[Any, Any]
    box_xyxy: tuple[float, float, float, float]
    label: int
    is_crowd: bool
    keypoints: np.ndarray[Any, Any]


@dataclass(frozen=True)
class Scene:
    """An image, uint8 ``[H, W, 3]`` in RGB, and what is in it."""

    image: np.ndarray[Any, Any]
    things: list[Thing]


def scenes(case: Case, keypoint_count: int = 5) -> list[Scene]:
    """Images of different sizes with ellipses and boxes, one of them a crowd; the last is an image without
    objects.
    """
    sizes_and_counts = [((90, 120), 5), ((128, 84), 4), ((70, 70), 0)]
    return [_scene(case, i, size, count, keypoint_count) for i, (size, count) in enumerate(sizes_and_counts)]


def _scene(case: Case, index: int, size: tuple[int, int], count: int, keypoint_count: int) -> Scene:
    height, width = size
    y, x = np.mgrid[:height, :width] + 0.5
    coarse = uniform(f"ground {index}", (height // 6 + 1, width // 6 + 1, 3))
    image = (
        110
        + 60 * coarse[(y // 6).astype(int), (x // 6).astype(int)]
        + 50 * uniform(f"grain {index}", (height, width, 3))
    )
    things = []
    for k in range(count):
        u = uniform(f"thing {index} {k}", (16,))
        cx, cy = width * (0.5 + 0.36 * u[0]), height * (0.5 + 0.36 * u[1])
        rx, ry = 12 + 8 * u[2], 12 + 8 * u[3]
        inside = (
            ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 <= 1
            if k % 2
            else (np.abs(x - cx) <= rx) & (np.abs(y - cy) <= ry)
        )
        image[inside] = 128 + 90 * u[4:7] + 35 * uniform(f"grain {index} {k}", (int(inside.sum()), 3))
        rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
        box = (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
        points = uniform(f"points {index} {k}", (keypoint_count, 3))
        xy = np.stack([cx + rx * points[:, 0], cy + ry * points[:, 1]], axis=1)
        visible = np.where((points[:, 2] > -0.6) & (xy > 0).all(1) & (xy < [width, height]).all(1), 2.0, 0.0)
        keypoints = np.concatenate([xy * (visible > 0)[:, None], visible[:, None]], axis=1).round(2)
        things.append(Thing(inside, box, int(k % case.class_count), k == 3 and index == 0, keypoints))
    return Scene(np.clip(image, 0, 255).astype(np.uint8), things)


Figures = dict[str, np.ndarray[Any, Any]]


def difference(wanted: Figures, given: Figures, slack: float = 1.0) -> str:
    """The first figure in which two runs of one network differ by more than rounding, ``slack`` times as
    much, or an empty string.
    """
    for name, value in wanted.items():
        other = given.get(name)
        if other is None or other.shape != value.shape:
            return (
                f"{name} is {'missing' if other is None else list(other.shape)}, expected {list(value.shape)}"
            )
        if name.endswith("/masks"):
            if reason := _mask_difference(value, other):
                return f"{name}: {reason}"
            continue
        gap = np.abs(value.astype(np.float64) - other)
        if gap.size and (np.isnan(gap).any() or gap.max() > slack * _tolerance(name, value)):
            return f"{name} differs by {gap.max():g}, expected {slack * _tolerance(name, value):g} at most"
    for group in ("gradient/", "change/"):  # most are much closer than the few that the tolerance is for
        names = [name for name in wanted if name.startswith(group)]
        ratios = [np.abs(wanted[name] - given[name]).max() / (wanted[name][0] + 1e-3) for name in names]
        if names and np.median(ratios) > 0.01:
            return (
                f"{group} differ by {np.median(ratios):g} of their norm in the median, expected 0.01 at most"
            )
    return ""


def _mask_difference(wanted: np.ndarray[Any, Any], given: np.ndarray[Any, Any]) -> str:
    """Masks are bits, a row each; an IoU of 0.999 is asked for, or in small ones all pixels but one."""
    both, either = (
        np.unpackbits(wanted & given, axis=1).sum(1, dtype=int),
        np.unpackbits(wanted | given, axis=1).sum(1, dtype=int),
    )
    poor = (both < 0.999 * either) & (either - both > 1)
    return (
        f"mask {poor.argmax()} has an IoU of {both[poor.argmax()] / either[poor.argmax()]:.4f}"
        if poor.any()
        else ""
    )


def _tolerance(name: str, value: np.ndarray[Any, Any]) -> float:
    image, _, kind = name.partition("/")
    largest = float(np.abs(value).max(initial=0))
    if image in (
        "gradient",
        "change",
    ):  # the norm comes first; a value that crosses a ReLU's bend moves a gradient a little
        return 0.05 * float(value[0]) + 1e-5
    if image.startswith("step"):  # after the first step, rounding has moved proposals across thresholds
        return (1e-4 if image == "step 0" else 1e-2) * max(1.0, largest)
    tolerances = {"labels": 0.0, "boxes": 0.01, "proposals": 0.01, "keypoints": 0.01, "scores": 1e-4}
    return tolerances.get(kind, 1e-4 * max(1.0, largest))
