"""The networks of the plugin ``classifier``, and what it makes of images."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from toolkit.plugins.classifier.labels import FIELD
from toolkit.plugins.classifier.model import Classifier, build
from toolkit.plugins.classifier.settings import ClassifierSettings
from torch import nn
from torch.nn import functional as F
from torchvision.models import vgg16

from toolkit.checkpoints import CheckpointManifest, save_checkpoint
from toolkit.cli import main
from toolkit.errors import ConfigError, InvalidDataError
from toolkit.models.summary import summarize
from toolkit.models.weights import take_tensors
from toolkit.types import Sample

CLASSES = ("cat", "dog", "cow")
LECTURE = {
    "architecture": "simple",
    "size": (227, 227),
    "simple": {"channels": [96], "kernel": 11, "stride": 4, "padding": 0, "pool": 3, "pool_stride": 2},
}


def built(classes: Sequence[str] = CLASSES, **values: Any) -> Classifier:
    torch.manual_seed(0)
    return build(ClassifierSettings.model_validate(values), classes).eval()


def sample(
    label: int | None = 0, size: tuple[int, int] = (40, 30), seed: int = 0, classes: int = 3
) -> Sample:
    rng = np.random.default_rng([seed, *size])
    image = torch.from_numpy(rng.integers(0, 256, (3, *size), dtype=np.uint8))
    truth = {} if label is None else {FIELD: F.one_hot(torch.tensor(label), classes).float()}
    return Sample(f"{seed}-{size}", image, extras=truth)


# Layers


def test_the_simple_network_is_that_of_the_lecture() -> None:
    """Three times a convolution of 3 × 3, ReLU and pooling with 16, 32 and 64 channels, then 128 values."""
    layers = dict(built(size=(32, 32)).network.named_children())
    names = [f"{kind}{i}" for i in (1, 2, 3) for kind in ("conv", "relu", "pool")]
    assert list(layers) == [*names, "flatten", "hidden", "relu4", "classes"]
    assert [layers[f"conv{i}"].out_channels for i in (1, 2, 3)] == [16, 32, 64]
    assert {layers[f"conv{i}"].kernel_size for i in (1, 2, 3)} == {(3, 3)}
    assert (layers["hidden"].in_features, layers["hidden"].out_features) == (64 * 4 * 4, 128)
    assert layers["classes"].out_features == 3


@pytest.mark.parametrize(("norm", "kind"), [("batch", nn.BatchNorm2d), ("group", nn.GroupNorm)])
def test_a_norm_stands_between_a_convolution_and_its_relu(norm: str, kind: type[nn.Module]) -> None:
    layers = list(built(norm=norm, dropout=0.25).network)
    assert [type(layer) for layer in layers[:4]] == [nn.Conv2d, kind, nn.ReLU, nn.MaxPool2d]
    assert sum(isinstance(layer, kind) for layer in layers) == 3
    assert [layer.p for layer in layers if isinstance(layer, nn.Dropout)] == [0.25]


def test_the_exercises_of_the_lecture() -> None:
    """227 × 227 × 3 by 96 filters of 11 × 11 at stride 4 gives 55 × 55 × 96 and 34,944 parameters; pooling of
    3 at stride 2 gives 27 × 27 × 96 and none.
    """
    layers = {layer.name: layer for layer in summarize(built(**LECTURE), (300, 200)).layers}
    assert (layers["conv1"].output_shapes, layers["conv1"].parameters) == (((1, 96, 55, 55),), 34_944)
    assert (layers["pool1"].output_shapes, layers["pool1"].parameters) == (((1, 96, 27, 27),), 0)
    assert layers["hidden"].parameters == 27 * 27 * 96 * 128 + 128


def test_summary_prints_the_table_of_the_lecture(capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "size=[227,227]",
        "model.simple.channels=[96]",
        "model.simple.kernel=11",
        "model.simple.stride=4",
    ]
    words += ["model.simple.padding=0", "model.simple.pool=3", "model.simple.pool_stride=2"]
    assert main(["summary", "classifier", *words, "--classes", "10"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["conv1", "Conv2d", "1×96×55×55", "34,944"] in lines
    assert ["pool1", "MaxPool2d", "1×96×27×27"] in lines
    assert ["classes", "Linear", "1×10", "1,290"] in lines
    assert any(line[:1] == ["FLOPs"] for line in lines)
    assert main(["summary", "classifier", *words, "--classes", "10", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["output_shape"] == [1, 10]
    assert found["receptive_field"] is None


def test_vgg16_is_the_published_network() -> None:
    """Configuration D of the paper has 138 million parameters with 1,000 classes (table 2)."""
    with torch.device("meta"):
        network = build(ClassifierSettings(architecture="vgg16", dropout=0.5), [str(i) for i in range(1000)])
    shapes = {name: value.shape for name, value in network.network.state_dict().items()}
    assert shapes == {name: value.shape for name, value in _meta(lambda: vgg16()).items()}
    assert sum(value.numel() for value in network.parameters()) == 138_357_544
    assert [layer.p for layer in network.network.classifier if isinstance(layer, nn.Dropout)] == [0.5, 0.5]
    assert network.size == (224, 224)


def test_vgg16_with_a_norm() -> None:
    for norm, kind in (("batch", nn.BatchNorm2d), ("group", nn.GroupNorm)):
        with torch.device("meta"):
            model = build(ClassifierSettings(architecture="vgg16", norm=norm), CLASSES)
        assert sum(isinstance(layer, kind) for layer in model.network.modules()) == 13


def _meta(make: Any) -> dict[str, torch.Tensor]:
    with torch.device("meta"):
        state: dict[str, torch.Tensor] = make().state_dict()
    return state


def test_a_model_of_timm_is_timms() -> None:
    model = built(architecture="mobilenetv3_small_050", size=(64, 64))
    torch.manual_seed(0)
    theirs = timm.create_model("mobilenetv3_small_050", num_classes=3).eval()
    theirs.load_state_dict(model.network.state_dict())
    images = torch.rand(2, 3, 64, 64)
    assert torch.allclose(model.network(images), theirs(images), atol=1e-5)
    assert built(architecture="resnet10t").size == (176, 176), "the published size"


def test_a_transformer_takes_another_size() -> None:
    model = built(architecture="vit_tiny_patch16_224", size=(48, 32))
    assert model.predict([sample()])[0].get(FIELD).shape == (3,)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"architecture": "resnet81"}, r"unknown architecture 'resnet81'.*Hint: did you mean 'resnet"),
        (
            {"size": (4, 64)},
            r"nothing is left of images of 4 × 64 pixels after 3 of 3 convolutions.*Hint: set a larger",
        ),
        (
            {"architecture": "vgg16", "size": (16, 64)},
            r"16 × 64 pixels are too few\. Hint: set model\.size to 32",
        ),
    ],
)
def test_what_does_not_go_together(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        built(**values)


def test_what_timm_refuses_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    def create(*_: Any, **options: Any) -> nn.Module:
        raise TypeError(f"unexpected argument {[*options][-1]}")

    monkeypatch.setattr(timm, "create_model", create)
    with pytest.raises(
        ConfigError, match=r"'resnet18' of timm cannot be used .*: unexpected argument drop_rate\."
    ):
        built(architecture="resnet18", dropout=0.5)


# Images


def test_images_are_stretched_or_cropped_to_the_size_of_the_network() -> None:
    wide = torch.zeros(1, 3, 20, 60, dtype=torch.uint8)
    wide[..., 20:40] = 255
    plain = {"mean": (0, 0, 0), "std": (1, 1, 1), "size": (20, 20), "simple": {"channels": [4]}}
    cropped, stretched = (built(fit=fit, **plain).network_input(wide) for fit in ("crop", "stretch"))
    assert cropped.shape == stretched.shape == (1, 3, 20, 20)
    assert torch.equal(cropped, torch.ones_like(cropped))
    assert float(stretched.mean()) == pytest.approx(1 / 3, abs=0.01)
    tall = built(fit="crop", **plain).network_input(wide.transpose(2, 3))
    assert torch.equal(tall, torch.ones_like(tall))


def test_predictions_have_class_score_and_probabilities() -> None:
    model = built(size=(32, 32))
    samples = [sample(None, size, seed) for seed, size in enumerate([(40, 30), (1, 1), (64, 9), (40, 30)])]
    with torch.no_grad():
        inputs = torch.cat([model.network_input(each.image[None]) for each in samples])
        expected = model.network(inputs).softmax(1)
    for one, found in zip(expected, model.predict(samples), strict=True):
        assert torch.allclose(found.extras[FIELD], one, atol=1e-6)
        assert found.extras["class_name"] == CLASSES[int(one.argmax())]
        assert found.extras["class_score"] == pytest.approx(float(one.max()), abs=1e-6)
    assert model.predict([]) == []


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_is_cross_entropy_with_label_smoothing(smoothing: float) -> None:
    """The target has 1 - s at the true class, and s / C everywhere in addition."""
    model = built(size=(32, 32), label_smoothing=smoothing)
    samples = [sample(label, seed=label) for label in (2, 0, 1, 2)]
    with torch.no_grad():
        losses = model.loss(samples)
        logs = [each.get(FIELD).log() for each in model.predict(samples)]
    expected = []
    for each, log in zip(samples, logs, strict=True):
        target = (1 - smoothing) * each.extras[FIELD] + smoothing / 3
        expected.append(-(target * log).sum())
    assert set(losses) == {"cross_entropy"}
    assert float(losses["cross_entropy"]) == pytest.approx(float(torch.stack(expected).mean()), rel=1e-5)
    predictions, validated = model.validate(samples)
    assert torch.equal(validated["cross_entropy"], losses["cross_entropy"])
    assert torch.equal(predictions[1].extras[FIELD], model.predict(samples)[1].extras[FIELD])


@pytest.mark.parametrize(
    ("truth", "message"),
    [
        (None, "sample 'a' has no class of the whole image"),
        (torch.tensor([0.0, 1.0]), r"sample 'a' has class_probabilities \[2\] for 3 classes"),
        (torch.tensor([0.5, 0.0, 0.0]), r"with the sum 0\.5; expected 0 or more, and the sum 1"),
        (torch.tensor([2.0, -1.0, 0.0]), r"of -1 … 2 with the sum 1"),
        (torch.tensor([float("nan"), 1.0, 0.0]), "expected 0 or more"),
    ],
)
def test_a_sample_without_a_proper_class_is_named(truth: torch.Tensor | None, message: str) -> None:
    extras = {} if truth is None else {FIELD: truth}
    bad = Sample("a", torch.zeros(3, 8, 8, dtype=torch.uint8), extras=extras)
    with pytest.raises(InvalidDataError, match=message):
        built(size=(32, 32)).loss([sample(), bad])


def test_rows_of_the_last_layer_follow_the_names_of_the_classes() -> None:
    old, new = built(size=(32, 32)), built(("cow", "cat", "bird", "dog"), size=(32, 32))
    with torch.no_grad():
        for value in old.parameters():
            value.uniform_(-0.1, 0.1)
    report = take_tensors(new, old.state_dict(), "old", classes=CLASSES)
    assert report.kept_classes == ("cow", "cat", "dog")
    assert report.new_classes == ("bird",)
    for name in ("weight", "bias"):
        before, after = (getattr(each.network.classes, name) for each in (old, new))
        assert torch.equal(after[[1, 3, 0]], before)
    same = built(CLASSES[::-1], size=(32, 32))
    take_tensors(same, old.state_dict(), "old", classes=CLASSES)
    one, other = (each.predict([sample()])[0].get(FIELD) for each in (old, same))
    assert torch.allclose(one, other.flip(0), atol=1e-6)


def test_a_run_is_loaded_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = built(size=(32, 32), norm="group")
    values = model.settings.model_dump(mode="json")
    about = CheckpointManifest("classifier", "classification", CLASSES, model=values)
    save_checkpoint(tmp_path / "best.safetensors", model.state_dict(), about)
    import toolkit

    loaded = toolkit.load(tmp_path, device="cpu").predict(sample().image)
    assert torch.equal(loaded.extras[FIELD], model.predict([sample()])[0].extras[FIELD])
    assert main(["summary", str(tmp_path)]) == 0
    assert "norm3" in capsys.readouterr().out
