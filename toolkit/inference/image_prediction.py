"""A prediction together with its image and the names of its classes, as returned by ``Predictor.predict``."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from toolkit.config.scale import Scale
from toolkit.errors import DataError, InvalidDataError, UsageError
from toolkit.inference.coco_documents import coco_document
from toolkit.inference.findings import Findings, counts_by_class, findings_of, shares
from toolkit.inference.measured_images import place_of
from toolkit.inference.reading import read_again
from toolkit.measuring.geojson import geojson_of
from toolkit.measuring.sizes import GivenSize, sizes_of
from toolkit.measuring.tables import class_columns, class_rows, object_columns, object_rows
from toolkit.runtime.extras import import_pandas, import_supervision
from toolkit.runtime.files import atomic_write
from toolkit.types import Prediction, Sample
from toolkit.visualization.drawing import DRAW_ABOVE, confident, overlay, write_picture
from toolkit.visualization.palettes import Palette, class_palette
from toolkit.wording import counted

NOTEBOOK_SIDE = 1024
"""The longest side, in pixels, of the picture that a notebook shows automatically; ``plot`` returns the full
size.
"""


@dataclass(frozen=True, repr=False, eq=False)
class ImagePrediction(Prediction):
    """A ``Prediction`` that knows its image and its classes, so that it can be drawn, saved and exported.

    A notebook shows it as a picture. If the image is a file, it is not kept but read again when it is drawn,
    so that the predictions of thousands of files fit into memory.

    Attributes:
        classes: the names that labels stand for.
        palette: one RGB color per class.
        draw_above: minimum score of the objects that are drawn and counted.
        path: the path of the image, if it is a file.
        about: the model that made the prediction, as in ``about.json``.
        kept_image: the image, if it is not a file.
        scale: how the values of the file became 8 bits.
    """

    classes: tuple[str, ...] = ()
    palette: Palette = ()
    draw_above: float = DRAW_ABOVE
    path: str | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    kept_image: Tensor | None = None
    scale: Scale | None = None

    @classmethod
    def of(
        cls,
        prediction: Prediction,
        sample: Sample,
        *,
        classes: Sequence[str],
        palette: Palette | None = None,
        draw_above: float = DRAW_ABOVE,
        about: Mapping[str, Any] | None = None,
        scale: Scale | None = None,
    ) -> ImagePrediction:
        """Combine a model's prediction with what is known about it. ``Predictor.predict`` does this, and so
        can code that calls a model directly::

            ImagePrediction.of(model.predict([sample])[0], sample, classes=model.classes).plot()

        Args:
            prediction: the prediction for the sample.
            sample: the sample; its image is kept if it is not a file.
            classes: the names that labels stand for.
            palette: one RGB color per class; the default colors when None.
            draw_above, about, scale: see the attributes.

        Raises:
            InvalidDataError: when the prediction is for an image of another size.
        """
        if prediction.size != sample.size:
            raise InvalidDataError(
                f"{prediction!r} is not of the image of {sample!r}, which has another size"
            )
        own = {each.name: getattr(prediction, each.name) for each in fields(Prediction)}
        kept = sample.image if sample.path is None else None
        return cls(
            **own,
            classes=tuple(classes),
            palette=class_palette(classes) if palette is None and classes else palette or (),
            draw_above=draw_above,
            path=sample.path,
            about=about or {},
            kept_image=kept,
            scale=scale,
        )

    def __repr__(self) -> str:
        found = self.findings()
        words = [f"{self.size[0]}x{self.size[1]}"]
        if self.instances is not None:
            total = len(self.instances)
            lower = f"; {found.below} below {self.draw_above:g}" if found.below else ""
            kinds = counts_by_class(found.found) or "none to be drawn"
            named = f": {kinds}{lower}" if total else ""
            words.append(f"{counted(total, 'instance')}{named}")
        if self.label_map is not None:
            words.append(shares(found.pixels, self.size[0] * self.size[1]) or "no class in any pixel")
        words += map(str, self.extras)
        return f"{type(self).__name__}({self.sample_id!r}, {', '.join(words)})"

    @property
    def image(self) -> Tensor:
        """The image, uint8 ``[3, H, W]``, RGB.

        Raises:
            ImageError: when its file no longer exists, or cannot be read.
            DataError: when the file has a different size than at the time of the prediction.
        """
        if self.kept_image is not None:
            return self.kept_image
        assert self.path is not None  # it is one or the other
        return read_again(self.path, self.size, self.scale)

    @property
    def names(self) -> list[str]:
        """The name of the class of each object, in the order of ``instances``; empty without instances."""
        return [] if self.instances is None else [self._name(i) for i in self.instances.labels.tolist()]

    def findings(self) -> Findings:
        """Numbers of objects and pixels by class; objects below ``draw_above`` are left out."""
        return findings_of(self, self.classes, self.draw_above)

    def plot(self, above: float | None = None) -> Image.Image:
        """The prediction drawn over its image.

        Args:
            above: minimum score of the objects to draw; ``draw_above`` when None.

        Returns:
            An RGB picture of the image's size.

        Raises:
            ImageError, DataError: as ``image``.
        """
        return Image.fromarray(self._drawn(above))

    def save(self, path: str | os.PathLike[str], above: float | None = None) -> None:
        """Write the picture of ``plot`` (.jpg, .png, .webp, .bmp), or the whole prediction as a COCO
        document (.json).

        Args:
            path: the file to write; its suffix determines the format. Missing folders are created.
            above: as for ``plot``; the document contains objects with any score.

        Raises:
            UsageError: when the suffix is none of these.
            OutputError: when the file cannot be written.
            ImageError, DataError: as ``image``.
        """
        suffix = os.path.splitext(path)[1].lower()
        if suffix == ".json":
            with atomic_write(path, "w") as file:
                json.dump(self.to_coco(), file)
            return
        if suffix not in (".jpg", ".jpeg", ".png", ".webp", ".bmp"):
            raise UsageError(
                f"{os.fspath(path)}: expected a name that ends in .jpg, .png, .webp or .bmp for a picture, or"
                f" .json for a COCO document, not {suffix!r}"
            )
        write_picture(path, self._drawn(above))

    def to_coco(self) -> dict[str, Any]:
        """A COCO document with this one image, as in ``predictions.json``: ``info``,
        ``images``, ``categories`` and ``annotations``, whose masks are run lengths.

        For a label map, each class that occurs becomes one annotation, without a score.
        """
        name = os.path.basename(self.path) if self.path else ""
        return coco_document(self, self.classes, file_name=name, about=self.about)

    def to_dataframe(self, *, measure: bool = False, pixel_size: GivenSize = None) -> Any:
        """A ``pandas.DataFrame``, one row per object: ``image``, ``class``, ``score``, the box ``x0``,
        ``y0``, ``x1``, ``y1`` in pixels, and ``area`` in square pixels. For a label map, one row per class
        that occurs: ``image``, ``class``, ``pixels``, and ``share``, from 0 to 1.

        Args:
            measure: the columns of ``objects.csv`` of ``toolkit measure``, colors included, instead; for a
                label map, those of its ``classes.csv``.
            pixel_size: with ``measure``, as for ``toolkit.measure``: areas and lengths in a unit, too; that
                which the file states itself when None.

        Raises:
            UnavailableError: when pandas is not installed.
            UsageError: when there are neither objects nor a label map, or ``pixel_size`` is wrong.
            ImageError, DataError: with ``measure``, as ``image``.
        """
        pandas = import_pandas("to_dataframe()")
        if measure:
            rows, names = self._measured(pixel_size)
            return pandas.DataFrame(rows, columns=names)
        columns = self._columns()
        # Without rows pandas cannot infer the types of columns, and a table of many images would lose its
        # numbers.
        kinds = {name: kind for name, kind in columns.items() if kind is not None}
        return pandas.DataFrame(self._rows(), columns=list(columns)).astype(kinds)

    def to_geojson(self, *, pixel_size: GivenSize = None) -> dict[str, Any]:
        """The polygons of objects, and of the classes of a label map, as a GeoJSON document of plain values:
        on the map for a GeoTIFF, otherwise in pixels; properties are what ``toolkit measure`` writes.

        Args:
            pixel_size: as for ``to_dataframe``.

        Raises:
            UsageError: when there are neither objects nor a label map, or ``pixel_size`` is wrong.
        """
        self._columns()  # refuses what has neither
        path = None if self.path is None else Path(self.path)
        known = sizes_of({self.sample_id: path}, pixel_size).of(self.sample_id)
        rows = object_rows(self, self.classes, known=known)
        shares = class_rows(self, self.classes, objects=rows, known=known)
        return geojson_of(self, rows, shares, self.classes, place_of(path)[0])

    def to_supervision(self) -> Any:
        """A ``supervision.Detections`` with boxes, masks (dense, one byte per pixel and object), scores,
        labels, and names as ``data["class_name"]``.

        Raises:
            UnavailableError: when supervision is not installed.
            UsageError: when there are no instances.
        """
        supervision = import_supervision("to_supervision()")
        found = self.instances
        if found is None:
            raise UsageError(
                f"{self.sample_id!r} has a label map and no objects, which are all that supervision's"
                " Detections can contain. Hint: to_coco() gives a region for each class"
            )
        return supervision.Detections(
            xyxy=found.boxes_xyxy.numpy(),
            mask=None if found.masks is None else found.masks.dense().numpy(),
            confidence=None if found.scores is None else found.scores.numpy(),
            class_id=found.labels.numpy(),
            data={"class_name": np.array(self.names, dtype=str)},
        )

    def _repr_png_(self) -> bytes | None:
        """What a notebook shows; None, and so the text, if the image is no longer available."""
        try:
            picture = self.plot()
        except DataError:
            return None
        picture.thumbnail((NOTEBOOK_SIDE, NOTEBOOK_SIDE))
        data = io.BytesIO()
        picture.save(data, "PNG")
        return data.getvalue()

    def _drawn(self, threshold: float | None) -> Any:
        shown = confident(self, self.draw_above if threshold is None else threshold)
        return overlay(self.image, shown, self.classes, self.palette, legend=True)

    def _name(self, label: int) -> str:
        return self.classes[label] if label < len(self.classes) else str(label)

    def _columns(self) -> dict[str, str | None]:
        """The columns of the table, each with the type of its numbers; None if it has none."""
        names: dict[str, str | None] = {"image": None, "class": None}
        if self.instances is not None:
            return names | dict.fromkeys(("score", "x0", "y0", "x1", "y1", "area"), "float64")
        if self.label_map is not None:
            return names | {"pixels": "int64", "share": "float64"}
        raise UsageError(
            f"{self.sample_id!r} has neither objects nor a label map to make a table of. Hint: its values"
            f" are in extras: {', '.join(self.extras)}"
        )

    def _measured(self, pixel_size: GivenSize) -> tuple[list[dict[str, Any]], list[str]]:
        """The rows and columns of a table of what is measured."""
        self._columns()  # refuses what has neither objects nor a label map
        sizes = sizes_of({self.sample_id: None if self.path is None else Path(self.path)}, pixel_size)
        known = sizes.of(self.sample_id)
        if self.instances is None:
            return class_rows(self, self.classes, objects=(), known=known), class_columns(sizes.unit)
        rows = object_rows(self, self.classes, image=self.image, known=known)
        return rows, object_columns(sizes.unit, with_colors=True)

    def _rows(self) -> list[list[Any]]:
        found = self.instances
        if found is None:
            total = self.size[0] * self.size[1]
            pixels = self.findings().pixels
            return [[self.sample_id, name, count, count / total] for name, count in pixels.items()]
        boxes = found.boxes_xyxy
        sides = (boxes[:, 2:] - boxes[:, :2]).double()
        areas = (sides[:, 0] * sides[:, 1] if found.masks is None else found.masks.areas()).tolist()
        scores = [None] * len(found) if found.scores is None else found.scores.tolist()
        return [
            [self.sample_id, name, score, *box, area]
            for name, score, box, area in zip(self.names, scores, boxes.tolist(), areas, strict=True)
        ]
