"""``--window`` of the commands that measure: the figures are of what ``toolkit infer`` writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import seams

import toolkit
from toolkit import registry
from toolkit.cli import main
from toolkit.errors import UsageError
from toolkit.inference import Tiling

WINDOW = ["--window", "48", "--overlap", "0.3"]
PLUGINS = {"seams-objects": "coco", "seams-map": "masks"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = seams.write_data(tmp_path_factory.mktemp("seams"))
    for plugin in PLUGINS:
        seams.write_run(path / "runs" / plugin, plugin)
        seams.write_run(path / "runs" / "other" / plugin, plugin)
    return path


@pytest.fixture(autouse=True)
def _known() -> None:
    registry.add_path(seams.__file__)


def measured(words: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, float]:
    capsys.readouterr()
    assert main(words) == 0
    metrics: dict[str, float] = json.loads(capsys.readouterr().out)["metrics"]
    return metrics


@pytest.mark.parametrize("plugin", PLUGINS)
def test_what_is_measured_is_what_infer_writes(
    plugin: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, data = str(folder / "runs" / plugin), ["--data", PLUGINS[plugin], "--data-dir", str(folder)]
    how = ["--json", "--split", "val", "--device", "cpu", "--workers", "0"]
    windowed = measured(["eval", run, *data, *how, *WINDOW], capsys)
    whole = measured(["eval", run, *data, *how], capsys)
    assert windowed != whole, "or the model does not see the difference"
    images = str(folder / ("val" if plugin == "seams-objects" else "images"))
    for out, words, figures in (("windowed", WINDOW, windowed), ("whole", [], whole)):
        results = str(tmp_path / out)
        infer = ["infer", run, images, "--out", results, "--no-overlays", "--device", "cpu"]
        assert main([*infer, *words]) == 0
        written = measured(["eval", "--predictions", results, *data, "--json", "--split", "val"], capsys)
        assert {name: written[name] for name in figures if name in written} == pytest.approx(
            {name: value for name, value in figures.items() if name in written}, abs=1e-12, nan_ok=True
        )
        assert {"segm/AP", "mean_iou"} & set(written) & set(figures)


def test_reports_of_windows_do_not_replace_those_of_whole_images(folder: Path) -> None:
    run = folder / "runs" / "seams-objects"
    for tiling in (None, Tiling(48)):
        toolkit.evaluate(
            run, data="coco", data_dir=folder, split="val", device="cpu", tiling=tiling, progress=False
        )
    assert {path.name for path in run.glob("eval-*.json")} == {
        "eval-coco-val.json",
        "eval-coco-val-window48.json",
    }


def test_compare_and_report_use_the_windows_too(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [str(folder / "runs" / "seams-objects"), str(folder / "runs" / "other" / "seams-objects")]
    data = ["--data", "coco", "--data-dir", str(folder), "--split", "val", "--device", "cpu"]
    how = ["--workers", "0", *WINDOW]
    expected = measured(["eval", runs[0], *data, *how, "--json"], capsys)
    first = next(iter(expected))
    assert main(["report", runs[0], *data, *how, "--no-copies", "--out", str(tmp_path / "page.html")]) == 0
    (reported,) = json.loads((tmp_path / "page.json").read_text())["reports"]
    assert reported["metrics"][first] == pytest.approx(expected[first], abs=1e-12)
    compared = toolkit.compare(
        runs,
        data="coco",
        data_dir=folder,
        split="val",
        device="cpu",
        tiling=Tiling(48, 0.3),
        memory=False,
        resamples=10,
        progress=False,
    )
    assert [run.figures[first] for run in compared.runs] == pytest.approx([expected[first]] * 2, abs=1e-12)


def test_predictions_need_no_windows(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("eval", "report"):
        words = [command, "--predictions", str(folder), "--data", "coco", "--data-dir", str(folder)]
        assert main([*words, "--window", "48"]) == 2
        assert "predictions on disk need no windows. Hint: leave out --window" in capsys.readouterr().err
    for verb in (toolkit.evaluate, toolkit.report):
        with pytest.raises(UsageError, match=r"need no windows\. Hint: leave tiling out"):
            verb(predictions=folder, data="coco", tiling=Tiling(48))


def test_values_out_of_range(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(folder / "runs" / "seams-objects")
    data = ["--data", "coco", "--data-dir", str(folder), "--split", "val"]
    for words, message in (
        (["--window", "0"], "window must be at least 1 pixel, not 0"),
        (["--overlap", "1"], "overlap must be from 0 up to but not including 1, not 1.0"),
        (["--overlap", "-0.1"], "overlap must be from 0 up to but not including 1, not -0.1"),
    ):
        for command in (["eval", run], ["report", run], ["compare", run, run]):
            assert main([*command, *data, *words]) == 2
            assert message in capsys.readouterr().err
