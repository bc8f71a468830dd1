"""``toolkit panoptic``: a pair of runs over images and measured; what is written is read back."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hotcoco.panoptic import pq_compute
from panoptic_cases import Case, reference, write_split
from support.pair import CLASSES, Cards, write_photos, write_runs

from toolkit import registry
from toolkit.cli import main
from toolkit.formats.coco_panoptic_file import PanopticFile
from toolkit.inference.panoptic import load_panoptic

PAIR = str(Path(__file__).resolve().parents[1] / "support" / "pair.py")
LOW = "stuff_area=30"


@pytest.fixture(autouse=True)
def _known() -> None:
    registry.add_path(PAIR)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return [str(run) for run in write_runs(tmp_path_factory.mktemp("runs"))]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("photos") / "val")


def expected(runs: list[str]) -> dict[str, float]:
    pair = load_panoptic(*runs, settings={"stuff_area": 30}, device="cpu")
    samples = [Cards("val")[i] for i in range(6)]
    return reference(Case(CLASSES, frozenset({2, 3}), samples, pair.predict_samples(samples)))


def test_the_pair_is_measured_beside_its_parts(
    runs: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    assert main(["panoptic", *runs, LOW, "--json", "--device", "cpu", "--workers", "0"]) == 0
    metrics = json.loads(capsys.readouterr().out)["metrics"]
    wanted = expected(runs)
    assert {name: metrics[name] for name in wanted} == pytest.approx(wanted, abs=1e-9)
    assert 0.3 < metrics["pq_things"] < 1, "cards that touch are found as one, small ones score too low"
    assert metrics["mean_iou"] == 1
    assert 0 < metrics["segm/AP" if "segm/AP" in metrics else "AP"] < 1
    assert main(["panoptic", *runs, LOW, "--data", "cards", "--split", "train", "--workers", "0"]) == 0
    lines = capsys.readouterr().out.splitlines()
    heads = [line for line in lines if "pq" in line and "iou" in line and "AP" in line]
    assert len(heads) == 1, "one table has all three"
    assert main(["panoptic", *runs, "pq={}", "--json", "--workers", "0"]) == 0
    assert "mean_iou" not in json.loads(capsys.readouterr().out)["metrics"]


def test_images_are_predicted_written_and_measured(
    runs: list[str], photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = ["panoptic", *runs, str(photos), LOW, "--out", str(out), "--device", "cpu"]
    assert main(words) == 0
    assert "6 images done" in capsys.readouterr().out
    assert sorted(path.name for path in out.iterdir() if path.is_dir()) == [
        "instances",
        "labels",
        "overlays",
        "panoptic",
    ]
    about = json.loads((out / "about.json").read_text())
    assert about["model"]["things"] == ["cup", "box"]
    assert about["model"]["settings"]["stuff_area"] == 30
    records = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    assert records[1]["outputs"]["panoptic"] == "panoptic/val-1.png"
    pair = load_panoptic(*runs, settings={"stuff_area": 30}, device="cpu")
    file = PanopticFile(out / "panoptic.json")
    assert (file.classes, file.things) == (CLASSES, ("cup", "box"))
    for image in file.images:
        found = file.read(image, (48, 64))
        wanted = pair.predict(str(photos / image.file_name)).extras["panoptic"]
        assert found.segments == wanted.segments
        assert torch.equal(found.numbers, wanted.numbers)
    # the files alone, as ours and as others read them
    folder = tmp_path / "truth"
    truth = write_split(folder, "val", Cards("val"), ["cup", "box"])
    words = ["eval", "--predictions", str(out), "--data", "coco-panoptic", "--data-dir", str(folder)]
    assert main([*words, "--json"]) == 0
    metrics = json.loads(capsys.readouterr().out)["metrics"]
    wanted_figures = expected(runs)
    assert {name: metrics[name] for name in wanted_figures} == pytest.approx(wanted_figures, abs=1e-9)
    assert {"mean_iou", "segm/AP"} <= metrics.keys()
    theirs = pq_compute(truth, out / "panoptic.json")
    assert theirs["All"]["pq"] == pytest.approx(metrics["pq"], abs=1e-9)


def test_it_resumes_and_other_thresholds_are_another_model(
    runs: list[str], photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = ["panoptic", *runs, str(photos), "--out", str(out), "--no-overlays", LOW]
    assert main(words) == 0
    before = (out / "panoptic.json").read_bytes()
    (out / "panoptic" / "val-2.png").unlink()
    assert main(words) == 2
    assert "Hint: continue them with --resume" in capsys.readouterr().err
    assert main([*words, "--resume"]) == 0
    assert "1 image done" in capsys.readouterr().out
    assert (out / "panoptic.json").read_bytes() == before
    assert main([*words[:-1], "stuff_area=31", "--resume"]) == 2
    assert "results of another model" in capsys.readouterr().err
    capsys.readouterr()
    assert main([*words, "--resume", "--overlap", "0.5"]) == 2
    assert "made with --overlap 0.25; now it is --overlap 0.5. Hint: give" in capsys.readouterr().err


def test_a_broken_image_is_skipped(
    runs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"no picture")
    cv2.imwrite(str(folder / "b.png"), np.full((20, 20, 3), 90, np.uint8))
    assert main(["panoptic", *runs, str(folder), "--out", str(tmp_path / "out")]) == 3
    document = json.loads((tmp_path / "out" / "panoptic.json").read_text())
    assert [image["file_name"] for image in document["images"]] == ["b.png"]
    assert "1 skipped" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--resume"], "--resume would have no effect, since there are no images. Hint: give images"),
        (["photo.png", "--split", "val"], "--split would have no effect, since images are given. Hint"),
        (["--window", "64"], "--window: this model only predicts whole images. Hint: leave out --window"),
        (
            ["photo.png", "--window", "64"],
            "window: this model only predicts whole images. Hint: leave out window",
        ),
        (["stuf_area=3"], "stuf_area: unknown key; did you mean"),
        (["stuff_area=-3"], "stuff_area"),
        (["things=[fog]"], "things names fog, but the classes of the two runs are sky, sand, cup, box"),
        (["things=[sky,sand,cup,box]"], "nothing is stuff. Hint"),
    ],
)
def test_mistakes_are_explained(
    runs: list[str], words: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["panoptic", *runs, *words]) == 2
    assert text in capsys.readouterr().err.replace("\n", " ")


def test_the_wrong_order_is_explained(runs: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["panoptic", *runs[::-1], "--workers", "0"]) == 2
    assert "Hint: the first run must be of a semantic model" in capsys.readouterr().err
