"""Predictions as answers: objects with run lengths or polygons, label images, pictures."""

from __future__ import annotations

import base64
import io
import math
import zlib
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from toolkit.inference.coco_documents import coco_document
from toolkit.inference.image_prediction import ImagePrediction
from toolkit.measuring.polygons import polygons_of
from toolkit.serve.errors import RequestError
from toolkit.types import BACKGROUND, Masks, PanopticMap, class_scores
from toolkit.visualization.drawing import confident
from toolkit.visualization.palettes import full_palette

Format: TypeAlias = Literal["json", "png", "overlay", "polygons"]


def as_json(prediction: ImagePrediction, above: float | None, *, polygons: bool = False) -> dict[str, Any]:
    """A prediction as plain values.

    Args:
        prediction: of any kind.
        above: minimum score of the objects; the model's own when None.
        polygons: give polygons instead of run lengths.

    Returns:
        ``size`` ``[H, W]``, ``objects``, and ``label_map`` or ``scores`` if the model predicts them. For a
        label map, the region of each class but the background is an object, too, without a score.
    """
    shown = confident(prediction, prediction.draw_above if above is None else above)
    answer: dict[str, Any] = {"size": list(prediction.size), "objects": _objects(prediction, shown, polygons)}
    if prediction.label_map is not None:
        answer["label_map"] = {
            "classes": list(prediction.classes),
            "png": base64.b64encode(label_png(prediction.label_map, prediction)).decode(),
        }
    scores = class_scores(prediction, len(prediction.classes))
    if scores is not None:
        pairs = zip(prediction.classes, scores.values.tolist(), strict=True)
        answer["scores"] = [{"category": name, "score": score} for name, score in pairs]
    return answer


def _objects(whole: ImagePrediction, shown: Any, polygons: bool) -> list[dict[str, Any]]:
    panoptic = next((each for each in whole.extras.values() if isinstance(each, PanopticMap)), None)
    if panoptic is not None:
        return [
            _described(whole, segment.label, segment.score, mask, polygons)
            for segment, mask in _segments(panoptic)
        ]
    document = coco_document(shown, whole.classes) if _has_shapes(shown) else {"annotations": []}
    found = []
    for each in document["annotations"]:
        label = each["category_id"] - 1
        if "score" not in each and _name(whole, label) == BACKGROUND and whole.instances is None:
            continue
        x, y, width, height = each["bbox"]
        entry = _described(whole, label, each.get("score"), each.get("segmentation"), polygons)
        found.append(entry | {"box_xyxy": [x, y, x + width, y + height]})
    return found


def _has_shapes(prediction: Any) -> bool:
    return prediction.instances is not None or prediction.label_map is not None


def _segments(panoptic: PanopticMap) -> Any:
    for number, segment in enumerate(panoptic.segments, start=1):
        masks = Masks.from_dense((panoptic.numbers == number)[None])
        (code,) = masks.to_coco()
        yield segment, {"size": code["size"], "counts": code["counts"].decode()}


def _described(
    whole: ImagePrediction, label: int, score: float | None, code: Any, polygons: bool
) -> dict[str, Any]:
    """One object; its box is that of the mask."""
    entry: dict[str, Any] = {"category": _name(whole, label), "score": score}
    if code is None:
        return entry
    masks = Masks.from_coco([code], whole.size)
    entry["box_xyxy"] = masks.boxes_xyxy()[0].tolist()
    if polygons:
        entry["polygons"] = polygons_of(masks.dense()[0].numpy().astype(np.uint8))
    else:
        entry["rle"] = code
    return entry


def _name(whole: ImagePrediction, label: int) -> str:
    return whole.classes[label] if label < len(whole.classes) else str(label)


def label_png(label_map: Tensor, prediction: ImagePrediction) -> bytes:
    """A label map as a palette PNG: viewers show the colors, readers the indexes."""
    image = Image.fromarray(label_map.numpy())
    image.putpalette(full_palette(prediction.palette)[:256].tobytes())
    data = io.BytesIO()
    image.save(data, "PNG", compress_level=1, compress_type=zlib.Z_RLE)
    return data.getvalue()


def as_png(prediction: ImagePrediction, above: float | None) -> bytes:
    """The label map as a PNG; of objects, an image of 16 bits with the number of each object, from 1, later
    ones in front.

    Raises:
        RequestError: 406, when a prediction has neither.
    """
    if prediction.label_map is not None:
        return label_png(prediction.label_map, prediction)
    shown = confident(prediction, prediction.draw_above if above is None else above)
    if shown.instances is None or (len(shown.instances) and shown.instances.masks is None):
        raise RequestError(406, "this model predicts no masks. Hint: ask for format=json")
    numbers = torch.zeros(prediction.size, dtype=torch.int32)
    for index in range(len(shown.instances)):
        assert shown.instances.masks is not None  # checked above
        numbers[shown.instances.masks[[index]].dense()[0]] = index + 1
    data = io.BytesIO()
    Image.fromarray(numbers.numpy().astype(np.uint16)).save(data, "PNG", compress_level=1)
    return data.getvalue()


def as_overlay(prediction: ImagePrediction, above: float | None) -> bytes:
    """The prediction drawn over its image, as a JPEG."""
    data = io.BytesIO()
    prediction.plot(above).save(data, "JPEG", quality=92)
    return data.getvalue()


def checked_threshold(value: float | None) -> float | None:
    """A minimum score from 0 to 1.

    Raises:
        RequestError: 422, when it is none.
    """
    if value is not None and not (math.isfinite(value) and 0 <= value <= 1):
        raise RequestError(422, f"score_threshold must be a number from 0 to 1, not {value}")
    return value
