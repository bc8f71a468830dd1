from __future__ import annotations

import copy
import itertools
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from pydantic import ValidationError
from safetensors.torch import save_file
from toolkit.plugins.unet import weights
from toolkit.plugins.unet.encoders import EncoderUNet
from toolkit.plugins.unet.model import build
from toolkit.plugins.unet.original import Mirrored, OriginalUNet
from toolkit.plugins.unet.settings import UNetSettings
from torch import Tensor, nn

from toolkit.errors import CheckpointError, ConfigError, DownloadError, UsageError
from toolkit.models import encoder_weights
from toolkit.models.contract import total_loss
from toolkit.models.freezing import Freezing
from toolkit.models.semantic import SemanticModel
from toolkit.runtime import downloads
from toolkit.types import VOID, Sample

CLASSES = ("ground", "tree", "sky")
SMALL: dict[str, dict[str, Any]] = {
    "original": {"depth": 2, "width": 4},
    "original_padded": {"depth": 2, "width": 4},
    "resnet18": {"depth": 3, "width": 4},
}
CHECKED_ENCODERS = [
    ("resnet18", 5),
    ("resnet18", 1),
    ("vgg11", 5),
    ("mobilenet_v2", 4),
    ("efficientnet-b0", 3),
    ("mit_b0", 3),
    ("tu-convnext_atto", 5),
    ("timm-regnetx_002", 3),
]


def small(encoder: str, **options: Any) -> SemanticModel:
    torch.manual_seed(0)
    return build(UNetSettings(encoder=encoder, **{**SMALL.get(encoder, {"width": 4}), **options}), CLASSES)


def sample(height: int, width: int, seed: int = 0) -> Sample:
    rng = np.random.default_rng([seed, height, width])
    image = torch.from_numpy(rng.integers(0, 256, (3, height, width), dtype=np.uint8))
    return Sample(f"{seed}-{height}x{width}", image, label_map=image.int().argmax(0).to(torch.uint8))


def convolutions(network: nn.Module) -> list[nn.Module]:
    return [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))]


# The network of the paper


def test_the_original_is_that_of_the_paper() -> None:
    """Section 2 and figure 1: 23 convolutional layers, 64 to 1024 channels, 572 pixels in and 388 out."""
    network = OriginalUNet(1, 2).to("meta")
    assert len(convolutions(network)) == 23
    assert network(torch.empty(1, 1, 572, 572, device="meta")).shape == (1, 2, 388, 388)
    assert network.input_length(388) == 572
    assert network.margin == (572 - 388) // 2
    assert sum(c.kernel_size == (3, 3) for c in convolutions(network)) == 18
    assert (
        sum(
            isinstance(c, nn.ConvTranspose2d) and c.kernel_size == c.stride == (2, 2)
            for c in convolutions(network)
        )
        == 4
    )
    assert not any(c.padding[0] for c in convolutions(network))


@pytest.mark.parametrize(("channels", "classes"), [(1, 2), (3, 21)])
@pytest.mark.parametrize("padded", [True, False])
def test_parameters_of_the_original(channels: int, classes: int, padded: bool) -> None:
    widths = [64, 128, 256, 512, 1024]
    down = sum(9 * i * o + o + 9 * o * o + o for i, o in zip([channels, *widths], widths, strict=False))
    up = sum(4 * 2 * o * o + o + 9 * 2 * o * o + o + 9 * o * o + o for o in widths[:-1])
    expected = down + up + 64 * classes + classes
    network = OriginalUNet(channels, classes, padded=padded)
    assert sum(p.numel() for p in network.parameters()) == expected
    assert expected == {(1, 2): 31_030_658, (3, 21): 31_033_045}[channels, classes]


