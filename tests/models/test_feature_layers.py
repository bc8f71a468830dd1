"""The layers that are found in a network are those with feature maps."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from toolkit.models.feature_layers import feature_layers, probe

INPUT = torch.zeros(1, 3, 32, 48)


def test_the_last_layer_at_each_resolution_is_named_last_first() -> None:
    network = nn.Sequential(
        OrderedDict(
            fine=nn.Conv2d(3, 4, 3, padding=1),
            relu=nn.ReLU(inplace=True),
            down=nn.Conv2d(4, 6, 3, stride=2, padding=1),
            norm=nn.BatchNorm2d(6),
            dropout=nn.Dropout(0.5),
            logits=nn.Conv2d(6, 2, 1),
        )
    )
    assert feature_layers(network, INPUT) == ("norm", "relu")
    assert network.training, "the mode is restored"


def test_a_stage_is_named_rather_than_its_parts_and_poolings_are_left_out() -> None:
    stage = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.ReLU())
    network = nn.Sequential(OrderedDict(stage=stage, pool=nn.MaxPool2d(2), head=nn.Conv2d(4, 2, 1)))
    assert feature_layers(network, INPUT) == ("stage",)


class Odd(nn.Module):
    """A layer that runs twice, maps of one cell, another layout, and a list."""

    def __init__(self) -> None:
        super().__init__()
        self.twice, self.inside = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 4, 3, padding=1)
        self.gate, self.last = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 2, 1)
        self.permuted, self.listed = Permuted(), Listed()

    def forward(self, images: Tensor) -> Tensor:
        maps = self.inside(self.twice(self.twice(images)))
        maps = maps * self.gate(maps.mean((2, 3), keepdim=True))
        self.permuted(maps)
        (maps,) = self.listed(maps)
        logits: Tensor = self.last(maps)
        return logits


class Permuted(nn.Module):
    def forward(self, maps: Tensor) -> Tensor:
        return maps.permute(0, 2, 3, 1)


class Listed(nn.Module):
    def forward(self, maps: Tensor) -> list[Tensor]:
        return [maps]


def test_what_has_no_maps_is_left_out() -> None:
    assert feature_layers(Odd(), INPUT) == ("inside",)


def test_a_network_without_maps_has_no_layers() -> None:
    assert feature_layers(nn.Conv2d(3, 2, 1), INPUT) == ()
    assert feature_layers(nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 48, 2)), INPUT) == ()


def test_parts_of_a_module_that_changes_the_resolution_are_left_out() -> None:
    up = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Upsample(scale_factor=2))
    network = nn.Sequential(OrderedDict(down=nn.Conv2d(3, 4, 2, stride=2), up=up, logits=nn.Conv2d(4, 2, 1)))
    assert feature_layers(network, INPUT) == ("up", "down")


class Decoder(nn.Module):
    """Takes all features, as decoders do."""

    def __init__(self) -> None:
        super().__init__()
        self.center = nn.Sequential(nn.Dropout(0.1), nn.Identity())
        self.blocks = nn.ModuleList([nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(7, 4, 3, padding=1)])

    def forward(self, features: list[Tensor]) -> Tensor:
        coarse = self.blocks[0](self.center(features[1]))
        fine = nn.functional.interpolate(coarse, scale_factor=2.0)
        maps: Tensor = self.blocks[1](torch.cat([features[0], fine], dim=1))
        return maps


class WithDecoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.ReLU(inplace=True))
        self.decoder, self.head = Decoder(), nn.Conv2d(4, 2, 1)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.decoder([images, self.encoder(images)]))
        return logits


def test_blocks_of_a_decoder_are_found_and_what_changes_nothing_is_not() -> None:
    network = WithDecoder()
    assert feature_layers(network, INPUT) == ("decoder", "decoder.blocks.0")
    network.decoder.blocks[0] = nn.Identity()
    assert feature_layers(network, INPUT) == ("decoder", "encoder")


class Cropped(nn.Module):
    """Its result is cut from what its last layer returns."""

    def __init__(self) -> None:
        super().__init__()
        self.maps, self.logits = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 2, 3, padding=2)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.logits(self.maps(images))
        return logits[:, :, 1:-1, 1:-1]


def test_layers_from_which_the_result_is_cut_are_left_out() -> None:
    assert feature_layers(Cropped(), INPUT) == ("maps",)


def test_the_probe_is_like_the_network() -> None:
    images = probe(nn.Conv2d(3, 2, 1).double(), 8, 12)
    assert images.dtype == torch.float64
    assert images.shape == (1, 3, 8, 12)
