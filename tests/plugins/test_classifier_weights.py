"""Published weights of the plugin ``classifier``, and files with such weights."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from support.file_server import FileServer
from toolkit.plugins.classifier import weights
from toolkit.plugins.classifier.model import Classifier, build
from toolkit.plugins.classifier.settings import ClassifierSettings
from torch import Tensor
from torchvision.models import VGG16_BN_Weights, VGG16_Weights

from toolkit.errors import CheckpointError, DownloadError, UsageError
from toolkit.models.contract import Model
from toolkit.models.semantic import IMAGENET_MEAN, IMAGENET_STD

NAME = "test_resnet"
CLASSES = ("cat", "dog", "cow")


def built(**values: Any) -> Classifier:
    return build(ClassifierSettings.model_validate({"architecture": NAME} | values), CLASSES)


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """What the Hugging Face Hub has, and no network is needed for."""
    torch.manual_seed(3)
    original = timm.create_model(NAME)
    state = {
        name: torch.rand_like(value) if value.is_floating_point() else value
        for name, value in original.state_dict().items()
    }
    save_file(state, tmp_path / "model.safetensors")

    def found(repository: str, filename: str, *, hint: str) -> Path:
        assert (repository, filename) == ("timm/test_resnet.r160_in1k", "model.safetensors")
        return tmp_path / filename

    monkeypatch.setattr(weights, "from_hub", found)
    return state


def normalization() -> dict[str, Any]:
    config: Any = timm.get_pretrained_cfg(NAME)
    return {"mean": config.mean, "std": config.std}


@pytest.mark.parametrize(("size", "warns"), [((40, 40), True), (None, False), ((80, 80), False)])
def test_weights_of_much_larger_images_are_warned_of(
    published: dict[str, Tensor], size: tuple[int, int] | None, warns: bool, caplog: pytest.LogCaptureFixture
) -> None:
    weights.load_weights(built(size=size, **normalization()), "imagenet")
    assert ("trained on images of 160 × 160 pixels, and these are resized to 40 × 40" in caplog.text) == warns


def test_timms_weights_but_for_the_last_layer(published: dict[str, Tensor]) -> None:
    model = built(**normalization())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    report = weights.load_weights(model, "imagenet")
    own = model.state_dict()
    heads = {"network.fc.weight", "network.fc.bias"}
    assert set(report.missing) == heads
    assert set(report.loaded) == set(own) - heads
    for name, value in own.items():
        expected = before[name] if name in heads else published[name.removeprefix("network.")]
        assert torch.equal(value, expected), name


def test_with_a_thousand_classes_the_last_layer_too(published: dict[str, Tensor]) -> None:
    settings = ClassifierSettings(architecture=NAME, **normalization())
    model = build(settings, [str(i) for i in range(1000)])
    weights.load_weights(model, "imagenet")
    assert torch.equal(model.state_dict()["network.fc.weight"], published["fc.weight"])


@pytest.mark.parametrize(
    ("values", "name", "message"),
    [
        ({"mean": (0.1, 0.2, 0.3)}, "imagenet", r"normalization\. Hint: add model\.mean=\[.*\]"),
        ({"norm": "group"}, "imagenet", r"which model\.norm replaces\. Hint: leave out model\.norm"),
        ({}, "coco", r"'test_resnet' has no weights 'coco'; it has: imagenet, none\. Hint: weights=none"),
        ({"architecture": "simple"}, "imagenet", "'simple' has no weights 'imagenet'; it has: none"),
        (
            {"architecture": "vgg16", "norm": "group"},
            "imagenet",
            r"not with group norm\. Hint: model\.norm=batch",
        ),
        ({"architecture": "vgg16", "std": (1, 1, 1)}, "imagenet", r"Hint: add .*model\.std=\[0\.229"),
    ],
)
def test_weights_that_do_not_suit_are_refused(values: dict[str, Any], name: str, message: str) -> None:
    with torch.device("meta"):
        model = built(**normalization() | values)
    with pytest.raises(UsageError, match=message):
        weights.load_weights(model, name)


def test_a_model_without_published_weights() -> None:
    name = next(n for n in timm.list_models("resnet*") if not timm.get_pretrained_cfg(n).hf_hub_id)
    with torch.device("meta"):
        model = built(architecture=name)
    with pytest.raises(UsageError, match="has no published weights on the Hugging Face Hub"):
        weights.load_weights(model, "imagenet")


def test_a_damaged_file_of_the_hub(published: dict[str, Tensor], tmp_path: Path) -> None:
    save_file({"conv1.0.weight": torch.zeros(1, 1, 9, 9)}, tmp_path / "model.safetensors")
    with pytest.raises(
        CheckpointError, match=r"does not fit the model 'test_resnet' of timm: .*Hint: download"
    ):
        weights.load_weights(built(**normalization()), "imagenet")


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_file_of_weights(published: dict[str, Tensor], tmp_path: Path, wrapped: bool) -> None:
    """Of the whole network, as timm or Lightning write it."""
    content: Any = {f"model.{name}": value for name, value in published.items()} if wrapped else published
    torch.save({"state_dict": content} if wrapped else content, tmp_path / "net.pth")
    model = built()
    report = weights.load_weights(model, str(tmp_path / "net.pth"))
    assert set(report.reinitialized) == {"network.fc.weight", "network.fc.bias"}
    assert torch.equal(model.state_dict()["network.bn1.weight"], published["bn1.weight"])
    with pytest.raises(CheckpointError, match="is for another model"):
        weights.load_weights(built(architecture="simple"), str(tmp_path / "net.pth"))
    with pytest.raises(CheckpointError, match=r"no weights file at .*absent\.pth\. Hint: check"):
        weights.load_weights(model, str(tmp_path / "absent.pth"))


@pytest.mark.parametrize("norm", [None, "batch"])
def test_vgg16_is_fetched_from_torchvision_and_verified(
    file_server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, norm: str | None
) -> None:
    monkeypatch.setenv("TOOLKIT_WEIGHTS", str(tmp_path / "kept"))
    published = VGG16_Weights if norm is None else VGG16_BN_Weights
    assert published.IMAGENET1K_V1.url.startswith("https://download.pytorch.org/models/vgg16")
    # the name says the checksum, and a network of few channels is enough to see what is loaded
    save_file({"features.0.weight": torch.zeros(2, 2)}, tmp_path / "net.safetensors")
    content = (tmp_path / "net.safetensors").read_bytes()
    digits = hashlib.sha256(content).hexdigest()[:8]

    class Entry:
        url = f"{file_server.root}/vgg16-{digits}.safetensors"

    class Table:
        IMAGENET1K_V1 = Entry

    monkeypatch.setattr(f"torchvision.models.{published.__name__}", Table)
    file_server.behavior.files[f"/vgg16-{digits}.safetensors"] = content
    taken: list[tuple[str, list[str]]] = []

    def take(model: Model, tensors: dict[str, Tensor], source: str) -> None:
        taken.append((source, list(tensors)))

    monkeypatch.setattr(weights, "take_tensors", take)
    with torch.device("meta"):
        model = built(architecture="vgg16", norm=norm, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    weights.load_weights(model, "imagenet")
    assert taken == [("weights=imagenet", ["features.0.weight"])]
    assert (tmp_path / "kept" / f"vgg16-{digits}.safetensors").is_file()
    Entry.url = f"{file_server.root}/vgg16-00000000.safetensors"
    file_server.behavior.files["/vgg16-00000000.safetensors"] = content
    with pytest.raises(DownloadError, match="00000000"):
        weights.load_weights(model, "imagenet")
