"""Predicts images that do not fit into memory: read, predicted and written window by window.

What is done is remembered on the disk (``toolkit.inference.window_journal``), so that an interruption costs a
few windows. Label maps become tiled TIFFs; objects are run lengths anyway; the picture for people is made
smaller.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from toolkit.data.image_headers import most_pixels
from toolkit.data.images import stated_size
from toolkit.data.tiff_windows import open_tiff
from toolkit.data.window_reading import WholeImage, WindowReader
from toolkit.errors import DataError, ImageError, InvalidDataError
from toolkit.inference.findings import Findings, findings_of
from toolkit.inference.inputs import FileState, InputImage
from toolkit.inference.label_tiles import LabelTiles, write_tiff
from toolkit.inference.predictor import Predictor
from toolkit.inference.read_ahead import ReadAhead
from toolkit.inference.reading import ReadImage
from toolkit.inference.records import Record
from toolkit.inference.results import ResultFolder
from toolkit.inference.window_journal import WindowJournal, header_of
from toolkit.inference.window_objects import ObjectJournal
from toolkit.models.capabilities import Tileable
from toolkit.models.label_bands import label_bands
from toolkit.models.sliding_window import WINDOWS_AT_ONCE, window_objects
from toolkit.models.window_grid import Window, grid
from toolkit.runtime.extras import has_tifffile
from toolkit.runtime.memory import ran_out_of_memory
from toolkit.runtime.progress import Count
from toolkit.types import Instances, Masks, Prediction, Size
from toolkit.types.pixel_runs import Rectangle, codes_of_runs, runs_of_codes, shrunk

GIANT_PIXELS = 1 << 26
"""Images with more pixels are predicted as giants, if the model predicts them window by window."""

OVERVIEW_SIDE = 4096
"""The longest side of the picture of a giant image, in pixels, at most."""


class Giants:
    """Predicts the images that do not fit into memory, one by one.

    Args:
        predictor: of any model; only one that predicts windows has such images.
        results: where their files are written.
        show: whether to show progress on standard error.
    """

    def __init__(self, predictor: Predictor, results: ResultFolder, *, show: bool = False) -> None:
        self._predictor, self._results, self._show = predictor, results, show

    def open(self, image: InputImage) -> WindowReader | None:
        """As ``open_giant``; may be called from any thread."""
        return open_giant(image, self._predictor)

    def includes(self, read: ReadImage) -> bool:
        """Whether an image is one of them."""
        return read.reader is not None or (
            read.sample is not None and is_giant(read.sample.size, self._predictor)
        )

    def outcome(self, read: ReadImage) -> Record | str:
        """The record of an image, or why there is none."""
        reader = read.reader or (None if read.sample is None else WholeImage(read.sample.image))
        assert reader is not None  # one of them is there
        with reader:
            try:
                return predict_giant(
                    self._predictor,
                    read.image,
                    reader,
                    self._results,
                    state=read.state,
                    notes=read.notes,
                    show=self._show,
                )
            except DataError as error:
                return str(error)
            except (InvalidDataError, MemoryError, RuntimeError) as error:
                return cannot_predict(read.image.where, reader.size, reason_of(error))


def reason_of(error: Exception) -> str:
    """Why an image cannot be predicted; errors that do not concern a single image are raised."""
    if ran_out_of_memory(error):
        return "memory ran out. Hint: --window 1024 or smaller, or another device"
    if not isinstance(error, InvalidDataError):
        raise error
    return str(error)


def cannot_predict(where: str | None, size: Size, reason: str) -> str:
    """The message for an image that cannot be predicted, for this reason."""
    return f"{where} ({size[1]} x {size[0]} pixels) cannot be predicted: {reason}"


def is_giant(size: Size, predictor: Predictor) -> bool:
    """Whether an image of this size is read, predicted and written window by window."""
    if size[0] * size[1] <= GIANT_PIXELS or predictor.windows is None:
        return False
    if predictor.window_for_size(size) is None:
        return False
    return not isinstance(predictor.windows, Tileable) or has_tifffile()


def open_giant(image: InputImage, predictor: Predictor) -> WindowReader | None:
    """Open an image to be read window by window.

    Returns:
        None if it is not large enough, or can only be read whole.

    Raises:
        ImageError: when it cannot be read, or is too large for the memory and no window is requested.
        UnavailableError: when it is too large for the memory, and the libraries for TIFFs are missing.
    """
    if image.file is None or predictor.windows is None:
        return None
    kind, size = stated_size(image.file)
    fits = size[0] * size[1] <= most_pixels()
    if kind != "TIFF" or (fits and not has_tifffile()):
        return None
    if predictor.window_for_size(size) is None and not fits:
        raise ImageError(
            f"{image.where} has {size[1]} x {size[0]} pixels, too many to read at once. Hint: --window 1024"
            " reads and predicts it window by window"
        )
    return open_tiff(image.file, predictor.scale) if is_giant(size, predictor) or not fits else None


def predict_giant(
    predictor: Predictor,
    image: InputImage,
    reader: WindowReader,
    results: ResultFolder,
    *,
    state: FileState | None = None,
    notes: Mapping[str, str] | None = None,
    show: bool = False,
) -> Record:
    """Predict an image and write its files; goes on with what an earlier process has done.

    Args:
        predictor: of a model that predicts windows.
        image: where the image is, and what it is called.
        reader: reads its pixels.
        results: where the files are written.
        state: of the image's file when it was opened.
        notes: what in the file is known not to be in what is read.
        show: whether to show progress on standard error.

    Returns:
        The image's record; one that has failed if its name cannot be used.

    Raises:
        ImageError: when a part of it cannot be read.
        OutputError: when nothing can be written, such as on a full disk.
    """
    try:
        results.names.claim(image)
    except DataError as error:
        return results.failed(image, str(error))
    window = predictor.window_for_size(reader.size)
    assert window is not None  # the caller saw to it
    kind = _LabelMap if isinstance(predictor.windows, Tileable) else _Objects
    about = {"model": results.model, "kind": kind.__name__, "options": predictor.options}
    header = header_of(image.name, image.source, state, reader.size, **about)
    with ExitStack() as stack:
        journal = stack.enter_context(WindowJournal(results.folder, image.stem, header))
        work = kind(predictor, image, reader, window, journal, stack)
        with predictor.computing(), Count("windows", show=show) as windows:
            windows.start(work.total, work.done)
            work.predict(windows.advance)
        return results.write_with(
            image,
            lambda outputs: work.write(results, outputs),
            reader.size,
            window,
            state=state,
            notes={**(notes or {}), **reader.notes()},
        )


class _Giant:
    """An image and what is done of it.

    Attributes:
        total, done: numbers of windows.
    """

    total: int
    done: int

    def __init__(
        self,
        predictor: Predictor,
        image: InputImage,
        reader: WindowReader,
        window: int,
        journal: WindowJournal,
        stack: ExitStack,
    ) -> None:
        self.predictor, self.image, self.reader, self.window = predictor, image, reader, window
        self.overlap = predictor.tiling.overlap
        self.windows = [each for row in grid(reader.size, window, self.overlap) for each in row]
        self.total = len(self.windows)
        self.step = -(-max(reader.size) // OVERVIEW_SIDE)

    def read_ahead(self, windows: list[Window], ahead: int, stack: ExitStack) -> ReadAhead:
        """Reads windows that will be asked for in this order, some of them ahead."""
        return stack.enter_context(ReadAhead(self.reader.read, [each.place for each in windows], ahead))

    def draw(self, results: ResultFolder, small: Prediction, outputs: dict[str, str]) -> None:
        """Draw a prediction of the smaller image, if pictures are wanted."""
        if results.overlays:
            results.files.draw(self.image.stem, self.reader.overview(self.step), small, outputs)


class _LabelMap(_Giant):
    """The label map of a giant image."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        journal, stack = given[-2:]
        self._tiles = stack.enter_context(LabelTiles(journal, self.reader.size))
        self._left = [each for each in self.windows if each.place.bottom > self._tiles.top]
        self.done = self.total - len(self._left)

    def predict(self, advance: Callable[[], object]) -> None:
        """Predict the rows of windows that are not done; calls ``advance`` for each window."""
        model, size = self.predictor.windows, self.reader.size
        assert isinstance(model, Tileable)  # the caller saw to it
        if self._tiles.top == size[0]:
            return
        with ExitStack() as stack:
            ahead = self.read_ahead(self._left, 1, stack)

            def read(place: Rectangle) -> Tensor:
                if ahead.count:  # the one before is done
                    advance()
                return ahead(place)

            for band in label_bands(model, read, size, self.window, self.overlap, top=self._tiles.top):
                self._tiles.add(band)
            advance()

    def write(self, results: ResultFolder, outputs: dict[str, str]) -> Findings:
        """Write the label map and its picture."""
        values, palette = results.files.label_values()
        path = f"labels/{self.image.stem}.tif"
        write_tiff(results.folder / path, self._tiles, palette, values, self.reader.place_tags())
        outputs["label_map"] = path
        if results.overlays:
            labels = self._tiles.overview(self.step)
            small = Prediction(self.image.name, (int(labels.shape[0]), int(labels.shape[1])), labels)
            self.draw(results, small, outputs)
        return Findings.of_label_counts(self._tiles.counts.tolist(), results.classes)


