"""Graphs on ONNX Runtime and OpenVINO: results, and errors for what would otherwise be silent."""

from __future__ import annotations

import io
import sys
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from toolkit.errors import CheckpointError, ConfigError, InvalidDataError, UnavailableError, UsageError
from toolkit.runtime import engines
from toolkit.runtime.engines import Engine, check_target, open_engine, runs_on


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[bytes]]:
    """A graph that doubles ``[N, 3]``, for each target."""
    import openvino

    class Double(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * 2

    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Double(),
            (torch.ones(2, 3),),
            buffer,  # type: ignore[arg-type]
            dynamo=False,
            input_names=["x"],
            output_names=["y"],
            dynamic_axes={"x": {0: "n"}},
        )
    folder = tmp_path_factory.mktemp("graph")
    (folder / "double.onnx").write_bytes(buffer.getvalue())
    openvino.save_model(openvino.Core().read_model(folder / "double.onnx"), folder / "double.xml")
    xml, weights = ((folder / f"double.{suffix}").read_bytes() for suffix in ("xml", "bin"))
    return {"onnx": [buffer.getvalue()], "openvino": [xml, weights]}


@pytest.fixture(params=["onnx", "openvino"])
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def opened(target: str, files: dict[str, list[bytes]], **options: object) -> Engine:
    return open_engine(target, files[target], source="double", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [0, 1, 5])
def test_it_computes_for_any_number_of_rows(target: str, files: dict[str, list[bytes]], count: int) -> None:
    engine = opened(target, files, threads=1)
    values = np.arange(count * 3, dtype=np.float32).reshape(count, 3)
    (first,) = engine.run({"x": values})
    assert np.array_equal(first, values * 2)
    engine.run({"x": values + 1})
    assert np.array_equal(first, values * 2), "results are not overwritten by the next"
    assert engine.outputs == ("y",)
    assert engine.ran_on == ({"onnx": "CPUExecutionProvider", "openvino": "CPU"}[target],)


def test_what_it_cannot_compute_is_named(target: str, files: dict[str, list[bytes]]) -> None:
    engine = opened(target, files)
    with pytest.raises(InvalidDataError, match=r"cannot compute the graph for x float32 \[2, 4\]: .*Hint"):
        engine.run({"x": np.zeros((2, 4), np.float32)})
    with pytest.raises(InvalidDataError, match="Hint"):
        engine.run({"z": np.zeros((2, 3), np.float32)})


@pytest.mark.parametrize("damage", [b"", b"nothing", None])
def test_a_damaged_graph_is_refused(target: str, files: dict[str, list[bytes]], damage: bytes | None) -> None:
    broken = [content[:-40] if damage is None else damage for content in files[target]]
    with pytest.raises(CheckpointError, match=r"double cannot be read as a graph: .*Hint: copy or export"):
        open_engine(target, broken, source="double")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["weights.bin", "../weights.bin", "/etc/passwd"])
def test_a_graph_reads_no_other_files(
    files: dict[str, list[bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    import onnx

    model = onnx.load_from_string(files["onnx"][0])
    values = onnx.numpy_helper.from_array(np.ones((2000, 3), np.float32), "more")
    values.ClearField("raw_data")
    values.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", name), ("offset", "0"), ("length", str(2000 * 3 * 4))):
        values.external_data.add(key=key, value=value)
    model.graph.initializer.append(values)
    model.graph.node.append(onnx.helper.make_node("Identity", ["more"], ["z"]))
    model.graph.output.append(onnx.helper.make_tensor_value_info("z", 1, [2000, 3]))
    inside = tmp_path / "inside"
    inside.mkdir()
    for folder in (tmp_path, inside):
        (folder / "weights.bin").write_bytes(bytes(2000 * 3 * 4))
    monkeypatch.chdir(inside)
    with pytest.raises(CheckpointError, match="double cannot be read as a graph: .*xternal data path"):
        open_engine("onnx", [model.SerializeToString()], source="double")


def test_a_device_that_the_runtime_does_not_have_is_refused(
    target: str, files: dict[str, list[bytes]]
) -> None:
    with pytest.raises(ConfigError, match=r"'cuda:1'.*Hint: --device cpu"):
        opened(target, files, device="cuda:1")
    with pytest.raises(ConfigError, match="Hint: --device cpu"):
        opened(target, files, device="mps")


def test_a_fallback_to_the_cpu_is_an_error(
    files: dict[str, list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONNX Runtime itself only warns if a provider that is available cannot start."""
    available = [*onnxruntime.get_available_providers(), "CUDAExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: available)
    with pytest.raises(ConfigError, match="cannot run all of it on CUDAExecutionProvider, only on the CPU"):
        opened("onnx", files, device="cuda:0")


def test_the_providers_that_it_reports_must_be_those(
    files: dict[str, list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime.InferenceSession, "get_providers", lambda _: [])
    with pytest.raises(ConfigError, match="was asked for CPUExecutionProvider, but it runs on nothing"):
        opened("onnx", files)


def test_openvino_computes_in_the_precision_that_is_asked_for(
    files: dict[str, list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.full((1, 3), 1.001, np.float32)
    assert opened("openvino", files).run({"x": values})[0][0, 0] == values[0, 0] * 2
    with pytest.raises(ConfigError, match="asked for f32 on CPU, but it runs in bf16 on CPU"):
        engines._check_device(["CPU"], _Type("bf16"), "f32", "double")
    with pytest.raises(ConfigError, match="runs in f32 on GPU.0"):
        engines._check_device(["GPU.0"], _Type("f32"), "f32", "double")
    with pytest.raises(ConfigError, match="no bf16 on CPUs. Hint: export with --to openvino"):
        opened("onnx", files, precision="bf16")


class _Type:
    def __init__(self, name: str) -> None:
        self.name = name

    def get_type_name(self) -> str:
        return self.name


@pytest.mark.parametrize(
    ("module", "extra"), [("onnxruntime", "onnx"), ("openvino", "openvino"), ("onnx", "onnx")]
)
def test_a_missing_library_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, files: dict[str, list[bytes]], module: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UnavailableError, match=f"needs the extra {extra}"):
        check_target("openvino" if extra == "openvino" else "onnx")


def test_an_unknown_target_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown target 'tensorrt'. Hint: use onnx, openvino or weights"):
        check_target("tensorrt")


def test_what_a_runtime_uses_is_asked_of_the_one_that_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [runs_on("openvino", device) for device in ("cpu", "cuda:0")] == [True, False]
    providers = ["CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: providers)
    assert [runs_on("onnx", device) for device in ("cpu", "cuda:1", "mps")] == [True, False, False]
    providers.append("CUDAExecutionProvider")
    assert runs_on("onnx", "cuda:1")
