"""The gate of exports: each planted fault must be found, and named with both values."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from toolkit import SemanticModel
from toolkit.data.dataset import Dataset
from toolkit.errors import CheckpointError, ConfigError, ExportError
from toolkit.evaluation.opening import OpenedRun, open_run
from toolkit.evaluation.requests import DataChoice, Prompting
from toolkit.export.front import build_folder, check_folder
from toolkit.export.gate import CROPS, SomeImages, evenly_spaced, odd_images


class Faulty(nn.Module):
    """A network with a fault in what goes in, in what is inside, or in what comes out."""

    def __init__(
        self,
        network: nn.Module,
        before: Callable[[Tensor], Tensor] | None = None,
        after: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.network, self.before, self.after = network, before, after

    def forward(self, images: Tensor) -> Tensor:
        images = images if self.before is None else self.before(images)
        logits: Tensor = self.network(images)
        return logits if self.after is None else self.after(logits)


class NearestUpsampling(nn.Module):
    """The strided net with another interpolation inside."""

    def __init__(self, network: nn.Module, *, align_corners: bool | None) -> None:
        super().__init__()
        self.network, self.align_corners = network, align_corners

    def forward(self, images: Tensor) -> Tensor:
        net = self.network
        fine = F.relu(net.first(images))
        coarse = F.relu(net.second(fine))
        mode = "nearest" if self.align_corners is None else "bilinear"
        larger = F.interpolate(coarse, fine.shape[2:], mode=mode, align_corners=self.align_corners)
        logits: Tensor = net.head(F.relu(larger + net.skip(fine)))
        return logits


def shifted(logits: Tensor) -> Tensor:
    """Half a pixel to the right."""
    return (logits + F.pad(logits, (1, 0, 0, 0), mode="replicate")[:, :, :, :-1]) / 2


def exported_with(opened: OpenedRun, network: nn.Module, folder: Path) -> None:
    """Export a network in the place of that of the run."""
    plain = opened.model
    assert isinstance(plain, SemanticModel)
    build_folder(replace(opened, model=plain.with_graphs({"network": network})), folder, "onnx")


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(lambda net: NearestUpsampling(net, align_corners=None), id="nearest for bilinear"),
        pytest.param(lambda net: NearestUpsampling(net, align_corners=True), id="aligned corners"),
        pytest.param(lambda net: Faulty(net, after=shifted), id="half a pixel"),
        pytest.param(lambda net: Faulty(net, before=lambda x: x.flip(1)), id="RGB for BGR"),
        pytest.param(lambda net: Faulty(net, after=lambda x: x[:, :, :12, :16]), id="a fixed size"),
        pytest.param(lambda net: Faulty(net, after=lambda x: x.softmax(1)), id="probabilities"),
        pytest.param(lambda net: Faulty(net, after=lambda x: x[:1]), id="one image of the batch"),
        pytest.param(lambda net: Faulty(net, after=lambda x: x * float("nan")), id="nan"),
    ],
)
def test_a_faulty_graph_is_found(
    opened: OpenedRun, tmp_path: Path, fault: Callable[[nn.Module], nn.Module]
) -> None:
    network = opened.model.network
    exported_with(opened, fault(network), tmp_path)
    with pytest.raises(
        ExportError, match=r"graph 'network' with \dx3x.*in torch, but .* in the export.*Hint"
    ):
        check_folder(opened, tmp_path)


def test_the_same_network_passes(opened: OpenedRun, tmp_path: Path) -> None:
    exported_with(opened, opened.model.network, tmp_path)
    measured = check_folder(opened, tmp_path)
    assert measured.images == 12 + len(CROPS) + 3
    assert max(measured.tensors.values()) < 1e-5


def edit_manifest(folder: Path, change: Callable[[dict[str, object]], None]) -> None:
    path = folder / "manifest.json"
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def test_another_resize_is_found(shrinking_run: Path, opened: OpenedRun, tmp_path: Path) -> None:
    """The graph is right, but images are downscaled to another size."""
    found = open_run(shrinking_run, DataChoice(), Prompting())
    build_folder(found, tmp_path, "onnx")
    edit_manifest(tmp_path, lambda values: values["processing"]["input"].update(long_side=14))
    with pytest.raises(ExportError, match="pixels have another class.*in torch, .* in the export"):
        check_folder(found, tmp_path)


def test_weights_of_another_checkpoint_are_found(opened: OpenedRun, onnx_export: Path) -> None:
    for parameter in opened.model.parameters():
        parameter.data += 0.1
    with pytest.raises(ExportError, match="graph 'network'"):
        check_folder(opened, onnx_export)


def test_a_provider_that_fell_back_is_found(
    opened: OpenedRun, onnx_export: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime.InferenceSession, "get_providers", lambda _: ["AzureExecutionProvider"])
    with pytest.raises(ConfigError, match="asked for CPUExecutionProvider, but it runs on AzureExecution"):
        check_folder(opened, onnx_export)


def test_a_truncated_file_is_found(opened: OpenedRun, export: Path) -> None:
    graph = export / {"onnx": "network.onnx", "openvino": "network.bin"}[export.name]
    content = graph.read_bytes()
    graph.write_bytes(content[:-10])
    with pytest.raises(CheckpointError, match=f"{graph.name} has .* it is truncated"):
        check_folder(opened, export)


def test_metrics_that_move_are_found(
    opened: OpenedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The only fault is in the metrics: the export is measured with half of the images."""
    from toolkit.export import gate

    build_folder(opened, tmp_path, "onnx")
    plain = gate.Measurement.update
    seen: list[object] = []

    def update(self: object, samples: list[object], predictions: object) -> None:
        seen.append(self)
        if seen[0] is self or len(seen) < 4:
            plain(self, samples, predictions)  # type: ignore[arg-type]

    monkeypatch.setattr(gate.Measurement, "update", update)
    with pytest.raises(
        ExportError, match="metrics of iou on 12 images: mean_iou is .* in torch, but .* limit is 0.001"
    ):
        check_folder(opened, tmp_path)


def test_odd_images_are_valid_for_images_of_any_size() -> None:
    for size in ((1, 1), (500, 3), (64, 640)):
        images = list(odd_images(torch.zeros((3, *size), dtype=torch.uint8)))
        assert len(images) == len(CROPS) + 3
        assert len({sample.id for sample in images}) >= 4


@pytest.mark.parametrize(
    ("count", "chosen"), [(1, [0]), (3, [0, 4, 8]), (12, list(range(12))), (20, list(range(12)))]
)
def test_some_images_are_spread_over_the_data(opened: OpenedRun, count: int, chosen: list[int]) -> None:
    everything: Dataset = opened.opened.dataset
    some = SomeImages(everything, evenly_spaced(len(everything), count))
    assert some.ids == [everything.ids[i] for i in chosen]
    assert some[len(some) - 1] == everything[chosen[-1]]
