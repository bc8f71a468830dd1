"""Predicting many images: threads decode ahead and write behind while the network computes.

The main thread submits, predicts and maintains the manifest; a pool of threads decodes images and writes
results (OpenCV and zlib release Python's global lock). Everything that waits is bounded in number and in
pixels, so memory does not grow with the number of images; results are recorded in the order of the images, so
nothing depends on the number of threads.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

from toolkit.checkpoints import RunLike
from toolkit.data.label_values import LabelValues
from toolkit.data.window_reading import WholeImage
from toolkit.errors import DataError, InvalidDataError, ToolkitError, UsageError
from toolkit.inference.findings import Tally
from toolkit.inference.giants import is_giant, open_giant, predict_giant
from toolkit.inference.inputs import InputImage
from toolkit.inference.predictor import Predictor, load
from toolkit.inference.reading import ReadImage, pixels_of, read_input
from toolkit.inference.records import Record
from toolkit.inference.results import ResultFolder
from toolkit.inference.sources import FrameChoice, Inputs, find_inputs
from toolkit.inference.summary import NoteCounts, Summary
from toolkit.runtime.memory import ran_out_of_memory
from toolkit.runtime.progress import Count, shown_log
from toolkit.runtime.text import printable
from toolkit.types import Prediction, Sample, Size

AHEAD_PIXELS = 1 << 26
"""Number of pixels of decoded images that may wait for the network, and of results that may wait to be
written: 200 MB each.
"""

T = TypeVar("T")


@dataclass(frozen=True)
class Work:
    """How to do the work; none of this changes the results.

    Attributes:
        batch_size: number of images per batch.
        workers: number of threads that decode and write; with 0 this is done between the predictions.

    Raises:
        UsageError: when the batch size is below 1, or there are fewer than 0 workers.
    """

    batch_size: int = 4
    workers: int = field(default_factory=lambda: min(8, os.cpu_count() or 1))

    def __post_init__(self) -> None:
        for name, least in (("batch_size", 1), ("workers", 0)):
            if getattr(self, name) < least:
                raise UsageError(f"{name} must be at least {least}, not {getattr(self, name)}")


class _InPlace(Executor):
    """Executes a task immediately in the calling thread."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """A completed future."""
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # kept as a thread pool would, until the result is requested
            future.set_exception(error)
        return future


LabelFormat: TypeAlias = Literal["index", "dataset"]
"""The values in label images: class indexes, or the values that the training data use."""

Source: TypeAlias = "str | os.PathLike[str]"


def predict_folder(
    run: Predictor | RunLike,
    paths: Source | Sequence[Source],
    out: str | os.PathLike[str],
    *,
    work: Work | None = None,
    overlays: bool = True,
    draw_above: float | None = None,
    label_values: LabelFormat = "index",
    frames: FrameChoice | None = None,
    resume: bool = False,
    progress: bool = True,
    on_inputs: Callable[[Inputs], None] | None = None,
    on_start: Callable[[int | None, int], None] | None = None,
    on_record: Callable[[Record], None] | None = None,
) -> Summary:
    """Predict all images that files, folders and patterns refer to, and write the results to ``out``.

    An image that cannot be read or predicted is recorded as failed and skipped. With a camera and no limit to
    its frames, Ctrl-C ends the work, and the results are complete.

    Args:
        run: a ``Predictor``, or what ``toolkit.load`` takes.
        paths: files, folders and patterns, addresses, videos and cameras; see ``find_inputs``.
        out: the folder of the results; see ``toolkit.inference.results``.
        work: batch size and threads.
        overlays: whether to draw the predictions over the photos.
        draw_above: minimum score of objects to draw; ``Model.draw_above`` when None.
        label_values: ``"dataset"`` writes label images with the values that the training data use for
            classes and void, such as 0 for void; ``"index"`` with the indexes of the classes and 255.
        frames: which frames of videos and cameras; all when None.
        resume: skip images that are already done; failed ones are tried again.
        progress: whether to show progress on standard error.
        on_inputs: called with what was found, before anything is predicted or written; may raise an error to
            refuse it.
        on_start: called with the total number of images (None if unknown), and the number done before.
        on_record: called after each image.

    Raises:
        UsageError: when there is no image, or ``out`` holds results of another model or of other options,
            or the values of the training data are unknown.
        DataError: when a file of prompts names an image that is not among these.
        OutputError: when a result cannot be written (full disk, …); the images in the manifest are kept, and
            ``resume`` continues from there.
    """
    predictor, out = run if isinstance(run, Predictor) else load(run), Path(out)
    values = dataset_values(predictor) if label_values == "dataset" else None
    words = [paths] if isinstance(paths, (str, os.PathLike)) else paths
    inputs = find_inputs(words, exclude=out, choice=frames)
    if resume and any(stream.is_endless for stream in inputs.streams):
        raise UsageError("a camera cannot be resumed. Hint: leave out --resume, and choose another --out")
    predictor.model.expect_images(image.name for image in inputs.images)
    if on_inputs:
        on_inputs(inputs)
    if draw_above is None:
        draw_above = predictor.model.draw_above
    folder = ResultFolder(
        out,
        predictor.classes,
        predictor.palette,
        model=predictor.name,
        about=predictor.about,
        label_values=values,
        options=predictor.options,
        overlays=overlays,
        draw_above=draw_above,
        resume=resume,
    )
    log = shown_log() if progress else contextlib.nullcontext()
    with folder as results, log, Count("predicting", show=progress) as images:
        queue = _Queue(inputs, results)
        images.start(queue.total, queue.resumed)
        if on_start:
            on_start(queue.total, queue.resumed)
        tally, counts, notes = Tally(), Counter[str](), NoteCounts()
        with (
            contextlib.closing(
                predict_images(predictor, queue, results, work or Work(), show=progress)
            ) as records,
            _ending(inputs),
        ):
            for record in records:
                results.append(record)
                counts[record.status] += 1
                notes.add_record(record)
                if record.size is not None:
                    tally.add(record.findings, record.size)
                if record.error is not None and progress:
                    sys.stderr.write(f"skipped: {printable(record.error)}\n")
                images.advance()
                if on_record:
                    on_record(record)
        results.finish(queue.names)
    return Summary(
        counts["ok"],
        counts["failed"],
        queue.resumed,
        tally,
        draw_above,
        changed=len(results.changed),
        left_out=tuple(inputs.search.left_out()),
        notes=notes.lines(),
    )


def dataset_values(predictor: Predictor) -> LabelValues:
    """The label values of the training data.

    Raises:
        UsageError: when they are not known.
    """
    if predictor.label_values is None:
        raise UsageError(
            f"the values of the training data of {predictor.name or 'this model'} are not known: its label"
            " images are in color, or there are none, or the checkpoint is older than this setting. Hint:"
            " leave out --label-values; labels/classes.csv says what the indexes mean"
        )
    return predictor.label_values


@contextlib.contextmanager
def _ending(inputs: Inputs) -> Iterator[None]:
    """Treat Ctrl-C as the end of a camera's frames, and for no other input."""
    try:
        yield
    except KeyboardInterrupt:
        if not any(stream.is_endless for stream in inputs.streams):
            raise