def test_start_weights_have_the_spread_of_the_paper() -> None:
    """sqrt(2 / N) with N incoming values, and so activations that neither vanish nor explode on the way."""
    torch.manual_seed(0)
    network = OriginalUNet(3, 2, width=16)
    for c in convolutions(network):
        incoming = c.in_channels * (
            9 if c.kernel_size == (3, 3) else 1
        )  # a pixel of an up-convolution comes from one pixel
        assert c.weight.std().item() == pytest.approx(math.sqrt(2 / incoming), rel=0.25)
        assert not c.bias.any()
    spread = network(torch.randn(1, 3, 188, 188)).std().item()
    assert 0.05 < spread < 20


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_input_length_is_the_smallest_that_covers(depth: int) -> None:
    network = OriginalUNet(1, 1, depth=depth, width=1).to("meta")
    lengths = [network.input_length(n) for n in range(1, 140)]
    outputs = {n: network(torch.empty(1, 1, n, n, device="meta")).shape[-1] for n in sorted(set(lengths))}
    assert all(given - output == 2 * network.margin for given, output in outputs.items())
    for wanted, given in enumerate(lengths, start=1):
        smaller = [n for n in outputs if n < given]
        assert outputs[given] >= wanted
        assert not smaller or outputs[max(smaller)] < wanted
    steps = np.diff(sorted(outputs))
    assert set(steps) == {2**depth}


def pass_through(network: OriginalUNet) -> None:
    """Set the weights so that the outermost skip hands the first channels of the image through to the
    logits.
    """

    def copies(convolution: Any, sources: int) -> None:
        with torch.no_grad():
            convolution.weight.zero_()
            convolution.bias.zero_()
            middle = convolution.kernel_size[0] // 2
            for channel in range(sources):
                convolution.weight[channel, channel, middle, middle] = 1

    for block in (network.encoder[0], network.decoder[-1]):
        for layer in block:
            if isinstance(layer, nn.Conv2d):
                copies(layer, 3)
    copies(network.head, 3)


@pytest.mark.parametrize("size", [(1, 1), (10, 200), (37, 64), (61, 5)])
@pytest.mark.parametrize("encoder", ["original", "original_padded"])
def test_the_prediction_of_the_original_lies_on_the_image(encoder: str, size: tuple[int, int]) -> None:
    """Crops, mirrored margins and padding must cancel out exactly: a network that copies colors gives back
    the image.
    """
    model = small(encoder, mean=(0, 0, 0), std=(1, 1, 1))
    network = model.network.network if encoder == "original" else model.network
    pass_through(network)
    one = sample(*size)
    with torch.no_grad():
        torch.testing.assert_close(model.logits(one.image[None])[0], one.image / 255)
    assert torch.equal(model.predict([one])[0].label_map, one.label_map)


def test_unpadded_network_sees_mirrored_context() -> None:
    """Logits of a crop away from the border are those of the whole; at the border those of a picture that was
    mirrored by hand.
    """
    torch.manual_seed(0)
    network = OriginalUNet(3, 2, depth=2, width=4)
    image = torch.randn(1, 3, 40, 40)
    mirrored = np.pad(
        image.numpy(), ((0, 0), (0, 0), (network.margin,) * 2, (network.margin,) * 2), mode="reflect"
    )
    assert network.input_length(40) == 40 + 2 * network.margin
    with torch.no_grad():
        torch.testing.assert_close(Mirrored(network)(image), network(torch.from_numpy(mirrored)))


# Every form of it


@pytest.mark.parametrize("encoder", SMALL)
@pytest.mark.parametrize(
    ("upsampling", "norm"),
    list(itertools.product(["nearest", "bilinear", "transposed"], ["batch", "group", "none"])),
)
def test_every_combination_learns_and_predicts(encoder: str, upsampling: str, norm: str) -> None:
    model = small(encoder, upsampling=upsampling, norm=norm, dropout=0.1)
    norms = [type(m) for m in model.modules() if isinstance(m, (nn.BatchNorm2d, nn.GroupNorm))]
    assert set(norms) == {"batch": {nn.BatchNorm2d}, "group": {nn.GroupNorm}, "none": set()}[norm]
    assert any(isinstance(m, nn.ConvTranspose2d) for m in model.modules()) == (upsampling == "transposed")
    model.train()
    total_loss(model.loss([sample(24, 17), sample(13, 20)])).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
    predictions = model.predict([sample(1, 1), sample(5, 33)])
    assert [tuple(p.label_map.shape) for p in predictions] == [(1, 1), (5, 33)]


