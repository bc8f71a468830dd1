"""Where the images of ``predict_folder`` are predicted: in this process, or in others."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator

from toolkit.inference.image_batches import Work, predict_images
from toolkit.inference.inputs import InputImage
from toolkit.inference.predictor import Predictor
from toolkit.inference.records import Record
from toolkit.inference.results import ResultFolder
from toolkit.inference.sources import Inputs


class Engine(ABC):
    """Where the images of ``predict_folder`` are predicted."""

    def check(self, predictor: Predictor, inputs: Inputs) -> None:  # noqa: B027 - most can do everything
        """Raise a ``UsageError`` for what cannot be predicted there, before anything is written."""

    @abstractmethod
    def records(
        self, predictor: Predictor, images: PendingImages, results: ResultFolder, work: Work
    ) -> Generator[Record, None, None]:
        """Predict images, write their files and enter them in a manifest; yields the record of each."""


class InThisProcess(Engine):
    """By the network of the predictor, one batch after another."""

    def records(
        self, predictor: Predictor, images: PendingImages, results: ResultFolder, work: Work
    ) -> Generator[Record, None, None]:
        """In the order of the images."""
        for record in predict_images(predictor, images, results, work):
            results.append(record)
            yield record


class PendingImages:
    """The images to predict, one after another; those that are done are skipped.

    Attributes:
        names: the names of all images so far, in order.
        resumed: number of those done before.
        total: total number of images, if known.
    """

    def __init__(self, inputs: Inputs, results: ResultFolder) -> None:
        self._inputs, self._results = inputs, results
        self._todo = [image for image in inputs.images if not results.is_done(image)]
        self.names = [image.name for image in inputs.images]
        self.resumed = len(inputs.images) - len(self._todo)
        expected = [stream.expected_frames() for stream in inputs.streams]
        known = [count for count in expected if count is not None]
        self.total = len(inputs.images) + sum(known) if len(known) == len(expected) else None

    def __iter__(self) -> Iterator[InputImage]:
        yield from self._todo
        for stream in self._inputs.streams:
            for frame in stream.frames(self._results.is_done):
                self.names.append(frame.name)
                if frame.pixels is None and not frame.error:
                    self.resumed += 1
                else:
                    yield frame
