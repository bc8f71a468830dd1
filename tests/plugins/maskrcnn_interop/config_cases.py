"""A folder of files like Detectron2's ``configs``, and what becomes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from toolkit.plugins.maskrcnn.interop.config import to_recipe
from toolkit.plugins.maskrcnn.interop.yaml_files import read_config

from toolkit.errors import ConfigError

BASE = """
MODEL:
  META_ARCHITECTURE: "GeneralizedRCNN"
  BACKBONE: {NAME: "build_resnet_fpn_backbone"}
  RESNETS: {OUT_FEATURES: ["res2", "res3", "res4", "res5"]}
  FPN: {IN_FEATURES: ["res2", "res3", "res4", "res5"]}
  ANCHOR_GENERATOR: {SIZES: [[32], [64], [128], [256], [512]], ASPECT_RATIOS: [[0.5, 1.0, 2.0]]}
  RPN:
    IN_FEATURES: ["p2", "p3", "p4", "p5", "p6"]
    PRE_NMS_TOPK_TRAIN: 2000
    PRE_NMS_TOPK_TEST: 1000
    POST_NMS_TOPK_TRAIN: 1000
  ROI_HEADS: {NAME: "StandardROIHeads", IN_FEATURES: ["p2", "p3", "p4", "p5"]}
  ROI_BOX_HEAD: {NAME: "FastRCNNConvFCHead", NUM_FC: 2, POOLER_RESOLUTION: 7}
  ROI_MASK_HEAD: {NUM_CONV: 4}
DATASETS:
  TRAIN: ("coco_2017_train",)
  TEST: ("coco_2017_val",)
SOLVER:
  IMS_PER_BATCH: 16
  BASE_LR: 0.02
  STEPS: (60000, 80000)
  MAX_ITER: 90000
INPUT:
  MIN_SIZE_TRAIN: (640, 672, 704, 736, 768, 800)
VERSION: 2
"""
MASK = """
_BASE_: "../Base.yaml"
MODEL:
  WEIGHTS: "detectron2://ImageNetPretrained/MSRA/R-50.pkl"
  MASK_ON: True
SOLVER:
  STEPS: (210000, 250000)
  MAX_ITER: 270000
"""


def write_configs(folder: Path) -> Path:
    """``Base.yaml`` and ``coco/mask.yaml`` in a folder; returns the latter."""
    (folder / "coco").mkdir()
    (folder / "Base.yaml").write_text(BASE)
    (folder / "coco" / "mask.yaml").write_text(MASK)
    return folder / "coco" / "mask.yaml"


def recipe_of(path: Path, **overrides: Any) -> dict[str, Any]:
    return to_recipe(
        read_config(path, {key.replace("__", "."): value for key, value in overrides.items()}), path
    )


def faults_of(path: Path, text: str = "", **overrides: Any) -> str:
    if text:
        path = path.with_name("changed.yaml")
        path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        recipe_of(path, **overrides)
    return str(caught.value)
