"""Graphs in int8."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from toolkit.errors import UnavailableError, UsageError
from toolkit.evaluation.opening import OpenedRun
from toolkit.export import front
from toolkit.export.front import build_folder, calibration_data, export_run
from toolkit.export.quantizing import quantize, record_inputs
from toolkit.models.building import load_model
from toolkit.models.capabilities import Exportable
from toolkit.models.contract import evaluating


def test_inputs_of_the_graphs_are_recorded_for_images_of_the_training_split(
    opened: OpenedRun, onnx_export: Path
) -> None:
    data = calibration_data(opened)
    assert [name.partition("/")[0] for name in data.ids] == ["train"] * 12
    exported = load_model(onnx_export)[0]
    found = record_inputs(exported, data)
    assert [each["images"].shape for each in found["network"]] == [(1, 3, 16, 16)] * 12
    with evaluating(exported):
        exported.predict([data[0]])
    assert len(found["network"]) == 12, "recording ends"


def test_nncf_is_an_extra(
    run_folder: Path, opened: OpenedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(
        UnavailableError, match="--precision int8 needs the extra int8.* Hint: pip install 'nncf"
    ):
        export_run(run_folder, tmp_path / "exported", precision="int8")
    assert not (tmp_path / "exported").exists()


def test_graphs_with_suppression_are_not_quantized(
    opened: OpenedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(front, "import_nncf", lambda purpose: None)
    front._check_quantizable(opened)
    exportable = opened.model.capability(Exportable)
    assert exportable is not None
    (graph,) = exportable.graphs()
    monkeypatch.setattr(type(opened.model), "graphs", lambda self: (replace(graph, ranked=True),))
    with pytest.raises(
        UsageError, match="suppression of boxes inside of its graph.* Hint: use --precision fp32"
    ):
        front._check_quantizable(opened)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["onnx", "openvino"])
@pytest.mark.filterwarnings("default")
def test_graphs_are_computed_in_int8(opened: OpenedRun, tmp_path: Path, target: str) -> None:
    pytest.importorskip("nncf")
    manifest = build_folder(opened, tmp_path, target)  # type: ignore[arg-type]
    plain = load_model(tmp_path)[0]
    graphs = quantize(manifest, plain, calibration_data(opened), tmp_path)
    front.write_manifest(replace(manifest, graphs=graphs, precision="int8"), tmp_path)
    smaller = load_model(tmp_path)[0]
    image = opened.opened.dataset[0].image[None]
    with evaluating(opened.model), evaluating(smaller):
        a, b = (each.logits(image) for each in (opened.model, smaller))  # type: ignore[operator]
    apart = float((a - b).abs().max() / a.abs().max())
    assert 1e-4 < apart < 0.2
    graph = (tmp_path / graphs[0].files[0].name).read_bytes()
    assert (b"QuantizeLinear" if target == "onnx" else b"FakeQuantize") in graph
    assert torch.isfinite(b).all()
