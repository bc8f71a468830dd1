"""A small file of COCO's format, which tests change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from toolkit import registry
from toolkit.data.dataset import Dataset, open_dataset

HEIGHT, WIDTH = 20, 30


SQUARE = [[2, 3, 9, 3, 9, 8, 2, 8]]


def coco(folder: Path, split: str = "val", **options: Any) -> Dataset:
    return open_dataset(registry.datasets().get("coco"), folder, split, options)


def annotation(key: int, **fields: Any) -> dict[str, Any]:
    return {
        "id": key,
        "image_id": 7,
        "category_id": 3,
        "segmentation": SQUARE,
        "bbox": [2, 3, 7, 5],
        "area": 35,
        "iscrowd": 0,
    } | fields


def document(*annotations: dict[str, Any]) -> dict[str, Any]:
    return {
        "images": [
            {"id": 7, "file_name": "a.png", "height": HEIGHT, "width": WIDTH},
            {"id": 900, "file_name": "sub/b.png", "height": HEIGHT, "width": WIDTH},
        ],
        "categories": [{"id": 90, "name": "dog"}, {"id": 3, "name": "cat"}],
        "annotations": list(annotations),
    }


def put(folder: Path, data: Any, name: str = "annotations/instances_val.json", images: str = "val") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))
    for file in ("a.png", "sub/b.png"):
        (folder / images / file).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / images / file), np.full((HEIGHT, WIDTH, 3), 90, np.uint8))
    return path
