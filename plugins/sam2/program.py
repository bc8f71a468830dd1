"""Answers to points and boxes from an exported SAM 2, in NumPy and OpenCV alone; becomes a part of
``predict.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from toolkit.models.resizing_program import resized


def predict(
    image: np.ndarray[Any, Any],
    graphs: Mapping[str, Callable[..., list[np.ndarray[Any, Any]]]],
    manifest: Mapping[str, Any],
    prompts: Sequence[Mapping[str, Any]],
) -> dict[str, np.ndarray[Any, Any]]:
    """The objects in an RGB image, uint8 [H, W, 3], that are pointed at, in order: masks, bool [N, H, W],
    boxes_xyxy [N, 4], scores and labels [N].

    Each prompt has points_xy and point_labels (1 on the object, 0 off it), or box_xyxy, or both, in pixels.
    """
    how = manifest["processing"]
    height, width = image.shape[:2]
    side = how["input"]["size"][0]
    features = graphs["encoder"](_network_input(image, how["input"]))
    masks = np.zeros((len(prompts), height, width), bool)
    scores = np.zeros(len(prompts), np.float32)
    for rows, points, labels in _groups(prompts):
        points = points / np.asarray([width, height], np.float32) * np.float32(side)
        for start in range(0, len(rows), how["prompts"]["together"]):
            part = slice(start, start + how["prompts"]["together"])
            logits, ious = _decoded(graphs, features, points[part], labels[part], how["prompts"])
            chosen = _chosen(logits, ious, how["output"], is_single=labels.shape[1] == 1)
            for row, mask, iou, best in zip(rows[part], logits, ious, chosen, strict=True):
                large = cv2.resize(np.ascontiguousarray(mask[best].T), (height, width)).T
                masks[row], scores[row] = large > how["output"]["mask_threshold"], iou[best].clip(0, 1)
    boxes = np.stack([_box(mask) for mask in masks]) if len(masks) else np.zeros((0, 4), np.float32)
    return {"masks": masks, "boxes_xyxy": boxes, "scores": scores, "labels": np.zeros(len(masks), np.int64)}


def _network_input(image: np.ndarray[Any, Any], given: Mapping[str, Any]) -> np.ndarray[Any, Any]:
    pixels = resized(image.astype(np.float32) / np.float32(255), tuple(given["size"]))
    normalized = (pixels - np.asarray(given["mean"], np.float32)) / np.asarray(given["std"], np.float32)
    return np.ascontiguousarray(normalized.transpose(2, 0, 1)[None])


def _groups(prompts: Sequence[Mapping[str, Any]]) -> Any:
    """Rows, points [P, K, 2] and labels [P, K] of the prompts that have the same number of points; the
    corners of a box are points with the labels 2 and 3.
    """
    groups: dict[int, list[tuple[int, Any, Any]]] = {}
    for row, prompt in enumerate(prompts):
        box, clicks = prompt.get("box_xyxy"), prompt.get("points_xy") or []
        points = [*([] if box is None else [box[:2], box[2:]]), *clicks]
        labels = [*([] if box is None else [2, 3]), *(prompt.get("point_labels") or [1] * len(clicks))]
        groups.setdefault(len(points), []).append((row, points, labels))
    for count in sorted(groups):
        rows, all_points, all_labels = zip(*groups[count], strict=True)
        yield list(rows), np.asarray(all_points, np.float32), np.asarray(all_labels, np.int64)


def _decoded(
    graphs: Mapping[str, Callable[..., list[np.ndarray[Any, Any]]]],
    features: Sequence[np.ndarray[Any, Any]],
    points: np.ndarray[Any, Any],
    labels: np.ndarray[Any, Any],
    how: Mapping[str, Any],
) -> list[np.ndarray[Any, Any]]:
    """Logits of four masks for each prompt, [P, 4, h, w], and their predicted IoU, [P, 4]."""
    side = int(np.sqrt(features[0].shape[1])) * 4
    masks, has_mask = np.zeros((1, 1, side, side), np.float32), np.zeros(1, np.float32)
    if how["rough_masks"]:
        masks, has_mask = _rough_masks(points, labels, side), np.ones(len(points), np.float32)
    padding = how["padding"]
    more = np.tile(np.asarray(padding["point"], np.float32), (len(points), 1, 1))
    points = np.concatenate([points, more], axis=1)
    labels = np.concatenate([labels, np.full((len(labels), 1), padding["label"], np.int64)], axis=1)
    (tokens,) = graphs["points"](points, labels)
    return graphs["decoder"](*features, tokens, masks, has_mask)


def _rough_masks(
    points: np.ndarray[Any, Any], labels: np.ndarray[Any, Any], side: int
) -> np.ndarray[Any, Any]:
    """Prompts drawn as masks, [P, 1, side, side]: a disc around each point, and a filled box."""
    at = 4 * np.arange(side, dtype=np.float32) + 2
    logits = np.zeros((len(points), side, side), np.float32)
    for point, label in zip(points.swapaxes(0, 1), labels.T, strict=True):
        x, y = point.T[:, :, None]
        distance = ((at - x) ** 2)[:, None] + ((at - y) ** 2)[:, :, None]
        sign = (label == 1).astype(np.float32) - (label == 0)
        logits += 8 * sign[:, None, None] * np.exp(-distance / np.float32(2 * (side / 4) ** 2))
    if labels.shape[1] >= 2:
        (x0, y0), (x1, y1) = points[:, 0].T[:, :, None], points[:, 1].T[:, :, None]
        inside = ((at >= x0) & (at <= x1))[:, None] & ((at >= y0) & (at <= y1))[:, :, None]
        is_box = (labels[:, 0] == 2) & (labels[:, 1] == 3)
        logits += is_box[:, None, None] * (inside - np.float32(0.5)) * 8
    return logits[:, None]


def _chosen(
    logits: np.ndarray[Any, Any], ious: np.ndarray[Any, Any], how: Mapping[str, Any], *, is_single: bool
) -> np.ndarray[Any, Any]:
    """Which of the four masks answers each prompt, [P]."""
    best: np.ndarray[Any, Any] = ious[:, 1:].argmax(1) + 1
    if how["mask"] in ("first", "only"):
        return np.full(len(ious), 1 if how["mask"] == "first" else 0)
    if how["mask"] == "best" and is_single:
        return best
    smaller, larger = (
        (logits[:, 0] > t).sum((1, 2)) for t in (how["stability_delta"], -how["stability_delta"])
    )
    stability = np.where(larger > 0, smaller / np.maximum(larger, 1), 1).astype(np.float32)
    chosen: np.ndarray[Any, Any] = np.where(stability >= np.float32(how["stability_threshold"]), 0, best)
    return chosen


def _box(mask: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The box around the pixels of a mask; zeros if there are none."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return np.zeros(4, np.float32)
    return np.asarray([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)
