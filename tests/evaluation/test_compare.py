"""``toolkit compare``: the figures are those of ``toolkit eval``, and what cannot be compared is refused."""

from __future__ import annotations

import io
import itertools
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import pytest

from toolkit import registry
from toolkit.checkpoints import CheckpointManifest, save_checkpoint
from toolkit.cli import main
from toolkit.errors import DataError, UsageError
from toolkit.evaluation.compare import compare_runs
from toolkit.evaluation.memory import predicting_memory
from toolkit.evaluation.requests import Computing, DataChoice
from toolkit.evaluation.run_figures import MEMORY, PARAMETERS, SPEED, Comparison
from toolkit.evaluation.runs import evaluate_run

RIVALS = str(Path(__file__).resolve().parents[1] / "support" / "rivals.py")
COMMON: dict[str, Any] = {"memory": False, "accelerator": "cpu"}


@pytest.fixture(autouse=True)
def _rivals(tiny: str) -> None:
    registry.add_path(RIVALS)
    registry.add_path(tiny)


def run(
    folder: Path,
    plugin: str = "bright",
    *,
    classes: Sequence[str] = ("ground", "square"),
    data: str = "squares",
    options: dict[str, Any] | None = None,
    evaluators: Sequence[str] = ("iou",),
    **settings: Any,
) -> Path:
    """The folder of a run that was never trained."""
    manifest = registry.plugins().get(plugin)
    model = manifest.resolve(manifest.build)(manifest.resolve(manifest.settings)(**settings), tuple(classes))
    folder.mkdir(parents=True)
    config = {
        "data": {"name": data, "options": options or {}},
        "evaluators": {name: {} for name in evaluators},
    }
    about = CheckpointManifest(plugin, manifest.task, tuple(classes), model=settings, config=config, step=7)
    save_checkpoint(folder / "last.safetensors", model.state_dict(), about)
    return folder


def figures(comparison: Comparison) -> list[dict[str, float]]:
    return [dict(each.figures) for each in comparison.runs]


def test_the_metrics_are_those_of_eval_with_differences_to_the_first(tmp_path: Path) -> None:
    runs = [run(tmp_path / f"t{t}", threshold=t) for t in (60, 110, 150)]
    comparison = compare_runs(runs, batch_size=5, **COMMON)
    assert (comparison.data, comparison.split, comparison.images) == ("squares", "val", 12)
    assert [each.name for each in comparison.runs] == ["t60", "t110", "t150"]
    for path, result in zip(runs, comparison.runs, strict=True):
        (report,) = evaluate_run(path, DataChoice("squares"), Computing(accelerator="cpu")) or ()
        assert {name: result.figures[name] for name in report.metrics} == pytest.approx(dict(report.metrics))
        assert (result.plugin, result.step) == ("bright", 7)
    first, *others = comparison.runs
    assert first.differences == {}
    for other in others:
        gain = other.differences["mean_iou"]
        assert gain.value == pytest.approx(other.figures["mean_iou"] - first.figures["mean_iou"])
        assert gain.low <= gain.value <= gain.high
    assert comparison.runs[1].figures["mean_iou"] == 1
    assert comparison.runs[1].differences["mean_iou"].is_clear
    assert first.figures[PARAMETERS] == 10


def test_equal_runs_differ_in_nothing_but_speed(tmp_path: Path) -> None:
    comparison = compare_runs(
        [run(tmp_path / "a", threshold=80), run(tmp_path / "b", threshold=80)], **COMMON
    )
    for name, found in comparison.runs[1].differences.items():
        if name in (SPEED, MEMORY):
            continue
        assert found.value == 0, name
        if name != PARAMETERS:
            assert (found.low, found.high) == (0, 0), name
        assert not found.is_clear


def test_the_slower_one_is_called_slower(tmp_path: Path) -> None:
    comparison = compare_runs(
        [run(tmp_path / "a", milliseconds=3), run(tmp_path / "b", milliseconds=30)], batch_size=2, **COMMON
    )
    fast, slow = (each[SPEED] for each in figures(comparison))
    assert slow < 1000 / 30
    assert fast > 1.5 * slow
    assert comparison.runs[1].differences[SPEED].high < 0


def test_an_instance_model_against_a_semantic_one_by_iou(tmp_path: Path) -> None:
    """The semantic one knows a background, the dataset of objects does not; both find the squares exactly."""
    words: dict[str, Any] = {"data": "lone-squares"}
    right = run(tmp_path / "blob", "blob", classes=("square",), evaluators=("coco",), **words)
    same = run(tmp_path / "bright", classes=("background", "square"), **words)
    worse = run(tmp_path / "worse", classes=("square", "background"), threshold=70, **words)
    comparison = compare_runs([right, same, worse], **COMMON)
    assert [each["mean_iou"] for each in figures(comparison)][:2] == [1, 1]
    assert comparison.runs[2].differences["mean_iou"].high < 0
    assert not any("AP" in name for name in comparison.runs[0].figures)


def test_instance_models_are_compared_by_coco(tmp_path: Path) -> None:
    runs = [
        run(
            tmp_path / str(t),
            "blob",
            classes=("square",),
            data="lone-squares",
            evaluators=("coco",),
            threshold=t,
        )
        for t in (110, 85)
    ]
    comparison = compare_runs(runs, resamples=20, **COMMON)
    assert comparison.runs[0].figures["segm/AP"] == pytest.approx(1)
    assert comparison.runs[1].differences["segm/AP"].high < 0
    assert math.isnan(comparison.runs[1].differences["segm/APl"].value), "there are no large squares"
    assert any("from 20 bootstrap draws" in note for note in comparison.notes)


