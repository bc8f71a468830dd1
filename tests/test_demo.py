"""The demo, with few steps: what it leaves, and what it never clears away."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from types import SimpleNamespace

import cv2
import pytest

from toolkit import demo
from toolkit.cli import main

FEW = ["train.steps=2", "train.warmup_steps=0", "train.workers=0", "train.device=cpu"]
SMALL = ["data.options.size=32", "data.options.train=8", "data.options.val=2", "data.options.test=3"]
FAMILIES = {
    "unet": ([*SMALL, "model.width=4"], "mean_iou", "labels/*.png", 3),
    "maskrcnn": ([*SMALL, "model.engine=torchvision"], "segm/AP50", "instances/*.json", 3),
    "sam2": ([], "box/mean_iou", "instances/*.json", 3),
}
"""What makes each family's demo short, a metric of it, and the results that it leaves."""


def test_every_family_is_tried_here() -> None:
    assert list(demo.FAMILIES) == list(FAMILIES)


@pytest.mark.parametrize(
    "plugin", [pytest.param(name, marks=[pytest.mark.slow] if name == "sam2" else []) for name in FAMILIES]
)
def test_the_demo_leaves_figures_pictures_and_results(
    plugin: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if plugin == "sam2":
        pytest.importorskip("sam2")
        from toolkit.datasets.labpics import sample

        monkeypatch.setattr(sample, "write_sample", functools.partial(sample.write_sample, train=12, test=3))
    small, metric, results, count = FAMILIES[plugin]
    out = tmp_path / "demo"
    for _ in range(2 if plugin == "unet" else 1):  # the second clears the first away
        assert main(["demo", "--out", str(out), "--only", plugin, *FEW, *small]) == 0
    figures = json.loads((out / "summary.json").read_text())[plugin]
    assert 0 <= figures["metrics"][metric] <= 1
    assert figures["train_seconds"] > 0
    sheet = cv2.imread(str(out / figures["contact_sheet"]))
    assert sheet.shape[0] > 100
    assert len(list((out / f"{plugin}-results").glob(results))) == count
    assert len(list((out / f"{plugin}-results" / "overlays").glob("*.jpg"))) == count
    picture = cv2.imread(str(out / "demo.jpg"))
    assert picture.shape[0] > 2 * demo.SHEET_CELL, "two images of the only family"
    assert picture.shape[1] == sheet.shape[1]
    shown = capsys.readouterr().out
    assert "  toolkit train --plugin unet --data masks --data-dir FOLDER" in shown
    for expected in (metric, f"{plugin}.jpg", "summary.json", f"{plugin}-results"):
        assert expected in shown.replace("\n", "")


def test_files_of_others_are_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis.txt").write_text("my only copy")
    assert main(["demo", "--out", str(tmp_path), "--only", "unet", *FEW, *SMALL]) == 2
    assert "contains files that are not from a demo" in capsys.readouterr().err
    assert (tmp_path / "thesis.txt").read_text() == "my only copy"


def test_a_plugin_that_is_not_shown_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--out", str(tmp_path), "--only", "resnet"]) == 2
    assert (
        "the demo does not include resnet. Expected one of: unet, maskrcnn, sam2" in capsys.readouterr().err
    )


def test_what_somebody_has_put_beside_a_demo_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / demo.MARK).touch()
    for name in ("unet", "shapes-photos"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "old").write_text("")
    (tmp_path / "notes.txt").write_text("my only copy")
    assert main(["demo", "--out", str(tmp_path), "--only", "unet", *FEW, *SMALL]) == 2
    assert "such as notes.txt. Hint: move them away" in capsys.readouterr().err
    assert (tmp_path / "notes.txt").read_text() == "my only copy"
    assert (tmp_path / "unet" / "old").exists()


def test_an_interruption_ends_the_demo(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*args: object, **kwargs: object) -> SimpleNamespace:
        return SimpleNamespace(finished=False)

    monkeypatch.setattr(demo, "train", interrupted)
    assert main(["demo", "--out", str(tmp_path / "demo"), "--only", "unet", *FEW, *SMALL]) == 1
    assert "the demo was interrupted while it trained unet. Hint: run it again" in capsys.readouterr().err
    assert not (tmp_path / "demo" / "summary.json").exists()
