"""A cluster in one process: its workers do what they are asked when someone waits, and die as planned."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from toolkit.cluster.job import Introduction, Job
from toolkit.cluster.pool import Died, Pool
from toolkit.cluster.worker import Worker
from toolkit.inference import Predictor
from toolkit.inference.image_batches import Work
from toolkit.inference.inputs import InputImage
from toolkit.models.contract import Model
from toolkit.types import Prediction, Sample

LOADING = {
    "run": "run",
    "device": "cpu",
    "precision": "fp32",
    "tiling": None,
    "prompts": None,
    "prompts_above": None,
    "settings": None,
}


class Bright(Model):
    """Class 1 where a pixel is bright."""

    def __init__(self) -> None:
        super().__init__(("dark", "bright"))

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        return [
            Prediction(s.id, s.size, label_map=(s.image.float().mean(0) > 127).to(torch.uint8))
            for s in samples
        ]


class WorkerOf(Worker):
    """A worker with a model from here instead of a run."""

    def __init__(self, name: str, model: Callable[[], Model]) -> None:
        super().__init__(name)
        self._make = model

    def _load(self, job: Job) -> Predictor:
        return Predictor(self._make(), device="cpu", name="bright 1")


@dataclass
class Process:
    name: str
    worker: Worker
    waiting: list[tuple[int, str, tuple[Any, ...]]] = field(default_factory=list)
    is_dead: bool = False
    done: int = 0


class FakePool(Pool):
    """Workers in this process.

    Args:
        model: makes the model of each.
        dies: called with a process and the images that it gets; how many of them it does before it dies, or
            None.
        host: of all; ``versions`` replace what they say.
        begins: whether processes begin at all.
        opens: whether a process survives loading the model.
        seed: of the order in which answers come.
    """

    def __init__(
        self,
        model: Callable[[], Model],
        dies: Callable[[Process, Sequence[InputImage]], int | None] = lambda process, images: None,
        *,
        versions: Mapping[str, str] | None = None,
        begins: bool = True,
        opens: Callable[[Process], bool] = lambda process: True,
        seed: int = 0,
    ) -> None:
        self._model, self._dies, self._versions, self._begins = model, dies, versions, begins
        self._opens = opens
        self._random = random.Random(seed)
        self._answers: dict[Hashable, Any] = {}
        self.processes: list[Process] = []
        self._count = 0

    def start(self, name: str) -> Process:
        self.processes.append(Process(name, WorkerOf(name, self._model)))
        return self.processes[-1]

    def submit(self, process: Process, method: str, *arguments: Any) -> Hashable:
        self._count += 1
        process.waiting.append((self._count, method, arguments))
        return self._count

    def wait(self, answers: Collection[Hashable], seconds: float) -> list[Hashable]:
        busy = [process for process in self.processes if process.waiting]
        if self._begins and busy:
            self._step(self._random.choice(busy))
        return [answer for answer in answers if answer in self._answers]

    def _step(self, process: Process) -> None:
        answer, method, arguments = process.waiting.pop(0)
        if process.is_dead:
            self._answers[answer] = Died("it was killed")
            return
        if method == "open" and not self._opens(process):
            process.is_dead = True
            self._answers[answer] = Died("it ran out of memory")
            return
        if method == "predict":
            count = self._dies(process, arguments[0])
            if count is not None:
                process.worker.predict(arguments[0][:count])
                process.is_dead = True
                self._answers[answer] = Died("it was killed")
                return
            process.done += len(arguments[0])
        value = getattr(process.worker, method)(*arguments)
        if isinstance(value, Introduction) and self._versions is not None:
            value = Introduction(value.host, value.process, self._versions)
        self._answers[answer] = value

    def answer(self, answer: Hashable) -> Any:
        value = self._answers.pop(answer)
        if isinstance(value, Died):
            raise value
        return value

    def stop(self, process: Process) -> None:
        process.is_dead = True
        results = process.worker._results
        if results is not None:
            results.flush()

    def shortage(self) -> str:
        return "each needs a core, and there is none"


def job(out: Path, token: str = "token", **changes: Any) -> Job:
    values: dict[str, Any] = {
        "loading": LOADING,
        "plugins": (),
        "out": str(out),
        "token": token,
        "overlays": True,
        "draw_above": 0.0,
        "dataset_values": False,
        "work": Work(2, 1),
    }
    return Job(**(values | changes))


def check_pool(pool: Pool, out: Path, images: Sequence[InputImage], **changes: Any) -> None:
    """What ``Crew`` relies on, of a pool whose workers can do ``job`` with these changes."""
    first, second = pool.start("first"), pool.start("second")
    answers = {pool.submit(process, "introduce"): process for process in (first, second)}
    assert len(answers) == 2
    while answers:
        for answer in pool.wait(answers, 5.0):
            answers.pop(answer)
            assert isinstance(pool.answer(answer), Introduction)
    # The calls of a process are answered in their order, whenever somebody asks.
    opened = pool.submit(first, "open", job(out, **changes))
    predicted = pool.submit(first, "predict", images)
    while predicted not in pool.wait([predicted], 5.0):
        pass
    assert pool.answer(opened) is None
    records, seconds = pool.answer(predicted)
    assert [record.image for record in records] == [image.name for image in images]
    assert {record.actor for record in records} <= {None, "first"}
    assert seconds > 0
    pool.stop(second)
    late = pool.submit(second, "introduce")
    while late not in pool.wait([late], 5.0):
        pass
    try:
        pool.answer(late)
    except Died as death:
        assert str(death)  # noqa: PT017 - the pool has no other way to say it
    else:
        raise AssertionError("a process that was stopped has answered")
    pool.stop(second)
    pool.stop(first)
    assert pool.wait([], 5.0) == []
    assert "each needs" in pool.shortage()