def test_what_the_reports_note_is_said_once_or_with_the_run_that_it_is_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = itertools.count(1)
    monkeypatch.setattr("toolkit.evaluation.coco.limit_notes", lambda *_: [f"note {next(numbers)}"])
    words: dict[str, Any] = {"data": "lone-squares", "classes": ("square",), "evaluators": ("coco",)}
    runs = [
        run(tmp_path / name, "blob", threshold=t, **words) for name, t in (("first", 110), ("second", 85))
    ]
    settings = {"evaluators": {"coco": {}, "iou": {"void": "false_positive"}}}
    notes = compare_runs(runs, overrides=settings, resamples=2, **COMMON).notes
    assert len([note for note in notes if note.endswith("void pixels count as false positives.")]) == 1
    assert [note for note in notes if "note" in note] == ["first: note 1", "second: note 2"]


def test_several_evaluators_and_settings_can_be_asked_for(tmp_path: Path) -> None:
    runs = [
        run(tmp_path / str(t), "blob", classes=("square",), data="lone-squares", evaluators=(), threshold=t)
        for t in (110, 90)
    ]
    overrides = {"evaluators": {"iou": {}, "coco": {"iou_types": ["bbox"]}}}
    (first, _) = figures(compare_runs(runs, resamples=5, overrides=overrides, **COMMON))
    assert {"mean_iou", "bbox/AP"} <= set(first)
    assert "segm/AP" not in first


def test_memory_is_weights_and_what_predicting_takes(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux tells the peak of a process since a moment")
    hungry = run(tmp_path / "hungry", megabytes=96, weights=2**22)
    from toolkit.data.dataset import open_dataset

    samples = [open_dataset(registry.datasets().get("squares"), None, "val", {})[0]]
    taken = predicting_memory(hungry, samples, accelerator="cpu", precision="fp32")
    assert taken is not None
    assert 16 + 90 < taken / 2**20 < 16 + 96 + 60, "16 MB are weights"


def test_the_command_prints_one_table_or_one_object_and_a_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tiny: str
) -> None:
    runs = [str(run(tmp_path / name / "net", threshold=t)) for name, t in (("one", 60), ("two", 110))]
    sheet = tmp_path / "sheet.png"
    command = [
        "compare",
        *runs,
        "--device",
        "cpu",
        "--workers",
        "0",
        "--plugin",
        RIVALS,
        "--plugin",
        tiny,
        "--resamples",
        "50",
    ]
    assert main([*command, "--json", "--out", str(sheet), "data.options.count=6"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["data"], found["split"], found["images"]) == ("squares", "val", 6)
    assert [each["name"] for each in found["runs"]] == ["one/net", "two/net"]
    last = found["runs"][1]
    assert last["figures"]["mean_iou"] == 1
    assert last["differences"]["mean_iou"]["low"] > 0
    assert last["differences"]["parameters"] == {"value": 0, "low": None, "high": None}
    if sys.platform == "linux":
        assert last["figures"]["memory"] > 0
    picture = cv2.imread(str(sheet))
    assert picture is not None
    assert picture.shape[1] == 8 + 4 * (320 + 8), "image, truth and two predictions"


def test_the_table_has_a_row_a_figure(tmp_path: Path) -> None:
    from rich.console import Console

    comparison = compare_runs([run(tmp_path / "one", threshold=60), run(tmp_path / "two")], **COMMON)
    text = io.StringIO()
    Console(width=200, file=text).print(comparison.table())
    lines = text.getvalue().splitlines()
    (line,) = [line for line in lines if line.startswith("mean_iou")]
    assert "1.0000" in line
    assert line.rstrip().endswith("] *")
    (line,) = [line for line in lines if line.startswith("parameters")]
    assert line.split() == ["parameters", "10", "10", "+0"]
    (line,) = [line for line in lines if line.startswith("memory (MB)")]
    assert "nan" not in line
    assert any("12 images are too few" in line for line in lines)


def test_what_cannot_be_compared_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = run(tmp_path / "one")
    lone = run(tmp_path / "lone", "blob", classes=("square",), data="lone-squares", evaluators=("coco",))
    cats = run(tmp_path / "cats", classes=("ground", "square", "cat"))
    with pytest.raises(UsageError, match="two runs or more, not 1"):
        compare_runs([one], **COMMON)
    with pytest.raises(
        UsageError,
        match=r"different datasets: .*squares, .*lone-squares\. Hint: choose one of them with --data",
    ):
        compare_runs([one, lone], **COMMON)
    with pytest.raises(DataError, match="cats cannot be evaluated on this dataset.*only the model has cat"):
        compare_runs([one, cats], **COMMON)
    with pytest.raises(DataError, match="one cannot be evaluated on this dataset.*only the model has ground"):
        compare_runs([one, lone], data="lone-squares", **COMMON)
    with pytest.raises(UsageError, match="train"):
        compare_runs([one, one], overrides={"train": {"steps": 1}}, **COMMON)
    assert main(["compare", str(one), str(tmp_path / "absent")]) == 1
    assert "absent" in capsys.readouterr().err


def test_options_that_differ_are_said(tmp_path: Path) -> None:
    runs = [run(tmp_path / str(count), options={"count": count}) for count in (5, 9)]
    comparison = compare_runs(runs, **COMMON)
    assert comparison.images == 5
    assert any("different data.options" in note for note in comparison.notes)


def test_one_image_has_no_interval(tmp_path: Path) -> None:
    runs = [run(tmp_path / str(t), threshold=t, options={"count": 1}) for t in (60, 110)]
    found = compare_runs(runs, **COMMON).runs[1].differences["mean_iou"]
    assert found.value > 0
    assert math.isnan(found.low)
