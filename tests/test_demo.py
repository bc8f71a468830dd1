"""The demo, with few steps: what it leaves, and what it never clears away."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest

from toolkit.cli import main

FEW = ["train.steps=2", "train.warmup_steps=0", "train.workers=0", "train.accelerator=cpu", "model.width=4"]
SMALL = ["data.options.size=32", "data.options.train=8", "data.options.val=2", "data.options.test=3"]


def test_the_demo_leaves_figures_pictures_and_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "demo"
    for _ in range(2):  # the second clears the first away
        assert main(["demo", "--out", str(out), "--only", "unet", *FEW, *SMALL]) == 0
    figures = json.loads((out / "summary.json").read_text())
    assert 0 <= figures["unet"]["metrics"]["mean_iou"] <= 1
    assert figures["unet"]["train_seconds"] > 0
    sheet = cv2.imread(str(out / figures["unet"]["contact_sheet"]))
    assert sheet.shape[0] > 100
    assert len(list((out / "unet-results" / "labels").glob("*.png"))) == 3
    assert len(list((out / "unet-results" / "overlays").glob("*.jpg"))) == 3
    shown = capsys.readouterr().out
    for expected in ("mean_iou", "unet.jpg", "summary.json", "unet-results"):
        assert expected in shown.replace("\n", "")


def test_files_of_others_are_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis.txt").write_text("my only copy")
    assert main(["demo", "--out", str(tmp_path), "--only", "unet", *FEW, *SMALL]) == 2
    assert "holds files that are not a demo's" in capsys.readouterr().err
    assert (tmp_path / "thesis.txt").read_text() == "my only copy"
