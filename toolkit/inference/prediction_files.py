"""Writes the files of one prediction: what its task writes, label images with their table of values, and the
prediction drawn over the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from toolkit import registry
from toolkit.data.label_values import LabelValues
from toolkit.formats.class_table import CLASS_TABLE, write_class_table
from toolkit.types import Prediction, Sample
from toolkit.visualization.drawing import confident, fit_jpeg, overlay, write_picture
from toolkit.visualization.palettes import Palette


class PredictionFiles:
    """Writes the files of predictions into a folder. Its functions may be called from several threads, and
    enter each file in ``outputs``, by kind, when it is there.

    Args:
        folder: of the results.
        classes: names of the classes.
        palette: one RGB color per class.
        values: which value stands for each class in label images.
        overlays: whether to draw predictions over the images.
        draw_above: score that an object needs to be drawn.
    """

    def __init__(
        self,
        folder: Path,
        classes: Sequence[str],
        palette: Palette,
        values: LabelValues,
        *,
        overlays: bool,
        draw_above: float,
    ) -> None:
        self.folder, self.classes, self.palette, self.values = folder, classes, palette, values
        self.overlays, self.draw_above = overlays, draw_above
        self._has_class_table = False

    def write(self, stem: str, sample: Sample, prediction: Prediction, outputs: dict[str, str]) -> None:
        """Write all files of an image, which are called ``stem``."""
        self.write_prediction(stem, prediction, outputs)
        if self.overlays:
            self.draw(stem, sample.image, prediction, outputs)

    def write_prediction(self, stem: str, prediction: Prediction, outputs: dict[str, str]) -> None:
        """Write the files of a prediction as its task does."""
        stored, palette = self._as_stored(prediction)
        for write in registry.functions_for("write", prediction.fields()):
            outputs |= write(stored, self.folder, stem, palette)

    def draw(self, stem: str, pixels: Tensor, prediction: Prediction, outputs: dict[str, str]) -> None:
        """Draw a prediction over the pixels of its image, uint8 ``[3, H, W]``."""
        shown = confident(prediction, self.draw_above)
        drawn = overlay(pixels, shown, self.classes, self.palette, legend=True)
        path = f"overlays/{stem}.jpg"
        write_picture(self.folder / path, fit_jpeg(drawn))
        outputs["overlay"] = path

    def label_values(self) -> tuple[LabelValues, Palette]:
        """The values of label images and the colors by value; writes the table that says so beside them."""
        if not self._has_class_table:  # by every thread that comes before the first is done, all the same
            write_class_table(self.folder / "labels" / CLASS_TABLE, self.classes, self.values, self.palette)
            self._has_class_table = True
        values = self.values
        return values, self.palette if values.are_indexes else values.palette(self.palette)

    def _as_stored(self, prediction: Prediction) -> tuple[Prediction, Palette]:
        """A prediction with the values that its label image gets, and the colors by those values."""
        if prediction.label_map is None:
            return prediction, self.palette
        values, palette = self.label_values()
        if values.are_indexes:
            return prediction, palette
        return replace(prediction, label_map=values.encode(prediction.label_map)), palette
