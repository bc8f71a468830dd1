"""Predicting many images: threads decode ahead and write behind while the network computes.

The main thread submits, predicts and keeps the manifest; a pool of threads decodes images and writes results
(OpenCV and zlib let go of Python's lock). Everything that waits is bounded in number and in pixels, so memory
does not grow with the number of images; results are entered in the order of the images, so nothing depends on
the number of threads.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import torch

from toolkit.data.images import image_size, read_image
from toolkit.errors import ImageError, InvalidDataError, UsageError
from toolkit.inference.inputs import InputImage, find_images
from toolkit.inference.predictor import Predictor
from toolkit.inference.results import Record, ResultFolder
from toolkit.types import Prediction, Sample

AHEAD_PIXELS = 1 << 26
"""How many pixels of decoded images may wait for the network, and as many for being written: 200 MB each."""

T = TypeVar("T")
Decoded: TypeAlias = tuple[InputImage, "Sample | str"]
"""An image with its sample, or with the reason why there is none."""


@dataclass(frozen=True)
class Summary:
    """What became of the images.

    Attributes:
        done: images predicted now.
        failed: images that could not be read or predicted; the manifest says why.
        resumed: images that were done before.
    """

    done: int
    failed: int
    resumed: int


@dataclass(frozen=True)
class Work:
    """How to go about it; none of this changes the results.

    Attributes:
        batch_size: images that the model gets at a time.
        workers: threads that decode and write; with 0 this is done between the predictions.

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
    """Carries a task out when it is handed over, in the thread that hands it over."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """A future that is done."""
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # as a thread would keep it, for who asks for the result
            future.set_exception(error)
        return future


def predict_folder(
    predictor: Predictor,
    words: Sequence[str | Path],
    out: Path,
    *,
    work: Work | None = None,
    overlays: bool = True,
    draw_above: float | None = None,
    resume: bool = False,
    on_start: Callable[[int, int], None] | None = None,
    on_record: Callable[[Record], None] | None = None,
) -> Summary:
    """Predict all the images that files, folders and patterns stand for, and write the results under ``out``.

    An image that cannot be read or predicted is entered as failed and skipped.

    Args:
        predictor: the model.
        words: files, folders and patterns; see ``find_images``.
        out: the folder of the results; see ``toolkit.inference.results``.
        work: batch size and threads.
        overlays: whether to draw the predictions over the photos.
        draw_above: score that an object needs to be drawn; None is ``Model.draw_above``.
        resume: skip what is done there already; failures are tried again.
        on_start: called with the number of images to do and of those done before.
        on_record: called after each image.

    Raises:
        UsageError: when there is no image, or ``out`` holds other results.
        DataError: when a file of prompts names an image that is not among these.
        OutputError: when a result cannot be written (full disk, …); what the manifest has is kept, and
            ``resume`` goes on from there.
    """
    images = find_images(words, exclude=out)
    predictor.model.expect_images(image.name for image in images)
    if draw_above is None:
        draw_above = predictor.model.draw_above
    folder = ResultFolder(
        out,
        predictor.classes,
        predictor.palette,
        model=predictor.name,
        overlays=overlays,
        draw_above=draw_above,
        resume=resume,
    )
    with folder as results:
        todo = [image for image in images if not results.is_done(image)]
        if on_start:
            on_start(len(todo), len(images) - len(todo))
        failed = 0
        with contextlib.closing(predict_images(predictor, todo, results, work or Work())) as records:
            for record in records:
                results.append(record)
                failed += record.status == "failed"
                if on_record:
                    on_record(record)
        results.finish(images)
    return Summary(len(todo) - failed, failed, len(images) - len(todo))


def predict_images(
    predictor: Predictor, images: Iterable[InputImage], results: ResultFolder, work: Work
) -> Generator[Record, None, None]:
    """Predict images and write their files; yields their records in order, each when its files are
    written.
    """
    depth = work.batch_size + work.workers
    pool: Executor = (
        ThreadPoolExecutor(work.workers, thread_name_prefix="toolkit-infer") if work.workers else _InPlace()
    )
    try:
        reads = ((pool.submit(_read, image, predictor.device), _expected_pixels(image)) for image in images)
        decoded = _in_order(reads, depth)
        outcomes = (
            outcome for batch in _batches(decoded, work.batch_size) for outcome in _predict(predictor, batch)
        )
        writes = (_submit_write(pool, results, predictor, *outcome) for outcome in outcomes)
        yield from _in_order(writes, depth, eager=True)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _in_order(tasks: Iterable[tuple[Future[T], int]], depth: int, *, eager: bool = False) -> Iterator[T]:
    """The results of tasks in order.

    Args:
        tasks: futures, with the pixels that each holds; the next is taken, and so submitted, when there is
            room for it.
        depth: how many may wait.
        eager: hand out a result as soon as it is there, rather than when room is needed.
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
    image: InputImage,
    sample: Sample | None,
    outcome: Prediction | str,
) -> tuple[Future[Record], int]:
    if sample is None or isinstance(outcome, str):
        future: Future[Record] = Future()
        future.set_result(results.failed(image, str(outcome)))
        return future, 0
    return (
        pool.submit(results.write, image, sample, outcome, predictor.window_for(sample)),
        sample.size[0] * sample.size[1],
    )


