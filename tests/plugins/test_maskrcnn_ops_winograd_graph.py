"""Winograd's algorithm in exported graphs."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from toolkit.plugins.maskrcnn.ops import winograd_graph
from toolkit.plugins.maskrcnn.ops.winograd_graph import by_winograd, conv3x3, is_wanted
from torch import Tensor, nn
from torch.nn import functional as F

from toolkit.runtime.engines import Engine, open_engine

WEIGHT = torch.randn((5, 3, 3, 3), generator=torch.Generator().manual_seed(0))


class Convolution(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return conv3x3(x, WEIGHT, torch.arange(5.0))


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    import openvino

    conv3x3(torch.zeros(1, 3, 8, 8), WEIGHT)  # as before an export, so that its constants are there
    path = tmp_path_factory.mktemp("graph") / "graph.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Convolution(),
            (torch.ones(2, 3, 8, 12),),
            str(path),
            dynamo=False,
            input_names=["x"],
            output_names=["y"],
            dynamic_axes={"x": {0: "n", 2: "height", 3: "width"}},
            opset_version=18,
        )
    files = [path.with_suffix(".xml"), path.with_suffix(".bin")]
    openvino.save_model(openvino.Core().read_model(path), files[0], compress_to_fp16=False)
    return open_engine("openvino", [each.read_bytes() for each in files], source="the graph")


@pytest.mark.parametrize("shape", [(1, 8, 12), (2, 8, 12), (1, 1, 1), (3, 5, 7), (1, 14, 14), (0, 14, 14)])
def test_it_is_a_convolution_for_any_size(engine: Engine, shape: tuple[int, int, int]) -> None:
    count, height, width = shape
    x = torch.randn((count, 3, height, width), generator=torch.Generator().manual_seed(1))
    wanted = F.conv2d(x, WEIGHT, torch.arange(5.0), padding=1)
    for pooled in (False, True):
        assert torch.allclose(conv3x3(x, WEIGHT, torch.arange(5.0), pooled=pooled), wanted, atol=1e-4)
    (found,) = engine.run({"x": x.numpy()})
    assert found.shape == tuple(wanted.shape)
    assert np.allclose(found, wanted.numpy(), atol=1e-4)


def test_only_large_maps_with_many_channels_have_it_and_only_on_request() -> None:
    wide, narrow = torch.zeros(128, 128, 3, 3), torch.zeros(64, 128, 3, 3)
    large, small = torch.zeros(1, 128, 32, 40), torch.zeros(1, 128, 8, 10)
    assert not is_wanted(large, wide)
    with by_winograd():
        assert is_wanted(large, wide)
        assert not is_wanted(large, narrow)
        assert not is_wanted(small, wide)
    assert not is_wanted(large, wide)
    assert winograd_graph.LEAST_PIXELS <= 14 * 14, "masks are predicted from maps of this size"