@pytest.mark.parametrize(("encoder", "depth"), CHECKED_ENCODERS)
def test_encoders_have_no_idle_parameters_and_take_any_size(encoder: str, depth: int) -> None:
    model = small(encoder, depth=depth).train()
    total_loss(model.loss([sample(40, 33), sample(40, 33, 1)])).backward()
    idle = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert idle == []
    sizes = [(1, 1), (33, 31)]
    assert [p.size for p in model.predict([sample(*size) for size in sizes])] == sizes


@pytest.mark.parametrize("encoder", SMALL)
def test_batch_equals_singles(encoder: str) -> None:
    model = small(encoder).eval()
    batch = [sample(*size, seed=i) for i, size in enumerate([(20, 31), (7, 7), (20, 31), (1, 1)])]
    for one, prediction in zip(batch, model.predict(batch), strict=True):
        assert prediction.sample_id == one.id
        assert torch.equal(prediction.label_map, model.predict([one])[0].label_map)


@pytest.mark.parametrize("encoder", SMALL)
def test_predicting_leaves_no_trace(encoder: str) -> None:
    model = small(encoder, norm="batch", dropout=0.5).train()
    before, random, modes = (
        copy.deepcopy(model.state_dict()),
        torch.get_rng_state(),
        [m.training for m in model.modules()],
    )
    model.predict([sample(9, 9)])
    model.validate([sample(9, 9)])
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert [m.training for m in model.modules()] == modes


@pytest.mark.parametrize("encoder", SMALL)
def test_loss_falls(encoder: str) -> None:
    model = small(encoder, norm="batch").train()
    one = sample(24, 24)
    one.label_map[:2] = VOID
    optimizer = torch.optim.AdamW(model.parameter_groups(5e-3, 1e-4))
    values = []
    for _ in range(25):
        optimizer.zero_grad()
        loss = total_loss(model.loss([one]))
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert np.mean(values[-3:]) < 0.8 * np.mean(values[:3])


@pytest.mark.parametrize("encoder", SMALL)
def test_frozen_encoder_stays_bit_for_bit(encoder: str) -> None:
    model = small(encoder, norm="batch").train()
    Freezing(model, ["encoder"]).freeze()
    before = copy.deepcopy(model.state_dict())
    optimizer = torch.optim.AdamW(model.parameter_groups(1e-2, 1e-2))
    for step in range(3):
        total_loss(model.loss([sample(24, 24, step)])).backward()
        optimizer.step()
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert not any("encoder." in name for name in changed)
    assert {name for name, _ in model.named_parameters() if "encoder." not in name} <= changed


def test_dropout_is_at_the_bottom_and_only_in_training() -> None:
    for encoder in SMALL:
        model = small(encoder, dropout=0.9)
        (dropout,) = [m for m in model.modules() if isinstance(m, nn.Dropout)]
        seen: list[Tensor] = []
        dropout.register_forward_hook(lambda _module, inputs, _output, seen=seen: seen.append(inputs[0]))
        with torch.no_grad():
            model.train()
            assert model.loss([sample(32, 32)]) != model.loss([sample(32, 32)])
            model.eval()
            assert model.loss([sample(32, 32)]) == model.loss([sample(32, 32)])
        assert seen[0].shape[1] == {"original": 16, "original_padded": 16, "resnet18": 128}[encoder]


# Names, settings, manifest


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        ("resnet19", "unknown encoder 'resnet19'; did you mean 'resnet18'"),
        ("tu-resnt50", "did you mean 'tu-resnet50'"),
        ("orignal", "did you mean 'original'"),
        ("qqq", "expected one of: original, original_padded, resnet18"),
        ("tu-vit_tiny_patch16_224", "cannot be used with depth 5 and images of any size.*Hint"),
    ],
)
def test_unusable_encoders_say_what_to_take_instead(encoder: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        small(encoder)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"depth": 0}, "greater than or equal to 1"),
        ({"depth": 6}, "depth must be at most 5"),
        ({"width": 0}, "greater than or equal to 1"),
        ({"dropout": 1.0}, "less than 1"),
        ({"upsampling": "cubic"}, "nearest"),
        ({"norm": "layer"}, "batch"),
        ({"std": (1, 0, 1)}, "std must be above 0"),
        ({"dept": 3}, "Extra inputs"),
    ],
)
def test_settings_that_make_no_sense_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        UNetSettings(**values)


