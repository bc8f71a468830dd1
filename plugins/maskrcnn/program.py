"""Detections from an exported Mask R-CNN, without torch; becomes a part of ``predict.py``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np

from toolkit.models.resizing_program import shrunk


def predict(
    image: np.ndarray[Any, Any],
    graphs: Mapping[str, Callable[..., list[np.ndarray[Any, Any]]]],
    manifest: Mapping[str, Any],
) -> dict[str, np.ndarray[Any, Any]]:
    """The objects in an RGB image, uint8 [H, W, 3]: boxes_xyxy [N, 4], labels and scores [N], and, if the
    model has them, masks, bool [N, H, W], and keypoints [N, K, 3] as x, y, score.
    """
    given, wanted = manifest["processing"]["input"], manifest["processing"]["output"]
    height, width = image.shape[:2]
    size = _network_size((height, width), given["short_side"], given["long_side"])
    pixels = shrunk(image, size, bits=22).astype(np.float32)
    if given["channels"] == "BGR":
        pixels = pixels[:, :, ::-1]
    normalized = (pixels - np.asarray(given["mean"], np.float32)) / np.asarray(given["std"], np.float32)
    padded = [-(-side // given["divisor"]) * given["divisor"] for side in size]
    batch = np.zeros((1, 3, *padded), np.float32)
    batch[0, :, : size[0], : size[1]] = normalized.transpose(2, 0, 1)

    results = graphs["detector"](batch, np.asarray(size, np.int64))
    detected = dict(zip(wanted["results"], results, strict=True))
    scale = np.asarray([width / size[1], height / size[0]] * 2, np.float32)
    boxes = np.clip(detected["boxes"] * scale, 0, np.asarray([width, height] * 2, np.float32))
    keep = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    found = {name: detected[name][keep] for name in ("labels", "scores")}
    found["boxes_xyxy"] = boxes[keep]
    if "masks" in detected:
        pasted = [
            _pasted(mask, box, (height, width), wanted["mask_threshold"])
            for mask, box in zip(detected["masks"][keep], boxes[keep], strict=True)
        ]
        found["masks"] = np.stack(pasted) if pasted else np.zeros((0, height, width), bool)
    if "heatmaps" in detected:
        found["keypoints"] = _keypoints(detected["heatmaps"][keep], detected["boxes"][keep])
        found["keypoints"][..., :2] *= scale[:2]
    return found


def _network_size(size: tuple[int, int], short_side: int, long_side: int) -> tuple[int, int]:
    """The size of the network's input: the shorter side at ``short_side``, the longer at most
    ``long_side``.
    """
    if short_side == 0:
        return size
    scale = short_side / min(size)
    height, width = (
        (float(short_side), scale * size[1]) if size[0] < size[1] else (scale * size[0], float(short_side))
    )
    if max(height, width) > long_side:
        shrink = long_side / max(height, width)
        height, width = height * shrink, width * shrink
    return max(1, int(height + 0.5)), max(1, int(width + 0.5))


def _pasted(
    mask: np.ndarray[Any, Any], box: np.ndarray[Any, Any], size: tuple[int, int], threshold: float
) -> np.ndarray[Any, Any]:
    """A mask [m, m] over its box, in an image: bool [H, W], with pixels of the box and next to it alone."""
    pasted = np.zeros(size, bool)
    rows, row_weights = _axis(box[1], box[3], size[0], mask.shape[0])
    columns, column_weights = _axis(box[0], box[2], size[1], mask.shape[1])
    pasted[rows, columns] = row_weights @ mask @ column_weights.T >= threshold
    return pasted


def _axis(low: float, high: float, length: int, cells: int) -> tuple[slice, np.ndarray[Any, Any]]:
    """The pixels along one side of the image that a mask can reach, and the weight of each cell in them."""
    first = int(min(max(np.floor(low) - 1, 0), length))
    last = int(min(max(np.ceil(high) + 1, 0), length))
    centers = np.arange(first, last, dtype=np.float32) + np.float32(0.5)
    at = (centers - low) / (high - low) * cells - 0.5
    weights = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(cells, dtype=np.float32)))
    return slice(first, last), weights.astype(np.float32)


def _keypoints(heatmaps: np.ndarray[Any, Any], boxes: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The highest point of each heat map [N, K, m, m], enlarged bicubically to one cell per pixel of its box
    [N, 4], as x, y, score: the softmax there, over the cells of the heat map itself.
    """
    found = np.zeros((*heatmaps.shape[:2], 3), np.float32)
    for row, (maps, box) in enumerate(zip(heatmaps, boxes, strict=True)):
        extent = np.maximum(box[2:] - box[:2], 1)
        cells = np.ceil(extent).astype(int)
        for number, heatmap in enumerate(maps):
            large = cv2.resize(heatmap, (int(cells[0]), int(cells[1])), interpolation=cv2.INTER_CUBIC)
            y, x = divmod(int(large.argmax()), int(cells[0]))
            found[row, number, :2] = (np.asarray([x, y]) + 0.5) * (extent / cells) + box[:2]
            found[row, number, 2] = 1 / np.exp(heatmap - large[y, x]).sum()
    return found
