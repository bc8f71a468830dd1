"""DeepLabv3 and DeepLabv3+ against torchvision's networks, against strided encoders, and as plugins."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from toolkit.plugins.deeplabv3.encoders import MobileNetV3Large, build_encoder
from toolkit.plugins.deeplabv3.layers import ASPP, PatientBatchNorm2d
from toolkit.plugins.deeplabv3.model import build, build_plus
from toolkit.plugins.deeplabv3.settings import DeepLabV3PlusSettings, DeepLabV3Settings
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import segmentation

from toolkit import registry
from toolkit.errors import ConfigError
from toolkit.models.contract import total_loss
from toolkit.models.freezing import Freezing
from toolkit.models.semantic import SemanticModel
from toolkit.types import VOID, Sample

CLASSES = ("ground", "tree", "sky")
SMALL = {"encoder": "tu-test_resnet", "channels": 8, "atrous_rates": (1, 2, 3)}
PLUGINS = ("deeplabv3", "deeplabv3plus")
TORCHVISION = [
    ("resnet50", 8),
    pytest.param("resnet101", 8, marks=pytest.mark.slow),
    ("mobilenet_v3_large", 16),
]


def small(plugin: str = "deeplabv3", **options: Any) -> SemanticModel:
    torch.manual_seed(0)
    values = {**SMALL, **options}
    return (
        build(DeepLabV3Settings(**values), CLASSES)
        if plugin == "deeplabv3"
        else build_plus(DeepLabV3PlusSettings(**values), CLASSES)
    )


def sample(height: int, width: int, seed: int = 0) -> Sample:
    rng = np.random.default_rng([seed, height, width])
    image = torch.from_numpy(rng.integers(0, 256, (3, height, width), dtype=np.uint8))
    return Sample(f"{seed}-{height}x{width}", image, label_map=image.int().argmax(0).to(torch.uint8))


def randomized(network: nn.Module) -> nn.Module:
    """With statistics and scales in every norm that are not those of the start, so that each of them shows in
    the result.
    """
    generator = torch.Generator().manual_seed(3)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.running_var):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) / 2 + 0.75)
            for tensor in (module.bias.data, module.running_mean):
                tensor.copy_(torch.randn(tensor.shape, generator=generator) / 10)
    return network


# Equal to torchvision


@pytest.mark.parametrize(("encoder", "stride"), TORCHVISION)
def test_equal_to_torchvision_with_the_same_weights(encoder: str, stride: int) -> None:
    """Logits of both heads within 1e-5 of their own size on images of any size, and the same label maps,
    loaded by the same names.
    """
    torch.manual_seed(0)
    make = getattr(segmentation, f"deeplabv3_{encoder}")
    peer = randomized(make(weights=None, weights_backbone=None, num_classes=3, aux_loss=True)).eval()
    settings = DeepLabV3Settings(
        encoder=encoder, output_stride=stride, atrous_rates=(12, 24, 36), auxiliary_weight=0.5
    )
    model = build(settings, CLASSES).eval()
    model.network.load_state_dict(peer.state_dict())
    assert model.divisor == 1
    for size in [(64, 96), (65, 43), (1, 1)]:
        one = sample(*size)
        images = (one.image[None] / 255 - torch.tensor(model.mean).view(3, 1, 1)) / torch.tensor(
            model.std
        ).view(3, 1, 1)
        with torch.no_grad():
            theirs = peer(images)
            auxiliary = F.interpolate(
                model.network.all_logits(images)[1], size, mode="bilinear", align_corners=False
            )
            ours = model.logits(one.image[None])
        for got, expected in ((ours, theirs["out"]), (auxiliary, theirs["aux"])):
            assert (got - expected).abs().max() <= 1e-5 * max(1, expected.abs().max())
        label_map = model.predict([one])[0].label_map
        decided = theirs["out"][0].topk(2, dim=0).values.diff(dim=0).abs()[0] > 1e-4
        assert torch.equal(label_map[decided], theirs["out"][0].argmax(0).to(torch.uint8)[decided])
        assert decided.float().mean() > 0.9


def test_what_is_exported_loads_into_torchvision() -> None:
    model = small(
        encoder="mobilenet_v3_large",
        channels=256,
        output_stride=16,
        atrous_rates=(12, 24, 36),
        auxiliary_weight=0.5,
    )
    peer = segmentation.deeplabv3_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=3, aux_loss=True
    )
    peer.load_state_dict(model.export_state())


# Dilation


@pytest.mark.parametrize(
    ("encoder", "stride"),
    [
        ("resnet18", 8),
        ("resnet18", 16),
        ("resnet50", 8),
        ("mobilenet_v2", 8),
        ("mobilenet_v2", 16),
        ("tu-resnet18", 8),
    ],
)
def test_dilation_keeps_every_value_that_the_strided_encoder_has(encoder: str, stride: int) -> None:
    """The algorithme à trous: the dilated encoder's features at every second or fourth place are those of the
    encoder as published.
    """
    torch.manual_seed(0)
    strided = randomized(build_encoder(encoder, 32).module).eval()
    dilated = build_encoder(encoder, stride).module.eval()
    dilated.load_state_dict(strided.state_dict())
    images = torch.randn(1, 3, 96, 64)
    with torch.no_grad():
        coarse, fine = strided(images)[-1], dilated(images)[-1]
    step = 32 // stride
    assert fine.shape[2:] == (96 // stride, 64 // stride)
    torch.testing.assert_close(
        fine[:, :, ::step, ::step], coarse, rtol=1e-4, atol=1e-5 * float(coarse.abs().max())
    )


@pytest.mark.parametrize(("stride", "expected"), [(8, (2, 4)), (16, (1, 2)), (32, (1, 1))])
def test_dilation_of_torchvisions_mobilenet(stride: int, expected: tuple[int, int]) -> None:
    """Where torchvision stops at 16, a stride of 8 doubles every dilation from there on."""
    network = MobileNetV3Large(stride)
    depthwise = {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d) and module.groups > 1
    }
    assert {m.dilation[0] for name, m in depthwise.items() if 8 <= int(name.split(".")[0]) <= 12} == {
        expected[0]
    }
    assert {m.dilation[0] for name, m in depthwise.items() if int(name.split(".")[0]) >= 13} == {expected[1]}
    with torch.no_grad():
        assert [64 // f.shape[2] for f in network.eval()(torch.zeros(1, 3, 64, 64))] == [
            2,
            4,
            8,
            min(stride, 16),
            stride,
        ]


@pytest.mark.parametrize(
    ("encoder", "plugin"),
    [
        ("tu-test_convnext", "deeplabv3"),
        ("mit_b0", "deeplabv3plus"),
        ("densenet121", "deeplabv3"),
        ("efficientnet-b0", "deeplabv3plus"),
    ],
)
def test_encoders_of_every_kind_learn_and_predict(plugin: str, encoder: str) -> None:
    model = small(
        plugin, encoder=encoder, output_stride=32 if encoder in ("mit_b0", "densenet121") else 16
    ).train()
    total_loss(model.loss([sample(40, 33), sample(40, 33, 1)])).backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []
    sizes = [(1, 1), (33, 31)]
    assert [p.size for p in model.predict([sample(*size) for size in sizes])] == sizes


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        ("resnet19", "unknown encoder 'resnet19'; did you mean 'resnet18'"),
        ("mobilenet_v3_larg", "did you mean 'mobilenet_v3_large'"),
        (
            "densenet121",
            (
                "'densenet121' cannot be used with an output stride of 8: it has no dilated form. Hint: .*"
                " model.output_stride=32"
            ),
        ),
        ("mit_b0", "its attention works on strided features"),
        ("tu-vit_tiny_patch16_224", "cannot be used with an output stride of 8.*Hint"),
    ],
)
def test_unusable_encoders_say_what_to_take_instead(encoder: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        small(encoder=encoder)


# The pyramid


@pytest.mark.parametrize("separable", [True, False])
def test_the_pyramid_is_as_published(separable: bool) -> None:
    pyramid = ASPP(16, 8, (6, 12, 18), separable=separable)
    wide = [m for m in pyramid.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    assert [m.dilation[0] for m in wide] == [6, 12, 18]
    assert {m.groups for m in wide} == {16 if separable else 1}
    assert pyramid.project[0].in_channels == 5 * 8
    assert ASPP(16, 8, (2,), image_pooling=False).project[0].in_channels == 2 * 8


def test_image_pooling_is_the_mean_everywhere() -> None:
    torch.manual_seed(0)
    pyramid = ASPP(4, 2, (1,)).eval()
    features = torch.randn(2, 4, 5, 7)
    with torch.no_grad():
        pooled = pyramid.convs[-1](features)
        by_hand = F.relu(
            pyramid.convs[-1][1](features.mean((2, 3), keepdim=True)) / (1 + pyramid.convs[-1][2].eps) ** 0.5
        )
    torch.testing.assert_close(pooled, by_hand.expand(2, 2, 5, 7))


def test_one_value_is_normalized_by_the_running_statistics() -> None:
    """A batch of one leaves image pooling a single value, which has no variance; more than one are as with
    any batch norm.
    """
    torch.manual_seed(0)
    norm, plain = randomized(PatientBatchNorm2d(4)), randomized(nn.BatchNorm2d(4))
    before = copy.deepcopy(norm.state_dict())
    one, two = torch.randn(1, 4, 1, 1), torch.randn(2, 4, 1, 1)
    with pytest.raises(ValueError, match="more than 1 value"):
        copy.deepcopy(plain)(one)
    torch.testing.assert_close(norm(one), plain.eval()(one))
    assert all(torch.equal(value, before[name]) for name, value in norm.state_dict().items())
    torch.testing.assert_close(norm(two), plain.train()(two))
    assert all(torch.equal(value, plain.state_dict()[name]) for name, value in norm.state_dict().items())


# As plugins


@pytest.mark.parametrize("plugin", PLUGINS)
@pytest.mark.parametrize("size", [(1, 1), (8, 8), (9, 7), (40, 24)])
def test_a_batch_of_one_can_train(plugin: str, size: tuple[int, int]) -> None:
    model = small(plugin, auxiliary_weight=0.4).train()
    losses = model.loss([sample(*size)])
    assert set(losses) == {"cross_entropy", "auxiliary_cross_entropy"}
    total_loss(losses).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize("plugin", PLUGINS)
@pytest.mark.parametrize(
    "options",
    [
        {"norm": "group"},
        {"separable": True},
        {"separable": False, "image_pooling": False},
        {"auxiliary_weight": 0.4, "output_stride": 16},
    ],
    ids=lambda options: " ".join(options),
)
def test_every_form_learns_and_predicts(plugin: str, options: dict[str, Any]) -> None:
    model = small(plugin, **options).train()
    kinds = {type(m) for m in model.modules() if isinstance(m, (nn.BatchNorm2d, nn.GroupNorm))}
    assert (
        (nn.GroupNorm in kinds)
        == (options.get("norm") == "group")
        == (not any(issubclass(k, nn.BatchNorm2d) for k in kinds))
    )
    total_loss(model.loss([sample(24, 17), sample(13, 20)])).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())
    predictions = model.predict([sample(1, 1), sample(5, 33)])
    assert [tuple(p.label_map.shape) for p in predictions] == [(1, 1), (5, 33)]


def test_the_decoder_brings_features_of_stride_4() -> None:
    image = torch.zeros(1, 3, 64, 96)
    plain, plus = small().eval(), small("deeplabv3plus").eval()
    with torch.no_grad():
        assert plain.network(image).shape == (1, 3, 8, 12)
        assert plus.network(image).shape == (1, 3, 16, 24)
    assert plus.network.classifier.low_level[0].out_channels == 48
    assert plus.network.output_stride == 16


@pytest.mark.parametrize("plugin", PLUGINS)
def test_batch_equals_singles_and_leaves_no_trace(plugin: str) -> None:
    model = small(plugin).train()
    before, random, modes = (
        copy.deepcopy(model.state_dict()),
        torch.get_rng_state(),
        [m.training for m in model.modules()],
    )
    batch = [sample(*size, seed=i) for i, size in enumerate([(20, 31), (7, 7), (20, 31), (1, 1)])]
    for one, prediction in zip(batch, model.predict(batch), strict=True):
        assert prediction.sample_id == one.id
        assert torch.equal(prediction.label_map, model.predict([one])[0].label_map)
    model.validate(batch)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert [m.training for m in model.modules()] == modes


@pytest.mark.parametrize("plugin", PLUGINS)
def test_loss_falls(plugin: str) -> None:
    model = small(plugin, dropout=0.1, output_stride=8).train()
    one = sample(24, 24)
    one.label_map[:] = (torch.arange(24) // 8).to(torch.uint8)
    one.label_map[:2] = VOID
    optimizer = torch.optim.AdamW(model.parameter_groups(5e-3, 1e-4))
    values = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = total_loss(model.loss([one]))
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert np.mean(values[-3:]) < 0.8 * np.mean(values[:3])


def test_frozen_encoder_stays_bit_for_bit() -> None:
    model = small().train()
    Freezing(model, ["encoder"]).freeze()
    before = copy.deepcopy(model.state_dict())
    optimizer = torch.optim.AdamW(model.parameter_groups(1e-2, 1e-2))
    for step in range(2):
        total_loss(model.loss([sample(24, 24, step), sample(24, 24, 9)])).backward()
        optimizer.step()
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert not any(name.startswith("network.backbone.") for name in changed)
    assert {
        name for name, _ in model.named_parameters() if not name.startswith("network.backbone.")
    } <= changed


@pytest.mark.parametrize("plugin", PLUGINS)
def test_the_tensors_that_follow_the_classes_are_named(plugin: str) -> None:
    model, other = small(plugin, auxiliary_weight=0.4), small(plugin, auxiliary_weight=0.4)
    values = {**SMALL, "auxiliary_weight": 0.4}
    other = (
        build(DeepLabV3Settings(**values), "abcdefg")
        if plugin == "deeplabv3"
        else build_plus(DeepLabV3PlusSettings(**values), "abcdefg")
    )
    shapes = {name: value.shape for name, value in other.state_dict().items()}
    differing = {name for name, value in model.state_dict().items() if value.shape != shapes[name]}
    assert differing == set(model.class_tensors)
    assert len(differing) == 4


# Settings, manifest


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"output_stride": 4}, "8, 16 or 32"),
        ({"atrous_rates": ()}, "at least 1 item"),
        ({"atrous_rates": (6, 0)}, "atrous rates must be 1 or more"),
        ({"channels": 0}, "greater than or equal to 1"),
        ({"norm": "none"}, "'batch' or 'group'"),
        ({"std": (1, 0, 1)}, "std must be above 0"),
        ({"auxiliary_weight": -1}, "greater than or equal to 0"),
        ({"rates": (6, 12)}, "Extra inputs"),
    ],
)
def test_settings_that_make_no_sense_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DeepLabV3Settings(**values)


def test_settings_survive_being_written_down() -> None:
    settings = DeepLabV3PlusSettings(atrous_rates=(2, 4), loss={"dice": 1})
    assert DeepLabV3PlusSettings(**json.loads(settings.model_dump_json())) == settings


@pytest.mark.parametrize(("stride", "rates"), [(8, (12, 24, 36)), (16, (6, 12, 18)), (32, (3, 6, 9))])
def test_rates_follow_the_output_stride(stride: int, rates: tuple[int, ...]) -> None:
    assert DeepLabV3Settings(output_stride=stride).rates() == rates
    assert DeepLabV3Settings(output_stride=stride, atrous_rates=(5,)).rates() == (5,)


@pytest.mark.parametrize("plugin", PLUGINS)
def test_manifests_name_things_that_exist(plugin: str) -> None:
    manifest = registry.plugins().get(plugin)
    assert manifest.resolve(manifest.build) is {"deeplabv3": build, "deeplabv3plus": build_plus}[plugin]
    assert issubclass(manifest.resolve(manifest.settings), DeepLabV3Settings)
    assert callable(manifest.resolve(manifest.load_weights))


def test_building_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("building must not look at the network")

    monkeypatch.setattr("socket.getaddrinfo", refuse)
    assert isinstance(small().network, nn.Module)


def test_logits_are_a_tensor_in_either_mode() -> None:
    model = small(auxiliary_weight=0.4)
    images = torch.zeros(2, 3, 16, 16)
    for mode in (True, False):
        logits: Tensor = model.train(mode).network(images)
        assert logits.shape == (2, 3, 2, 2)
