"""Figures of models against those counted by hand."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from toolkit.cli.summary import describe, layer_table, to_json
from toolkit.errors import UsageError
from toolkit.models.capabilities import Inspectable
from toolkit.models.contract import Model
from toolkit.models.receptive_field import Field
from toolkit.models.semantic import SemanticModel
from toolkit.models.summary import summarize
from toolkit.types import Prediction, Sample


def convolutions() -> nn.Sequential:
    stem = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
    return nn.Sequential(stem, nn.MaxPool2d(2), nn.Conv2d(8, 5, 1))


def test_figures_counted_by_hand() -> None:
    summary = summarize(SemanticModel(convolutions(), "abcde"), (64, 96))
    assert summary.input_shape == (1, 3, 64, 96)
    assert summary.output_shape == (1, 5, 16, 24)
    assert summary.parameters == summary.trainable == 3 * 8 * 9 + 2 * 8 + 8 * 5 + 5
    assert summary.frozen == 0
    stem, head = 8 * 32 * 48, 5 * 16 * 24
    assert summary.flops == stem * 3 * 9 + 2 * stem + head * 8  # fvcore counts two for each value of a norm
    assert summary.activations == stem + head
    assert summary.uncounted == {"max_pool2d": 1}
    assert summary.receptive_field == (Field(5, 4), Field(5, 4))
    assert summary.output_stride == (4, 4)
    assert summary.notes == ("FLOPs leave out: max_pool2d (1 ×)",)


def test_layers_have_types_shapes_and_parameters() -> None:
    layers = {
        layer.name: layer for layer in summarize(SemanticModel(convolutions(), "abcde"), (64, 64)).layers
    }
    assert list(layers) == ["0", "0.0", "0.1", "0.2", "1", "2"]
    assert [layer.depth for layer in layers.values()] == [1, 2, 2, 2, 1, 1]
    assert layers["0.0"].type == "Conv2d"
    assert layers["0"].parameters == layers["0.0"].parameters + layers["0.1"].parameters == 216 + 16
    assert layers["0"].output_shapes == layers["0.2"].output_shapes == ((1, 8, 32, 32),)
    assert layers["1"].output_shapes == ((1, 8, 16, 16),)
    assert layers["1"].parameters == 0


def test_dilated_kernels_reach_farther() -> None:
    layers = [
        nn.Conv2d(3, 4, 3, dilation=12, padding=12),
        nn.MaxPool2d(3, 1, 1, dilation=1),
        nn.Conv2d(4, 4, (5, 1), dilation=(2, 7), padding=(4, 0)),
    ]
    summary = summarize(SemanticModel(nn.Sequential(*layers, nn.Conv2d(4, 5, 1)), "abcde"), (64, 64))
    assert [layer.effective_kernel for layer in summary.layers] == [(25, 25), None, (9, 1), (1, 1)]
    assert [layer.dilation for layer in summary.layers] == [(12, 12), None, (2, 7), (1, 1)]
    (line,) = [line for line in describe(summary) if line.startswith("dilated kernels")]
    assert line.split(maxsplit=2)[2] == (
        "3×3 with dilation 12 covers 25×25 (1 ×), 5×1 with dilation 2×7 covers 9×1 (1 ×)"
    )
    assert not [
        line for line in describe(summarize(SemanticModel(convolutions(), "abcde"))) if "dilated" in line
    ]


def test_frozen_parameters_are_told_apart() -> None:
    network = convolutions()
    network[0].requires_grad_(False)
    summary = summarize(SemanticModel(network, "abcde"), (64, 64))
    assert (summary.trainable, summary.frozen) == (45, 232)
    assert [layer.trainable for layer in summary.layers if layer.depth == 1] == [0, 0, 45]


class ForVideos(SemanticModel):
    """A model of which one layer learns, one is frozen, and two are not used in training."""

    untrained = ("memory", "3.bias")

    def __init__(self) -> None:
        layers = {"body": nn.Conv2d(3, 4, 1), "memory": nn.Conv2d(4, 4, 1), "head": nn.Conv2d(4, 2, 1)}
        super().__init__(nn.Sequential(OrderedDict(layers)), "ab")
        self.network.body.requires_grad_(False)
        self.network.memory.requires_grad_(False)


def test_what_training_does_not_use_is_not_taken_for_frozen() -> None:
    model = ForVideos()
    summary = summarize(model, (32, 32))
    assert (summary.parameters, summary.trainable, summary.frozen, summary.untrained) == (46, 10, 16, 20)
    layers = {layer.name: layer for layer in summary.layers}
    assert (layers["memory"].trainable, layers["memory"].untrained) == (0, 20)
    assert layers["body"].untrained == layers["head"].untrained == 0
    assert "46: 10 trainable, 16 frozen, 20 not used in training" in describe(summary)[0]
    cells = list(layer_table(summary, 1).columns[3].cells)
    assert cells == ["16 (frozen)", "20 (not used in training)", "10"]
    model.network.memory.requires_grad_(True)
    assert summarize(model, (32, 32)).trainable == 10, "whatever requires_grad says"
    assert to_json(summary)["untrained"] == 20


def test_shared_parameters_count_once() -> None:
    conv = nn.Conv2d(3, 3, 3, padding=1)
    assert summarize(SemanticModel(nn.Sequential(conv, conv), "abc"), (32, 32)).parameters == 84


def test_shrinking_and_padding_show_in_the_input() -> None:
    model = SemanticModel(convolutions(), "abcde", divisor=32, long_side=100)
    assert summarize(model, (150, 200)).input_shape == (1, 3, 96, 128)


def test_the_model_stays_as_it_is() -> None:
    model = SemanticModel(convolutions(), "abcde")
    before = copy.deepcopy(model.state_dict())
    summarize(model, (64, 64))
    assert model.training
    assert not model.network._forward_hooks
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


class Attention(nn.Module):
    """Attention over patches of 8 pixels, through torch's one fused operator."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.head = nn.Conv2d(3, 6, 8, stride=8), nn.Conv2d(6, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x)
        tokens = x.flatten(2).transpose(1, 2)
        attended = F.scaled_dot_product_attention(tokens, tokens, tokens)
        return self.head(attended.transpose(1, 2).reshape(x.shape))


