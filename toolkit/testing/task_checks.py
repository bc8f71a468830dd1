"""Checks of tasks."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from toolkit import registry
from toolkit.registry.manifests import TaskManifest
from toolkit.testing.checks import expect, skip
from toolkit.testing.evaluator_checks import perfect
from toolkit.types import Sample
from toolkit.visualization.drawing import overlay
from toolkit.visualization.palettes import class_palette

SIZES = [(40, 48), (48, 40)]


@dataclass(frozen=True)
class TaskCase:
    """A task, and how to check it.

    Attributes:
        task: a name, or the path of a file or folder that contains one.
    """

    task: str

    @property
    def manifest(self) -> TaskManifest:
        """The task's manifest."""
        return registry.named(registry.tasks(), self.task, by_user=True)

    def samples(self) -> list[Sample]:
        """Its examples; the check is skipped if there are none."""
        task = self.manifest
        if not task.examples:
            skip(
                "the task provides no examples, so its plugins are hardly checked. Hint: set examples to a"
                " function"
            )
        made: list[Sample] = task.resolve(task.examples)(task.classes, SIZES, objects=3, seed=0)
        return made


def names_what_exists(case: TaskCase) -> None:
    """The functions, evaluators and other tasks that the manifest names exist."""
    task = case.manifest
    for what in ("draw", "write", "examples"):
        reference = getattr(task, what)
        expect(not reference or callable(task.resolve(reference)), f"{what}={reference!r} is not callable")
    for name in task.evaluators:
        registry.evaluators().get(name)
    for other, reference in task.conversions.items():
        registry.tasks().get(other)
        expect(callable(task.resolve(reference)), f"the conversion {reference!r} is not callable")


def examples_have_the_truth(case: TaskCase) -> None:
    """Examples have the requested sizes and everything that training needs, and are the same each time."""
    samples, again = case.samples(), case.samples()
    expect(
        [sample.size for sample in samples] == SIZES, f"examples of {SIZES} have {[s.size for s in samples]}"
    )
    for sample, twin in zip(samples, again, strict=True):
        missing = [name for name in case.manifest.truth if sample.get(name) is None]
        expect(not missing, f"the example {sample.id!r} has no {' and no '.join(missing)}")
        expect(bool((sample.image == twin.image).all()), f"the example {sample.id!r} is different each time")


def predictions_are_drawn(case: TaskCase) -> None:
    """Predictions are visible in the picture, which keeps its size."""
    if not case.manifest.draw:
        skip("the task draws nothing")
    for sample in case.samples():
        plain = sample.image.permute(1, 2, 0).numpy()
        drawn = overlay(
            sample.image, perfect(sample), case.manifest.classes, class_palette(case.manifest.classes)
        )
        expect(drawn.shape == plain.shape, f"the picture of {plain.shape} became one of {drawn.shape}")
        expect(not np.array_equal(drawn, plain), f"nothing is drawn over {sample.id!r}")


def predictions_are_written(case: TaskCase) -> None:
    """Predictions are written to files inside the folder, whose paths are returned."""
    task = case.manifest
    if not task.write:
        skip("the task writes nothing")
    for sample in case.samples():
        with tempfile.TemporaryDirectory() as folder:
            outputs = task.resolve(task.write)(
                perfect(sample), Path(folder), "deep/name", class_palette(task.classes)
            )
            expect(len(outputs) > 0, f"nothing was written for {sample.id!r}")
            found = {
                path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file()
            }
            expect(
                set(outputs.values()) == found,
                f"{sorted(outputs.values())} is declared to be written, but the files are {sorted(found)}",
            )
