"""Each check of a task finds the fault that is planted for it."""

from __future__ import annotations

import unittest
from pathlib import Path

import pytest

from toolkit import registry
from toolkit.testing import TASK_CHECKS, TaskCase, run_checks

DEPTH = Path(__file__).resolve().parents[1] / "support" / "depth.py"
BY_NAME = {check.__name__: check for check in TASK_CHECKS}
FAULTS = [
    ("names_what_exists", 'draw=":draw"', 'draw=":TASK"', "draw=':TASK' is not callable"),
    (
        "names_what_exists",
        'evaluators=("depth-error",),\n    draw',
        'evaluators=("nobody",),\n    draw',
        "unknown evaluator",
    ),
    (
        "examples_have_the_truth",
        'extras={"depth": PixelMap(torch.from_numpy(depth',
        'extras={"d": PixelMap(torch.from_numpy(depth',
        "has no depth",
    ),
    (
        "examples_have_the_truth",
        "in enumerate(sizes)",
        "in enumerate(sizes[:1])",
        "examples of",
    ),
    ("examples_have_the_truth", "default_rng([7, seed])", "default_rng()", "is different each time"),
    (
        "predictions_are_drawn",
        "return np.where(np.isfinite(depth)[..., None], tint, picture).astype(np.uint8)",
        "return picture",
        "nothing is drawn",
    ),
    (
        "predictions_are_drawn",
        "tint, picture).astype(np.uint8)",
        "tint, picture).astype(np.uint8)[1:]",
        "became one of",
    ),
    ("predictions_are_written", 'return {"depth": path}', "return {}", "nothing was written"),
    (
        "predictions_are_written",
        'return {"depth": path}',
        'return {"depth": "elsewhere.npy"}',
        "is declared to be written",
    ),
]


def case(tmp_path: Path, old: str = "", new: str = "") -> TaskCase:
    text = DEPTH.read_text(encoding="utf-8")
    assert old in text
    file = tmp_path / "task.py"
    file.write_text(text.replace(old, new) if old else text, encoding="utf-8")
    return TaskCase(str(file))


def test_a_task_without_faults_passes(tmp_path: Path) -> None:
    assert {result.state for result in run_checks(TASK_CHECKS, case(tmp_path))} == {"passed"}


@pytest.mark.parametrize(("check", "old", "new", "message"), FAULTS)
def test_each_fault_is_found_by_its_check(
    tmp_path: Path, check: str, old: str, new: str, message: str
) -> None:
    with pytest.raises(Exception, match=message):
        BY_NAME[check](case(tmp_path, old, new))


def test_every_check_is_tried() -> None:
    assert {check for check, *_ in FAULTS} == set(BY_NAME)


@pytest.mark.parametrize(
    ("reference", "check"),
    [
        ("draw", "predictions_are_drawn"),
        ("write", "predictions_are_written"),
        ("examples", "examples_have_the_truth"),
    ],
)
def test_what_a_task_does_not_bring_is_skipped(tmp_path: Path, reference: str, check: str) -> None:
    with pytest.raises(unittest.SkipTest):
        BY_NAME[check](case(tmp_path, f'    {reference}=":{reference}",\n', ""))


def test_a_plugin_of_an_unknown_task_is_named_and_stops_nothing(tmp_path: Path) -> None:
    file = tmp_path / "lost.py"
    file.write_text(
        "from toolkit import PluginManifest\n"
        "PLUGIN = PluginManifest(name='lost', summary='s', task='semantik', build=':b')\n"
    )
    with pytest.raises(Exception, match=r"plugin 'lost': unknown task 'semantik'\. Did you mean 'semantic'"):
        registry.add_path(file)
    assert "lost" not in registry.plugins().names()
    assert "unet" in registry.plugins().names()
