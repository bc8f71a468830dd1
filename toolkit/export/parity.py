"""How far two answers differ, and whether that is rounding: the limits of an export.

Every function returns the largest difference, or raises ``ExportError`` with what differs and both values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from toolkit.errors import ExportError
from toolkit.types import Instances, PixelMap, Prediction


@dataclass(frozen=True)
class Limits:
    """What exported predictions may differ by.

    Attributes:
        pixels: fraction of the pixels of a label map; in an image of fewer than its inverse, one pixel.
        boxes: in pixels, for each side of a box.
        keypoints: in pixels; a keypoint is the highest pixel of a map, and two may be equally high.
        scores: of objects, of classes and of pixels.
        mask_iou: smallest IoU of two masks that differ in more than one pixel.
        metric: of the main metric of each evaluator.
        threshold: the score that the model's objects need; one that is within ``scores`` of it may be
            missing in one of the two.
    """

    pixels: float = 1e-4
    boxes: float = 0.1
    keypoints: float = 1.0
    scores: float = 1e-3
    mask_iou: float = 0.999
    metric: float = 1e-3
    threshold: float | None = None


LIMITS = Limits()
METRIC_LIMITS = {"fp32": LIMITS.metric, "bf16": 0.005, "int8": 0.01}
"""By precision; the networks of all three agree in fp32 within ``LIMITS``."""

ROUGH_LIMITS = Limits(pixels=0.01, boxes=4.0, keypoints=4.0, scores=0.01, mask_iou=0.9)
"""What ``predict.py`` may differ by from the same graphs in bf16 or int8. It prepares images with the last
digit rounded differently, which such graphs turn into a step of their own numbers: those of bf16 are 4 apart
from 512 to 1024. That the program computes the same is compared in fp32, within ``LIMITS``.
"""

MOST_UNPAIRED = 0.05
"""Fraction of the rows of a graph's results that may have no counterpart."""

HINT = "Hint: use the run itself; if its plugin is yours, check what its graphs leave out"


def compare_tensors(
    wanted: tuple[Tensor, ...], found: tuple[Tensor, ...], names: tuple[str, ...], tolerance: float, case: str
) -> float:
    """Compare the results of a network with those of its graph.

    Args:
        wanted, found: of the network and of the graph.
        names: of the results.
        tolerance: fraction of the largest absolute value of each wanted tensor.
        case: the graph and its input, for messages.
    """
    worst = 0.0
    for name, a, b in zip(names, wanted, found, strict=True):
        if a.shape != b.shape:
            raise ExportError(
                f"{case}: {name} is {list(a.shape)} in torch, but {list(b.shape)} in the export. {HINT}"
            )
        if not a.numel():
            continue
        a, b = a.detach().double().cpu(), b.detach().double().cpu()
        scale = max(float(a.abs().max()), 1e-6)
        difference = (a - b).abs() / scale
        place = int(difference.argmax())
        largest = float(difference.flatten()[place])
        if not largest <= tolerance:
            index = [int(i) for i in torch.unravel_index(torch.tensor(place), a.shape)]
            raise ExportError(
                f"{case}: {name}{index} is {float(a.flatten()[place]):.6g} in torch, but"
                f" {float(b.flatten()[place]):.6g} in the export: {largest:.2g} of the largest value"
                f" ({scale:.4g}), and the limit is {tolerance:g}. {HINT}"
            )
        worst = max(worst, largest)
    return worst


def compare_rows(
    wanted: tuple[Tensor, ...], found: tuple[Tensor, ...], names: tuple[str, ...], tolerance: float, case: str
) -> float:
    """Like ``compare_tensors``, for objects in rows, which may be in another order: rows of the first tensor
    are paired with the nearest ones. One row in twenty, and one in any case, may be another, see
    ``Graph.ranked``.
    """
    rows, others = len(wanted[0]), len(found[0])
    if not rows or not others:
        return compare_tensors(wanted, found, names, tolerance, case)
    first, second = (each[0].detach().double().cpu().flatten(1) for each in (wanted, found))
    apart = (first[:, None] - second[None]).abs().amax(2) / max(float(first.abs().max()), 1e-6)
    nearest, places = apart.min(dim=1)
    good = nearest <= tolerance
    missing = max(rows - len(set(places[good].tolist())), abs(rows - others))
    if missing > max(1, MOST_UNPAIRED * rows):
        row = int(nearest.argmax())
        raise ExportError(
            f"{case}: {missing} of {rows} rows of {names[0]} in torch are not among the {others} in the"
            f" export; row {row} is {_numbers(first[row])} in torch, and"
            f" {_numbers(second[places[row]])} is the nearest in the export. {HINT}"
        )
    keep = good.nonzero().squeeze(1)
    pairs = tuple(each[keep] for each in wanted), tuple(each[places[keep]] for each in found)
    return compare_tensors(*pairs, names, tolerance, case)


