"""The label statistics that a run leaves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from toolkit import registry
from toolkit.config import resolve
from toolkit.data.generated import GeneratedSamples
from toolkit.training.label_file import LABELS_FILE, label_lines
from toolkit.training.loop import train
from toolkit.training.splits import Splits

CLASSES = ("background", "disc", "box")
TRAINING = GeneratedSamples(CLASSES, [(32, 32)] * 3, objects=1)
VALIDATION = GeneratedSamples(CLASSES, [(16, 24)] * 2, seed=5)


def test_a_run_leaves_them_and_says_them(tiny: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    words = ["train.steps=2", "train.device=cpu", "train.workers=0", "data.options.count=5"]
    settings, run = resolve(plugin=tiny, data=tiny, overrides=words), tmp_path / "run"
    with caplog.at_level("INFO", logger="toolkit"):
        train(settings, run)
    document = json.loads((run / LABELS_FILE).read_text())
    square = 5 * 36  # squares of 6 pixels in images of 16
    for purpose, split in (("training", "train"), ("validation", "val")):
        figures = document[purpose]
        assert (figures["split"], figures["images"], figures["images_counted"]) == (split, 5, 5)
        assert figures["classes"]["square"] == {"pixels": square, "images": 5}
        assert figures["classes"]["ground"]["pixels"] == 5 * 256 - square
        assert f"Labels for {purpose}: pixels: ground 85.9%, square 14.1%" in caplog.messages
    before = (run / LABELS_FILE).stat().st_mtime_ns
    caplog.clear()
    with caplog.at_level("INFO", logger="toolkit"):
        train(resolve(plugin=tiny, data=tiny, overrides=[*words[1:], "train.steps=3"]), run, resume=True)
    assert (run / LABELS_FILE).stat().st_mtime_ns == before, "a resumed run has them already"
    assert not [message for message in caplog.messages if message.startswith("Labels for")]


def test_a_class_without_training_labels_is_named(tiny: str, tmp_path: Path) -> None:
    settings = resolve(plugin=tiny, data=tiny)
    lines = list(label_lines(tmp_path, settings, Splits(TRAINING, VALIDATION), ["label_map"]))
    assert len(lines) == 3
    assert lines[-1] == "No training image has labels of 1 of 3 classes: box"
    (tmp_path / "other").mkdir()
    part = list(label_lines(tmp_path / "other", settings, Splits(TRAINING, None), ["label_map"], seconds=0))
    assert len(part) == 1, "in a part of the images a rare class may be missing by chance"


def test_what_the_task_does_not_learn_from_is_not_counted(tiny: str, tmp_path: Path) -> None:
    settings, splits = resolve(plugin=tiny, data=tiny), Splits(TRAINING, None)
    assert list(label_lines(tmp_path, settings, splits, ["depth"])) == []
    assert not (tmp_path / LABELS_FILE).exists()
    truth = registry.tasks().get("instance").truth
    (line, *_) = label_lines(tmp_path, settings, splits, truth)
    assert line == "Labels for training: objects: disc 3"
    assert "pixels" not in json.loads((tmp_path / LABELS_FILE).read_text())["training"]["classes"]["disc"]