def test_settings_survive_being_written_down() -> None:
    settings = UNetSettings(encoder="original", loss={"dice": 1, "class_weights": [1, 2, 3]}, long_side=512)
    assert UNetSettings(**json.loads(settings.model_dump_json())) == settings
    assert build(settings, CLASSES).long_side == 512


def test_manifest_names_things_that_exist() -> None:
    from toolkit import registry

    manifest = registry.plugins().get("unet")
    assert manifest.resolve(manifest.build) is build
    assert manifest.resolve(manifest.settings) is UNetSettings
    assert manifest.resolve(manifest.load_weights) is weights.load_weights
    assert manifest.task == "semantic"
    published = {
        name
        for settings in encoder_weights.smp.encoders.encoders.values()
        for name in settings["pretrained_settings"]
    }
    assert {w.name for w in manifest.weights} <= published


# Published weights


def random_weights(model: SemanticModel) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(7)
    state = model.network.encoder.state_dict()
    return {
        k: torch.rand(v.shape, generator=generator).to(v.dtype) if v.is_floating_point() else v.clone()
        for k, v in state.items()
    }


def fake_hub(
    monkeypatch: pytest.MonkeyPatch, folder: Path, tensors: dict[str, Tensor], config: dict[str, Any]
) -> list[str]:
    """Stand in for the Hugging Face Hub: files that have been fetched before."""
    asked: list[str] = []
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))

    def download(repository: str, filename: str, **_: Any) -> str:
        asked.append(f"{repository}/{filename}")
        return str(folder / filename)

    monkeypatch.setattr(encoder_weights.hub, "hf_hub_download", download)
    return asked


IMAGENET = {
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
    "input_range": [0, 1],
    "input_space": "RGB",
}


@pytest.mark.parametrize("depth", [5, 3])
def test_published_weights_reach_the_encoder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, depth: int
) -> None:
    model = small("resnet18", depth=depth)
    tensors = random_weights(small("resnet18", depth=5))
    tensors["fc.weight"] = torch.zeros(1000, 512)
    asked = fake_hub(monkeypatch, tmp_path, tensors, IMAGENET)
    report = weights.load_weights(model, "imagenet")
    assert asked == ["smp-hub/resnet18.imagenet/model.safetensors", "smp-hub/resnet18.imagenet/config.json"]
    state = model.state_dict()
    assert set(report.loaded) == {name for name in state if name.startswith("network.encoder.")}
    assert all(
        torch.equal(state[name], tensors[name.removeprefix("network.encoder.")]) for name in report.loaded
    )
    assert set(report.reinitialized) == set(state) - set(report.loaded)
    assert "fc.weight" in report.unexpected
    assert ("layer4.0.conv1.weight" in report.unexpected) == (depth == 3)
    assert report.missing == report.mismatched == ()


@pytest.mark.parametrize("source", ["hub", "file"])
def test_timm_weights_reach_the_encoder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: str) -> None:
    torch.manual_seed(1)
    original = timm.create_model("convnext_atto")
    fake_hub(monkeypatch, tmp_path, original.state_dict(), {})
    model = small("tu-convnext_atto")
    report = weights.load_weights(
        model, "imagenet" if source == "hub" else str(tmp_path / "model.safetensors")
    )
    assert torch.equal(model.network.encoder.state_dict()["model.stem_0.weight"], original.stem[0].weight)
    assert set(report.loaded) == {name for name in model.state_dict() if name.startswith("network.encoder.")}