def test_attention_is_counted() -> None:
    summary = summarize(SemanticModel(Attention(), "ab"), (64, 128))
    tokens = 8 * 16
    assert summary.flops == tokens * 6 * 3 * 64 + tokens * tokens * (6 + 6) + tokens * 2 * 6
    assert summary.receptive_field == (Field(None, 8), Field(None, 8))


class NeedsValues(nn.Module):
    """Looks at its values, which tensors without any cannot bear."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :2] if float(x.mean()) > -100 else x[:, 1:]


def test_a_network_that_looks_at_values_is_run() -> None:
    summary = summarize(SemanticModel(NeedsValues(), "ab"), (8, 8))
    assert summary.output_shape == (1, 2, 8, 8)
    assert summary.receptive_field is None
    assert any("_local_scalar_dense" in note for note in summary.notes)
    assert summary.output_stride == (1, 1)


def test_an_image_that_does_not_fit_the_network() -> None:
    with pytest.raises(
        UsageError, match=r"fails on an image of 4 × 4 pixels with RuntimeError: .* Hint: use another --size"
    ):
        summarize(SemanticModel(nn.Conv2d(3, 2, 7), "ab"), (4, 4))


class OneVector(Model, Inspectable):
    """A network whose output belongs to the image as a whole."""

    def __init__(self) -> None:
        super().__init__("ab")
        self.network = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
        )

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        return []

    def network_input(self, images: Tensor) -> Tensor:
        return images.float()


def test_an_output_without_height_and_width() -> None:
    summary = summarize(OneVector(), (8, 10))
    shapes = [layer.output_shapes[0] for layer in summary.layers]
    assert shapes == [(1, 4, 6, 8), (1, 4, 1, 1), (1, 4), (1, 2)]
    assert summary.output_shape == (1, 2)
    assert summary.flops == 6 * 8 * 4 * 27 + 8 + 4 * 6 * 8
    assert summary.receptive_field is summary.output_stride is None
    assert "The output has no height and width" in summary.notes[-1]
    lines = describe(summary)
    assert any("logits 1×2" in line for line in lines)
    assert not any(line.startswith(("receptive field", "output stride")) for line in lines)


class Boxes(Model):
    """A model that is no network around an image."""

    def __init__(self, classes: Sequence[str]) -> None:
        super().__init__(classes)
        self.trunk, self.head = nn.Linear(4, 3), nn.Linear(3, 2)
        self.trunk.requires_grad_(False)

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        return []


def test_other_models_get_what_there_is_and_a_sentence() -> None:
    summary = summarize(Boxes("ab"))
    assert (summary.parameters, summary.trainable, summary.frozen) == (15 + 8, 8, 15)
    assert [(layer.name, layer.output_shapes) for layer in summary.layers] == [("trunk", ()), ("head", ())]
    assert summary.flops is summary.receptive_field is summary.output_stride is None
    assert summary.notes[0].startswith(
        "this model declares neither of the capabilities Inspectable and Tileable"
    )