class _Objects(_Giant):
    """The objects of a giant image."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._journal = ObjectJournal(given[-2], self.windows)
        self.done = self._journal.done

    def predict(self, advance: Callable[[], object]) -> None:
        """Predict the windows that are not done; calls ``advance`` for each."""
        left = self.windows[self._journal.done :]
        with ExitStack() as stack:
            read = self.read_ahead(left, WINDOWS_AT_ONCE, stack)
            for window, objects in window_objects(self.predictor.model, self.image.name, read, left):
                self._journal.add(window, objects)
                advance()

    def write(self, results: ResultFolder, outputs: dict[str, str]) -> Findings:
        """Write the objects and their picture."""
        found = Prediction(self.image.name, self.reader.size, instances=self._journal.merged())
        results.files.write_prediction(self.image.stem, found, outputs)
        if results.overlays:
            assert found.instances is not None
            shown = found.instances
            if shown.scores is not None:
                shown = shown[shown.scores >= results.draw_above]
            small = shrunk_objects(shown, self.step)
            self.draw(results, replace(found, size=small.size, instances=small), outputs)
        return findings_of(found, results.classes, results.draw_above)


def shrunk_objects(objects: Instances, step: int) -> Instances:
    """Objects in an image that was made smaller by a whole number, as for an overview.

    Args:
        objects: in the pixels of the whole image.
        step: by what the image was divided.
    """
    size = -(-objects.size[0] // step), -(-objects.size[1] // step)
    masks = None
    if objects.masks is not None:
        runs = runs_of_codes(objects.masks.counts, objects.size)
        small = [shrunk(each, step, objects.size) for each in runs]
        masks = Masks.encoded(size, codes_of_runs(small, size))
    limits = torch.tensor([size[1], size[0]] * 2, dtype=torch.float32)
    return Instances(
        size, torch.minimum(objects.boxes_xyxy / step, limits), objects.labels, masks, objects.scores
    )
