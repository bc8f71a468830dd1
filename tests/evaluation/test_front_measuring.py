"""``toolkit.evaluate`` and ``toolkit.compare``: names or objects, tables, progress."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest
from support import fake_libraries
from support.tiny import Squares, TinyModel, TinySettings

import toolkit
from toolkit import registry
from toolkit.data.label_maps import write_label_map
from toolkit.errors import UsageError
from toolkit.evaluation.requests import Computing, DataChoice
from toolkit.evaluation.runs import evaluate_run

TINY = Path(__file__).resolve().parents[1] / "support" / "tiny.py"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> toolkit.TrainResult:
    registry.clear()
    settings = {"train.steps": 8, "train.device": "cpu"}
    out = tmp_path_factory.mktemp("front") / "run"
    result = toolkit.train(settings, out, plugin=str(TINY), data=str(TINY), progress=False)
    registry.clear()
    return result


@pytest.fixture
def run(trained: toolkit.TrainResult, tiny: str) -> toolkit.TrainResult:
    registry.add_path(tiny)
    return trained


def test_a_run_by_path_by_result_and_by_predictor_gives_the_same(run: toolkit.TrainResult) -> None:
    (want,) = evaluate_run(run.run, DataChoice(str(TINY)), Computing(accelerator="cpu")) or []
    for way in (run, run.run, str(run.run), toolkit.load(run, device="cpu")):
        reports = toolkit.evaluate(way, device="cpu")
        assert reports == (want,)
        assert reports.metrics == want.metrics


def test_the_dataset_is_that_of_the_run_or_an_open_one(run: toolkit.TrainResult) -> None:
    named = toolkit.evaluate(run, device="cpu").metrics
    kept = set(run.run.glob("eval-*.json"))
    opened = toolkit.evaluate(run, data=Squares("val", 12, ""), device="cpu").metrics
    assert opened == named
    other = toolkit.evaluate(run, data=Squares("train", 5, ""), device="cpu").metrics
    assert other != named
    assert set(run.run.glob("eval-*.json")) == kept, "nobody could tell what an unnamed set was"
    with pytest.raises(UsageError, match="takes neither a folder nor options"):
        toolkit.evaluate(run, data=Squares("val", 12, ""), data_dir="x", device="cpu")


def test_settings_are_those_of_the_command(run: toolkit.TrainResult) -> None:
    by_key = toolkit.evaluate(run, settings={"data.options.count": 3}, device="cpu")
    by_word = toolkit.evaluate(run, settings=["data.options.count=3"], device="cpu", split="val")
    assert by_key == by_word
    assert by_key != toolkit.evaluate(run, device="cpu")


def test_predictions_on_disk(run: toolkit.TrainResult, tmp_path: Path) -> None:
    squares = Squares("val", 12, "")
    for i in range(12):
        sample = squares[i]
        assert sample.label_map is not None
        write_label_map(tmp_path / f"{sample.id}.png", sample.label_map, ())
    reports = toolkit.evaluate(predictions=tmp_path, data=str(TINY))
    assert reports.metrics["mean_iou"] == 1.0
    for wrong in ({}, {"run": run, "predictions": tmp_path}):
        with pytest.raises(UsageError, match="give either a run or predictions"):
            toolkit.evaluate(**wrong)
    with pytest.raises(UsageError, match="data=NAME"):
        toolkit.evaluate(predictions=tmp_path, data=squares)


def test_what_is_no_run_says_so() -> None:
    with pytest.raises(UsageError, match="int does not refer to a run. Hint: give the folder of a run"):
        toolkit.evaluate(3)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="Predictor does not refer to a run"):
        toolkit.evaluate(toolkit.Predictor(TinyModel(TinySettings(), ("a",)), device="cpu"))


def test_runs_are_compared(run: toolkit.TrainResult, tmp_path: Path) -> None:
    shutil.copytree(run.run, tmp_path / "twin")
    found = toolkit.compare(
        [run, tmp_path / "twin"], memory=False, device="cpu", resamples=10, out=tmp_path / "sheet.png"
    )
    assert [each.name for each in found.runs] == ["run", "twin"]
    assert found.runs[1].differences["mean_iou"].value == 0
    assert math.isnan(found.runs[0].figures["memory"])
    assert (tmp_path / "sheet.png").is_file()
    opened = toolkit.compare(
        [run, run.run], data=Squares("val", 12, ""), memory=False, device="cpu", resamples=10
    )
    assert opened.data == "Squares"
    assert opened.runs[0].figures["mean_iou"] == found.runs[0].figures["mean_iou"]


def test_tables(run: toolkit.TrainResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_libraries.install(monkeypatch)
    reports = toolkit.evaluate(run, device="cpu")
    frame = reports.to_dataframe()
    assert dict(zip(frame.index, frame.columns["value"], strict=True)) == reports.metrics
    (report,) = reports
    assert report.to_dataframe().columns == frame.columns
    by_class = report.to_dataframe(per_class=True)
    assert list(by_class.index) == ["ground", "square"]
    assert by_class.columns["iou"] == report.per_class["iou"]
    shutil.copytree(run.run, tmp_path / "twin")
    compared = toolkit.compare([run, tmp_path / "twin"], memory=False, device="cpu", resamples=10)
    columns = compared.to_dataframe().columns
    assert list(columns) == ["run", "twin", "twin: difference", "twin: low", "twin: high"]
    place = list(compared.to_dataframe().index).index("mean_iou")
    assert columns["twin"][place] == reports.metrics["mean_iou"]


def test_notebooks_and_reprs(run: toolkit.TrainResult, monkeypatch: pytest.MonkeyPatch) -> None:
    reports = toolkit.evaluate(run, device="cpu")
    # Rich shows what it prints by itself where it finds itself in a notebook; each table would come twice.
    shown: list[object] = []
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    monkeypatch.setattr("rich.jupyter.display", lambda *what: shown.append(what))
    assert repr(reports).startswith("Reports(Report('iou', mean_iou ")
    assert len(repr(reports)) < 120
    html = reports._repr_html_()
    assert not shown
    assert html.count("<pre") == 1
    assert "square" in html
    assert f"{reports.metrics['mean_iou']:.4f}" in html


def test_progress_is_on_by_default(
    run: toolkit.TrainResult, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("FIRST_LINE", "EVERY"):
        monkeypatch.setattr(f"toolkit.runtime.progress.{name}", 0.0)
    with caplog.at_level("INFO", "toolkit"):
        toolkit.evaluate(run, device="cpu")
        assert "measuring: 8 of 12, " in caplog.text
        caplog.clear()
        toolkit.compare([run, run.run], memory=False, device="cpu", resamples=10)
        assert "measuring: 20 of 24, " in caplog.text
        caplog.clear()
        toolkit.evaluate(run, device="cpu", progress=False)
        assert "measuring" not in caplog.text


def test_what_is_kept_is_what_is_returned(run: toolkit.TrainResult) -> None:
    reports = toolkit.evaluate(run, device="cpu")
    (kept,) = run.run.glob("eval-*-val.json")
    assert json.loads(kept.read_text())[0]["metrics"] == reports[0].to_dict()["metrics"]
