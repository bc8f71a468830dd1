"""The images of a COCO document and its results, to be compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import hotcoco
import numpy as np
from pycocotools import mask as coco_mask

from toolkit.evaluation.coco_compared import ComparedImage
from toolkit.evaluation.coco_figures import IoUType
from toolkit.evaluation.coco_matching import Found
from toolkit.formats.box_results import BoxResults

Entries = list[Mapping[str, Any]]


@dataclass(frozen=True)
class Document:
    """What the images of a document share.

    Attributes:
        truth: turns polygons into run lengths.
        labels: class index by category id.
        by_boxes: whether the area of a detection is that of its box: as in pycocotools, if the first result
            has one.
    """

    truth: hotcoco.COCO
    labels: Mapping[int, int]
    by_boxes: bool


@dataclass(frozen=True)
class DocumentImage(ComparedImage):
    """One image of a document: its annotations, and its results, or ``boxes`` where they are only that."""

    document: Document
    annotations: Entries = field(default_factory=list)
    results: Entries = field(default_factory=list)
    boxes: Found | None = None
    known: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)

    def sides(self, kind: IoUType) -> tuple[Found, Found]:
        """Objects and detections."""
        if kind != "segm":
            detections = self._found(self.results) if self.boxes is None else self.boxes
            return self._found(self.annotations), detections
        codes = [self.document.truth.ann_to_rle(dict(each)) for each in self.annotations]
        areas = [
            _area(code) if each.get("area") is None else each["area"]
            for each, code in zip(self.annotations, codes, strict=True)
        ]
        masks = [_as_bytes(each["segmentation"]) for each in self.results]
        sizes = [
            each["bbox"][2] * each["bbox"][3] if self.document.by_boxes else _area(mask)
            for each, mask in zip(self.results, masks, strict=True)
        ]
        return self._found(self.annotations, codes, areas), self._found(self.results, masks, sizes)

    def _found(
        self,
        entries: Entries,
        codes: list[dict[str, Any]] | None = None,
        areas: Sequence[float] | None = None,
    ) -> Found:
        boxes = [[0.0] * 4 if codes is not None else _box(entry) for entry in entries]
        labels = [self.document.labels[entry["category_id"]] for entry in entries]
        return Found(
            np.array(boxes, dtype=np.float64).reshape(-1, 4),
            np.array(labels, dtype=np.int64),
            np.array([entry.get("score", 0.0) for entry in entries], dtype=np.float64),
            np.array([bool(entry.get("iscrowd")) for entry in entries], dtype=np.bool_),
            codes,
            None if areas is None else np.array(areas, dtype=np.float64),
        )


def document_images(
    truth: hotcoco.COCO,
    document: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    category_ids: Sequence[int],
    *,
    with_entries: bool,
) -> dict[Any, DocumentImage]:
    """The images by their ids, in the order of the ids, which is that of pycocotools.

    Args:
        truth: the document.
        document: see ``CocoNumbered.coco_document``.
        results: checked by ``toolkit.formats.coco_results``.
        category_ids: the document's id of each class; what is of others is left out.
        with_entries: whether objects and detections will be asked for.
    """
    labels = {category: label for label, category in enumerate(category_ids)}
    shared = Document(truth, labels, any("bbox" in entry for entry in results[:1]))
    ids = sorted(each["id"] for each in document["images"])
    if not with_entries:
        return dict.fromkeys(ids, DocumentImage(shared))
    boxes = _boxes_by_image(results, ids, labels) if isinstance(results, BoxResults) else {}
    images = {image: DocumentImage(shared, boxes=boxes.get(image)) for image in ids}
    for entry in document["annotations"]:
        if entry["category_id"] in labels:
            images[entry["image_id"]].annotations.append(entry)
    for entry in () if boxes else results:
        if entry["category_id"] in labels:
            images[entry["image_id"]].results.append(entry)
    return images


def _boxes_by_image(
    results: BoxResults, image_ids: Sequence[int], labels: Mapping[int, int]
) -> dict[int, Found]:
    """The detections of each image, in the order of the file."""
    columns = results.columns[np.isin(results.columns[:, 6], list(labels))]
    columns = columns[np.argsort(columns[:, 0], kind="stable")]
    starts = np.searchsorted(columns[:, 0], image_ids)
    ends = np.searchsorted(columns[:, 0], image_ids, side="right")
    categories = np.array(sorted(labels), dtype=np.int64)
    classes = np.array([labels[category] for category in categories], dtype=np.int64)
    found = classes[np.searchsorted(categories, columns[:, 6])]
    return {
        image: Found(columns[a:b, 1:5], found[a:b], columns[a:b, 5], np.zeros(b - a, dtype=np.bool_))
        for image, a, b in zip(image_ids, starts, ends, strict=True)
    }


def load_results(truth: hotcoco.COCO, results: Sequence[Mapping[str, Any]]) -> hotcoco.COCO:
    """Detections for hotcoco, which takes boxes in columns several times as fast as one by one."""
    if not results:
        return truth.load_res(np.zeros((0, 7)), segmentation=[])
    if isinstance(results, BoxResults):
        return truth.load_res(results.columns)
    return truth.load_res([dict(entry) for entry in results])


def _as_bytes(code: Mapping[str, Any]) -> dict[str, Any]:
    """Compressed run lengths in the form that pycocotools returns."""
    counts = code["counts"]
    return {"size": code["size"], "counts": counts.encode() if isinstance(counts, str) else counts}


def _box(entry: Mapping[str, Any]) -> Sequence[float]:
    """The box of an entry, or else that around its mask or its points."""
    if "bbox" in entry:
        box: Sequence[float] = entry["bbox"]
        return box
    if "segmentation" in entry:
        return coco_mask.toBbox(_as_bytes(entry["segmentation"])).tolist()  # type: ignore[no-any-return]
    points = np.array(entry["keypoints"], dtype=np.float64).reshape(-1, 3)[:, :2]
    return [*points.min(0).tolist(), *(points.max(0) - points.min(0)).tolist()]


def _area(code: Mapping[str, Any]) -> float:
    return float(coco_mask.area(code))
