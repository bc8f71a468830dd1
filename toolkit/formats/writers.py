"""Writes objects in the formats of COCO, LabelMe, YOLO and VIA, with one writer each, one image at a time.

A writer expects only what its format can represent; ``toolkit.formats.convert`` filters out and counts the
rest.
"""

from __future__ import annotations

import base64
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit.data.dataset import Dataset
from toolkit.errors import DataError
from toolkit.formats.coco_keypoints import to_indices
from toolkit.formats.coco_numbers import coco_numbers
from toolkit.formats.labelme import LABELS_FILE
from toolkit.formats.outlines import one_polygon
from toolkit.formats.regions import Box, Polygon, Region, rectangle
from toolkit.reading.yaml_text import dump_yaml, load_yaml
from toolkit.runtime.files import atomic_write
from toolkit.types import Masks, Size


class Writer(ABC):
    """Writes the annotations of a split.

    Attributes:
        opens_with: the dataset that reads the written files.
        images: image folder, relative to ``folder``.
    """

    opens_with: ClassVar[str]

    def __init__(self, dataset: Dataset, split: str, folder: Path) -> None:
        self.classes = dataset.classes
        self.split = split
        self.folder = folder
        self.images = split

    @abstractmethod
    def add(self, sample_id: str, file_name: str, size: Size, regions: Sequence[Region]) -> None:
        """Write the objects of an image with the file ``file_name`` in the image folder."""

    @abstractmethod
    def finish(self) -> None:
        """Write the file that covers all images."""


