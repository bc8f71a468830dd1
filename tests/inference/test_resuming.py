"""Folders whose results are there in part: what is done again, what is kept, and what a kill leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pipeline_cases import GOOD, ORDER, Bright, Spots, files, manifest, predictor, write_image

from toolkit.errors import UsageError
from toolkit.inference.pipeline import Summary, predict_folder


def test_results_are_not_touched_without_resume(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    predict_folder(predictor(), [photos], out)
    before = files(out)
    with pytest.raises(
        UsageError,
        match=r"out holds results already\. Hint: go on with them by --resume, or choose another folder",
    ):
        predict_folder(predictor(), [photos], out)
    assert files(out) == before


def test_results_of_another_model_are_not_said_to_be_resumable(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    predict_folder(predictor(name="unet 1"), [photos], out)
    for resume in (False, True):
        with pytest.raises(UsageError, match=r"of another model.*Hint: choose another --out"):
            predict_folder(predictor(name="unet 2"), [photos], out, resume=resume)


def test_resume_skips_what_is_done_and_tries_failures_again(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    predict_folder(predictor(), [photos], out)
    fresh = files(out)
    again = Bright()
    assert predict_folder(predictor(again), [photos], out, resume=True) == Summary(
        done=0, failed=3, resumed=8
    )
    assert again.seen == []
    assert files(out) == fresh
    write_image(photos / "2b.jpg", 9)
    (out / "labels" / "1.png").unlink()
    assert predict_folder(predictor(again), [photos], out, resume=True) == Summary(
        done=2, failed=2, resumed=7
    )
    assert again.seen == ["1.png", "2b.jpg"]
    assert [record["image"] for record in manifest(out)] == ORDER
    predict_folder(predictor(), [photos], tmp_path / "straight")
    assert files(out) == files(tmp_path / "straight")


def test_resume_adds_other_images(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    predict_folder(predictor(), [photos / "deep"], out)
    write_image(tmp_path / "more" / "y.png", 3)
    assert predict_folder(predictor(), [tmp_path / "more"], out, resume=True) == Summary(
        done=1, failed=0, resumed=0
    )
    names = [entry["file_name"] for entry in json.loads((out / "predictions.json").read_text())["images"]]
    assert names == ["wide.jpg", "er/x.png", "y.png"]


def test_results_that_were_removed_are_not_in_predictions(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    predict_folder(predictor(Spots()), [photos], out)
    (out / "instances" / "1.json").unlink()
    predict_folder(predictor(Spots()), [photos / "deep"], out, resume=True)
    names = {entry["file_name"] for entry in json.loads((out / "predictions.json").read_text())["images"]}
    assert names == {*GOOD, "wide.jpg", "er/x.png"} - {"1.png"}


def test_resume_never_mixes_models_or_images(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    predict_folder(predictor(name="unet 1"), [photos], out)
    before = files(out)
    with pytest.raises(
        UsageError,
        match=r"holds results of another model \(unet 1, not unet 2\)\. Hint: choose another --out",
    ):
        predict_folder(predictor(name="unet 2"), [photos], out, resume=True)
    write_image(tmp_path / "other" / "1.png", 5)
    with pytest.raises(
        UsageError, match=r"holds results of another image named 1\.png: .*photos.*, not .*other.*Hint"
    ):
        predict_folder(predictor(name="unet 1"), [tmp_path / "other"], out, resume=True)
    assert files(out) == before


@pytest.mark.parametrize(
    ("cut", "first"), [(1, "5.png"), (20, "4.png"), (70, "4.png")]
)  # the line's end alone, or a part of it
def test_resume_after_a_line_was_cut_off(photos: Path, tmp_path: Path, cut: int, first: str) -> None:
    out = tmp_path / "out"
    predict_folder(predictor(), [photos], out)
    fresh = files(out)
    lines = (out / "manifest.jsonl").read_bytes().splitlines(keepends=True)
    (out / "manifest.jsonl").write_bytes(b"".join(lines[:5]) + lines[5][:-cut])
    (out / "predictions.json").unlink()
    again = Bright()
    predict_folder(predictor(again), [photos], out, resume=True)
    assert again.seen[0] == first
    assert files(out) == fresh


KILLED = """
import sys, time
import torch
from toolkit.inference import Predictor
from toolkit.inference.pipeline import Work, predict_folder
from toolkit.models.contract import Model
from toolkit.types import Prediction

class Slow(Model):
    def __init__(self):
        super().__init__(("dark", "bright"))
    def predict(self, samples):
        time.sleep(0.05)
        maps = [(s.image.float().mean(0) > 127).to(torch.uint8) for s in samples]
        return [Prediction(s.id, s.size, label_map=found) for s, found in zip(samples, maps)]

out = __import__("pathlib").Path(sys.argv[2])
predict_folder(Predictor(Slow(), device="cpu"), [sys.argv[1]], out, work=Work(2, 2))
"""


@pytest.mark.skipif(os.name != "posix", reason="sends SIGKILL")
def test_resume_after_sigkill_ends_as_if_never_killed(tmp_path: Path, root: Path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    for i in range(60):
        write_image(photos / f"{i:02}.png", i)
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(photos), str(out)], cwd=root)
    deadline = time.monotonic() + 120
    while not (
        (out / "manifest.jsonl").exists() and len((out / "manifest.jsonl").read_bytes().splitlines()) >= 5
    ):
        assert process.poll() is None, "ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 5 <= len(manifest_lines(out)) < 60
    (out / "labels" / ".toolkit-0123456789ab.part").write_bytes(b"what a kill in the middle of a file leaves")
    summary = predict_folder(predictor(), [photos], out, resume=True)
    assert summary.failed == 0
    assert summary.resumed >= 5
    assert summary.done + summary.resumed == 60
    predict_folder(predictor(), [photos], tmp_path / "straight")
    assert files(out) == files(tmp_path / "straight"), "what was being written when it was killed is gone too"


def manifest_lines(out: Path) -> list[bytes]:
    return (out / "manifest.jsonl").read_bytes().splitlines()
