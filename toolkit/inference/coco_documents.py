"""Predictions in COCO's format, for files that other software reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from toolkit.formats.coco_keypoints import to_indices
from toolkit.types import VOID, Instances, Masks, Prediction


def coco_document(
    prediction: Prediction,
    classes: Sequence[str],
    *,
    file_name: str = "",
    about: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """One prediction as a separate document of plain values for JSON.

    Args:
        prediction: a prediction with instances, a label map, or both.
        classes: the names that labels stand for.
        file_name: file name of the image; the id of the sample when empty.
        about: the contents of ``info``.
    """
    height, width = prediction.size
    image = {"id": 1, "file_name": file_name or prediction.sample_id, "width": width, "height": height}
    entries = [] if prediction.instances is None else coco_annotations(prediction.instances)
    if prediction.label_map is not None:
        entries += label_map_annotations(prediction.label_map)
    return {
        "info": dict(about or {}),
        "images": [image],
        "categories": coco_categories(classes),
        "annotations": [{"id": i, "image_id": 1, **entry} for i, entry in enumerate(entries, start=1)],
    }


def coco_categories(classes: Sequence[str]) -> list[dict[str, Any]]:
    """The classes, numbered from 1."""
    return [{"id": number, "name": name} for number, name in enumerate(classes, start=1)]


def coco_annotations(instances: Instances) -> list[dict[str, Any]]:
    """The objects of one image as COCO annotations without ids; categories count from 1. Numbers keep all
    digits of their float32 values. ``object`` is the user's name for the object, if the prompts give one.
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
        if instances.ids is not None:
            entry["object"] = instances.ids[i]
        entries.append(entry)
    return entries


def label_map_annotations(label_map: Tensor) -> list[dict[str, Any]]:
    """The regions of a label map as COCO annotations without ids: one for each class that occurs."""
    return [{"category_id": label + 1, **_region(region)} for label, region in _regions(label_map)]


def _region(region: Masks) -> dict[str, Any]:
    """Box, area and run lengths of a region without a class."""
    (code,) = region.to_coco()
    x0, y0, x1, y1 = region.boxes_xyxy()[0].tolist()
    return {
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": int(region.areas()[0]),
        "segmentation": {"size": code["size"], "counts": code["counts"].decode()},
        "iscrowd": 0,
    }


def _regions(label_map: Tensor) -> Iterator[tuple[int, Masks]]:
    for label in np.unique(label_map.numpy()).tolist():
        if label != VOID:
            yield label, Masks.from_dense((label_map == label)[None])


def _numbers(values: Iterable[Any]) -> list[float]:
    """Floats with the shortest decimal form that reproduces the float32."""
    return [float(str(np.float32(value))) for value in values]
