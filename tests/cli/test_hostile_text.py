"""Every command over data whose classes and files are called as no terminal would like: nothing ends in a
traceback, and nothing that a terminal would obey reaches it.
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.small_settings import MODELS

from toolkit import registry
from toolkit.cli import main
from toolkit.data.dataset import open_dataset
from toolkit.formats.convert import WRITERS

CLASSES = ("[/x]", "[/bold] cat", "[red]dog\x1b[31m", "\x1b]0;owned\x07", ("überlang … " * 20).strip())
FILES = (b"caf\xe9", b"\xff\xfe", b"\x1b[2Jclear", b"[/b] :smile:", "größe 猫".encode())
"""Names of images; the first two are no UTF-8."""
SIZE = (32, 40)


def names() -> list[str]:
    return [os.fsdecode(name) for name in FILES]


def picture(index: int) -> np.ndarray:
    return np.random.default_rng(index).integers(0, 256, (*SIZE, 3), dtype=np.uint8)


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    folder = tmp_path / "masks"
    for index, name in enumerate(names()):
        write(folder / "images" / f"{name}.png", picture(index))
        label = np.zeros(SIZE, np.uint8)
        label[4:20, 4:20] = index % len(CLASSES)
        write(folder / "labels" / f"{name}.png", label)
    (folder / "classes.txt").write_text("".join(f"{name}\n" for name in CLASSES), encoding="utf-8")
    for split in ("train", "val"):
        (folder / f"{split}.txt").write_bytes(b"".join(name + b"\n" for name in FILES))
    return folder


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    folder = tmp_path / "coco"
    images, annotations = [], []
    for index, name in enumerate(names()):
        write(folder / f"{name}.png", picture(index))
        images.append({"id": index, "file_name": f"{name}.png"})
        part = [[4, 4, 30, 4, 30, 20 + index, 4, 20]]
        annotations.append({"id": index, "image_id": index, "category_id": index, "segmentation": part})
    categories = [{"id": index, "name": name} for index, name in enumerate(CLASSES)]
    document = {"images": images, "annotations": annotations, "categories": categories}
    for split in ("train", "val"):
        (folder / f"{split}.json").write_text(json.dumps(document))
    return folder


class Console:
    """Runs commands, and keeps all that they print."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.shown = ""

    def __call__(self, *words: str, code: int = 0) -> str:
        found = main(list(words))
        captured = self._capsys.readouterr()
        self.shown += captured.out + captured.err
        assert found == code, captured.err
        return captured.out


@pytest.fixture
def console(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Console]:
    monkeypatch.setenv("COLUMNS", "200")
    found = Console(capsys)
    yield found
    assert not set(found.shown) & {chr(code) for code in range(32) if chr(code) not in "\n\t"}
    found.shown.encode()


FEW = ["train.steps=2", "train.eval_every=2", "train.workers=0", "train.device=cpu", "train.batch_size=2"]
SMALL = ["--plugin", "unet", "encoder=original_padded", "depth=2", "model.width=4", "weights=none"]


def test_a_semantic_set_through_all_commands(
    masks: Path, tmp_path: Path, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    # in processes of their own, which take seconds and print nothing
    monkeypatch.setattr("toolkit.evaluation.compare.predicting_memory", lambda *_, **__: 1)
    data = ["masks", "--data-dir", str(masks)]
    shown = console("data", "check", *data)
    assert "[/bold] cat" in shown
    assert "[red]dog\\x1b[31m" in shown
    console("data", "preview", *data, "--out", str(tmp_path / "sheet.jpg"))
    console("data", "export", *data, "--out", str(tmp_path / "exported"))
    again = open_dataset("masks", tmp_path / "exported", "train")
    assert sorted(again.ids) == sorted(names())
    run, out = tmp_path / "run", tmp_path / "out"
    console("train", *SMALL, "--data", *data, "--out", str(run), *FEW)
    console("eval", str(run), "--device", "cpu", "--workers", "0")
    console("compare", str(run), str(run / "last.safetensors"), "--device", "cpu", "--workers", "0")
    console("summary", str(run), "--size", "32x32")
    console("infer", str(run), str(masks / "images"), "--out", str(out), "--device", "cpu")
    console("infer", str(run), str(masks / "images"), "--out", str(out), "--device", "cpu", "--resume")
    for name in names():
        assert (out / "labels" / f"{name}.png").is_file()
        assert (out / "overlays" / f"{name}.jpg").is_file()


def test_a_set_of_objects_through_all_commands(coco: Path, tmp_path: Path, console: Console) -> None:
    data = ["coco", "--data-dir", str(coco)]
    assert "[/x]" in console("data", "check", *data)
    console("data", "preview", *data, "--out", str(tmp_path / "sheet.jpg"))
    recipe = tmp_path / "small.yaml"
    recipe.write_text(json.dumps({"model": MODELS["maskrcnn"].settings, "weights": "none"}))
    run, out = tmp_path / "run", tmp_path / "out"
    words = ["--plugin", "maskrcnn", "--config", str(recipe), "--data", *data]
    console("train", *words, "--out", str(run), *FEW)
    console("infer", str(run), str(coco), "--out", str(out), "--device", "cpu", "--draw-above", "0")
    console("eval", "--predictions", str(out / "predictions.json"), "--data", *data, "--split", "val")


@pytest.mark.parametrize("target", [*WRITERS, "masks"])
def test_conversion(coco: Path, tmp_path: Path, console: Console, target: str) -> None:
    out = tmp_path / "out"
    data = ["coco", "--data-dir", str(coco), "--split", "train"]
    if target in ("cvat", "label-studio"):  # their labels are XML
        console("data", "convert", *data, "--to", target, "--out", str(out), code=1)
        assert "has a character that XML cannot hold. Hint: rename it" in console.shown
        assert not out.exists()
        return
    shown = console("data", "convert", *data, "--to", target, "--out", str(out))
    assert "5 samples written" in shown
    name = "masks" if target == "masks" else WRITERS[target].opens_with
    options = {"attribute": "class", "classes": CLASSES} if target == "via" else {}
    again = open_dataset(registry.datasets().get(name), out, "train", options)
    assert sorted(again.ids) == sorted(names())
    assert set(CLASSES) <= set(again.classes)
    for index in range(len(again)):
        assert again[index].instances is not None


@pytest.mark.parametrize("encoding", ["latin-1", "cp437", "ascii"])
def test_consoles_without_these_letters(masks: Path, encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for stream in ("stdout", "stderr"):
        buffer = io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)
        monkeypatch.setattr(sys, stream, buffer)
    assert main(["data", "check", "masks", "--data-dir", str(masks)]) == 0
    shown = sys.stdout.buffer.getvalue().decode(encoding)
    assert "40...40 pixels wide" in shown or "40…40 pixels wide" in shown
    assert "[/bold] cat" in shown
    assert main(["data", "check", "masks", "--data-dir", "caf\udce9"]) == 1
    assert main(["plugins", "list"]) == 0


def test_names_of_strangers_in_messages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An error names what it is about, whatever that is called."""
    for name in ("caf\udce9", "\x1b[2J", "[/x]"):
        assert main(["infer", str(tmp_path / name), "photos"]) == 1
        assert main(["data", "check", name]) == 2
        assert main(["train", "--config", name]) == 2
        assert main([name]) == 2
    shown = capsys.readouterr().err
    assert "caf\\xe9" in shown
    assert "\x1b" not in shown
