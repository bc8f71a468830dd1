"""A process of a cluster: it loads the model once, then predicts the images that it is given, by the same
code as one machine.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from toolkit import registry
from toolkit.cluster.job import Introduction, Job, Problem, introduction
from toolkit.errors import CheckpointError, UsageError
from toolkit.inference.image_batches import predict_images
from toolkit.inference.inputs import InputImage
from toolkit.inference.pipeline import dataset_values
from toolkit.inference.predictor import Predictor, load
from toolkit.inference.records import Record
from toolkit.inference.result_parts import ResultPart


class Worker:
    """One process. Its methods return errors as ``Problem``, and are called one at a time.

    Args:
        name: unique among all processes of a command; the name of its manifest.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._host = introduction().host
        self._job: Job | None = None
        self._base: Path | None = None
        self._predictor: Predictor | None = None
        self._results: ResultPart | None = None

    def introduce(self) -> Introduction:
        """Where it runs, and what is installed there."""
        return introduction()

    def open(self, job: Job) -> Problem | None:
        """Load the model, and open the folder of the results."""
        try:
            self._base = _enter(job.current)
            for path in job.plugins:
                registry.add_path(path)
            self._predictor = self._load(job)
            self._predictor.model.expect_images(job.expected)
            self._results = ResultPart(
                job.out,
                self._predictor.classes,
                self._predictor.palette,
                part=self.name,
                token=job.token,
                model=self._predictor.name,
                label_values=dataset_values(self._predictor) if job.dataset_values else None,
                overlays=job.overlays,
                draw_above=job.draw_above,
            )
            self._job = job
        except Exception as error:
            return Problem.of(error, self._host)
        return None

    def _load(self, job: Job) -> Predictor:
        run = Path(job.loading["run"])
        if not run.exists():
            raise CheckpointError(
                f"{run} does not exist there. Hint: put the run into a folder that all machines share, or"
                " copy it to the same path on each"
            )
        return load(**job.loading)

    def predict(self, images: Sequence[InputImage]) -> tuple[list[Record], float] | Problem:
        """Predict images, and write and enter their results.

        Returns:
            Their records, when all are on the disk, and the seconds that this took.
        """
        start = time.perf_counter()
        try:
            if self._job is None or self._predictor is None or self._results is None:
                raise UsageError("a process of the cluster got images before its work")
            # Perhaps the command was killed, and another one writes there now.
            self._results.check()
            found = []
            if self._base is not None:
                images = [_below(self._base, image) for image in images]
            for record in predict_images(self._predictor, images, self._results, self._job.work):
                self._results.append(record)
                found.append(record)
            self._results.flush()
        except Exception as error:
            return Problem.of(error, self._host)
        return found, time.perf_counter() - start


def _enter(folder: str) -> Path | None:
    """Go to the folder where the command was begun, so that paths are what they are there, also in messages;
    returns it if it is not here.
    """
    if folder:
        try:
            os.chdir(folder)
        except OSError:
            return Path(folder)
    return None


def _below(folder: Path, image: InputImage) -> InputImage:
    """An image with a path that does not depend on the current folder; an address has none."""
    return replace(image, path=folder / image.path) if type(image) is InputImage else image
