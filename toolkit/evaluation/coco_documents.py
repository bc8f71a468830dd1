"""The images of a COCO document and its results, as the matching of detections takes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import hotcoco
import numpy as np

from toolkit.evaluation.coco_matching import Found


def document_images(
    truth: hotcoco.COCO,
    document: Mapping[str, Any],
    results: Iterable[Mapping[str, Any]],
    category_ids: Sequence[int],
    *,
    with_masks: bool,
) -> Iterator[tuple[Found, Found]]:
    """Objects and detections of each image, in the order of the image ids, which is that of pycocotools.

    Args:
        truth: the document, which turns polygons into run lengths.
        document: see ``CocoNumbered.coco_document``.
        results: checked by ``toolkit.formats.coco_results``.
        category_ids: the document's id of each class.
        with_masks: whether masks are compared rather than boxes.
    """
    labels = {category: label for label, category in enumerate(category_ids)}
    by_image: dict[Any, tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]] = {
        image: ([], []) for image in sorted(image["id"] for image in document["images"])
    }
    for side, entries in enumerate((document["annotations"], results)):
        for entry in entries:
            if entry["category_id"] in labels:
                by_image[entry["image_id"]][side].append(entry)
    for objects, detections in by_image.values():
        codes = [truth.ann_to_rle(dict(each)) for each in objects] if with_masks else None
        found = [each["segmentation"] for each in detections] if with_masks else None
        yield _found(objects, labels, codes), _found(detections, labels, found)


def _found(
    entries: Sequence[Mapping[str, Any]], labels: Mapping[int, int], codes: list[dict[str, Any]] | None
) -> Found:
    boxes = [[0.0] * 4 if codes is not None else entry["bbox"] for entry in entries]
    return Found(
        np.array(boxes, dtype=np.float64).reshape(-1, 4),
        np.array([labels[entry["category_id"]] for entry in entries], dtype=np.int64),
        np.array([entry.get("score", 0.0) for entry in entries], dtype=np.float64),
        np.array([bool(entry.get("iscrowd")) for entry in entries], dtype=np.bool_),
        codes,
    )
