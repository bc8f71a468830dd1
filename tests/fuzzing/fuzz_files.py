"""Valid files of every format, which the fuzzer changes."""

from __future__ import annotations

import io
import json
import pickle
from typing import Any

import cv2
import numpy as np
import tifffile
from pycocotools import mask as coco_mask

from toolkit.checkpoints import CheckpointManifest
from toolkit.formats.brush import encode_brush
from toolkit.inference.window_journal import header_of

SIZE = (24, 32)
CLASSES = ("cup", "flask")
JOURNAL = header_of("a.tif", "/photos/a.tif", None, SIZE)


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def picture() -> bytes:
    return bytes(cv2.imencode(".png", np.full((*SIZE, 3), 90, np.uint8))[1])


def tiled() -> bytes:
    """A TIFF with compressed tiles."""
    file = io.BytesIO()
    pixels = np.arange(60 * 80 * 3, dtype=np.uint32).reshape(60, 80, 3).astype(np.uint8)
    how = {"compression": "zlib", "predictor": True, "photometric": "rgb", "metadata": None}
    tifffile.imwrite(file, pixels, tile=(32, 32), **how)
    return file.getvalue()


def journal() -> bytes:
    """What is done of an image that does not fit into memory."""
    found = {"boxes": [[1.0, 2, 9, 7]], "labels": [1], "scores": [0.5], "counts": [code()["counts"]]}
    return "".join(json.dumps(line) + "\n" for line in (JOURNAL, {"window": 0, **found})).encode()


def labels() -> bytes:
    values = np.zeros(SIZE, np.uint8)
    values[4:12, 5:20] = 1
    return bytes(cv2.imencode(".png", values)[1])


def code() -> dict[str, Any]:
    mask = np.zeros(SIZE, np.uint8, order="F")
    mask[4:12, 5:20] = 1
    encoded = coco_mask.encode(mask)
    return {"size": list(SIZE), "counts": encoded["counts"].decode()}


def objects() -> list[dict[str, Any]]:
    common = {"image_id": 1, "category_id": 1}
    runs = [4 + 24 * 5, 8, 24 * 32 - 132]
    return [
        common
        | {"bbox": [5, 4, 15, 8], "segmentation": [[5, 4, 20, 4, 20, 12, 5, 12]], "area": 120, "iscrowd": 0},
        common | {"bbox": [5, 4, 15, 8], "segmentation": code(), "area": 120.0, "iscrowd": 1},
        common
        | {"bbox": [5, 4, 1, 8], "segmentation": {"size": list(SIZE), "counts": runs}, "category_id": 2},
    ]


def document() -> dict[str, Any]:
    return {
        "info": {"year": 2024},
        "images": [{"id": 1, "file_name": "a.png", "width": 32, "height": 24}],
        "categories": [{"id": 1, "name": "cup"}, {"id": 2, "name": "flask"}],
        "annotations": [{"id": i, **entry} for i, entry in enumerate(objects(), start=1)],
    }


def poses() -> dict[str, Any]:
    """Of the same objects, with two points each."""
    made = document()
    for category in made["categories"]:
        category |= {"keypoints": ["left", "right"], "skeleton": [[1, 2]]}
    for entry in made["annotations"]:
        entry |= {"keypoints": [5, 4, 2, 19, 11, 1], "num_keypoints": 2}
    return made


def results() -> list[dict[str, Any]]:
    keys = ("image_id", "category_id", "bbox", "segmentation")
    return [{key: entry[key] for key in keys} | {"score": 0.5} for entry in objects()]


