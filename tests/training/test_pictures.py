"""The pictures that a run leaves, what they may cost, and what happens when they cannot be drawn."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from toolkit import registry
from toolkit.config import resolve
from toolkit.data.dataset import Dataset, open_dataset
from toolkit.evaluation.driver import PredictedBatch
from toolkit.evaluation.iou import IoU
from toolkit.evaluation.protocols import PLAIN
from toolkit.training.log import RunLog
from toolkit.training.loop import TrainResult, train
from toolkit.training.pictures import CLASS_CURVES, PICTURES, ROWS, SHARE, RunPictures, ShownPredictions
from toolkit.types import Instances, Prediction, Sample


def run_tiny(tiny: str, out: Path, *words: str, resume: bool = False) -> TrainResult:
    fixed = ["train.device=cpu", "train.workers=0", "train.steps=4", "train.eval_every=2"]
    return train(resolve(plugin=tiny, data=tiny, overrides=[*fixed, *words]), out, resume=resume)


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "results.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def images_of(run: Path) -> dict[str, list[int]]:
    """Tags and steps of the images that TensorBoard shows."""
    events = EventAccumulator(str(run), size_guidance={"images": 0})
    events.Reload()
    return {tag: [event.step for event in events.Images(tag)] for tag in events.Tags()["images"]}


def test_a_run_leaves_pictures_and_a_table(tiny: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    result = run_tiny(tiny, run)
    for name in set(PICTURES) - {CLASS_CURVES}:  # the evaluator iou has no curves
        assert min(cv2.imread(str(run / name)).shape[:2]) > 100, name
    assert [row["step"] for row in rows(run)] == ["2", "4"]
    assert float(rows(run)[-1]["val/mean_iou"]) <= result.best
    assert images_of(run) == {"train/batch": [1], "val/predictions": [2, 4]}


def test_tensorboard_gets_small_pictures_of_the_same_content(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    photo = cv2.resize(rng.integers(0, 256, (40, 60, 3), np.uint8), (720, 480), interpolation=cv2.INTER_CUBIC)
    with RunLog(tmp_path, start=0, steps=1) as log:
        log.show("sheet", photo, 1)
    events = EventAccumulator(str(tmp_path), size_guidance={"images": 0})
    events.Reload()
    (shown,) = events.Images("sheet")
    assert (shown.width, shown.height) == (720, 480)
    assert len(shown.encoded_image_string) < len(cv2.imencode(".png", photo)[1]) / 3
    decoded = cv2.imdecode(np.frombuffer(shown.encoded_image_string, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(decoded.astype(int) - photo).mean() < 10


def test_a_resumed_run_keeps_the_rows_before_and_the_first_batch(tiny: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run_tiny(tiny, run)
    before = (run / "train-batch.jpg").read_bytes()
    (run / "results.csv").unlink()
    run_tiny(tiny, run, "train.steps=6", resume=True)
    assert [row["step"] for row in rows(run)] == ["2", "4", "6"]
    assert (run / "train-batch.jpg").read_bytes() == before


def test_without_validation_there_are_curves_of_training_alone(tiny: str, tmp_path: Path) -> None:
    run_tiny(tiny, tmp_path / "run", "data.val_split=", "train.log_every=1")
    assert (tmp_path / "run" / "curves.png").is_file()
    assert not (tmp_path / "run" / "val-predictions.jpg").exists()


def test_what_cannot_be_drawn_is_a_warning_and_stops_nothing(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("the drawing of somebody's task fails\nin detail")

    monkeypatch.setattr("toolkit.training.pictures.contact_sheet", fails)
    with caplog.at_level("WARNING", logger="toolkit"):
        assert run_tiny(tiny, tmp_path / "run").finished
    expected = "val-predictions.jpg cannot be written: the drawing of somebody's task fails."
    assert [message for message in caplog.messages if expected in message] == [
        f"warning: {expected} Training continues without it"
    ], "once"
    assert (tmp_path / "run" / "curves.png").is_file()


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def squares(tiny: str) -> Dataset:
    registry.add_path(tiny)
    return open_dataset(registry.datasets().get("squares"), None, "val", {"count": 20})


def test_drawing_takes_little_of_the_time_however_often_a_run_validates(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    time, drawn = Time(), []

    def takes_a_second(*_: object, **__: object) -> None:
        time.now += 1.0
        drawn.append(time.now)

    monkeypatch.setattr("toolkit.training.pictures.draw_plots", takes_a_second)
    with RunLog(tmp_path, start=0, steps=1000) as log:
        pictures = RunPictures(tmp_path, log, squares(tiny), clock=time)
        for step in range(1, 1001):
            time.now += 0.5
            log.write(step, {"loss": 1.0, "val/loss": 1.0})
            pictures.validation(ShownPredictions(0, 0.5), last=step == 1000)
    assert 5 <= len(drawn) <= 2 + SHARE * time.now
    assert drawn[-1] == time.now, "the last one is drawn whatever it costs"


@pytest.mark.parametrize(("count", "expected"), [(0, 0), (1, 1), (5, 5), (20, ROWS)])
def test_shown_predictions_are_from_all_over_the_split(count: int, expected: int) -> None:
    shown = ShownPredictions(count, 0.5)
    for first in range(0, count, 4):
        samples = [
            Sample(str(i), torch.zeros(3, 4, 4, dtype=torch.uint8), path=f"photos/{i}.png")
            for i in range(first, min(first + 4, count))
        ]
        maps = [Prediction(s.id, s.size, torch.zeros(4, 4, dtype=torch.uint8)) for s in samples]
        shown.add(PredictedBatch(0, first, samples, {PLAIN: maps}, {}, 0.1))
    assert len(shown.rows) == len(shown.titles) == expected
    if expected == ROWS:
        assert shown.titles[0] == "0"
        assert int(shown.titles[-1]) >= count * (ROWS - 1) // ROWS
    assert shown.folder == (Path("photos") if count else None)


def test_what_the_model_does_not_learn_from_is_not_drawn(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Sample] = []

    def record(
        columns: object, cells: list[list[tuple[object, Sample]]], *_: object, **__: object
    ) -> torch.Tensor:
        drawn.extend(cell[1] for row in cells for cell in row[1::2])
        return torch.zeros(4, 4, 3, dtype=torch.uint8)

    monkeypatch.setattr("toolkit.training.pictures.grid_sheet", record)
    sample = squares(tiny)[0]
    both = sample.with_(instances=Instances.empty(sample.size))
    with RunLog(tmp_path, start=0, steps=1) as log:
        RunPictures(tmp_path, log, squares(tiny), ("label_map",)).first_batch([both, both])
    assert [(each.instances, each.label_map is None) for each in drawn] == [(None, False)] * 2


@pytest.mark.parametrize("count", [1, 2, 3, 40])
def test_a_first_batch_of_any_size_is_drawn(count: int, tiny: str, tmp_path: Path) -> None:
    dataset = squares(tiny)
    with RunLog(tmp_path, start=0, steps=1) as log:
        pictures = RunPictures(tmp_path, log, dataset)
        pictures.first_batch([dataset[i % len(dataset)] for i in range(count)])
    assert not pictures.failed
    width = cv2.imread(str(tmp_path / "train-batch.jpg")).shape[1]
    assert (width > 800) == (count > 1), "two samples in a row, but for a single one"


def test_resuming_a_finished_run_leaves_its_curves_as_they_are(tiny: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run_tiny(tiny, run)
    before = cv2.imread(str(run / "curves.png"))
    assert run_tiny(tiny, run, resume=True).finished
    assert np.array_equal(cv2.imread(str(run / "curves.png")), before)


def test_notes_of_the_best_validation_are_said_at_the_end(
    tiny: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = IoU.report
    monkeypatch.setattr(IoU, "report", lambda self: replace(report(self), notes=("one class is missing",)))
    caplog.set_level("INFO", "toolkit")
    run_tiny(tiny, tmp_path / "run")
    assert caplog.messages.count("Best validation: one class is missing") == 1
    assert "Best validation: one class is missing" in (tmp_path / "run" / "train.log").read_text()
