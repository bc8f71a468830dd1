"""``toolkit export --size``: graphs for images of one size."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import toolkit
from toolkit import Sample, registry
from toolkit.cli import main
from toolkit.errors import InvalidDataError, UsageError
from toolkit.evaluation.opening import OpenedRun
from toolkit.export.fixed_size import check_size, fixed_graphs, indexes_of_size
from toolkit.export.front import export_run
from toolkit.models.building import load_model
from toolkit.models.sliding_window import Tiling
from toolkit.runtime.extras import import_onnx, import_openvino

SUPPORT = Path(__file__).resolve().parents[1] / "support"
SIZE = (16, 16)
"""Of all images of the data."""


def register() -> None:
    """Make plugin and data known, which each test forgets."""
    for name in ("strided_net.py", "tiny.py"):
        registry.add_path(str(SUPPORT / name))


@pytest.fixture(scope="module", params=["onnx", "openvino"])
def fixed(request: pytest.FixtureRequest, run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run, exported for one size and compared by the command."""
    register()
    out = tmp_path_factory.mktemp("fixed") / request.param
    words = ["export", str(run_folder), "--to", request.param, "--out", str(out), "--images", "3"]
    assert main([*words, "--size", "16x16"]) == 0
    return out


def image(height: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=generator)


def test_height_and_width_of_the_graph_are_numbers(fixed: Path) -> None:
    register()
    manifest = json.loads((fixed / "manifest.json").read_text())
    assert manifest["size"] == [16, 16]
    assert manifest["graphs"][0]["inputs"] == {"images": ["batch", 3, 16, 16]}
    if fixed.name == "onnx":
        model = import_onnx("a test").load(fixed / "network.onnx")
        sides = [each.dim_value for each in model.graph.input[0].type.tensor_type.shape.dim]
        assert sides[1:] == [3, 16, 16]
    else:
        shape = import_openvino("a test").Core().read_model(fixed / "network.xml").inputs[0].partial_shape
        assert [shape[i].get_length() for i in (1, 2, 3)] == [3, 16, 16]
        assert shape[0].is_dynamic


def test_images_of_this_size_are_predicted_like_by_the_run(fixed: Path, run_folder: Path) -> None:
    register()
    samples = [Sample(str(i), image(*SIZE) // (i + 1)) for i in range(3)]
    one, other = (toolkit.load(each, device="cpu") for each in (run_folder, fixed))
    assert one.predict_samples(samples) == other.predict_samples(samples)


def test_others_are_refused_with_both_sizes(fixed: Path, tmp_path: Path) -> None:
    register()
    with pytest.raises(
        InvalidDataError, match=r"takes images of batch x 3 x 16 x 16, .* 1 x 3 x 24 x 40: .*Hint: .*--size"
    ):
        toolkit.load(fixed, device="cpu").predict(image(21, 40))
    photo = tmp_path / "photo.png"
    cv2.imwrite(str(photo), np.zeros((21, 40, 3), np.uint8))
    command = [sys.executable, str(fixed / "predict.py"), str(photo), "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "takes images of 16 x 16 pixels (height x width);" in done.stderr
    assert "has 21 x 40" in done.stderr


def test_large_images_are_predicted_in_windows_of_this_size(fixed: Path, run_folder: Path) -> None:
    register()
    large = image(40, 56)
    one, other = (
        toolkit.load(each, device="cpu", tiling=Tiling(window=16)).predict(large)
        for each in (run_folder, fixed)
    )
    assert torch.equal(one.label_map, other.label_map)


def test_a_size_that_no_image_has_is_an_error(run_folder: Path, tmp_path: Path) -> None:
    register()
    with pytest.raises(
        UsageError,
        match=r"none of the 12 images that the export needs .* --size 16x24; the first has 16x16. Hint",
    ):
        export_run(run_folder, tmp_path / "out", size=(16, 24))
    assert not (tmp_path / "out").exists()


def test_a_size_must_be_possible(opened: OpenedRun) -> None:
    with pytest.raises(UsageError, match="--size must be from 1 to 16384 pixels, not 0x16"):
        check_size(opened.model, (0, 16))


def test_graphs_are_fixed_to_what_images_become(opened: OpenedRun, onnx_export: Path) -> None:
    """After padding to multiples of the divisor, 4."""
    (graph,) = fixed_graphs(opened.model, load_model(onnx_export)[0], (13, 30))
    assert graph.inputs == {"images": ("batch", 3, 16, 32)}
    assert len(graph.examples) == 3
    assert {tuple(example[0].shape) for example in graph.examples} == {(1, 3, 16, 32)}


def test_only_images_of_the_size_are_compared(opened: OpenedRun) -> None:
    assert indexes_of_size(opened.opened.dataset, SIZE, 3) == [0, 1, 2]


def test_the_command_takes_height_and_width(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    register()
    words = ["export", str(run_folder), "--out", str(tmp_path / "out")]
    assert main([*words, "--to", "onnx", "--size", "16"]) == 2
    assert "expected HEIGHTxWIDTH, such as 480x640, not '16'" in capsys.readouterr().err
    assert main([*words, "--size", "16x16"]) == 2
    assert "leave out --data, --data-dir, --split, --size" in capsys.readouterr().err
