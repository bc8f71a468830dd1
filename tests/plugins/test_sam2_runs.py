"""Runs of SAM 2 on the command line: what they refuse because they never learned it, and whose results are
whose.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip(
    "toolkit.plugins.sam2.upstream",
    reason="needs the package sam2: see toolkit plugins info sam2",
    exc_type=ImportError,
)

from sam2_cases import CLASSES, toy

from toolkit import registry
from toolkit.checkpoints import CheckpointManifest, save_checkpoint
from toolkit.cli import main

BOXES = "image,x0,y0,x1,y1\n0,4,4,30,30\n"
POINTS = "image,x,y\n0,20,20\n"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(2):
        cv2.imwrite(str(folder / f"{index}.png"), rng.integers(0, 256, (40, 60, 3), dtype=np.uint8))
    return folder


def run_of(folder: Path, start: str, **settings: Any) -> str:
    """The folder of a run with random weights that says that it started from others, or not."""
    model = toy(**settings, auto={"points_per_side": 2})
    manifest = CheckpointManifest(
        "sam2",
        "promptable",
        CLASSES,
        model=model.settings.model_dump(mode="json"),
        plugin_version=registry.plugins().get("sam2").version,
        start_weights={"name": start, "license": "unknown"},
    )
    run = folder / f"run-{start}"
    run.mkdir()
    save_checkpoint(run / "best.safetensors", model.state_dict(), manifest)
    return str(run)


@pytest.mark.parametrize("start", ["none", "official"])
@pytest.mark.parametrize(("trained", "other"), [("point", BOXES), ("box", POINTS)])
def test_prompts_of_a_kind_that_was_never_shown(
    trained: str, other: str, start: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_of(tmp_path, start, prompts=trained)
    known = BOXES if trained == "box" else POINTS
    for number, text in enumerate((known, other)):
        (tmp_path / "p.csv").write_text(text)
        out = tmp_path / f"out-{number}"
        words = ["infer", run, str(photos), "--out", str(out), "--device", "cpu", "--no-overlays"]
        refused = start == "none" and text is other
        assert main([*words, "--prompts", str(tmp_path / "p.csv")]) == (2 if refused else 0)
        assert ("from random weights and never" in capsys.readouterr().err) == refused
        assert out.exists() != refused
    everything = main([*words[:-4], str(tmp_path / "auto"), "--device", "cpu", "--no-overlays"])
    assert everything == (2 if start == "none" and trained == "box" else 0)


@pytest.mark.parametrize("start", ["none", "official"])
def test_tracking_needs_a_memory_that_was_trained(
    start: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_of(tmp_path, start, mask="only", preset="sam2")
    (tmp_path / "p.csv").write_text(
        "image,object,x,y,x0,y0,x1,y1,class\n0,b,,,4,4,30,30,cup\n1,b,9,9,,,,,\n0,a,20,20,,,,,cup\n"
    )
    words = ["track", run, str(photos), "--prompts", str(tmp_path / "p.csv"), "--out", str(tmp_path / "out")]
    assert main([*words, "--device", "cpu", "--no-overlays"]) == (2 if start == "none" else 0)
    if start == "none":
        assert "training does not reach the parts that track objects (memory_" in capsys.readouterr().err
        return
    document = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert [each["name"] for each in document["categories"]] == ["cup b", "cup a"]
    assert {each["object"]: each["category_id"] for each in document["annotations"]}.items() <= {
        ("b", 1),
        ("a", 2),
    }


def test_ids_are_those_of_the_file_in_its_order(photos: Path, tmp_path: Path) -> None:
    run = run_of(tmp_path, "official")
    prompts = {
        "0.png": [
            {"points_xy": [[5, 5]], "object": "z"},
            {"box_xyxy": [1, 1, 20, 20], "object": 12},
            {"points_xy": [[9, 9]], "box_xyxy": [2, 2, 30, 30], "object": "a"},
            {"points_xy": [[7, 5], [1, 1]], "point_labels": [1, 0]},
        ],
        "1.png": [{"box_xyxy": [3, 3, 20, 20], "object": "a"}],
    }
    (tmp_path / "p.json").write_text(json.dumps(prompts))
    out = tmp_path / "out"
    words = ["infer", run, str(photos), "--out", str(out), "--device", "cpu", "--no-overlays"]
    assert main([*words, "--prompts", str(tmp_path / "p.json")]) == 0
    document = json.loads((out / "predictions.json").read_text())
    names = {image["id"]: image["file_name"] for image in document["images"]}
    objects = [(names[each["image_id"]], each["object"]) for each in document["annotations"]]
    assert objects == [("0.png", "z"), ("0.png", "12"), ("0.png", "a"), ("0.png", "1"), ("1.png", "a")]


def test_a_score_for_prompts_that_have_none_is_refused(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_of(tmp_path, "official")
    words = ["infer", run, str(photos), "--device", "cpu", "--prompts-above", "0.3"]
    assert main(words) == 2
    assert "--prompts-above 0.3: --prompts auto has no scores" in capsys.readouterr().err


def test_everything_in_windows_becomes_the_objects_of_the_image(tmp_path: Path) -> None:
    """Where windows overlap, what both show is one object; masks lie in the image's own pixels."""
    run = run_of(tmp_path, "official")
    rng = np.random.default_rng(1)
    (tmp_path / "large").mkdir()
    cv2.imwrite(str(tmp_path / "large" / "a.png"), rng.integers(0, 256, (70, 110, 3), dtype=np.uint8))
    everything = ["pred_iou_thresh=0", "stability_score_thresh=0", "points_per_side=3"]
    words = ["infer", run, str(tmp_path / "large"), "--device", "cpu", "--no-overlays"]
    words += [f"model.auto.{each}" for each in everything]
    assert main([*words, "--out", str(tmp_path / "windows"), "--window", "40", "--overlap", "0.4"]) == 0
    (line,) = (tmp_path / "windows" / "manifest.jsonl").read_text().splitlines()
    assert json.loads(line)["window"] == 40
    found = json.loads((tmp_path / "windows" / "instances" / "a.json").read_text())
    assert len(found) > 1
    assert all(each["segmentation"]["size"] == [70, 110] for each in found)
    boxes = np.array([each["bbox"] for each in found])
    reach = (boxes[:, :2] + boxes[:, 2:]).max(axis=0)
    assert reach[0] > 70
    assert reach[1] > 40, "there are objects in all windows"
    assert (reach <= [110, 70]).all()
    assert sorted((each["score"] for each in found), reverse=True) == [each["score"] for each in found]
    assert main([*words, "--out", str(tmp_path / "windows"), "--resume"]) == 2, "without the window"
    assert main([*words, "--out", str(tmp_path / "whole")]) == 0
    assert len(json.loads((tmp_path / "whole" / "instances" / "a.json").read_text())) != len(found)


def test_windows_are_not_for_prompt_protocols_or_files(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_of(tmp_path, "official")
    (tmp_path / "p.csv").write_text(BOXES)
    words = ["infer", run, str(photos), "--out", str(tmp_path / "out"), "--prompts", str(tmp_path / "p.csv")]
    assert main([*words, "--window", "32"]) == 2
    assert "prompts from a file are for whole images" in capsys.readouterr().err
    assert main(["eval", run, "--data", "labpics", "--window", "32"]) != 0