class CocoWriter(Writer):
    """``annotations/instances_SPLIT.json``; polygons stay polygons, everything else becomes run lengths."""

    opens_with = "coco"

    def __init__(self, dataset: Dataset, split: str, folder: Path) -> None:
        super().__init__(dataset, split, folder)
        numbers = coco_numbers(dataset)
        self._image_ids, self._category_ids = numbers.image_ids, numbers.category_ids
        self._keypoints = list(dataset.keypoint_names)
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []

    def add(self, sample_id: str, file_name: str, size: Size, regions: Sequence[Region]) -> None:
        """Collect the records of the image."""
        key = self._image_ids[sample_id]
        self._images.append({"id": key, "file_name": file_name, "height": size[0], "width": size[1]})
        for region in regions:
            self._annotations.append(
                {"id": len(self._annotations) + 1, "image_id": key, **self._record(region, size)}
            )

    def _record(self, region: Region, size: Size) -> dict[str, Any]:
        box, area = region.box_xyxy or tight_box(region, size), region.area
        record: dict[str, Any] = {
            "category_id": self._category_ids[region.label],
            "iscrowd": int(region.is_crowd),
        }
        if region.has_mask:
            counts = region.counts(size)
            area = float(Masks(size, (counts,)).areas()[0]) if area is None else area
            outlines = [list(part) for part in region.polygons]
            record["segmentation"] = outlines or {"size": list(size), "counts": counts.decode()}
        record |= {"bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]]}
        record["area"] = (box[2] - box[0]) * (box[3] - box[1]) if area is None else area
        if region.keypoints is not None:
            points = np.array(region.keypoints, np.float64).reshape(-1, 3)
            record |= {
                "keypoints": to_indices(points).flatten().tolist(),
                "num_keypoints": int((points[:, 2] > 0).sum()),
            }
            if not self._keypoints:
                self._keypoints = [f"keypoint_{i + 1}" for i in range(len(region.keypoints) // 3)]
        return record

    def finish(self) -> None:
        """Write the file."""
        keypoints = {"keypoints": self._keypoints, "skeleton": []} if self._keypoints else {}
        categories = [
            {"id": key, "name": name, **keypoints}
            for key, name in zip(self._category_ids, self.classes, strict=True)
        ]
        document = {"images": self._images, "categories": categories, "annotations": self._annotations}
        write_json(self.folder / "annotations" / f"instances_{self.split}.json", document)


class LabelmeWriter(Writer):
    """A JSON file next to each image; several polygons of an object share a ``group_id``, and objects that
    are not polygons are written as masks.
    """

    opens_with = "labelme"

    def add(self, sample_id: str, file_name: str, size: Size, regions: Sequence[Region]) -> None:
        """Write the file of the image."""
        shapes = [
            shape for number, region in enumerate(regions) for shape in self._shapes(region, number, size)
        ]
        document: dict[str, Any] = {
            "version": "5.5.0",
            "flags": {},
            "shapes": shapes,
            "imagePath": Path(file_name).name,
            "imageData": None,
        }
        path = self.folder / self.images / f"{sample_id}.json"
        write_json(path, document | {"imageHeight": size[0], "imageWidth": size[1]})

    def _shapes(self, region: Region, number: int, size: Size) -> list[dict[str, Any]]:
        common: dict[str, Any] = {
            "label": self.classes[region.label],
            "group_id": None,
            "description": "",
            "flags": {},
        }
        if region.polygons:
            group = number if len(region.polygons) > 1 else None
            parts = [np.reshape(part, (-1, 2)).tolist() for part in region.polygons]
            return [
                common | {"points": points, "shape_type": "polygon", "group_id": group} for points in parts
            ]
        x0, y0, x1, y1 = tight_box(region, size)
        if not region.has_mask:
            return [common | {"points": [[x0, y0], [x1, y1]], "shape_type": "rectangle"}]
        pixels = dense(region, size)[int(y0) : int(y1), int(x0) : int(x1)]
        png = base64.b64encode(cv2.imencode(".png", pixels.astype(np.uint8) * 255)[1].tobytes()).decode()
        return [common | {"points": [[x0, y0], [x1 - 1, y1 - 1]], "shape_type": "mask", "mask": png}]

    def finish(self) -> None:
        """Write the list of labels."""
        with atomic_write(self.folder / LABELS_FILE, "w") as file:
            file.write("".join(f"{name}\n" for name in self.classes))


class YoloWriter(Writer):
    """A text file for each image, and ``data.yaml``; an object with several parts becomes one polygon."""

    opens_with = "yolo"

    def __init__(self, dataset: Dataset, split: str, folder: Path) -> None:
        super().__init__(dataset, split, folder)
        self.images = f"images/{split}"

    def add(self, sample_id: str, file_name: str, size: Size, regions: Sequence[Region]) -> None:
        """Write the file of the image."""
        path = (self.folder / "labels" / self.split / file_name).with_suffix(".txt")
        with atomic_write(path, "w") as file:
            file.writelines(
                f"{region.label} {' '.join(f'{value:.12g}' for value in _parts_of_image(region, size))}\n"
                for region in regions
            )

    def finish(self) -> None:
        """Write ``data.yaml``, or add the split to it."""
        path = self.folder / "data.yaml"
        document = (
            load_yaml(path, "names of classes and folders of images", DataError).value
            if path.is_file()
            else {"names": dict(enumerate(self.classes))}
        )
        with atomic_write(path, "w") as file:
            file.write(dump_yaml({**document, self.split: self.images}))


def _parts_of_image(region: Region, size: Size) -> list[float]:
    height, width = size
    if not region.has_mask:
        x0, y0, x1, y1 = tight_box(region, size)
        return [(x0 + x1) / 2 / width, (y0 + y1) / 2 / height, (x1 - x0) / width, (y1 - y0) / height]
    flat = single_polygon(region, size)
    if not all(0 <= value <= (height if index % 2 else width) for index, value in enumerate(flat)):
        flat = one_polygon(dense(region, size))  # parts outside the image cannot be written
    return [value / (height if index % 2 else width) for index, value in enumerate(flat)]


class ViaWriter(Writer):
    """``via_region_data.json`` as VIA 2 exports it, with the class in the attribute ``class``; an object with
    several parts becomes one polygon.
    """

    opens_with = "balloon"

    def __init__(self, dataset: Dataset, split: str, folder: Path) -> None:
        super().__init__(dataset, split, folder)
        self._records: dict[str, Any] = {}

    def add(self, sample_id: str, file_name: str, size: Size, regions: Sequence[Region]) -> None:
        """Collect the record of the image."""
        found = []
        for region in regions:
            flat = single_polygon(region, size) if region.has_mask else rectangle(*tight_box(region, size))
            shape = {"name": "polygon", "all_points_x": list(flat[::2]), "all_points_y": list(flat[1::2])}
            found.append(
                {"shape_attributes": shape, "region_attributes": {"class": self.classes[region.label]}}
            )
        number = (self.folder / self.images / file_name).stat().st_size
        self._records[f"{file_name}{number}"] = {
            "filename": file_name,
            "size": number,
            "regions": found,
            "file_attributes": {},
        }

    def finish(self) -> None:
        """Write the file."""
        write_json(self.folder / self.images / "via_region_data.json", self._records)


def dense(region: Region, size: Size) -> NDArray[np.bool_]:
    """The mask of a region, bool ``[H, W]``."""
    mask: NDArray[np.bool_] = Masks(size, (region.counts(size),)).dense()[0].numpy()
    return mask


def tight_box(region: Region, size: Size) -> Box:
    """The tight box of a region's mask (zeros if that is empty), or its own box if it has no mask."""
    if not region.has_mask and region.box_xyxy is not None:
        return region.box_xyxy
    x0, y0, x1, y1 = Masks(size, (region.counts(size),)).boxes_xyxy()[0].tolist()
    return x0, y0, x1, y1


def single_polygon(region: Region, size: Size) -> Polygon:
    """The region's polygon if it has exactly one, else a polygon with the same pixels."""
    return region.polygons[0] if len(region.polygons) == 1 else one_polygon(dense(region, size))


def write_json(path: Path, document: Any) -> None:
    """Write a document without spaces; NaN is an error."""
    with atomic_write(path, "w") as file:
        json.dump(document, file, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
