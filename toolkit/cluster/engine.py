"""The engine of ``predict_folder`` that hands images to a Ray cluster."""

from __future__ import annotations

import os
from collections.abc import Generator
from dataclasses import dataclass, field

from toolkit.cluster.crew import Crew
from toolkit.cluster.handout import HandOut
from toolkit.cluster.job import Job
from toolkit.cluster.paths import absolute_prompts
from toolkit.cluster.ray_pool import LOCAL, check_share, connected
from toolkit.cluster.worker import Worker
from toolkit.errors import DataError, UsageError
from toolkit.inference.image_batches import Work
from toolkit.inference.image_engines import Engine, PendingImages
from toolkit.inference.inputs import InputImage
from toolkit.inference.predictor import Predictor
from toolkit.inference.records import Record
from toolkit.inference.results import ResultFolder
from toolkit.inference.sources import Inputs
from toolkit.registry.discovery import loaded_paths


@dataclass
class RayEngine(Engine):
    """Predicts on a Ray cluster::

        toolkit.predict_folder("runs/unet", "photos", "results", engine=RayEngine("head:6379"))

    Only names travel: each process (an actor of Ray) loads the run, opens images and writes results itself,
    so run, photos and results must have the same paths on all machines. Each keeps a manifest of its own;
    they are put together at the end, or by ``resume`` if the command was killed.

    Args:
        address: that of a cluster, or ``"local"`` for one on this machine that ends with the command.
        actors: number of processes; when None, one per GPU, or else one per core.
        gpus_per_actor: of each, such as 0.5 for two per GPU; when None, one where there are GPUs.
        device: of the model in each process.

    Attributes:
        lines: what each process has done, in words, after the end.

    Raises:
        UnavailableError: when Ray is not installed.
        UsageError: when a number makes no sense, or there is no cluster at the address.
    """

    address: str = LOCAL
    actors: int | None = None
    gpus_per_actor: float | None = None
    device: str = "auto"
    lines: list[str] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        check_share(self.address, self.actors, self.gpus_per_actor)

    def check(self, predictor: Predictor, inputs: Inputs) -> None:
        """Videos stay on one machine, since their frames come one after another."""
        if inputs.streams:
            raise UsageError(
                f"{inputs.streams[0].origin} cannot be predicted on several machines. Hint: leave out --ray"
                " for videos and cameras"
            )
        if predictor.loading is None:
            raise UsageError(
                "a model that was built in Python cannot be sent to other machines. Hint: pass the folder of"
                " its run"
            )

    def records(
        self, predictor: Predictor, images: PendingImages, results: ResultFolder, work: Work
    ) -> Generator[Record, None, None]:
        """In the order in which they are done."""
        with results.place.shared() as token:
            yield from self._records(self._job(predictor, results, work, token), images, results)

    def _job(self, predictor: Predictor, results: ResultFolder, work: Work, token: str) -> Job:
        """What the processes are told."""
        assert predictor.loading is not None  # as ``check`` has found
        return Job(
            loading={
                **predictor.loading,
                "device": self.device,
                "prompts": absolute_prompts(predictor.loading["prompts"]),
            },
            plugins=tuple(os.path.abspath(path) for path in loaded_paths()),
            out=results.place.address,
            token=token,
            overlays=results.overlays,
            draw_above=results.draw_above,
            dataset_values=not results.has_indexes,
            work=work,
            expected=predictor.model.expected_images(),
            current=os.getcwd(),
        )

    def _records(
        self, job: Job, images: PendingImages, results: ResultFolder
    ) -> Generator[Record, None, None]:
        refused: list[Record] = []
        with connected(self.address, self.actors, self.gpus_per_actor, Worker) as pool:
            ready = self._claimed(images, results, refused)
            total = None if images.total is None else images.total - images.resumed
            todo = HandOut(ready, step=job.work.batch_size, total=total, workers=pool.share.actors)
            crew = Crew(pool, job, todo, results, pool.share.actors, job.token[:8])
            try:
                for record in crew.results():
                    yield from self._told(refused, results)
                    yield record
                yield from self._told(refused, results)
            finally:
                self.lines = crew.lines()

    def _claimed(
        self, images: PendingImages, results: ResultFolder, refused: list[Record]
    ) -> Generator[InputImage, None, None]:
        """The images whose outputs can be called as they are; the records of others go to ``refused``."""
        for image in images:
            try:
                results.names.claim(image)
            except DataError as error:
                refused.append(results.failed(image, str(error)))
            else:
                yield image

    def _told(self, refused: list[Record], results: ResultFolder) -> Generator[Record, None, None]:
        while refused:
            record = refused.pop()
            results.append(record)
            yield record