def panoptic_document() -> dict[str, Any]:
    """Things, stuff and void; the PNG is ``panoptic_png``."""
    segments = [
        {"id": 7, "category_id": 1, "iscrowd": 0, "score": 0.5, "area": 120, "bbox": [5, 4, 15, 8]},
        {"id": 300, "category_id": 2, "iscrowd": 0},
    ]
    return {
        "images": [{"id": 1, "file_name": "a.png", "width": 32, "height": 24}],
        "categories": [{"id": 1, "name": "cup", "isthing": 1}, {"id": 2, "name": "table", "isthing": 0}],
        "annotations": [{"image_id": 1, "file_name": "a.png", "segments_info": segments}],
    }


def panoptic_png() -> bytes:
    """Blue, green and red, as OpenCV writes them."""
    pixels = np.zeros((*SIZE, 3), np.uint8)
    pixels[:20] = (0, 1, 44)
    pixels[4:12, 5:20] = (0, 0, 7)
    return bytes(cv2.imencode(".png", pixels)[1])


def manifest() -> dict[str, Any]:
    made = CheckpointManifest(
        plugin="unet",
        task="semantic",
        classes=CLASSES,
        model={"encoder": "original", "width": 4, "depth": 2},
        palette=((0, 0, 0), (255, 0, 0)),
        label_values={"classes": [0, 1], "void": 255},
        config={"plugin": "unet", "data": {"name": "shapes"}, "evaluators": {"iou": {}}},
        dataset={"name": "shapes", "split": "train", "fingerprint": "x"},
        start_weights={"name": "none", "license": "none"},
        metrics={"val/mean_iou": 0.5, "val/x": None},
        step=7,
    )
    loaded: dict[str, Any] = json.loads(made.to_json())
    return loaded