def _read(image: InputImage, device: torch.device) -> Decoded:
    """Runs in a thread."""
    if image.error:
        return image, image.error
    try:
        pixels = read_image(image.path)
    except ImageError as error:
        return image, str(error)
    return image, Sample(
        image.name, pixels.pin_memory() if device.type == "cuda" else pixels, path=str(image.path)
    )


def _expected_pixels(image: InputImage) -> int:
    """From the header alone; 0 for what will fail anyway."""
    try:
        height, width = image_size(image.path)
    except ImageError:
        return 0
    return height * width


def _batches(decoded: Iterable[Decoded], size: int) -> Iterator[list[Decoded]]:
    """Groups of ``size`` readable images; unreadable ones stay in their place and do not count (but do not
    pile up either).
    """
    batch: list[Decoded] = []
    readable = 0
    for item in decoded:
        batch.append(item)
        readable += isinstance(item[1], Sample)
        if readable in (0, size) or len(batch) >= 8 * size:
            yield batch
            batch, readable = [], 0
    if batch:
        yield batch


def _predict(
    predictor: Predictor, batch: list[Decoded]
) -> Iterator[tuple[InputImage, Sample | None, Prediction | str]]:
    """Predict a batch; yields image, sample and prediction in order, or the reason why there is no
    prediction.
    """
    outcomes = iter(_outcomes(predictor, [sample for _, sample in batch if isinstance(sample, Sample)]))
    for image, sample in batch:
        yield (image, sample, next(outcomes)) if isinstance(sample, Sample) else (image, None, sample)


def _outcomes(predictor: Predictor, samples: list[Sample]) -> Sequence[Prediction | str]:
    """Predictions; when a batch fails for a reason that may lie in one image, its images are tried one by
    one.
    """
    try:
        return predictor.predict_samples(samples) if samples else []
    except (InvalidDataError, MemoryError, RuntimeError) as error:
        out_of_memory = isinstance(error, MemoryError) or any(
            hint in str(error) for hint in ("out of memory", "allocate memory")
        )
        if not out_of_memory and not isinstance(error, InvalidDataError):
            raise
        reason = (
            "memory ran out. Hint: --window 1024 or smaller, or another device"
            if out_of_memory
            else str(error)
        )
    if len(samples) > 1:  # outside the handler, so that what the failed batch holds is let go of
        return [outcome for sample in samples for outcome in _outcomes(predictor, [sample])]
    height, width = samples[0].size
    return [f"{samples[0].path} ({width} x {height} pixels) cannot be predicted: {reason}"]
