"""``predict.py`` is compared with the exported model."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.errors import ExportError
from toolkit.evaluation.opening import OpenedRun, open_run
from toolkit.evaluation.requests import DataChoice, Prompting
from toolkit.export.front import build_folder, check_folder, in_precision, write_manifest
from toolkit.export.parity import LIMITS


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("pixels[:, :, ::-1]", "pixels"),
        ("bilinear(inside, size)", "bilinear(inside, size)[::-1]"),
        ("image if working == size else shrunk(image, working)", "cv2.resize(image, working[::-1])"),
        ("(size[1], size[0]), interpolation=cv2.INTER_LINEAR", "size[::-1], interpolation=cv2.INTER_NEAREST"),
    ],
    ids=["RGB for BGR", "upside down", "another resize", "nearest for bilinear"],
)
def test_a_faulty_program_is_found(
    shrinking_run: Path, opened: OpenedRun, tmp_path: Path, before: str, after: str
) -> None:
    found = open_run(shrinking_run, DataChoice(), Prompting())
    build_folder(found, tmp_path, "onnx")
    program = tmp_path / "predict.py"
    text = program.read_text()
    assert before in text
    program.write_text(text.replace(before, after))
    with pytest.raises(ExportError, match="predict.py.*pixels have another class"):
        check_folder(found, tmp_path, images=4)


def test_a_program_that_needs_torch_is_found(opened: OpenedRun, onnx_export: Path) -> None:
    program = onnx_export / "predict.py"
    program.write_text(program.read_text().replace("import cv2\n", "import cv2\nimport torch\n"))
    with pytest.raises(
        ExportError, match="without torch, failed with exit code 1:\n[^$]*import of torch halted"
    ):
        check_folder(opened, onnx_export, images=1)


@pytest.mark.usefixtures("opened")
def test_a_program_may_round_differently_in_int8_alone(shrinking_run: Path, tmp_path: Path) -> None:
    found = open_run(shrinking_run, DataChoice(), Prompting())
    manifest = build_folder(found, tmp_path, "onnx")
    program = tmp_path / "predict.py"
    text, line = program.read_text(), 'return {"label_map": label_map}'
    assert line in text
    program.write_text(text.replace(line, f"label_map[0, :2] = 1 - label_map[0, :2]\n    {line}"))
    with pytest.raises(ExportError, match="predict.py.*: 2 of .* pixels have another class"):
        check_folder(found, tmp_path, images=1)
    write_manifest(in_precision(manifest, "int8", {"network"}), tmp_path)
    measured = check_folder(found, tmp_path, images=1, precision="int8")
    assert measured.program is not None
    assert measured.program["pixels"] > LIMITS.pixels
    program.write_text(text.replace(line, line.replace("label_map}", "label_map[::-1]}")))
    with pytest.raises(ExportError, match="The limit is 1.00%"):
        check_folder(found, tmp_path, images=1, precision="int8")