def compare_predictions(
    wanted: Prediction, found: Prediction, limits: Limits = LIMITS, case: str = ""
) -> dict[str, float]:
    """Compare two predictions for one image.

    Args:
        wanted, found: in torch, and exported.
        limits: what may differ.
        case: precedes the image's name in messages.

    Returns:
        The largest differences by kind: ``pixels`` (fraction), ``boxes`` (pixels), ``scores`` and
        ``mask_iou`` (the smallest).
    """
    where = f"{case}image {wanted.sample_id!r} ({wanted.size[0]} x {wanted.size[1]})"
    if set(wanted.fields()) != set(found.fields()):
        raise ExportError(
            f"{where}: torch predicts {', '.join(wanted.fields())}, but the export"
            f" {', '.join(found.fields())}. {HINT}"
        )
    differences: dict[str, float] = {}
    if wanted.label_map is not None and found.label_map is not None:
        differences["pixels"] = _label_maps(wanted.label_map, found.label_map, limits, where)
    if wanted.instances is not None and found.instances is not None:
        differences |= _instances(wanted.instances, found.instances, limits, where)
    for name, value in wanted.extras.items():
        _extras(name, value, found.extras[name], limits, where, differences)
    return differences


def _label_maps(wanted: Tensor, found: Tensor, limits: Limits, where: str) -> float:
    if wanted.shape != found.shape:
        raise ExportError(
            f"{where}: the label map is {list(wanted.shape)} in torch, but {list(found.shape)} in the export."
            f" {HINT}"
        )
    wrong = wanted != found
    count = int(wrong.sum())
    if count > max(limits.pixels * wanted.numel(), 1):
        y, x = (int(i) for i in wrong.nonzero()[0])
        raise ExportError(
            f"{where}: {count:,} of {wanted.numel():,} pixels have another class; the first is x={x}, y={y}:"
            f" {int(wanted[y, x])} in torch, {int(found[y, x])} in the export. The limit is"
            f" {limits.pixels:.2%}. {HINT}"
        )
    return count / wanted.numel()


def _instances(wanted: Instances, found: Instances, limits: Limits, where: str) -> dict[str, float]:
    pairs = _pairs(wanted, found)
    _check_unpaired(wanted, found, pairs, limits, where)
    worst = {"boxes": 0.0, "scores": 0.0}
    for i, j in pairs:
        name = f"{where}: object {i} (label {int(wanted.labels[i])})"
        box = float((wanted.boxes_xyxy[i] - found.boxes_xyxy[j]).abs().max())
        if box > limits.boxes:
            raise ExportError(
                f"{name} has the box {_numbers(wanted.boxes_xyxy[i])} in torch, but"
                f" {_numbers(found.boxes_xyxy[j])} in the export: {box:.3g} pixels, and the limit is"
                f" {limits.boxes:g}. {HINT}"
            )
        worst["boxes"] = max(worst["boxes"], box)
        if wanted.scores is not None and found.scores is not None:
            a, b = float(wanted.scores[i]), float(found.scores[j])
            _check_score(f"{name} has the score", a, b, limits)
            worst["scores"] = max(worst["scores"], abs(a - b))
        if wanted.keypoints is not None and found.keypoints is not None:
            far = float((wanted.keypoints[i] - found.keypoints[j])[:, :2].abs().max())
            if far > limits.keypoints:
                raise ExportError(
                    f"{name} has a keypoint {far:.3g} pixels from where it is in torch; the limit is"
                    f" {limits.keypoints:g}. {HINT}"
                )
            worst["keypoints"] = max(worst.get("keypoints", 0.0), far)
        if (wanted.masks is None) != (found.masks is None):
            raise ExportError(
                f"{name} has a mask only in {'torch' if wanted.masks else 'the export'}. {HINT}"
            )
        if wanted.masks is not None and found.masks is not None:
            iou, differing = mask_iou(wanted.masks[[i]].dense()[0], found.masks[[j]].dense()[0])
            if iou < limits.mask_iou and differing > 1:
                raise ExportError(
                    f"{name} has a mask of {int(wanted.masks[[i]].areas()[0]):,} pixels in torch and of"
                    f" {int(found.masks[[j]].areas()[0]):,} in the export, with an IoU of {iou:.5f}; the"
                    f" limit is {limits.mask_iou:g}. {HINT}"
                )
            worst["mask_iou"] = min(worst.get("mask_iou", 1.0), iou)
    return worst


def _pairs(wanted: Instances, found: Instances) -> list[tuple[int, int]]:
    """The exported object that corresponds to each: of its label, with the nearest box, each at most once,
    the nearest pairs first.
    """
    if not len(wanted) or not len(found):
        return []
    distance = (wanted.boxes_xyxy[:, None] - found.boxes_xyxy[None]).abs().amax(2)
    distance[wanted.labels[:, None] != found.labels[None]] = math.inf
    if wanted.scores is not None and found.scores is not None:
        # tells objects with the same box apart
        distance = distance + (wanted.scores[:, None] - found.scores[None]).abs() * 1e-3
    pairs = []
    for place in distance.flatten().argsort(stable=True).tolist():
        i, j = divmod(place, len(found))
        if math.isfinite(float(distance[i, j])):
            pairs.append((i, j))
            distance[i], distance[:, j] = math.inf, math.inf
    return sorted(pairs)


