"""``toolkit plugins new``: what it writes works at once, as it is."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from toolkit import registry
from toolkit.cli import main
from toolkit.testing.scaffold import KINDS

FEW = [
    "train.steps=2",
    "train.batch_size=2",
    "train.workers=0",
    "train.device=cpu",
    "data.options.size=32",
    "data.options.val=2",
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def new(name: str, kind: str, *words: str) -> int:
    return main(["plugins", "new", name, "--kind", kind, *words])


@pytest.mark.slow
def test_everything_that_is_written_passes_its_own_test(folder: Path) -> None:
    for kind in KINDS:
        assert new(f"my_{kind}", kind) == 0
    options = [
        "-q",
        "-k",
        "not two_processes",
        "-W",
        "ignore:__array__ implementation:DeprecationWarning",
        "-W",
        "error::UserWarning",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert re.search(r"^98 passed, 19 skipped, 3 deselected", done.stdout, re.MULTILINE), done.stdout[-300:]


@pytest.mark.parametrize("kind", ["semantic", "instance", "promptable"])
def test_a_new_plugin_trains_and_is_measured_at_once(folder: Path, kind: str) -> None:
    assert new("mine", kind) == 0
    assert main(["train", "--plugin", "mine.py", "--data", "shapes", *FEW, "model.width=8"]) == 0
    words = [
        "eval",
        "runs/mine-shapes",
        "--data",
        "shapes",
        "--plugin",
        "mine.py",
        "--device",
        "cpu",
        "--workers",
        "0",
        "data.options.size=32",
    ]
    assert main([*words, "data.options.val=3"]) == 0
    if kind == "semantic":  # its base class can be exported
        export = ["export", "runs/mine-shapes", "--to", "onnx", "--plugin", "mine.py", "--images", "2"]
        assert main(export) == 0
        assert main(["eval", "exports/mine-shapes-onnx", *words[2:], "data.options.val=3"]) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_bears_the_name_and_reads_well(folder: Path, kind: str) -> None:
    assert new("maple_leaf", kind, "--out", "deep/er") == 0
    file, test = folder / "deep/er/maple_leaf.py", folder / "deep/er/test_maple_leaf.py"
    assert {path.name for path in file.parent.iterdir()} == {file.name, test.name}
    for path in (file, test):
        text = path.read_text(encoding="utf-8")
        assert "mynet" not in text.lower()
        assert "maple_leaf" in text
        assert len(text.splitlines()) < 250
        assert ast.get_docstring(ast.parse(text))
    (manifest,) = registry.add_path(file)
    assert manifest.name == "maple_leaf"
    assert "class TestMapleLeaf(" in test.read_text(encoding="utf-8")
    imports = [
        node
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom)
    ]
    assert not [
        node.module
        for node in imports
        if node.module and re.search(r"(^|\.)_[a-z]|^toolkit\.(cli|plugins|datasets|testing)", node.module)
    ]


def test_nothing_is_overwritten(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "test_mine.py").write_text("precious")
    assert new("mine", "semantic") == 1
    assert "test_mine.py already exists and is not overwritten. Hint: " in capsys.readouterr().err
    assert (folder / "test_mine.py").read_text() == "precious"
    assert not (folder / "mine.py").exists()


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("My-Net", "semantic", "'My-Net' is not a valid name: .* Hint: for example, use 'my_net'"),
        ("2fast", "semantic", "Hint: for example, use 'fast'"),
        ("???", "dataset", "Hint: for example, use 'mynet'"),
        ("unet", "semantic", "the name 'unet' is already taken"),
        ("coco", "dataset", "the name 'coco' is already taken"),
        ("iou", "evaluator", "the name 'iou' is already taken"),
        ("torch", "semantic", "'torch' is the name of a Python module, which torch.py would shadow"),
        ("class", "semantic", "'class' is the name of a Python module|'class' cannot"),
    ],
)
def test_names_that_cannot_be_are_explained(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str, kind: str, message: str
) -> None:
    assert new(name, kind) == 2
    assert re.search(message, capsys.readouterr().err)
    assert not list(folder.iterdir())


def test_what_to_do_next_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new("mine", "instance")
    assert capsys.readouterr().out.splitlines() == [
        "mine.py and test_mine.py are written",
        "  toolkit train --plugin mine.py --data shapes",
        "  toolkit plugins check mine.py",
        "  pytest test_mine.py",
    ]
