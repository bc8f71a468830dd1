"""Predictions stored on disk, as a model that looks them up."""

from __future__ import annotations

from collections.abc import Sequence

from toolkit.formats.predictions import PredictionFiles
from toolkit.models.contract import Model
from toolkit.types import Prediction, Sample


class RecordedModel(Model):
    """Returns the predictions stored in files.

    Args:
        files: the predictions.
    """

    def __init__(self, files: PredictionFiles) -> None:
        super().__init__(files.classes)
        self.files = files

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        """The stored prediction for each sample.

        Raises:
            DataError: when a prediction is missing, of another size or cannot be read; names the file.
        """
        return [self.files.read(sample.id, sample.size) for sample in samples]