VIA = {
    "a.png123": {
        "filename": "a.png",
        "size": 123,
        "regions": [
            {
                "shape_attributes": {
                    "name": "polygon",
                    "all_points_x": [5, 20, 20],
                    "all_points_y": [4, 4, 12],
                },
                "region_attributes": {"class": "cup"},
            },
            {
                "shape_attributes": {"name": "rect", "x": 1, "y": 2, "width": 5, "height": 4},
                "region_attributes": {},
            },
            {"shape_attributes": {"name": "circle", "cx": 9, "cy": 8, "r": 3}, "region_attributes": {}},
        ],
        "file_attributes": {},
    }
}
LABELME = {
    "version": "5.0.1",
    "flags": {},
    "shapes": [
        {"label": "cup", "points": [[5, 4], [20, 4], [20, 12]], "group_id": None, "shape_type": "polygon"},
        {"label": "cup", "points": [[1, 2], [6, 6]], "group_id": 1, "shape_type": "rectangle"},
        {"label": "flask", "points": [[9, 8], [12, 8]], "group_id": 1, "shape_type": "circle"},
    ],
    "imagePath": "a.png",
    "imageData": None,
    "imageHeight": 24,
    "imageWidth": 32,
}
CVAT = b"""<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta><task><labels><label><name>cup</name><type>any</type></label></labels></task></meta>
  <image id="0" name="a.png" width="32" height="24">
    <polygon label="cup" points="5.00,4.00;20.00,4.00;20.00,12.00" group_id="1"></polygon>
    <mask label="cup" rle="1, 2, 1" left="4" top="5" width="2" height="2" group_id="1"></mask>
    <box label="cup" xtl="1.5" ytl="2" xbr="9" ybr="8" rotation="30"><attribute name="a">b</attribute></box>
    <ellipse label="cup" cx="15" cy="10" rx="8" ry="3" rotation="90"></ellipse>
  </image>
</annotations>
"""
LABEL_STUDIO = [
    {
        "id": 1,
        "data": {"image": "/data/upload/1/0a1b2c3d-a.png"},
        "annotations": [
            {
                "result": [
                    {
                        "id": f"r{number}",
                        "type": kind,
                        "original_width": 32,
                        "original_height": 24,
                        "image_rotation": 0,
                        "value": {**value, kind: ["cup"]},
                    }
                    for number, (kind, value) in enumerate(
                        {
                            "brushlabels": {"format": "rle", "rle": encode_brush(np.eye(24, 32, dtype=bool))},
                            "polygonlabels": {"points": [[10, 25], [50, 25], [50.5, 75]]},
                            "rectanglelabels": {"x": 5, "y": 10, "width": 25, "height": 50, "rotation": 20},
                            "ellipselabels": {"x": 50, "y": 50, "radiusX": 20, "radiusY": 10, "rotation": 0},
                        }.items()
                    )
                ]
            }
        ],
    }
]
RECIPE = b"""# a recipe
plugin: unet
weights: none
data:
  name: shapes
  options: {train: 16}
model: {encoder: original, width: 4, depth: 2}
augment:
- {name: flip}
- &c {name: crop, size: [16, 16]}
evaluators:
  iou: {void: ignore}
train: {steps: 20, lr: 1e-3, lr_factors: {encoder: 0.1}, freeze: [encoder, no], unfreeze_at: 10}
"""
RCNN = b"""MODEL:
  META_ARCHITECTURE: "GeneralizedRCNN"
  BACKBONE: {NAME: build_resnet_fpn_backbone}
  FPN: {IN_FEATURES: ["res2", "res3", "res4", "res5"]}
  RPN: {IN_FEATURES: ["p2", "p3", "p4", "p5", "p6"]}
  ROI_HEADS: {NAME: StandardROIHeads, IN_FEATURES: ["p2", "p3", "p4", "p5"]}
  ROI_BOX_HEAD: {NAME: FastRCNNConvFCHead, NUM_FC: 2, POOLER_RESOLUTION: 7}
  ROI_MASK_HEAD: {NAME: MaskRCNNConvUpsampleHead, NUM_CONV: 4, POOLER_RESOLUTION: 14}
  MASK_ON: True
  WEIGHTS: "detectron2://ImageNetPretrained/MSRA/R-50.pkl"
  RESNETS: {DEPTH: 50, OUT_FEATURES: ["res2", "res3", "res4", "res5"]}
  ANCHOR_GENERATOR: {SIZES: [[32], [64], [128], [256], [512]]}
SOLVER:
  STEPS: (210000, 250000)
  MAX_ITER: 270000
  BASE_LR: 2e-2
INPUT:
  MIN_SIZE_TRAIN: (640, 672, 704)
VERSION: 2
"""
WORDS = (
    b"[{name: crop, size: [16, 16]}]\n"
    b'train.steps=20 model.depth=2 lr=1e-3 width=8 augment=[{"name":"flip"}] train.freeze=[no,007]'
)
METRICS = b"".join(as_json({"step": i, "loss": 0.5 / i, "val/mean_iou": None}) + b"\n" for i in range(1, 5))
RECORDS = b"".join(
    as_json(entry) + b"\n"
    for entry in (
        {"image": "a.png", "source": "/x/a.png", "status": "ok", "model": "net 1", "size": [24, 32]}
        | {"objects": 1, "found": {"cup": 1}, "outputs": {"instances": "instances/a.json"}},
        {"image": "b.png", "source": "/x/b.png", "status": "failed", "model": "net 1", "error": "is empty"},
    )
)
CSV = b'image,x,y,label,class,object\na.png,5,4,1,cup,1\na.png,7,8,0,cup,1\n"a.png",9,9,,flask,2\n'
ZOO = {
    "model": {
        "res2.0.conv1.weight": np.zeros((2, 3), np.float32),
        "stem.conv1.weight": np.ones((1, 3), np.float32),
    },
    "__author__": "Detectron2 Model Zoo",
    "matching_heuristics": True,
}


CIFAR_BATCH = pickle.dumps(
    {b"labels": [1, 0], b"data": np.zeros((2, 3072), np.uint8), b"filenames": [b"a.png", b"b.png"]},
    protocol=2,
)
CIFAR_META = pickle.dumps({b"label_names": [b"cat", b"dog"], b"num_vis": 3072}, protocol=2)
