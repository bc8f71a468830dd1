"""A plugin package brings a task that the core does not know: it trains, resumes, is measured by its own
evaluator, of whose metrics less is better, keeps its best checkpoint, is compared, infers and is drawn.
"""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from toolkit import registry
from toolkit.checkpoints import read_manifest
from toolkit.cli import main
from toolkit.config import resolve
from toolkit.data.transforms import build_transform
from toolkit.errors import UsageError
from toolkit.inference import load
from toolkit.training.log import read_metrics
from toolkit.training.loop import train
from toolkit.types import PixelMap, Sample

DEPTH = str(Path(__file__).resolve().parent / "support" / "depth.py")
FLIP = "augment=[{name: flip, p: 1.0}]"
FIXED = ["train.device=cpu", FLIP]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("depth") / "run"
    words = ["train", "--plugin", DEPTH, "--data", DEPTH, "--out", str(folder), *FIXED]
    assert main(words) == 0
    return folder


@pytest.fixture(autouse=True)
def _known() -> None:
    registry.add_path(DEPTH)


def test_the_core_has_not_heard_of_it(root: Path) -> None:
    for file in (root / "toolkit").rglob("*.py"):
        assert '"depth"' not in file.read_text(encoding="utf-8"), file


def test_it_learns_and_keeps_the_checkpoint_of_the_lowest_error(run: Path) -> None:
    errors = {int(line["step"] or 0): line["val/mae"] for line in read_metrics(run) if "val/mae" in line}
    assert len(errors) == 6
    best = min(errors, key=lambda step: errors[step] or 0)
    assert errors[best] < 0.5 * errors[min(errors)]
    manifest = read_manifest(run / "best.safetensors")
    assert manifest is not None
    assert (manifest.task, manifest.step) == ("depth", best)
    assert manifest.metrics["mae"] == errors[best]


def test_it_resumes_exactly(run: Path, tmp_path: Path) -> None:
    first = resolve(plugin=DEPTH, data=DEPTH, overrides=[*FIXED, "train.steps=60", "train.patience=99"])
    train(first, tmp_path / "whole")

    halves = tmp_path / "halves"
    train(
        resolve(plugin=DEPTH, data=DEPTH, overrides=[*FIXED, "train.steps=25", "train.schedule=constant"]),
        halves,
    )
    words = [*FIXED, "train.steps=60", "train.schedule=constant"]
    train(resolve(plugin=DEPTH, data=DEPTH, overrides=words), halves, resume=True)
    train(resolve(plugin=DEPTH, data=DEPTH, overrides=words), tmp_path / "constant")
    one, other = (load_file(tmp_path / name / "last.safetensors") for name in ("halves", "constant"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_it_is_measured_by_its_own_evaluator(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", str(run), "--data", "planes", "--plugin", DEPTH, "--json", "--device", "cpu"]) == 0
    metrics = json.loads(capsys.readouterr().out)["metrics"]
    manifest = read_manifest(run / "best.safetensors")
    assert manifest is not None
    assert metrics == pytest.approx(dict(manifest.metrics))
    with pytest.raises(
        UsageError, match="the evaluator 'iou' measures label_map or instances, but plugin 'depth-net'"
    ):
        resolve(plugin=DEPTH, data=DEPTH, overrides=["evaluators.iou={}"])
    with pytest.raises(UsageError, match=r"is trained on depth, which dataset 'shapes' does not\s+have"):
        resolve(plugin=DEPTH, data="shapes")


def test_comparing_says_which_way_is_better(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("toolkit.evaluation.compare.predicting_memory", lambda *_, **__: 1)
    words = ["compare", str(run), str(run / "last.safetensors"), "--plugin", DEPTH, "--device", "cpu"]
    assert main([*words, "--data", "planes", "--resamples", "9"]) == 0
    assert "mae (lower is better)" in capsys.readouterr().out


def test_it_infers_writes_and_draws(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    dataset = (
        registry.datasets().get("planes").resolve(f"{registry.datasets().get('planes').module}:Planes")("val")
    )
    for i in range(3):
        image = dataset[i].image.permute(1, 2, 0).numpy()
        cv2.imwrite(str(photos / f"{i}.png"), np.ascontiguousarray(image[..., ::-1]))
    out = tmp_path / "out"
    assert (
        main(["infer", str(run), str(photos), "--out", str(out), "--plugin", DEPTH, "--device", "cpu"]) == 0
    )
    assert "eval --predictions" not in capsys.readouterr().out, "which does not read this"
    found = np.load(out / "depth" / "1.npy")
    expected = load(run, device="cpu").predict(str(photos / "1.png")).extras["depth"].values
    np.testing.assert_array_equal(found, expected.numpy())
    truth = dataset[1].extras["depth"].values.numpy()
    assert np.nanmean(np.abs(found - truth)) < 0.4
    overlay = cv2.imread(str(out / "overlays" / "1.jpg"))
    assert overlay.shape == (24, 32, 3)
    assert overlay.std(axis=2).mean() > 30, "in colors, where the photo is nearly gray"
    records = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    assert records[0]["outputs"] == {"depth": "depth/0.npy", "overlay": "overlays/0.jpg"}
    assert json.loads((out / "predictions.json").read_text())["images"][0]["depth"] == "depth/0.npy"
    assert main(["infer", str(run), str(photos), "--out", str(out), "--plugin", DEPTH, "--resume"]) == 0


def test_sheets_show_it(tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    assert main(["data", "preview", DEPTH, "--out", str(sheet), "--augment", "flip", "--count", "2"]) == 0
    picture = cv2.imread(str(sheet))
    assert picture.std(axis=2).max() > 60


def test_its_truth_moves_with_the_image() -> None:
    """A pixel map is mirrored, cut and turned as the image is, and is not known where the image was not."""
    values = torch.arange(12, dtype=torch.float32).reshape(3, 4)
    values[0, 0] = torch.nan
    image = torch.zeros(3, 3, 4, dtype=torch.uint8)
    sample = Sample("a", image, extras={"depth": PixelMap(values), "note": "stays"})
    from toolkit.config.augmentations import Crop, Flip

    flipped = build_transform([Flip(p=1.0)])(sample, 0)
    assert torch.equal(flipped.extras["depth"].values.nan_to_num(-1), values.flip(1).nan_to_num(-1))
    assert flipped.extras["note"] == "stays"
    framed = build_transform([Crop(size=(9, 9))])(sample, 3).extras["depth"].values
    assert framed.shape == (9, 9)
    assert int(torch.isfinite(framed).sum()) == 11
    assert sorted(framed[torch.isfinite(framed)].tolist()) == list(range(1, 12))


def test_all_of_it_keeps_its_promises(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["plugins", "check", DEPTH])
    printed = capsys.readouterr().out
    assert code == 0, printed
    for kind in ("plugin depth-net", "dataset planes", "evaluator depth-error", "task depth"):
        assert kind in printed
    assert "failed  " not in printed
