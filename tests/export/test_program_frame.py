"""``predict.py``: put together from a frame and a plugin's function, and run without torch."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch

from toolkit import Sample
from toolkit.errors import ExportError
from toolkit.export import program
from toolkit.export.program import program_text, run_program
from toolkit.models.semantic_graph import PROGRAM

IMAGE = torch.arange(3 * 4 * 5, dtype=torch.uint8).reshape(3, 4, 5)


def folder_with(tmp_path: Path, text: str) -> Path:
    (tmp_path / "predict.py").write_text(text)
    return tmp_path


def test_the_program_is_whole_and_imports_nothing_but_what_it_may() -> None:
    tree = ast.parse(program_text(PROGRAM))
    imported = {
        (node.module or "").partition(".")[0]
        if isinstance(node, ast.ImportFrom)
        else name.name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in node.names
    }
    others = {"onnxruntime", "openvino", "numpy", "cv2"}
    standard = {"__future__", "argparse", "json", "sys", "collections", "pathlib", "typing"}
    assert imported == others | standard
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert len(names) == len(set(names))
    assert {"predict", "main", "open_graphs"} <= set(names)
    assert ast.get_docstring(tree)


def test_images_reach_the_program_as_they_are(tmp_path: Path) -> None:
    text = (
        "import sys, cv2, numpy as np\n"
        "images, out = sys.argv[1:sys.argv.index('--out')], sys.argv[sys.argv.index('--out') + 1]\n"
        "import os; os.makedirs(out)\n"
        "for i, path in enumerate(images):\n"
        "    np.savez(f'{out}/{i}.npz', image=cv2.imread(path)[:, :, ::-1])\n"
    )
    (found,) = run_program(folder_with(tmp_path, text), [Sample("one", IMAGE)])
    assert torch.equal(torch.from_numpy(found["image"].copy()).permute(2, 0, 1), IMAGE)


@pytest.mark.parametrize("module", ["torch", "toolkit", "torchvision"])
def test_torch_and_the_toolkit_are_not_there(tmp_path: Path, module: str) -> None:
    with pytest.raises(ExportError, match=f"exit code 1:\n[^$]*{module}.*\nHint: correct the program"):
        run_program(folder_with(tmp_path, f"import {module}\n"), [Sample("one", IMAGE)])


def test_what_it_does_not_write_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="wrote no results that can be read for image 0"):
        run_program(folder_with(tmp_path, "pass\n"), [Sample("one", IMAGE)])


def test_it_may_not_take_forever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "SECONDS", 0.5)
    with pytest.raises(ExportError, match="took more than 0.5 seconds"):
        run_program(folder_with(tmp_path, "import time; time.sleep(20)\n"), [Sample("one", IMAGE)])
