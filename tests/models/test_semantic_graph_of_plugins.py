"""The networks of the built-in semantic plugins as ONNX: equal to torch for all example sizes."""

from __future__ import annotations

from typing import Any

import onnxruntime
import pytest
import torch

from toolkit import registry
from toolkit.export.onnx_files import as_onnx
from toolkit.models.capabilities import Exportable
from toolkit.models.contract import evaluating
from toolkit.models.graphs import as_tuple

SMALL: dict[str, dict[str, Any]] = {
    "original": {"encoder": "original", "depth": 2, "width": 4},
    "bilinear": {"encoder": "original_padded", "depth": 2, "width": 4, "upsampling": "bilinear"},
    "encoder": {"encoder": "resnet18"},
    "mobile": {"encoder": "mobilenet_v2", "depth": 3},
}


def differences(plugin: str, settings: dict[str, Any]) -> list[float]:
    """The largest difference for each example, as a fraction of the largest value."""
    manifest = registry.plugins().get(plugin)
    torch.manual_seed(0)
    model = manifest.resolve(manifest.build)(manifest.resolve(manifest.settings)(**settings), ("a", "b", "c"))
    exportable = model.eval().capability(Exportable)
    (graph,) = exportable.graphs()
    session = onnxruntime.InferenceSession(as_onnx(graph), providers=["CPUExecutionProvider"])
    found = []
    for example in graph.examples:
        with evaluating(model):
            wanted = as_tuple(graph.network(*example))[0].numpy()
        (got,) = session.run(None, {"images": example[0].numpy()})
        assert got.shape == wanted.shape
        found.append(float(abs(got - wanted).max() / abs(wanted).max()))
    return found


@pytest.mark.parametrize("name", SMALL)
def test_unet(name: str) -> None:
    assert max(differences("unet", SMALL[name])) < 1e-4


@pytest.mark.parametrize("plugin", ["deeplabv3", "deeplabv3plus"])
def test_deeplab(plugin: str) -> None:
    assert max(differences(plugin, {"encoder": "resnet18"})) < 1e-4