class _Queue:
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


def predict_images(
    predictor: Predictor,
    images: Iterable[InputImage],
    results: ResultFolder,
    work: Work,
    *,
    show: bool = False,
) -> Generator[Record, None, None]:
    """Predict images and write their files; yields their records in order, each when its files are
    written.
    """
    depth = work.batch_size + work.workers
    pool: Executor = (
        ThreadPoolExecutor(work.workers, thread_name_prefix="toolkit-infer") if work.workers else _InPlace()
    )
    try:
        opens = partial(open_giant, predictor=predictor)
        reads = ((pool.submit(read_input, image, opens), pixels_of(image)) for image in images)
        decoded = _in_order(reads, depth)
        giants = _Giants(predictor, results, show)
        outcomes = (
            outcome
            for batch in _batches(decoded, work.batch_size, giants)
            for outcome in _predict(predictor, batch, giants)
        )
        writes = (_submit_write(pool, results, predictor, *outcome) for outcome in outcomes)
        yield from _in_order(writes, depth, eager=True)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _in_order(tasks: Iterable[tuple[Future[T], int]], depth: int, *, eager: bool = False) -> Iterator[T]:
    """The results of tasks in order.

    Args:
        tasks: futures, each with its number of pixels; the next one is taken, and so submitted, when there
            is room for it.
        depth: largest number of waiting tasks.
        eager: yield a result as soon as it is available, rather than when room is needed.
    """
    waiting: deque[tuple[Future[T], int]] = deque()
    pixels = 0
    for future, cost in tasks:
        waiting.append((future, cost))
        pixels += cost
        while waiting and (len(waiting) > depth or pixels > AHEAD_PIXELS or (eager and waiting[0][0].done())):
            first, its_cost = waiting.popleft()
            pixels -= its_cost
            yield first.result()
    while waiting:
        yield waiting.popleft()[0].result()


