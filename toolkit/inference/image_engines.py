"""Where the images of ``predict_folder`` are predicted: in this process, or in others."""

from __future__ import annotations

import itertools
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
    """By the network of the predictor, one batch after another.

    Args:
        show: whether to show the progress of images that do not fit into memory.
    """

    def __init__(self, *, show: bool = False) -> None:
        self._show = show

    def records(
        self, predictor: Predictor, images: PendingImages, results: ResultFolder, work: Work
    ) -> Generator[Record, None, None]:
        """In the order of the images."""
        for record in predict_images(predictor, images, results, work, show=self._show):
            results.append(record)
            yield record


class PendingImages:
    """The images to predict, one after another; those that are done are skipped.

    Attributes:
        resumed: number of those done before, as far as is known yet.
        total: total number of images, if known.
    """

    def __init__(self, inputs: Inputs, results: ResultFolder) -> None:
        self._inputs, self._results = inputs, results
        self._todo = [image for image in inputs.images if not results.is_done(image)]
        self._frames: list[str] = []  # the names of those so far
        self.resumed = len(inputs.images) - len(self._todo)
        expected = [each.check() for each in inputs.lists]
        expected += [stream.expected_frames() for stream in inputs.streams]
        known = [count for count in expected if count is not None]
        self.total = len(inputs.images) + sum(known) if len(known) == len(expected) else None

    def __iter__(self) -> Iterator[InputImage]:
        yield from self._todo
        for image in itertools.chain.from_iterable(self._inputs.lists):
            if self._results.is_done(image):
                self.resumed += 1
            else:
                yield image
        for stream in self._inputs.streams:
            for frame in stream.frames(self._results.is_done):
                self._frames.append(frame.name)
                if frame.pixels is None and not frame.error:
                    self.resumed += 1
                else:
                    yield frame

    def names(self) -> Iterator[str]:
        """The names of all images so far, in order."""
        yield from self._inputs.names()
        yield from self._frames