@pytest.mark.parametrize("prefix", ["", "encoder.", "network.encoder."])
def test_a_file_of_weights_is_found_by_its_tensors(tmp_path: Path, prefix: str) -> None:
    model = small("resnet18")
    tensors = random_weights(model)
    torch.save(
        {"state_dict": {prefix + name: value for name, value in tensors.items()}}, tmp_path / "resnet.pth"
    )
    weights.load_weights(model, str(tmp_path / "resnet.pth"))
    assert all(
        torch.equal(value, tensors[name]) for name, value in model.network.encoder.state_dict().items()
    )


def test_weights_that_do_not_suit_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model = small("resnet18")
    before = copy.deepcopy(model.state_dict())
    tensors = random_weights(model)
    with pytest.raises(UsageError, match="has no weights 'noisy-student'; it has: imagenet, ssl, swsl"):
        weights.load_weights(model, "noisy-student")
    with pytest.raises(UsageError, match="the original U-Net has no published weights"):
        weights.load_weights(small("original"), "imagenet")
    with pytest.raises(CheckpointError, match="no weights file at"):
        weights.load_weights(model, str(tmp_path / "absent.pth"))
    fake_hub(monkeypatch, tmp_path, {f"other.{name}": value for name, value in tensors.items()}, IMAGENET)
    with pytest.raises(CheckpointError, match="for an encoder other than 'resnet18'"):
        weights.load_weights(model, "imagenet")
    fake_hub(
        monkeypatch,
        tmp_path,
        tensors,
        {**IMAGENET, "mean": [127.5] * 3, "std": [127.5] * 3, "input_range": [0, 255]},
    )
    with pytest.raises(
        UsageError, match=r"Hint: add model\.mean=\[0\.5, 0\.5, 0\.5\] model\.std=\[0\.5, 0\.5, 0\.5\]"
    ):
        weights.load_weights(model, "imagenet")
    fake_hub(monkeypatch, tmp_path, tensors, {**IMAGENET, "input_space": "BGR"})
    with pytest.raises(UsageError, match="BGR"):
        weights.load_weights(model, "imagenet")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    fake_hub(monkeypatch, tmp_path, tensors, IMAGENET)
    for norm in ("group", "none"):
        with pytest.raises((UsageError, CheckpointError), match=r"Hint: model\.norm=batch"):
            weights.load_weights(small("resnet18", norm=norm), "imagenet")


@pytest.mark.parametrize("encoder", ["resnet18", "tu-resnet18"])
def test_without_a_network_the_error_comes_at_once_and_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, encoder: str
) -> None:
    """A host that does not exist, and an empty cache: the real failure of a machine that is offline."""
    monkeypatch.setattr(encoder_weights.hub.constants, "ENDPOINT", "https://hub.invalid")
    monkeypatch.setattr(encoder_weights.hub.constants, "HF_HUB_CACHE", str(tmp_path))
    start = time.monotonic()
    with pytest.raises(
        DownloadError,
        match=(
            r"https://hub\.invalid: .*Hint: set weights=none, or download"
            r" https://hub\.invalid/.*/model.safetensors"
        ),
    ):
        weights.load_weights(small(encoder, depth=3), "imagenet")
    assert time.monotonic() - start < 10


def test_a_download_that_breaks_off_names_host_and_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    def download(repository: str, filename: str, **options: Any) -> str:
        if options.get("local_files_only"):
            raise encoder_weights.hub.errors.LocalEntryNotFoundError("not in the cache")
        raise OSError("connection reset by peer")

    monkeypatch.setattr(encoder_weights.hub, "hf_hub_download", download)
    monkeypatch.setattr(downloads, "check_reachable", lambda endpoint: None)
    with pytest.raises(
        DownloadError,
        match=r"smp-hub/resnet18\.imagenet cannot be downloaded from https://.*connection reset by peer",
    ):
        weights.load_weights(small("resnet18"), "imagenet")


def test_building_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("building must not look at the network")

    monkeypatch.setattr("socket.getaddrinfo", refuse)
    assert isinstance(small("tu-resnet18", depth=3).network, EncoderUNet)
