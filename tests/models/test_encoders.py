"""Encoders by name, and the parts of them that nothing depends on."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from toolkit.errors import ConfigError
from toolkit.models.encoders import Skipped, check_encoder_name, drop_unused


@pytest.mark.parametrize(
    "name", ["resnet18", "tu-convnext_tiny", "tu-resnet18.a1_in1k", "timm-mobilenetv3_large_100"]
)
def test_names_that_the_libraries_know(name: str) -> None:
    check_encoder_name(name)


def test_a_plugin_has_names_of_its_own() -> None:
    check_encoder_name("original", also=["original"])
    with pytest.raises(ConfigError, match="did you mean 'original'"):
        check_encoder_name("orignal", also=["original"])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet19", "unknown encoder 'resnet19'; did you mean 'resnet1"),
        ("tu-convnext_tine", "unknown encoder 'tu-convnext_tine'; did you mean 'tu-convnext_tin"),
        ("qqqq", "unknown encoder 'qqqq'; expected one of: "),
        ("", "unknown encoder ''"),
    ],
)
def test_names_that_they_do_not_know(name: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_encoder_name(name)
    assert str(caught.value).startswith(f"model.encoder: {message}")
    assert "use tu-NAME for any timm model" in str(caught.value)


class Encoder(nn.Module):
    """Two stages, a third that is computed for nothing, and a classifier that is never called."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleDict({str(i): nn.Conv2d(3, 3, 3, padding=1) for i in range(3)})
        self.norm = nn.BatchNorm2d(3)
        self.classifier = nn.Sequential(nn.Linear(3, 10))

    def forward(self, images: Tensor) -> list[Tensor]:
        first = self.norm(self.stages["0"](images))
        second = self.stages["1"](first)
        return [second, self.stages["2"](second)]


class Network(nn.Module):
    def __init__(self, size: tuple[int, int] | None = None) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.head = nn.Conv2d(3, 2, 1)
        self.size = size

    def forward(self, images: Tensor) -> Tensor:
        if self.size is not None and tuple(images.shape[2:]) != self.size:
            raise ValueError(f"images must be {self.size}")
        logits: Tensor = self.head(self.encoder(images)[0])
        return logits


def test_what_nothing_depends_on_goes_and_the_rest_stays_as_it_was() -> None:
    network = Network().train()
    before = copy.deepcopy(network)
    random = torch.get_rng_state()
    drop_unused(network, network.encoder, (8, 9))
    assert isinstance(network.encoder.stages["2"], Skipped)
    assert isinstance(network.encoder.classifier, Skipped)
    left = network.state_dict()
    assert set(left) == {
        name
        for name in before.state_dict()
        if not name.startswith(("encoder.stages.2", "encoder.classifier"))
    }
    assert all(torch.equal(value, before.state_dict()[name]) for name, value in left.items()), (
        "statistics, too"
    )
    assert torch.equal(random, torch.get_rng_state())
    assert network.training
    assert network.encoder.norm.training
    assert all(parameter.grad is None for parameter in network.parameters())
    images = torch.rand(2, 3, 8, 9)
    assert torch.equal(network(images), before(images))
    network(images).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_where_everything_is_used_nothing_goes() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(nn.Conv2d(4, 2, 1)))
    drop_unused(network, network[1], (6, 6))
    assert not any(isinstance(module, Skipped) for module in network.modules())


def test_a_network_for_images_of_one_size_shows_that() -> None:
    network = Network(size=(8, 8))
    with pytest.raises(ValueError, match=r"images must be \(8, 8\)"):
        drop_unused(network, network.encoder, (8, 9))
