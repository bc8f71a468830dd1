"""Reads predictions that a model of ours, or anyone, has left on disk.

A folder of label images (``<sample id>.png``, values are class indexes, 255 is none), a folder that ``toolkit infer`` wrote,
or its ``predictions.json``, where a label value is the place of its class among the file's categories.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from toolkit.errors import DataError
from toolkit.images import read_label_map
from toolkit.types import VOID, Instances, Masks, Prediction, Size

PREDICTIONS_FILE = "predictions.json"


class PredictionFiles:
    """Predictions on disk, read one at a time by the sample's id.

    Args:
        path: a folder or a JSON file, see the module.
        classes: the classes of the dataset; names in a JSON file are matched with them.

    Raises:
        DataError: when there is nothing at ``path``, or it is none of the forms above.
    """

    def __init__(self, path: Path, classes: Sequence[str]) -> None:
        self.path = path
        self.classes = tuple(classes)
        self.label_files: dict[str, Path] = {}
        self.records: dict[str, dict[str, Any]] = {}
        # What each value of a label image stands for here, where a JSON file lists the classes in another order.
        self.values: Tensor | None = None
        if path.is_dir() and (path / PREDICTIONS_FILE).is_file():
            self._read_json(path / PREDICTIONS_FILE)
        elif path.is_dir():
            self._read_folder(path)
        elif path.is_file():
            self._read_json(path)
        else:
            raise DataError(f"no predictions at {path}: expected a folder of label images, or a {PREDICTIONS_FILE}")

    def require(self, ids: Sequence[str]) -> None:
        """Check that every sample has a prediction.

        Raises:
            DataError: says how many have none, and the first five.
        """
        missing = [sample_id for sample_id in ids if self._key(sample_id) is None]
        if missing:
            first = ", ".join(missing[:5])
            raise DataError(
                f"{len(missing)} of {len(ids)} images have no prediction in {self.path}: {first}{', …' if len(missing) > 5 else ''}. "
                "Repair: name the files after the images, in the same subfolders"
            )

    def read(self, sample_id: str, size: Size) -> Prediction:
        """The prediction for one sample of this size.

        Raises:
            DataError: when it has another size, an unknown class, or cannot be read; names the file.
        """
        key = self._key(sample_id)
        if key is None:
            raise DataError(f"{sample_id} has no prediction in {self.path}")
        label_map = None
        if key in self.label_files:
            label_map = read_label_map(self.label_files[key])
            if self.values is not None:
                label_map = self._translate(label_map, key)
            if tuple(label_map.shape) != size:
                raise DataError(
                    f"{self.label_files[key]} is {list(label_map.shape)} (height, width), but the image {sample_id} is {list(size)}"
                )
        record = self.records.get(key)
        instances = self._instances(record, size) if record is not None and (record["annotations"] or label_map is None) else None
        return Prediction(sample_id, size, label_map, instances)

    def _translate(self, label_map: Tensor, key: str) -> Tensor:
        """Values as in the file's own list of classes, to those of the dataset."""
        assert self.values is not None  # the caller saw to it
        translated = self.values[label_map.long()]
        unknown = (translated == VOID) & (label_map != VOID)
        if bool(unknown.any()):
            raise DataError(f"{self.label_files[key]} has the value {int(label_map[unknown][0])}, which is no class of {self.path}")
        return translated

    def _key(self, sample_id: str) -> str | None:
        """The id itself, or its last part when the predictions were written without the dataset's subfolders."""
        for key in (sample_id, Path(sample_id).name):
            if key in self.label_files or key in self.records:
                return key
        return None

    def _read_folder(self, folder: Path) -> None:
        for file in sorted(folder.rglob("*.png")):
            self.label_files[file.relative_to(folder).with_suffix("").as_posix()] = file
        if not self.label_files:
            raise DataError(f"{folder} holds no .png label images and no {PREDICTIONS_FILE}")

    def _read_json(self, path: Path) -> None:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            categories = {category["id"]: category["name"] for category in content["categories"]}
            images = {image["id"]: image for image in content["images"]}
            annotations = list(content["annotations"])
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise DataError(
                f"{path} is no predictions file: {type(error).__name__} {error}; expected images, categories and annotations"
            ) from None
        indexes = self._class_indexes(path, categories)
        if list(indexes.values()) != list(range(len(self.classes))):
            self.values = torch.full((256,), VOID, dtype=torch.uint8)
            self.values[: len(indexes)] = torch.tensor(list(indexes.values()), dtype=torch.uint8)
        keys = {}
        for image_id, image in images.items():
            key = Path(image["file_name"]).with_suffix("").as_posix()
            keys[image_id] = key
            self.records[key] = {"path": path, "annotations": []}
            if image.get("label_map"):
                self.label_files[key] = path.parent / image["label_map"]
        for position, annotation in enumerate(annotations):
            if annotation.get("image_id") not in keys or annotation.get("category_id") not in indexes:
                raise DataError(f"{path}: annotations[{position}] names an unknown image or category: {annotation}")
            record = self.records[keys[annotation["image_id"]]]
            record["annotations"].append(annotation | {"label": indexes[annotation["category_id"]]})

    def _class_indexes(self, path: Path, categories: Mapping[int, str]) -> dict[int, int]:
        unknown = sorted(set(categories.values()) - set(self.classes))
        if unknown:
            raise DataError(
                f"{path} has classes that the dataset has not: {', '.join(unknown)}. The dataset has: {', '.join(self.classes)}"
            )
        return {category_id: self.classes.index(name) for category_id, name in categories.items()}

    @staticmethod
    def _instances(record: Mapping[str, Any], size: Size) -> Instances:
        annotations = record["annotations"]
        if not annotations:
            return Instances.empty(size, with_masks=True, with_scores=True)
        x0, y0, width, height = torch.tensor([annotation["bbox"] for annotation in annotations], dtype=torch.float32).unbind(1)
        return Instances(
            size,
            torch.stack([x0, y0, x0 + width, y0 + height], dim=1),
            torch.tensor([annotation["label"] for annotation in annotations]),
            Masks.from_coco([annotation["segmentation"] for annotation in annotations], size),
            torch.tensor([annotation.get("score", 1.0) for annotation in annotations], dtype=torch.float32),
        )
