"""A run that was stopped and resumed on a GPU ends like one that never was: bit for bit where all of its
operators have a deterministic form, within a tolerance where one has none.

Which ones have none is not written down here, for it changes with torch: the runs are made under
``torch.use_deterministic_algorithms``, and what torch then warns about decides. Expected are: the bicubic
interpolation of SAM 2's position embedding, antialiased resizing, the pooled cross-entropy of ``tiny``.
Mask R-CNN is run as usual, because torchvision's deterministic RoIAlign has to be compiled.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.gpu_runs import FAMILIES, distance, run_child, settings_of, weights

from toolkit.config import RunSettings

HALF, WHOLE = 3, 6

USUAL = 1e-3
"""How far the weights of a resumed run may be from those of one that never was, relative to the distance that
training took them from where they were at the half, where an operator adds up in any order."""
CHANCE = 5.0
"""Or so many times as far as two runs that were never stopped are from each other, if that is more."""

PLAIN = {"maskrcnn": ("--plain",)}
"""Options of ``gpu_child.py``, by family."""

CASES = [
    pytest.param(
        name, device, id=f"{name}-{device}", marks=pytest.mark.gpu if device == "cuda" else pytest.mark.slow
    )
    for device, names in (("cpu", ["tiny"]), ("cuda", list(FAMILIES)))
    for name in names
]


@pytest.mark.parametrize(("name", "device"), CASES)
def test_resumed_equals_never_stopped(
    name: str, device: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    check(name, device, "fp32", tmp_path, tmp_path_factory.getbasetemp())


@pytest.mark.parametrize(
    ("device", "precision"),
    [
        pytest.param("cpu", "fp16", marks=pytest.mark.slow),
        pytest.param("cuda", "bf16", marks=pytest.mark.gpu),
        pytest.param("cuda", "fp16", marks=pytest.mark.gpu),
    ],
)
def test_resumed_equals_never_stopped_in_half_precision(
    device: str, precision: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The scale of the GradScaler is part of the state."""
    check("unet" if device == "cuda" else "tiny", device, precision, tmp_path, tmp_path_factory.getbasetemp())


def check(name: str, device: str, precision: str, folder: Path, parent: Path) -> None:
    def settings(steps: int) -> RunSettings:
        # SGD, because AdamW turns the rounding of a gradient that is nearly 0 into a whole step
        return settings_of(
            name,
            device,
            parent,
            steps=steps,
            precision=precision,
            optimizer="sgd",
            lr=0.001,
            checkpoint_every=HALF,
            val_split="",
        )

    options = PLAIN.get(name, ()) if device == "cuda" else ()

    def run(out: str, steps: int, *more: str) -> list[str]:
        done = run_child(settings(steps), folder, folder / out, *options, *more)
        assert done["steps"] == steps
        return list(done["nondeterministic"])

    said = run("whole", WHOLE)
    run("stopped", HALF)
    at_half = weights(folder / "stopped")
    run("stopped", WHOLE, "--resume")
    whole, resumed = weights(folder / "whole"), weights(folder / "stopped")
    covered, off = distance(at_half, whole), distance(resumed, whole)
    assert covered > 0
    share = off / covered
    print(
        f"{name} on {device}: off by {share:.2g} of the way; not deterministic: {said or options or 'none'}"
    )
    if not said and not options:
        unequal = [key for key in whole if not torch.equal(whole[key], resumed[key])]
        assert not unequal, f"{len(unequal)} tensors differ, such as {unequal[0]}"
        return
    run("again", WHOLE)
    by_chance = distance(weights(folder / "again"), whole)
    assert by_chance < covered / 10, "two runs of one seed are so far apart that nothing can be compared"
    assert off <= max(USUAL * covered, CHANCE * by_chance), (
        f"off by {share:.2g} of the way; two runs that were never stopped by {by_chance / covered:.2g}. Not"
        f" deterministic: {said}"
    )
