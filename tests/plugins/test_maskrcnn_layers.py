"""The layers of the network: norms, what is frozen, the pyramid."""

from __future__ import annotations

import pytest
import torch
from maskrcnn_tiny import samples, tiny
from toolkit.plugins.maskrcnn.layers import Conv2d, FrozenBatchNorm2d, group_count
from torch import nn

from toolkit.models.contract import total_loss
from toolkit.models.freezing import Freezing


def test_frozen_batch_norm_is_batch_norm_in_eval_mode() -> None:
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(5)
    norm(torch.randn(4, 5, 3, 3) * 7 + 2)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    frozen, x = FrozenBatchNorm2d.of(norm.eval()), torch.randn(2, 5, 4, 4)
    torch.testing.assert_close(frozen(x), norm(x))
    torch.testing.assert_close(frozen(x.requires_grad_()), norm(x))
    assert not list(frozen.parameters())
    assert list(frozen.state_dict()) == list(norm.state_dict())


def test_a_new_frozen_batch_norm_changes_nothing() -> None:
    x = torch.randn(2, 5, 4, 4)
    torch.testing.assert_close(FrozenBatchNorm2d(5)(x), x)


@pytest.mark.parametrize(
    ("channels", "groups"),
    [(256, 32), (64, 32), (32, 32), (48, 12), (24, 6), (16, 4), (8, 2), (7, 1), (1, 1)],
)
def test_groups_are_32_where_that_divides(channels: int, groups: int) -> None:
    assert group_count(channels) == groups


@pytest.mark.parametrize("norm", ["none", "FrozenBN", "BN", "SyncBN", "GN"])
def test_a_convolution_has_a_bias_or_a_norm(norm: str) -> None:
    conv = Conv2d(3, 8, 3, norm=norm, relu=True)
    assert (conv.bias is None, conv.norm is not None) == ((norm != "none"),) * 2
    out = conv(torch.randn(2, 3, 6, 6))
    assert out.shape == (2, 8, 6, 6)
    assert float(out.detach().min()) == 0


def test_train_freeze_takes_encoder_for_the_resnet() -> None:
    model = tiny(backbone={"freeze_at": 0, "norm": "BN"}).train()
    Freezing(model, ["encoder"]).freeze()
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert frozen == {name for name, _ in model.named_parameters() if ".bottom_up." in name}


@pytest.mark.parametrize("freeze_at", range(6))
def test_frozen_stages_keep_weights_and_statistics(freeze_at: int) -> None:
    model = tiny(backbone={"freeze_at": freeze_at}).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.SGD(model.parameter_groups(0.01, 0.1), momentum=0.9)
    total_loss(model.loss(samples())).backward()
    optimizer.step()
    stages = ("stem", "res2", "res3", "res4", "res5")
    for i, stage in enumerate(stages):
        of_stage = [name for name in before if name.startswith(f"backbone.bottom_up.{stage}.")]
        same = [torch.equal(before[name], model.state_dict()[name]) for name in of_stage]
        assert all(same) if i < freeze_at else not any(same)


@pytest.mark.parametrize("norm", ["BN", "SyncBN", "GN"])
@pytest.mark.parametrize("freeze_at", range(6))
def test_frozen_stages_are_these_parameters_and_their_batch_norms(freeze_at: int, norm: str) -> None:
    model = tiny(backbone={"freeze_at": freeze_at, "norm": norm}).train()
    stages = ("stem", "res2", "res3", "res4", "res5")[:freeze_at]
    frozen = tuple(f"backbone.bottom_up.{stage}." for stage in stages)
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == (not name.startswith(frozen)), name
    constant = [name for name, module in model.named_modules() if isinstance(module, FrozenBatchNorm2d)]
    assert len(constant) == (0 if norm == "GN" else [0, 1, 5, 10, 15, 20][freeze_at])
    assert all(name.startswith(frozen) for name in constant)
    assert all(module.training for module in model.modules()), "constants need no eval mode"


def test_frozen_stages_keep_their_names() -> None:
    assert list(tiny(backbone={"freeze_at": 5}).state_dict()) == list(tiny().state_dict())


@pytest.mark.parametrize(("depth", "stride_in_1x1"), [(50, True), (50, False), (18, True)])
def test_where_the_resolution_is_halved(depth: int, stride_in_1x1: bool) -> None:
    backbone = tiny(
        backbone={"depth": depth, "stride_in_1x1": stride_in_1x1, "width_per_group": 4}
    ).backbone.bottom_up
    block = backbone.get_submodule("res3.0")
    strides = {
        name: layer.stride[0] for name, layer in block.named_children() if isinstance(layer, nn.Conv2d)
    }
    halved = {"conv1"} if depth == 18 or stride_in_1x1 else {"conv2"}
    assert {name for name, stride in strides.items() if stride == 2} == halved | {"shortcut"}


def test_pyramid_is_the_sum_from_above() -> None:
    """Written out: each level is its lateral convolution plus the level above, twice as large by nearest
    neighbors.
    """
    torch.manual_seed(0)
    fpn = tiny(backbone={"norm": "FrozenBN"}).backbone
    images = torch.randn(1, 3, 64, 96)
    features = fpn(images)
    merged = None
    for level in (5, 4, 3, 2):
        lateral = fpn.get_submodule(f"fpn_lateral{level}")(fpn.bottom_up(images)[level - 2])
        merged = (
            lateral if merged is None else lateral + merged.repeat_interleave(2, 2).repeat_interleave(2, 3)
        )
        torch.testing.assert_close(features[level - 2], fpn.get_submodule(f"fpn_output{level}")(merged))
    assert torch.equal(features[4], features[3][:, :, ::2, ::2])
    assert [tuple(level.shape[2:]) for level in features] == [(16, 24), (8, 12), (4, 6), (2, 3), (1, 2)]


@pytest.mark.parametrize("mode", [True, False], ids=["statistics", "weights"])
@pytest.mark.parametrize("size", [1, 3], ids=["fused", "by Winograd"])
def test_what_was_computed_from_a_norm_is_computed_again_after_training(mode: bool, size: int) -> None:
    """Neither batch norm nor fused optimizers change the version counters of what they write to."""
    torch.manual_seed(0)
    conv = Conv2d(16, 16, size, norm="BN").eval()
    optimizer = torch.optim.AdamW(conv.parameters(), lr=0.1, fused=True)
    x = torch.randn(1, 16, 32, 32) * 3 + 1
    with torch.no_grad():
        conv(x)  # now something is kept
    conv.train(mode)
    for _ in range(3):
        optimizer.zero_grad()
        conv(x).square().mean().backward()
        optimizer.step()
    conv.eval()
    assert conv.norm is not None
    with torch.no_grad():
        plain = nn.functional.conv2d(x, conv.weight, padding=size // 2)
        torch.testing.assert_close(conv(x), conv.norm(plain), atol=1e-4, rtol=1e-4)
