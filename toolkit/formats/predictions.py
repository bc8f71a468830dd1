"""Reads predictions that a model of ours, or anyone, has left on disk.

A folder of label images (``<sample id>.png``, values are class indexes, 255 is none), a folder that
``toolkit infer`` or ``toolkit panoptic`` wrote, or its ``predictions.json``, whose categories say which label
value stands for each; a list of COCO results; or COCO's panoptic results, such as ``panoptic.json`` with the
folder ``panoptic/``. A ``classes.csv`` beside label images says what their values stand for.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from toolkit.data.label_maps import read_label_map
from toolkit.data.label_values import LabelValues
from toolkit.data.segments import PANOPTIC
from toolkit.errors import DataError, InvalidDataError
from toolkit.formats.box_results import columns_of_text
from toolkit.formats.class_table import CLASS_TABLE, read_class_table
from toolkit.formats.coco_panoptic_file import is_panoptic
from toolkit.formats.coco_results import checked_results, result_instances, valid_boxes
from toolkit.formats.coco_schema import PredictedAnnotation, PredictedCategory, PredictedImage
from toolkit.formats.panoptic_results import PANOPTIC_FILE, PanopticResults
from toolkit.formats.prediction_names import Names, say_left_out
from toolkit.formats.value_table import ValueTable
from toolkit.reading.fields import shown
from toolkit.reading.files import is_there, read_bytes
from toolkit.reading.json_text import parse_json
from toolkit.reading.records import check_unique, fault_list, name_of, records
from toolkit.types import VOID, Instances, Prediction, Size

logger = logging.getLogger("toolkit")

PREDICTIONS_FILE = "predictions.json"

K = TypeVar("K")


class PredictionFiles:
    """Predictions on disk, read one at a time by the sample's id.

    Args:
        path: a folder or a JSON file, see the module.
        classes: the classes of the dataset; names in a JSON file are matched with them. None for the
            categories of the file itself, which must be a document with images and categories.
        image_ids: the number by which a list of results names each sample; without it such a list cannot be
            read.
        category_ids: likewise the number of each class; 1, 2, 3 … when None.
        label_values: of the label images in a folder without a ``classes.csv``; class indexes when None.

    Attributes:
        sizes: height and width of each image, where the file says them; by its name.
        frames: the number of each image that is a frame of a tracked video; by its name.
        results: the detections, where ``path`` is a list of COCO results.
        panoptic: the segments, where there are any.

    Raises:
        DataError: when there is nothing at ``path``, or it is none of the forms above.
    """

    def __init__(
        self,
        path: Path,
        classes: Sequence[str] | None,
        *,
        image_ids: Mapping[str, int] | None = None,
        category_ids: Sequence[int] | None = None,
        label_values: LabelValues | None = None,
    ) -> None:
        self.path = path
        self.classes: tuple[str, ...] = tuple(classes or ())
        self._own_classes = classes is None
        self.label_files: dict[str, Path] = {}
        self.records: dict[str, dict[str, Any]] = {}
        self.sizes: dict[str, Size | None] = {}
        self.frames: dict[str, int] = {}
        # Where values of label images do not stand for the classes of these indexes.
        self.values: ValueTable | None = None
        self._label_values = label_values
        self.results: Sequence[dict[str, Any]] | None = None
        self.panoptic: PanopticResults | None = None
        self._image_ids = image_ids
        self._matched: dict[str, str] | None = None
        self._category_ids = tuple(category_ids or range(1, len(self.classes) + 1))
        if path.is_dir() and is_there(path / PANOPTIC_FILE):
            self._read_json(path / PANOPTIC_FILE)
        if path.is_dir() and is_there(path / PREDICTIONS_FILE):
            self._read_json(path / PREDICTIONS_FILE)
        elif path.is_dir() and self.panoptic is None:
            self._read_folder(path)
        elif path.is_file():
            self._read_json(path)
        elif self.panoptic is None:
            raise DataError(
                f"no predictions at {path}: expected a folder of label images, or a {PREDICTIONS_FILE}. Hint:"
                " check its name"
            )

    @cached_property
    def has_instances(self) -> bool:
        """Whether there are objects, rather than only label maps."""
        return (
            self.results is not None
            or (bool(self.records) and not self.label_files)
            or any(r["annotations"] for r in self.records.values())
        )

    def require(self, ids: Sequence[str]) -> None:
        """Check that every sample has a prediction; where the file has objects only, an image that it does
        not name has none. Predictions of other images are left out, which is said.

        Raises:
            DataError: says how many have none, and the first five; or when a name could mean two images.
        """
        if self.results is not None:
            return
        self._matched = self._names.match(ids)
        say_left_out(logger.warning, self.path, self._names.others(self._matched.values()))
        missing = [sample_id for sample_id in ids if sample_id not in self._matched]
        no_objects = self.has_instances and not self.label_files and len(missing) < len(ids)
        if missing and not no_objects:
            first = ", ".join(missing[:5])
            raise DataError(
                f"{len(missing)} of {len(ids)} images have no prediction in {self.path}:"
                f" {first}{', …' if len(missing) > 5 else ''}. Hint: name the files after the images, in"
                " the same subfolders"
            )

    def read(self, sample_id: str, size: Size) -> Prediction:
        """The prediction for one sample of this size.

        Raises:
            DataError: when it has another size, an unknown class, or cannot be read; names the file.
        """
        if self.results is not None:
            return Prediction(
                sample_id,
                size,
                instances=self._instances(sample_id, self._results_by_id.get(sample_id, []), size),
            )
        key = self._key(sample_id)
        if key is None and self.has_instances and not self.label_files:
            return Prediction(sample_id, size, instances=result_instances([], size))
        if key is None:
            raise DataError(f"{sample_id} has no prediction in {self.path}")
        label_map = None
        if key in self.label_files:
            label_map = read_label_map(self.label_files[key], size)
            if self.values is not None:
                label_map = self.values.translated(label_map, self.label_files[key], self.path)
            if tuple(label_map.shape) != size:
                raise DataError(
                    f"{self.label_files[key]} is {list(label_map.shape)} (height, width), but the image"
                    f" {sample_id} is {list(size)}"
                )
        record, extras = self.records.get(key), {}
        if self.panoptic is not None and key in self.panoptic:
            extras[PANOPTIC] = self.panoptic.read(key, size)
        no_objects = label_map is not None and not self.has_instances
        if record is None or no_objects:
            return Prediction(sample_id, size, label_map, extras=extras)
        instances = self._instances(sample_id, record["annotations"], size)
        return Prediction(sample_id, size, label_map, instances, extras)

    def _instances(self, sample_id: str, annotations: Sequence[Mapping[str, Any]], size: Size) -> Instances:
        try:
            return result_instances(annotations, size, areas=self.results is not None)
        except InvalidDataError as error:
            raise DataError(
                f"{self.path}, image {sample_id}: {self._culprit(annotations, size)}{error}. Hint: correct"
                " the file,"
                " or predict this image again"
            ) from error

    def _culprit(self, annotations: Sequence[Mapping[str, Any]], size: Size) -> str:
        """The name of the annotation that cannot be used, where it is one alone."""
        for annotation in annotations:
            try:
                result_instances([annotation], size, areas=self.results is not None)
            except InvalidDataError:
                return f"{annotation['name']}: " if "name" in annotation else ""
        return ""

    def _key(self, sample_id: str) -> str | None:
        """What the prediction of a sample is called; None where there is none."""
        if self._matched is not None and sample_id in self._matched:
            return self._matched[sample_id]
        return self._names.find(sample_id) if self._matched is None else None

    @cached_property
    def _names(self) -> Names:
        segments = [] if self.panoptic is None else self.panoptic.names
        return Names([*self.label_files, *self.records, *segments], self.path)

    def _read_folder(self, folder: Path) -> None:
        for file in sorted(folder.rglob("*.png")):
            self.label_files[file.relative_to(folder).with_suffix("").as_posix()] = file
        if not self.label_files:
            raise DataError(f"{folder} contains no .png label images and no {PREDICTIONS_FILE}")
        if is_there(folder / CLASS_TABLE):
            rows = read_class_table(folder / CLASS_TABLE)
            named = {row.value: row.name for row in rows if row.name is not None}
            indexes = self._class_indexes(folder / CLASS_TABLE, named)
            self.values = ValueTable(indexes, [row.value for row in rows if row.name is None])
        elif self._label_values is not None:
            values = self._label_values
            self.values = ValueTable(
                {value: index for index, value in enumerate(values.classes)},
                [] if values.void is None else [values.void],
            )

    def _read_json(self, path: Path) -> None:
        what = "predictions: images, categories and annotations, or a list of results"
        data = read_bytes(path, what, DataError)
        if self._image_ids is not None:
            columns = columns_of_text(data)
            self.results = valid_boxes(columns, path, self._image_ids.values(), self._category_ids)
        if self.results is not None:
            return
        content = parse_json(data, str(path), what, DataError)
        if isinstance(content, list):
            self._read_results(path, content)
            return
        if is_panoptic(content) and not self._own_classes:
            self.panoptic = PanopticResults(
                path,
                content,
                self.classes,
                image_ids=self._image_ids,
                category_ids=self._category_ids,
            )
            return
        if not isinstance(content, dict) or not {"images", "categories", "annotations"} <= content.keys():
            found = (
                f"has {', '.join(map(shown, [*content][:5])) or 'nothing'}"
                if isinstance(content, dict)
                else ""
            )
            raise DataError(
                f"{path} is not a predictions file: it {found or f'contains {shown(content)}'}; expected"
                " images, categories and annotations. Hint: give a predictions.json, or a list of COCO"
                " results"
            )
        source = str(path)
        categories = records(
            content["categories"], PredictedCategory, source=source, kind="category", error=DataError
        )
        images = records(content["images"], PredictedImage, source=source, kind="image", error=DataError)
        for kind, entries in (("category", categories), ("image", images)):
            check_unique([entry.id for entry in entries], source, kind, DataError)
        annotations = records(
            content["annotations"], PredictedAnnotation, source=source, kind="annotation", error=DataError
        )
        if self._own_classes:
            self.classes = tuple(dict.fromkeys(category.name for category in categories))
        indexes = self._class_indexes(path, {category.id: category.name for category in categories})
        self._read_label_values(content.get("info"), categories, indexes)
        self._take(path, images, annotations, indexes)

    def _take(
        self,
        path: Path,
        images: Sequence[PredictedImage],
        annotations: Sequence[PredictedAnnotation],
        indexes: Mapping[int | str, int],
    ) -> None:
        """File the annotations under the images."""
        keys: dict[int | str, str] = {}
        for image in images:
            key = Path(image.file_name).as_posix() if Path(image.file_name).name else ""
            if not key:
                raise DataError(
                    f"{path}: {shown(image.file_name)} is not the name of an image. Hint: correct the file"
                )
            if key in self.records:
                raise DataError(f"{path} has two images called {shown(key)}. Hint: rename one")
            keys[image.id] = key
            self.records[key] = {"annotations": []}
            known = image.width is not None and image.height is not None
            self.sizes[key] = (image.height or 0, image.width or 0) if known else None
            if image.frame is not None:
                self.frames[key] = image.frame
            if image.label_map:
                self.label_files[key] = path.parent / image.label_map
        faults = []
        for position, annotation in enumerate(annotations):
            entry = annotation.model_dump(exclude_none=True)
            name = name_of(entry, position, "annotation")
            if annotation.image_id not in keys or annotation.category_id not in indexes:
                what = "image_id" if annotation.image_id not in keys else "category_id"
                faults.append(f"{name}: {what} is {shown(entry[what])}, which the file does not have")
                continue
            label = {"label": indexes[annotation.category_id], "name": name}
            self.records[keys[annotation.image_id]]["annotations"].append(entry | label)
        if faults:
            raise DataError(fault_list(str(path), faults))

    def _read_label_values(
        self, info: Any, categories: Sequence[PredictedCategory], indexes: Mapping[int | str, int]
    ) -> None:
        """What the values of label images stand for: as the categories say, or by their places."""
        stated = [category.label_value for category in categories if category.label_value is not None]
        in_order = list(indexes.values())
        if stated and len(stated) == len(in_order):
            void = info.get("void_value") if isinstance(info, Mapping) else None
            values = [void] if type(void) is int and 0 <= void <= VOID else []
            self.values = ValueTable(dict(zip(stated, in_order, strict=True)), values)
        elif in_order != list(range(len(self.classes))):
            self.values = ValueTable(dict(enumerate(in_order)), [])

    def _read_results(self, path: Path, results: list[Any]) -> None:
        if self._image_ids is None:
            raise DataError(
                f"{path} is a list of results, which names images by numbers that are not known here. Hint:"
                " name a document with images and categories, such as the predictions.json of"
                " toolkit infer"
            )
        self.results = checked_results(results, path, self._image_ids.values(), self._category_ids)

    @cached_property
    def _results_by_id(self) -> dict[str, list[dict[str, Any]]]:
        """The results of each sample, with labels."""
        assert self.results is not None  # the caller saw to it
        assert self._image_ids is not None
        labels = {number: label for label, number in enumerate(self._category_ids)}
        by_image: dict[int, list[dict[str, Any]]] = {number: [] for number in self._image_ids.values()}
        for position, entry in enumerate(self.results):
            label = {"label": labels[entry["category_id"]], "name": f"result {position}"}
            by_image[entry["image_id"]].append(entry | label)
        return {sample_id: by_image[number] for sample_id, number in self._image_ids.items()}

    def _class_indexes(self, path: Path, categories: Mapping[K, str]) -> dict[K, int]:
        unknown = sorted(set(categories.values()) - set(self.classes))
        if unknown:
            raise DataError(
                f"{path} has classes that the dataset does not have: {', '.join(unknown)}. The dataset has:"
                f" {', '.join(self.classes)}"
            )
        places = {name: index for index, name in enumerate(self.classes)}
        return {category_id: places[name] for category_id, name in categories.items()}
