"""Predicts images in batches: threads decode ahead and write behind while the network computes.

The main thread submits and predicts; a pool of threads decodes images and writes results (OpenCV and zlib
release Python's global lock). Everything that waits is bounded in number and in pixels, so memory does not
grow with the number of images; results come in the order of the images, so nothing depends on the number of
threads.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from toolkit.errors import InvalidDataError, UsageError
from toolkit.inference.giants import Giants, cannot_predict, reason_of
from toolkit.inference.inputs import InputImage
from toolkit.inference.predictor import Predictor
from toolkit.inference.reading import ReadImage, pixels_of, read_input
from toolkit.inference.records import Record
from toolkit.inference.results import ResultFolder
from toolkit.types import Prediction, Sample

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


def predict_images(
    predictor: Predictor,
    images: Iterable[InputImage],
    results: ResultFolder,
    work: Work,
    *,
    show: bool = False,
) -> Generator[Record, None, None]:
    """Predict images and write their files; yields their records in order, each when its files are
    written. With ``show``, the progress of images that do not fit into memory is shown on standard error.
    """
    depth = work.batch_size + work.workers
    pool: Executor = (
        ThreadPoolExecutor(work.workers, thread_name_prefix="toolkit-infer") if work.workers else _InPlace()
    )
    try:
        giants = Giants(predictor, results, show=show)
        read = partial(read_input, open_parts=giants.open, scale=predictor.scale)
        reads = ((pool.submit(read, image), pixels_of(image)) for image in images)
        decoded = _in_order(reads, depth)
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
        record = outcome if isinstance(outcome, Record) else results.failed(read.image, str(outcome))
        future.set_result(record)
        return future, 0
    write = partial(results.write, state=read.state, notes=read.notes)
    return (
        pool.submit(write, read.image, sample, outcome, predictor.window_for(sample)),
        sample.size[0] * sample.size[1],
    )


def _batches(decoded: Iterable[ReadImage], size: int, giants: Giants) -> Iterator[list[ReadImage]]:
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
    predictor: Predictor, batch: list[ReadImage], giants: Giants
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
        reason = reason_of(error)
    if len(samples) > 1:  # outside the handler, so that the memory of the failed batch is released
        return [outcome for sample in samples for outcome in _outcomes(predictor, [sample])]
    return [cannot_predict(samples[0].path, samples[0].size, reason)]