def _submit_write(
    pool: Executor,
    results: ResultFolder,
    predictor: Predictor,
    read: ReadImage,
    outcome: Prediction | Record | str,
) -> tuple[Future[Record], int]:
    sample = read.sample
    if sample is None or not isinstance(outcome, Prediction):
        future: Future[Record] = Future()
        future.set_result(
            outcome if isinstance(outcome, Record) else results.failed(read.image, str(outcome))
        )
        return future, 0
    write = partial(results.write, state=read.state, notes=read.notes)
    return (
        pool.submit(write, read.image, sample, outcome, predictor.window_for(sample)),
        sample.size[0] * sample.size[1],
    )


class _Giants:
    """Predicts images that do not fit into memory, one by one."""

    def __init__(self, predictor: Predictor, results: ResultFolder, show: bool) -> None:
        self._predictor, self._results, self._show = predictor, results, show

    def includes(self, read: ReadImage) -> bool:
        """Whether an image is one of them."""
        return read.reader is not None or (
            read.sample is not None and is_giant(read.sample.size, self._predictor)
        )

    def outcome(self, read: ReadImage) -> Record | str:
        """The record of an image, or why there is none."""
        whole = None if read.sample is None else WholeImage(read.sample.image)
        reader = read.reader or whole
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
                return _cannot(read.image.where, reader.size, _reason(error))


def _batches(decoded: Iterable[ReadImage], size: int, giants: _Giants) -> Iterator[list[ReadImage]]:
    """Groups of ``size`` readable images; unreadable ones keep their position and do not count (but do not
    accumulate either), and one that does not fit into memory ends its group.
    """
    batch: list[ReadImage] = []
    readable = 0
    for item in decoded:
        batch.append(item)
        readable += item.sample is not None
        if readable in (0, size) or len(batch) >= 8 * size or giants.includes(item):
            yield batch
            batch, readable = [], 0
    if batch:
        yield batch


def _predict(
    predictor: Predictor, batch: list[ReadImage], giants: _Giants
) -> Iterator[tuple[ReadImage, Prediction | Record | str]]:
    """Predict a batch; yields each image that was read and its prediction, in order, or its record, or the
    reason why there is none.
    """
    usual = [read.sample for read in batch if read.sample is not None and not giants.includes(read)]
    outcomes = iter(_outcomes(predictor, usual))
    for read in batch:
        if giants.includes(read):
            yield read, giants.outcome(read)
        else:
            yield read, read.error if read.sample is None else next(outcomes)


def _outcomes(predictor: Predictor, samples: list[Sample]) -> Sequence[Prediction | str]:
    """Predictions; when a batch fails for a reason that may concern a single image, its images are tried one
    by one.
    """
    try:
        return predictor.predict_samples(samples) if samples else []
    except (InvalidDataError, MemoryError, RuntimeError) as error:
        reason = _reason(error)
    if len(samples) > 1:  # outside the handler, so that the memory of the failed batch is released
        return [outcome for sample in samples for outcome in _outcomes(predictor, [sample])]
    return [_cannot(samples[0].path, samples[0].size, reason)]


def _reason(error: Exception) -> str:
    """Why an image cannot be predicted; other errors are raised."""
    if ran_out_of_memory(error):
        return "memory ran out. Hint: --window 1024 or smaller, or another device"
    if not isinstance(error, ToolkitError):
        raise error
    return str(error)


def _cannot(where: str | None, size: Size, reason: str) -> str:
    return f"{where} ({size[1]} x {size[0]} pixels) cannot be predicted: {reason}"
