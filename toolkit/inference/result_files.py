"""The files of one prediction, as the tasks that come with the toolkit write them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.data.images import write_label_map
from toolkit.formats.coco_keypoints import to_indices
from toolkit.runtime.files import atomic_write
from toolkit.types import Instances, Prediction
from toolkit.visualization.palettes import Palette


def write_labels(prediction: Prediction, folder: Path, stem: str, palette: Palette) -> dict[str, str]:
    """Write a label map as a PNG of class indexes, with the classes' colors as its palette.

    Raises:
        OutputError: when the file cannot be written.
    """
    if prediction.label_map is None:
        return {}
    path = f"labels/{stem}.png"
    write_label_map(folder / path, prediction.label_map, palette)
    return {"label_map": path}


def write_objects(prediction: Prediction, folder: Path, stem: str, palette: Palette) -> dict[str, str]:
    """Write objects as JSON, each as in COCO results.

    Raises:
        OutputError: when the file cannot be written.
    """
    if prediction.instances is None:
        return {}
    path = f"instances/{stem}.json"
    with atomic_write(folder / path, "w") as file:
        json.dump(coco_annotations(prediction.instances), file)
    return {"instances": path}


def coco_annotations(instances: Instances) -> list[dict[str, Any]]:
    """The objects of one image as COCO annotations without ids; categories count from 1. Numbers lose nothing
    of their float32.
    """
    codes = instances.masks.to_coco() if instances.masks is not None else []
    areas = instances.masks.areas().tolist() if instances.masks is not None else []
    entries = []
    for i in range(len(instances)):
        x0, y0, x1, y1 = instances.boxes_xyxy[i]
        bbox = _numbers([x0, y0, x1 - x0, y1 - y0])
        entry: dict[str, Any] = {"category_id": int(instances.labels[i]) + 1, "bbox": bbox}
        entry["area"] = areas[i] if codes else bbox[2] * bbox[3]
        if codes:
            entry["segmentation"] = {"size": codes[i]["size"], "counts": codes[i]["counts"].decode()}
        if instances.keypoints is not None:
            entry["keypoints"] = _numbers(to_indices(instances.keypoints[i].numpy()).flatten())
        entry["iscrowd"] = 0 if instances.is_crowd is None else int(instances.is_crowd[i])
        if instances.scores is not None:
            entry["score"] = _numbers([instances.scores[i]])[0]
        entries.append(entry)
    return entries


def _numbers(values: Iterable[Any]) -> list[float]:
    """Floats whose decimal form is the shortest that gives back the float32."""
    return [float(str(np.float32(value))) for value in values]
