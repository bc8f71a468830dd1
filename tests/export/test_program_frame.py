"""``predict.py``: put together from a frame and a plugin's function, and run without torch."""

from __future__ import annotations

import ast
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from toolkit import Sample
from toolkit.config import Scale
from toolkit.data.images import read_image
from toolkit.errors import ExportError
from toolkit.export import program, program_frame
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


def written(path: Path) -> Path:
    """An image of the kind that its name says."""
    random = np.random.default_rng(0)
    gray, color = (random.integers(0, 4096, size, dtype=np.uint16) for size in ((20, 30), (20, 30, 3)))
    exif = Image.Exif()
    exif[274] = 6
    if path.name == "turned.png":
        Image.fromarray((color >> 4).astype(np.uint8)).save(path, exif=exif)
    elif path.name == "alpha.png":
        Image.merge("LA", [Image.fromarray((gray >> 4).astype(np.uint8))] * 2).save(path)
    elif path.name == "palette.png":
        Image.fromarray((color >> 4).astype(np.uint8)).quantize(30).save(path)
    elif path.suffix == ".tif":
        values = {"float": gray.astype(np.float32) / 7, "signed": gray.astype(np.int32) - 300}
        tifffile.imwrite(
            path, values.get(path.stem, color), photometric="rgb" if path.stem == "color" else None
        )
    else:
        cv2.imwrite(str(path), gray if path.stem == "gray" else color)
    return path


@pytest.mark.parametrize(
    "name",
    [
        "gray.png",
        "color.png",
        "color.tif",
        "float.tif",
        "signed.tif",
        "turned.png",
        "alpha.png",
        "palette.png",
    ],
)
@pytest.mark.parametrize("scale", [Scale(percentiles=(1, 99)), Scale(range=(10, 3000))])
def test_an_image_is_decoded_once_to_what_training_reads(
    name: str, scale: Scale, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, decoded, imread = written(tmp_path / name), [], cv2.imread
    monkeypatch.setattr(cv2, "imread", lambda *given: decoded.append(1) or imread(*given))
    found = program_frame.read(path, scale.model_dump(mode="json"))
    assert len(decoded) == 1
    assert np.array_equal(found, read_image(path, scale).permute(1, 2, 0).numpy())
