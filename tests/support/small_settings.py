"""Small settings for everything that is built in, so that the contracts of all of it run in seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from panoptic_cases import write_shapes

from toolkit import registry
from toolkit.config.tree import parse_overrides
from toolkit.data.dataset import open_dataset
from toolkit.formats.convert import Losses, convert_split, opening
from toolkit.testing import DatasetCase, EvaluatorCase, ModelCase

MODELS: dict[str, ModelCase] = {
    "classifier": ModelCase(
        "classifier", {"simple": {"channels": [4, 8], "hidden": 16}, "norm": "batch", "size": [32, 32]}
    ),
    "unet": ModelCase("unet", {"encoder": "original_padded", "depth": 2, "width": 4, "norm": "batch"}),
    "deeplabv3": ModelCase(
        "deeplabv3",
        {
            "encoder": "tu-mobilenetv3_small_050",
            "output_stride": 16,
            "channels": 8,
            "atrous_rates": [1, 2],
            "norm": "group",
        },
        {"lr": 1e-3},
        steps=5,
    ),
    "deeplabv3plus": ModelCase(
        "deeplabv3plus",
        {"encoder": "tu-mobilenetv3_small_050", "channels": 8, "atrous_rates": [1, 2], "norm": "group"},
        {"lr": 1e-3},
        steps=5,
    ),
    "maskrcnn": ModelCase(
        "maskrcnn",
        {
            "engine": "torchvision",
            "backbone": {
                "depth": 18,
                "norm": "BN",
                "freeze_at": 0,
                "stem_out_channels": 8,
                "res2_out_channels": 8,
            },
            "fpn": {"out_channels": 16},
            "anchors": {"sizes": [[16], [32], [64], [128], [256]]},
            "rpn": {
                "batch_size_per_image": 32,
                "pre_nms_topk_train": 50,
                "pre_nms_topk_test": 50,
                "post_nms_topk_test": 30,
            },
            "roi": {"batch_size_per_image": 16, "detections_per_image": 10},
            "box_head": {"fc_dim": 32},
            "mask_head": {"num_conv": 1, "conv_dim": 16},
            "input": {"short_side_train": [], "short_side_test": 0, "pixel_std": [57.375, 57.12, 58.395]},
        },
    ),
    "sam2": ModelCase(
        "sam2", {"size": "toy", "image_size": 64, "preset": "sam2", "corrections": 1}, {"lr": 1e-3}, steps=6
    ),
}
"""A case for each plugin that is built in, by its name."""

CANNOT: dict[str, dict[str, str]] = {
    "sam2": {
        "gradients_reach_all_parameters": "of three masks for a point only the best learns, whichever that is"
    },
}
"""Checks that a plugin cannot pass with these small settings, with the reason."""

EVALUATORS: dict[str, EvaluatorCase] = {
    name: EvaluatorCase(name) for name in ("accuracy", "coco", "iou", "objects", "pq")
}
"""A case for each evaluator, by its name."""


def _converted(target: str, folder: Path) -> dict[str, Any]:
    """Some generated images in one of the formats that the toolkit writes; the settings to read them with."""
    words: list[str] = []
    for split in ("train", "val"):
        shapes = open_dataset(
            registry.datasets().get("shapes"), None, split, {"size": 48, "train": 6, "val": 4}
        )
        list(convert_split(shapes, split, folder, target, Losses()))
        words = opening(target, shapes.classes)[1:]
    return parse_overrides(words)


def _panoptic(folder: Path) -> dict[str, Any]:
    """Some generated images in COCO's panoptic format."""
    write_shapes(folder)
    return {}


def _drawn(name: str, **numbers: Any) -> Callable[[Path], dict[str, Any]]:
    """The stand-in that a dataset draws of itself, with few images."""

    def write(folder: Path) -> dict[str, Any]:
        manifest = registry.datasets().get(name)
        manifest.resolve(manifest.sample)(folder, **numbers)
        return {"val_fraction": 0.4} if name == "labpics" else {}

    return write


def _msrc(folder: Path) -> dict[str, Any]:
    """All 591 photos of MSRC, tiny and of noise."""
    rng = np.random.default_rng(0)
    splits = registry.datasets().get("msrc").resolve(".splits:ids_of")
    for part in ("images", "labels", "instances"):
        (folder / part).mkdir()
    for name in (name for split in ("train", "val", "test") for name in splits(split)):
        cv2.imwrite(str(folder / "images" / f"{name}.png"), rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        cv2.imwrite(str(folder / "labels" / f"{name}.png"), rng.integers(0, 24, (6, 8), dtype=np.uint8))
        cv2.imwrite(str(folder / "instances" / f"{name}.png"), rng.integers(0, 3, (6, 8), dtype=np.uint8))
    return {}


FOLDERS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "brain-mri": _drawn("brain-mri", patients=12, slices=1),
    "camvid": _drawn("camvid"),
    "cifar10": _drawn("cifar10", per_batch=8),
    "image-folder": _drawn("image-folder", train=6, val=4, size=64),
    "mnist": _drawn("mnist", train=40, test=10),
    "oxford-pets": _drawn("oxford-pets"),
    "voc": _drawn("voc"),
    "balloon": lambda folder: _converted("via", folder),
    "coco-panoptic": _panoptic,
    "coco": lambda folder: _converted("coco", folder),
    "cvat": lambda folder: _converted("cvat", folder),
    "label-studio": lambda folder: _converted("label-studio", folder),
    "labelme": lambda folder: _converted("labelme", folder),
    "labpics": _drawn("labpics", train=8, test=4, size=64),
    "masks": lambda folder: _converted("masks", folder),
    "msrc": _msrc,
    "yolo": lambda folder: _converted("yolo", folder),
}
"""For each dataset that reads files, by its name: a function that writes a small folder of it, and returns
the settings to read it with.
"""


def dataset_case(name: str, folder: Path) -> DatasetCase:
    """A dataset that is built in, on files written to an empty folder where it reads any."""
    if name not in FOLDERS:
        return DatasetCase(name, None, {"size": 48, "train": 6, "val": 4, "test": 4})
    return DatasetCase(name, folder, FOLDERS[name](folder))