def _check_unpaired(
    wanted: Instances, found: Instances, pairs: list[tuple[int, int]], limits: Limits, where: str
) -> None:
    """Each object must have its counterpart, except where rounding decides whether it is in the list: its
    score is that of the threshold, or another object with this score is there instead.
    """
    rest_of_both = (
        [i for i in range(len(wanted)) if i not in {i for i, _ in pairs}],
        [j for j in range(len(found)) if j not in {j for _, j in pairs}],
    )
    scores = [
        [math.nan if one.scores is None else float(one.scores[i]) for i in rest]
        for one, rest in zip((wanted, found), rest_of_both, strict=True)
    ]
    for side, (name, one, other) in enumerate(
        (("torch", wanted, "the export"), ("the export", found, "torch"))
    ):
        ends = [*scores[1 - side], *([] if limits.threshold is None else [limits.threshold])]
        rest = [
            i
            for i, score in zip(rest_of_both[side], scores[side], strict=True)
            if not any(abs(score - end) <= limits.scores for end in ends)
        ]
        if rest:
            raise ExportError(
                f"{where}: {len(wanted)} objects in torch, {len(found)} in the export; object {rest[0]} in"
                f" {name} (label {int(one.labels[rest[0]])}, box {_numbers(one.boxes_xyxy[rest[0]])}) has no"
                f" counterpart in {other}. {HINT}"
            )


def _extras(
    name: str, wanted: Any, found: Any, limits: Limits, where: str, differences: dict[str, float]
) -> None:
    values = [each.values if isinstance(each, PixelMap) else each for each in (wanted, found)]
    if all(isinstance(each, Tensor) for each in values):
        a, b = (each.double() for each in values)
        if a.shape != b.shape:
            raise ExportError(
                f"{where}: {name} is {list(a.shape)} in torch, but {list(b.shape)} in the export. {HINT}"
            )
        if a.numel():
            place = int((a - b).abs().argmax())
            _check_score(f"{where}: {name} is", float(a.flatten()[place]), float(b.flatten()[place]), limits)
            differences["scores"] = max(differences.get("scores", 0.0), float((a - b).abs().max()))
    elif isinstance(wanted, (int, float)) and isinstance(found, (int, float)):
        _check_score(f"{where}: {name} is", float(wanted), float(found), limits)
        differences["scores"] = max(differences.get("scores", 0.0), abs(wanted - found))
    elif wanted != found:
        raise ExportError(f"{where}: {name} is {wanted!r} in torch, but {found!r} in the export. {HINT}")


def _check_score(what: str, wanted: float, found: float, limits: Limits) -> None:
    if not abs(wanted - found) <= limits.scores:
        raise ExportError(
            f"{what} {wanted:.5f} in torch, but {found:.5f} in the export; the limit is {limits.scores:g}."
            f" {HINT}"
        )


def compare_metrics(
    wanted: Mapping[str, float], found: Mapping[str, float], limit: float, case: str
) -> dict[str, dict[str, float | None]]:
    """Compare metrics by name; undefined ones must be undefined in both.

    Returns:
        For each metric, its value in torch and in the export.
    """
    for name, a in wanted.items():
        b = found.get(name, math.nan)
        same = (math.isnan(a) and math.isnan(b)) or abs(a - b) <= limit
        if not same:
            raise ExportError(
                f"{case}: {name} is {a:.4f} in torch, but {b:.4f} in the export; the limit is {limit:g}."
                f" {HINT}"
            )
    return {
        name: {"torch": _plain(a), "export": _plain(found.get(name, math.nan))} for name, a in wanted.items()
    }


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None


def mask_iou(a: Tensor, b: Tensor) -> tuple[float, int]:
    """The IoU of two masks, and in how many pixels they differ."""
    union, differing = int((a | b).sum()), int((a ^ b).sum())
    return (1 - differing / union if union else 1.0), differing


def keep_worst(worst: dict[str, float], found: Mapping[str, float]) -> None:
    """Add differences to the largest ones so far; of ``mask_iou`` the smallest is kept, and ``undecided`` is
    a sum.
    """
    for name, value in found.items():
        if name not in worst:
            worst[name] = value
        elif name == "undecided":
            worst[name] += value
        else:
            worst[name] = min(worst[name], value) if name == "mask_iou" else max(worst[name], value)


def _numbers(values: Tensor) -> str:
    return f"[{', '.join(f'{value:.2f}' for value in values.tolist())}]"
