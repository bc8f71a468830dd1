"""Runs of the plugin ``classifier``: training, measuring, results, and its encoder in other plugins."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from toolkit.plugins.classifier.labels import FIELD
from toolkit.plugins.classifier.results import draw_class, write_class, write_table
from torch import Tensor

import toolkit
from toolkit import registry
from toolkit.checkpoints import CheckpointManifest, read_checkpoint, save_checkpoint
from toolkit.cli import main
from toolkit.config import settings_class
from toolkit.errors import CheckpointError, DataError
from toolkit.models.building import build_model
from toolkit.training.log import read_metrics
from toolkit.types import Prediction, Sample

SMALL = ["model.size=[24,24]", "model.simple.channels=[8,16]", "model.simple.hidden=16", "model.norm=batch"]
QUICK = ["train.device=cpu", "train.workers=0", "train.report=false", "train.batch_size=16"]
ENCODER = "test_resnet"
CLASSES = ("circle", "ring", "square", "star", "triangle")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shapes")
    manifest = registry.datasets().get("image-folder")
    manifest.resolve(manifest.sample)(folder, train=50, val=12)
    return folder


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "run"
    words = ["--plugin", "classifier", "--data", "image-folder", "--data-dir", str(data), "--out", str(out)]
    assert main(["train", *words, *SMALL, *QUICK, "train.epochs=12"]) == 0
    return out


def test_the_core_has_not_heard_of_it(root: Path) -> None:
    for file in (root / "toolkit").rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        assert FIELD not in text, file
        assert '"classifier"' not in text, file


@pytest.mark.slow
def test_it_learns_and_draws_what_it_has_learned(run: Path) -> None:
    top1 = [line["val/top1"] or 0 for line in read_metrics(run) if "val/top1" in line]
    assert max(top1) > 0.8 > 0.5 > 1 / 5
    for name in ("val-confusion.png", "val-predictions.jpg", "train-batch.jpg"):
        assert cv2.imread(str(run / name)) is not None, name


def test_it_is_measured(run: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["eval", str(run), "--data-dir", str(data), "--device", "cpu", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    best = max(line["val/top1"] or 0 for line in read_metrics(run) if "val/top1" in line)
    assert found["metrics"]["top1"] == pytest.approx(best)
    assert set(found["metrics"]) == {"top1", "mean_class_accuracy", "mean_f1", "ECE"}


def test_a_folder_is_predicted_and_written(run: Path, data: Path, tmp_path: Path) -> None:
    photos = data / "val" / "star"
    (tmp_path / "photos" / "deep").mkdir(parents=True)
    for i, path in enumerate(sorted(photos.iterdir())[:5]):
        (tmp_path / "photos" / ("deep" if i else "") / path.name).write_bytes(path.read_bytes())
    (tmp_path / "photos" / "bad.png").write_bytes(b"no image")
    out = tmp_path / "out"
    assert main(["infer", str(run), str(tmp_path / "photos"), "--out", str(out), "--device", "cpu"]) == 3
    with open(out / "classification.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    document = json.loads((out / "classification.json").read_text())
    assert [row["image"] for row in rows] == [entry["image"] for entry in document["images"]]
    assert len(rows) == 5
    assert tuple(document["classes"]) == CLASSES
    predictor = toolkit.load(run, device="cpu")
    for row, entry in zip(rows, document["images"], strict=True):
        expected = predictor.predict(str(tmp_path / "photos" / row["image"]))
        assert row["class"] == entry["class"] == expected.extras["class_name"]
        assert float(row["score"]) == pytest.approx(expected.extras["class_score"], abs=1e-5)
        values = torch.tensor([float(row[name]) for name in CLASSES])
        assert torch.allclose(values, expected.extras[FIELD], atol=1e-5)
        assert sum(entry["probabilities"]) == pytest.approx(1, abs=1e-5)
        assert (out / "overlays" / row["image"]).with_suffix(".jpg").is_file()
    again = ["infer", str(run), str(tmp_path / "photos"), "--out", str(out), "--device", "cpu", "--resume"]
    assert main(again) == 3, "the bad one is tried again"
    assert json.loads((out / "classification.json").read_text())["images"] == document["images"]


def test_runs_are_compared_with_intervals(
    run: Path, data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("toolkit.evaluation.compare.predicting_memory", lambda *_, **__: 1)
    words = ["compare", str(run), str(run / "last.safetensors"), "--data-dir", str(data), "--device", "cpu"]
    assert main([*words, "--resamples", "20"]) == 0
    out = capsys.readouterr().out
    assert "top1" in out
    assert "ECE (lower is better)" in out


# Files and pictures


def predicted(probabilities: list[float], size: tuple[int, int] = (40, 60)) -> Prediction:
    return Prediction("a", size, extras={FIELD: torch.tensor(probabilities)})


def test_class_and_score_are_drawn() -> None:
    picture = np.full((40, 60, 3), 128, np.uint8)
    palette = ((200, 0, 0), (0, 200, 0))
    found = draw_class(picture.copy(), predicted([0.25, 0.75]), ("cat", "dog"), palette, None)
    truth = Sample("a", torch.from_numpy(picture).permute(2, 0, 1), extras={FIELD: torch.tensor([0.0, 1.0])})
    drawn = draw_class(picture.copy(), truth, ("cat", "dog"), palette, None)
    for each in (found, drawn):
        assert each.shape == picture.shape
        assert (each[:, 0] == palette[1]).all(), "a frame in the color of the class"
        assert (each[20:30, 30:50] == 128).all(), "and nothing where the picture is"
    assert (found != drawn).any(), "the truth has no score"
    other = draw_class(picture.copy(), predicted([0.75, 0.25]), ("cat", "dog"), palette, None)
    assert (other[:, 0] == palette[0]).all()
    for size in ((1, 1), (2, 9), (9, 1)):
        tiny = draw_class(np.zeros((*size, 3), np.uint8), predicted([1.0], size), ("a" * 90,), palette, None)
        assert tiny.shape == (*size, 3)
        assert tiny.any()


def test_what_has_no_class_is_left_alone(tmp_path: Path) -> None:
    picture = np.zeros((4, 4, 3), np.uint8)
    other = Prediction("a", (4, 4), extras={"count": 3})
    assert not draw_class(picture, other, (), (), None).any()
    assert write_class(other, tmp_path, "a", ()) == {}
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_an_image_that_was_changed_is_refused(tmp_path: Path) -> None:
    outputs = write_class(predicted([0.25, 0.75]), tmp_path, "deep/a", ())
    records = [{"image": "deep/a.png", "size": (4, 4), "outputs": outputs}, {"image": "b", "outputs": {}}]
    about: dict[str, Any] = {"classes": ["=cat", "dog, big"], "model": {"name": "net"}}
    write_table(tmp_path, records, about)
    with open(tmp_path / "classification.csv", newline="") as file:
        assert list(csv.reader(file)) == [
            ["image", "class", "score", "=cat", "dog, big"],
            ["deep/a.png", "dog, big", "0.75", "0.25", "0.75"],
        ]
    for content in (
        {"label": 2, "score": 0.5, "probabilities": [0.5, 0.5]},
        {"label": 0, "score": 0.5, "probabilities": [0.5]},
        {"label": "0", "score": 0.5, "probabilities": [0.5, 0.5]},
        {"score": 0.5},
        [],
    ):
        (tmp_path / outputs[FIELD]).write_text(json.dumps(content))
        with pytest.raises(DataError) as caught:
            write_table(tmp_path, records, about)
        assert outputs[FIELD] in str(caught.value)


# Transfer


def classifier_run(folder: Path, architecture: str, **values: Any) -> dict[str, Tensor]:
    """A run with random weights."""
    manifest = registry.plugins().get("classifier")
    settings = settings_class(manifest).model_validate(
        {"architecture": architecture, "size": (32, 32)} | values
    )
    state = build_model(manifest, settings, CLASSES).state_dict()
    generator = torch.Generator().manual_seed(5)
    state = {
        name: torch.rand(value.shape, generator=generator) if value.is_floating_point() else value
        for name, value in state.items()
    }
    about = CheckpointManifest(
        "classifier", "classification", CLASSES, model=settings.model_dump(mode="json"), step=1
    )
    folder.mkdir(exist_ok=True)
    save_checkpoint(folder / "best.safetensors", state, about)
    return state


@pytest.mark.parametrize("freeze", ["[]", "encoder"])
@pytest.mark.parametrize(
    ("plugin", "small", "part"),
    [
        ("unet", ["model.width=4"], "encoder"),
        ("deeplabv3", ["model.channels=8", "model.atrous_rates=[1,2]"], "backbone"),
    ],
)
def test_its_encoder_starts_a_segmentation_model(
    tmp_path: Path, plugin: str, small: list[str], part: str, freeze: str
) -> None:
    theirs = classifier_run(tmp_path / "run", ENCODER)
    words = [f"model.encoder=tu-{ENCODER}", f"weights={tmp_path / 'run'}", *small]
    words += ["data.options.size=32", "data.options.train=8", "data.options.val=2", "train.steps=1"]
    words += ["train.device=cpu", "train.workers=0", "train.report=false", "train.batch_size=4", "augment=[]"]
    # frozen, nothing may change; thawed, a step changes what it starts from by little
    words += [f"train.freeze={freeze}", "train.optimizer=sgd", "train.lr=1e-9"]
    settings = toolkit.resolve(plugin=plugin, data="shapes", overrides=words)
    result = toolkit.train(settings, tmp_path / "out")
    assert result.run is not None
    found, _ = read_checkpoint(result.run / "last.safetensors")
    shared = {
        name.removeprefix(f"network.{part}.model."): value
        for name, value in found.items()
        if name.startswith(f"network.{part}.model.") and "num_batches" not in name
    }
    assert len(shared) > 40
    is_frozen = freeze != "[]"
    for name, value in shared.items():
        start = theirs[f"network.{name}"]
        if is_frozen:
            assert torch.equal(value, start), name
        elif "running" not in name:
            assert torch.allclose(value, start, atol=1e-4), name
    moved = [name for name, value in shared.items() if not torch.equal(value, theirs[f"network.{name}"])]
    assert bool(moved) != is_frozen
    log = (result.run / "train.log").read_text()
    assert f"Starts from weights={tmp_path / 'run'}" in log
    assert "start from random values because the weights are only for the encoder" in log


@pytest.mark.parametrize(
    ("architecture", "values", "message"),
    [
        (
            "simple",
            {},
            r"with the encoder 'simple'; expected 'tu-test_resnet', as in this model\. Hint: weights=none",
        ),
        (
            "test_efficientnet",
            {},
            r"with the encoder 'test_efficientnet'; expected .*Hint: model\.encoder=tu-test_efficientnet",
        ),
        (
            "test_resnet.r160_in1k",
            {"norm": "group"},
            "30 of its 90 tensors are missing or of another shape, such as",
        ),
    ],
)
def test_another_encoder_is_refused(
    tmp_path: Path, architecture: str, values: dict[str, Any], message: str
) -> None:
    classifier_run(tmp_path / "run", architecture, **values)
    words = [
        f"model.encoder=tu-{ENCODER}",
        f"weights={tmp_path / 'run'}",
        "train.steps=1",
        "train.device=cpu",
    ]
    settings = toolkit.resolve(plugin="unet", data="shapes", overrides=words)
    with pytest.raises(CheckpointError, match=message):
        toolkit.train(settings, tmp_path / "out")
