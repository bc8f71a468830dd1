"""Files of graphs: what cannot be written is named."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from toolkit import Graph
from toolkit.checkpoints import ExportedFile
from toolkit.errors import OutputError, UsageError
from toolkit.export.onnx_files import as_onnx, write_graph


class Odd(nn.Module):
    """Uses an operator that ONNX does not have."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.special.bessel_j0(x)


class Raising(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise ValueError("no such thing")


def graph_of(network: nn.Module) -> Graph:
    return Graph("net", network, {"x": ("n", 3)}, {"y": ("n", 3)}, ((torch.ones(2, 3),),))


def test_an_operator_that_onnx_lacks_is_named_with_the_part_that_has_it() -> None:
    network = nn.Sequential(nn.Linear(3, 3), nn.Sequential(nn.ReLU(), Odd()))
    with pytest.raises(UsageError, match=r"has no special_bessel_j0, which the model uses in 1\.1\. Hint"):
        as_onnx(graph_of(network))


def test_an_operator_with_options_that_onnx_lacks_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    class Sorting(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.sort(stable=True, descending=True)[0]

    with pytest.raises(UsageError, match=r"ONNX .version 18 of its operators. has no sort, .* in Sorting"):
        as_onnx(graph_of(Sorting()))
    assert capfd.readouterr().out == "", "torch prints the whole graph otherwise"


def test_an_error_of_the_network_is_told() -> None:
    with pytest.raises(
        UsageError, match=r"'net' \(Raising\) cannot be exported: ValueError: no such thing. Hint"
    ):
        as_onnx(graph_of(Raising()))


def test_training_mode_is_kept_and_does_not_show() -> None:
    network = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.9)).train()
    content = as_onnx(graph_of(network))
    assert b"Dropout" not in content
    assert network.training


@pytest.mark.parametrize(("target", "files"), [("onnx", ["net.onnx"]), ("openvino", ["net.xml", "net.bin"])])
def test_files_are_described(tmp_path: Path, target: str, files: list[str]) -> None:
    found = write_graph(graph_of(nn.Linear(3, 3)), target, tmp_path)  # type: ignore[arg-type]
    assert [file.name for file in found.files] == files
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(files)
    assert [ExportedFile.of(tmp_path / name) for name in files] == list(found.files)
    assert found.inputs == {"x": ("n", 3)}


def test_a_file_that_openvino_cannot_write_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import openvino

    def full(*_: object, **__: object) -> None:
        raise RuntimeError("No space left on device")

    monkeypatch.setattr(openvino, "save_model", full)
    with pytest.raises(
        OutputError, match=r"net.xml cannot be written: No space left.* Hint: free some space"
    ):
        write_graph(graph_of(nn.Linear(3, 3)), "openvino", tmp_path)
