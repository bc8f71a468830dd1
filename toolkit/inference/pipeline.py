"""Predicting all images of folders, patterns and videos into a folder of results."""

from __future__ import annotations

import contextlib
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, TypeAlias

from toolkit.checkpoints import RunLike
from toolkit.data.label_values import LabelValues
from toolkit.errors import UsageError
from toolkit.inference.findings import Tally
from toolkit.inference.image_batches import Work
from toolkit.inference.image_engines import Engine, InThisProcess, PendingImages
from toolkit.inference.inputs import LaterImages
from toolkit.inference.predictor import Predictor, load
from toolkit.inference.records import Record
from toolkit.inference.results import ResultFolder
from toolkit.inference.sources import FrameChoice, Inputs, find_inputs
from toolkit.inference.store_places import check_place
from toolkit.inference.summary import NoteCounts, Summary
from toolkit.runtime.progress import Count, shown_log
from toolkit.runtime.text import printable

__all__ = ["LabelFormat", "Source", "Summary", "Work", "dataset_values", "predict_folder"]

LabelFormat: TypeAlias = Literal["index", "dataset"]
"""The values in label images: class indexes, or the values that the training data use."""

Source: TypeAlias = "str | os.PathLike[str]"


def predict_folder(
    run: Predictor | RunLike,
    paths: Source | Sequence[Source] | LaterImages,
    out: str | os.PathLike[str],
    *,
    work: Work | None = None,
    overlays: bool = True,
    draw_above: float | None = None,
    label_values: LabelFormat = "index",
    frames: FrameChoice | None = None,
    resume: bool = False,
    engine: Engine | None = None,
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
        paths: files, folders and patterns, addresses, videos and cameras, see ``find_inputs``; or an
            ``ImageList``.
        out: the folder of the results, see ``toolkit.inference.results``; or its address in a store, such as
            ``s3://bucket/results``, see ``toolkit.inference.store_places``.
        work: batch size and threads.
        overlays: whether to draw the predictions over the photos.
        draw_above: minimum score of objects to draw; ``Model.draw_above`` when None.
        label_values: ``"dataset"`` writes label images with the values that the training data use for
            classes and void, such as 0 for void; ``"index"`` with the indexes of the classes and 255.
        frames: which frames of videos and cameras; all when None.
        resume: skip images that are already done; failed ones are tried again.
        engine: where the images are predicted; in this process when None.
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
    predictor, out = run if isinstance(run, Predictor) else load(run), os.fspath(out)
    check_place(out)
    values = dataset_values(predictor) if label_values == "dataset" else None
    inputs = _inputs(paths, out, frames)
    if resume and any(stream.is_endless for stream in inputs.streams):
        raise UsageError("a camera cannot be resumed. Hint: leave out --resume, and choose another --out")
    engine = engine or InThisProcess(show=progress)
    engine.check(predictor, inputs)
    predictor.model.expect_images(inputs.names())
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
        queue = PendingImages(inputs, results)
        images.start(queue.total, queue.resumed)
        if on_start:
            on_start(queue.total, queue.resumed)
        tally, counts, notes = Tally(), Counter[str](), NoteCounts()
        with (
            contextlib.closing(engine.records(predictor, queue, results, work or Work())) as records,
            _ending(inputs),
        ):
            for record in records:
                counts[record.status] += 1
                notes.add_record(record)
                if record.size is not None:
                    tally.add(record.findings, record.size)
                if record.error is not None and progress:
                    sys.stderr.write(f"skipped: {printable(record.error)}\n")
                images.advance()
                if on_record:
                    on_record(record)
        results.finish(queue.names())
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


def _inputs(paths: Source | Sequence[Source] | LaterImages, out: str, frames: FrameChoice | None) -> Inputs:
    if isinstance(paths, LaterImages):
        # Before anything is written.
        paths.check()
        return Inputs((), lists=(paths,))
    words = [paths] if isinstance(paths, (str, os.PathLike)) else paths
    return find_inputs(words, exclude=out, choice=frames)


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
