"""The report that a run leaves at its end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from toolkit.config import resolve
from toolkit.data.generated import GeneratedSamples
from toolkit.errors import DataError
from toolkit.evaluation.driver import PredictedBatch
from toolkit.evaluation.protocols import PLAIN
from toolkit.evaluation.report import Report
from toolkit.reporting import JSON, PAGE
from toolkit.training.log import RunLog, read_metrics
from toolkit.training.loop import TrainResult, train
from toolkit.training.run_report import SHORTEST, RunReport
from toolkit.types import Prediction

CLASSES = ("background", "disc")


def run_tiny(tiny: str, out: Path, *words: str, resume: bool = False) -> TrainResult:
    fixed = ["train.device=cpu", "train.workers=0", "train.steps=6", "train.eval_every=2"]
    return train(resolve(plugin=tiny, data=tiny, overrides=[*fixed, *words]), out, resume=resume)


def test_a_run_that_wants_one_leaves_that_of_its_best_validation(tiny: str, tmp_path: Path) -> None:
    result = run_tiny(tiny, tmp_path / "run", "train.report=true")
    document = json.loads((tmp_path / "run" / JSON).read_text())
    assert document["reports"][0]["metrics"][result.best_metric] == result.best
    assert document["model"] == {
        "plugin": "tiny",
        "task": "semantic",
        "start weights": "none",
        "step": result.best_step,
    }
    steps = [line["step"] for line in read_metrics(tmp_path / "run") if "val/mean_iou" in line]
    assert document["training"][-1]["lines"]["mean_iou"]["steps"] == steps == [2, 4, 6]
    assert "Of the best validation of the training" in (tmp_path / "run" / PAGE).read_text()


@pytest.mark.parametrize("words", [[], ["train.report=false"]])
def test_a_short_run_and_one_that_wants_none_leave_none(tiny: str, tmp_path: Path, words: list[str]) -> None:
    run_tiny(tiny, tmp_path / "run", *words)
    assert not (tmp_path / "run" / PAGE).exists()


class Kit:
    """A report of two images, and a clock that is set by hand."""

    def __init__(self, tiny: str, folder: Path, *words: str) -> None:
        self.now, self.folder = 0.0, folder
        self.dataset = GeneratedSamples(CLASSES, [(20, 30)] * 2)
        self.log = RunLog(folder, start=0, steps=1)
        self.log.__enter__()
        self.log.write(1, {"loss": 1.0})
        settings = resolve(plugin=tiny, data=tiny, overrides=list(words))
        self.report = RunReport(folder, self.log, settings, self.dataset, 0.5, {}, lambda: self.now)

    def validate(self, label: int, step: int) -> None:
        samples = [self.dataset[i] for i in range(2)]
        predictions = [
            Prediction(sample.id, sample.size, torch.full(sample.size, label, dtype=torch.uint8))
            for sample in samples
        ]
        self.report.begin_validation()
        self.report.add(PredictedBatch(0, 0, samples, {PLAIN: predictions}, {}, 0.0))
        self.report.improved([Report("iou", {"mean_iou": step / 10})], step)

    def written(self) -> bool:
        self.report.write()
        self.log.__exit__(None, None, None)
        return (self.folder / PAGE).exists()


@pytest.mark.parametrize(("seconds", "expected"), [(SHORTEST - 1, False), (SHORTEST, True)])
def test_long_runs_leave_one_by_themselves(tiny: str, tmp_path: Path, seconds: float, expected: bool) -> None:
    kit = Kit(tiny, tmp_path)
    kit.validate(0, step=1)
    kit.now = seconds
    assert kit.written() is expected


def test_the_last_improvement_counts(tiny: str, tmp_path: Path) -> None:
    kit = Kit(tiny, tmp_path, "train.report=true")
    kit.validate(0, step=1)
    kit.validate(1, step=2)
    kit.report.begin_validation()
    assert kit.written()
    document = json.loads((tmp_path / JSON).read_text())
    assert document["model"]["step"] == 2
    assert {entry["taken_for"] for entry in document["errors"]["most_telling"]} == {"disc"}


def test_without_a_validation_there_is_nothing_to_report(tiny: str, tmp_path: Path) -> None:
    assert not Kit(tiny, tmp_path, "train.report=true").written()


def test_what_cannot_be_written_is_a_warning(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    kit = Kit(tiny, tmp_path, "train.report=true")
    kit.validate(0, step=1)

    def lost(self: GeneratedSamples, index: int) -> None:
        raise DataError("the disk is gone")

    monkeypatch.setattr(GeneratedSamples, "__getitem__", lost)
    assert not kit.written()
    assert "report.html cannot be written: the disk is gone" in caplog.text
