"""The engine of ``predict_folder`` that hands images to a Ray cluster."""

from __future__ import annotations

import os
import uuid
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from pathlib import Path

from toolkit.cluster.crew import Crew
from toolkit.cluster.handout import HandOut
from toolkit.cluster.job import Job
from toolkit.cluster.ray_pool import LOCAL, connected
from toolkit.cluster.reaching import check_cluster
from toolkit.errors import DataError, UsageError
from toolkit.inference.image_batches import Work
from toolkit.inference.image_engines import Engine, PendingImages
from toolkit.inference.inputs import InputImage
from toolkit.inference.predictor import Predictor
from toolkit.inference.records import Record
from toolkit.inference.result_parts import TOKEN
from toolkit.inference.results import ResultFolder
from toolkit.inference.sources import Inputs
from toolkit.models.prompted import FROM
from toolkit.models.simulated_prompts import AUTO
from toolkit.registry.discovery import loaded_paths
from toolkit.runtime.extras import import_ray
from toolkit.runtime.files import atomic_write


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
    """

    address: str = LOCAL
    actors: int | None = None
    gpus_per_actor: float | None = None
    device: str = "auto"
    lines: list[str] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        if self.actors is not None and self.actors < 1:
            raise UsageError(f"actors must be at least 1, not {self.actors}")
        if self.gpus_per_actor is not None and self.gpus_per_actor < 0:
            raise UsageError(f"gpus_per_actor must be at least 0, not {self.gpus_per_actor:g}")

    def check(self, predictor: Predictor, inputs: Inputs) -> None:
        """Videos stay on one machine, since their frames come one after another."""
        import_ray("--ray")
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
        if self.address != LOCAL:
            check_cluster(self.address)

    def records(
        self, predictor: Predictor, images: PendingImages, results: ResultFolder, work: Work
    ) -> Generator[Record, None, None]:
        """In the order in which they are done."""
        assert predictor.loading is not None  # as ``check`` has found
        token = uuid.uuid4().hex
        job = Job(
            loading={
                **predictor.loading,
                "device": self.device,
                "prompts": absolute_prompts(predictor.loading["prompts"]),
            },
            plugins=tuple(os.path.abspath(path) for path in loaded_paths()),
            out=os.path.abspath(results.folder),
            token=token,
            overlays=results.overlays,
            draw_above=results.draw_above,
            dataset_values=not results.has_indexes,
            work=work,
        )
        refused: list[Record] = []
        with atomic_write(results.folder / TOKEN, "w") as file:
            file.write(token)
        try:
            with connected(self.address, self.actors, self.gpus_per_actor) as pool:
                ready = self._claimed(images, results, refused)
                total = None if images.total is None else images.total - images.resumed
                todo = HandOut(ready, step=work.batch_size, total=total, workers=pool.share.actors)
                crew = Crew(pool, job, todo, results, pool.share.actors, token[:8])
                try:
                    for record in crew.records():
                        yield from self._told(refused, results)
                        yield record
                    yield from self._told(refused, results)
                finally:
                    self.lines = crew.lines()
        finally:
            (results.folder / TOKEN).unlink(missing_ok=True)

    def _claimed(
        self, images: PendingImages, results: ResultFolder, refused: list[Record]
    ) -> Generator[InputImage, None, None]:
        """The images whose outputs can be called as they are; the records of others go to ``refused``."""
        for image in images:
            try:
                results.claim(image)
            except DataError as error:
                refused.append(results.failed(image, str(error)))
            else:
                # An address has no path.
                yield replace(image, path=Path(image.source)) if type(image) is InputImage else image

    def _told(self, refused: list[Record], results: ResultFolder) -> Generator[Record, None, None]:
        while refused:
            record = refused.pop()
            results.append(record)
            yield record


def absolute_prompts(prompts: str | None) -> str | None:
    """A source of prompts, as in ``toolkit.load``, whose path does not depend on the current folder."""
    if prompts is None or prompts == AUTO:
        return prompts
    if prompts.startswith(FROM):
        return f"{FROM}{os.path.abspath(prompts.removeprefix(FROM))}"
    return os.path.abspath(prompts)
