"""The NumPy program of semantic models computes what the model computes around its network, to the last bit
where torch does.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from toolkit import Sample, SemanticModel
from toolkit.models.contract import evaluating
from toolkit.models.semantic_graph import logits_graph
from toolkit.models.semantic_program import predict


class Strided(nn.Module):
    """A quarter of the resolution, with an answer that depends on everything around."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.net = nn.Conv2d(3, 5, 5, stride=4, padding=2, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.net(images)
        return logits


@pytest.mark.parametrize("padding", ["reflect", "replicate"])
@pytest.mark.parametrize("long_side", [None, 24])
@pytest.mark.parametrize("size", [(1, 1), (1, 37), (31, 33), (64, 16), (2, 90)])
def test_label_maps_are_those_of_the_model(
    padding: str, long_side: int | None, size: tuple[int, int]
) -> None:
    network = Strided()
    model = SemanticModel(
        network,
        "abcde",
        mean=(0.3, 0.5, 0.6),
        std=(0.2, 0.3, 0.1),
        divisor=8,
        padding=padding,
        long_side=long_side,
    )
    image = torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    with evaluating(model):
        wanted = model.predict([Sample("a", image)])[0].label_map

        def run(batch: np.ndarray) -> list[np.ndarray]:
            return [network(torch.from_numpy(batch)).numpy()]

        found = predict(image.permute(1, 2, 0).numpy(), {"network": run}, {"processing": model.processing})
    assert wanted is not None
    assert int((torch.from_numpy(found["label_map"]) != wanted).sum()) <= 1
    assert len(wanted.unique()) > 1 or wanted.numel() == 1


@pytest.mark.parametrize("divisor", [1, 8, 32])
def test_examples_of_the_graph_have_odd_and_extreme_sizes(divisor: int) -> None:
    graph = logits_graph(Strided(), 5, divisor)
    shapes = [tuple(example[0].shape) for example in graph.examples]
    assert len(set(shapes)) >= 5
    assert all(height % divisor == 0 and width % divisor == 0 for *_, height, width in shapes)
    if divisor == 1:
        assert any(height % 2 and width % 2 for *_, height, width in shapes)
    assert {batch for batch, *_ in shapes} == {1, 2, 3}
    assert F.pad(graph.examples[0][0], (0, 0)).isfinite().all()
