"""Start weights of DeepLabv3: torchvision's whole network, encoders, files, and what is refused."""

from __future__ import annotations

import copy
import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from toolkit.plugins.deeplabv3 import weights
from toolkit.plugins.deeplabv3.model import build, build_plus
from toolkit.plugins.deeplabv3.settings import DeepLabV3PlusSettings, DeepLabV3Settings
from torch import Tensor
from torchvision.models import mobilenet_v3_large, segmentation

from toolkit.errors import CheckpointError, DownloadError, UsageError
from toolkit.models.semantic import SemanticModel

VOC = ("background", *segmentation.DeepLabV3_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1.meta["categories"][1:])
MOBILENET: dict[str, Any] = {
    "encoder": "mobilenet_v3_large",
    "output_stride": 16,
    "atrous_rates": (12, 24, 36),
}


@pytest.fixture(scope="module")
def theirs() -> dict[str, Tensor]:
    """The tensors of torchvision's smallest DeepLabv3, as its published file has them."""
    torch.manual_seed(1)
    network = segmentation.deeplabv3_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=21, aux_loss=True
    )
    return dict(network.state_dict())


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TOOLKIT_WEIGHTS", str(tmp_path / "weights"))
    (tmp_path / "weights").mkdir()
    return tmp_path / "weights"


def published(cache: Path, theirs: dict[str, Tensor]) -> None:
    """As if it had been downloaded before."""
    torch.save(theirs, cache / "deeplabv3_mobilenet_v3_large-fc3c493d.pth")


def mobilenet(classes: tuple[str, ...] = VOC, **options: Any) -> SemanticModel:
    torch.manual_seed(0)
    return build(DeepLabV3Settings(**{**MOBILENET, **options}), classes)


def test_the_whole_network_with_its_own_classes(cache: Path, theirs: dict[str, Tensor]) -> None:
    published(cache, theirs)
    model = mobilenet(auxiliary_weight=0.5)
    report = weights.load_weights(model, "torchvision-coco")
    assert {name.removeprefix("network.") for name in report.loaded} == set(theirs)
    assert report.reinitialized == report.missing == report.unexpected == report.mismatched == ()
    assert all(torch.equal(value, theirs[name]) for name, value in model.network.state_dict().items())


@pytest.mark.parametrize(
    "classes", [("kitten", "puppy"), tuple(f"other {i}" for i in range(21))], ids=["fewer", "as many others"]
)
def test_the_last_layer_starts_anew_for_other_classes(
    cache: Path, theirs: dict[str, Tensor], classes: tuple[str, ...]
) -> None:
    """As many classes that mean something else are other classes, too."""
    published(cache, theirs)
    model = mobilenet(classes)
    before = copy.deepcopy(model.state_dict())
    report = weights.load_weights(model, "torchvision-coco")
    assert (
        report.reinitialized
        == model.class_tensors
        == ("network.classifier.4.weight", "network.classifier.4.bias")
    )
    assert "2 start from random values because the classes differ" in str(report)
    assert {name.split(".")[0] for name in (n.removeprefix("network.") for n in report.unexpected)} == {
        "aux_classifier"
    }
    for name, value in model.state_dict().items():
        assert torch.equal(
            value, before[name] if name in model.class_tensors else theirs[name.removeprefix("network.")]
        )


def test_published_heads_follow_the_names_of_the_classes(cache: Path, theirs: dict[str, Tensor]) -> None:
    published(cache, theirs)
    classes = ("dog", "unicorn", "background", "cat")
    model = mobilenet(classes)
    before = copy.deepcopy(model.state_dict())
    report = weights.load_weights(model, "torchvision-coco")
    assert report.by_class == model.class_tensors
    assert (report.kept_classes, report.new_classes) == (("dog", "background", "cat"), ("unicorn",))
    for name in model.class_tensors:
        own, head = model.state_dict()[name], theirs[name.removeprefix("network.")]
        for place, label in enumerate(classes):
            expected = head[VOC.index(label)] if label in VOC else before[name][place]
            assert torch.equal(own[place], expected), label


def test_rates_may_follow_the_output_stride_and_nothing_else(cache: Path, theirs: dict[str, Tensor]) -> None:
    published(cache, theirs)
    assert weights.load_weights(
        mobilenet(output_stride=8, atrous_rates=(24, 48, 72)), "torchvision-coco"
    ).loaded
    with pytest.raises(
        UsageError,
        match=r"at output stride 16, not \[6, 12, 18\]\. Hint: model\.atrous_rates=\[12, 24, 36\]",
    ):
        weights.load_weights(mobilenet(atrous_rates=None), "torchvision-coco")


def test_deeplabv3plus_takes_the_encoder(cache: Path, theirs: dict[str, Tensor]) -> None:
    published(cache, theirs)
    model = build_plus(DeepLabV3PlusSettings(**MOBILENET), VOC)
    report = weights.load_weights(model, "torchvision-coco")
    assert {name for name in model.state_dict() if name.startswith("network.backbone.")} == set(report.loaded)
    assert torch.equal(model.state_dict()["network.backbone.0.0.weight"], theirs["backbone.0.0.weight"])


def test_files_of_torchvision_and_exported_ones_are_known_by_their_tensors(
    tmp_path: Path, theirs: dict[str, Tensor]
) -> None:
    torch.save(theirs, tmp_path / "theirs.pth")
    model = mobilenet(("a", "b"))
    report = weights.load_weights(model, str(tmp_path / "theirs.pth"))
    assert set(report.reinitialized) == set(model.class_tensors)
    torch.save({"model": model.export_state()}, tmp_path / "ours.pth")
    again = mobilenet(("a", "b"))
    assert weights.load_weights(again, str(tmp_path / "ours.pth")).missing == ()
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in again.state_dict().items())


@pytest.mark.parametrize("source", ["imagenet", "file"])
def test_imagenet_weights_of_torchvisions_mobilenet(cache: Path, source: str) -> None:
    torch.manual_seed(2)
    classifier = mobilenet_v3_large(weights=None).state_dict()
    file = cache / "mobilenet_v3_large-8738ca79.pth"
    torch.save(classifier, file)
    model = mobilenet()
    report = weights.load_weights(model, "imagenet" if source == "imagenet" else str(file))
    assert {name for name in model.state_dict() if name.startswith("network.backbone.")} == set(report.loaded)
    assert torch.equal(model.network.backbone[16][0].weight, classifier["features.16.0.weight"])
    assert {name.split(".")[1] for name in report.unexpected} == {"classifier"}


def test_weights_of_encoders_of_the_libraries(tmp_path: Path) -> None:
    """A classifier's file; the encoder's dilation changes none of its tensors."""
    torch.manual_seed(2)
    model, other = (
        build(DeepLabV3Settings(encoder="resnet18", channels=8, output_stride=stride), VOC)
        for stride in (8, 32)
    )
    save_file(
        {name: value.contiguous() for name, value in other.network.backbone.state_dict().items()},
        tmp_path / "resnet18.safetensors",
    )
    report = weights.load_weights(model, str(tmp_path / "resnet18.safetensors"))
    assert {name for name in model.state_dict() if name.startswith("network.backbone.")} == set(report.loaded)
    assert torch.equal(model.network.backbone.conv1.weight, other.network.backbone.conv1.weight)
    with pytest.raises(
        UsageError, match="the encoder 'resnet18' has no weights 'noisy-student'; it has: imagenet, ssl, swsl"
    ):
        weights.load_weights(model, "noisy-student")


def test_what_does_not_suit_is_refused(cache: Path, theirs: dict[str, Tensor], tmp_path: Path) -> None:
    published(cache, theirs)
    small = build(DeepLabV3Settings(encoder="tu-test_resnet", channels=8), VOC)
    with pytest.raises(
        UsageError,
        match=r"for resnet50, resnet101, mobilenet_v3_large, not on 'tu-test_resnet'\. Hint: model\.encoder",
    ):
        weights.load_weights(small, "torchvision-coco")
    with pytest.raises(UsageError, match=r"Hint: model\.norm=batch"):
        weights.load_weights(mobilenet(norm="group"), "torchvision-coco")
    with pytest.raises(
        UsageError,
        match=r"Hint: add model\.mean=\[0\.485, 0\.456, 0\.406\] model\.std=\[0\.229, 0\.224, 0\.225\]",
    ):
        weights.load_weights(mobilenet(mean=(0.5, 0.5, 0.5)), "torchvision-coco")
    with pytest.raises(UsageError, match="it has: imagenet, and none"):
        weights.load_weights(mobilenet(), "swsl")
    with pytest.raises(CheckpointError, match="no weights file at"):
        weights.load_weights(mobilenet(), str(tmp_path / "absent.pth"))
    torch.save(theirs, tmp_path / "theirs.pth")
    with pytest.raises(CheckpointError, match=r"theirs\.pth is for another model"):
        weights.load_weights(small, str(tmp_path / "theirs.pth"))


def test_without_a_network_the_error_says_what_to_fetch_and_where_to_put_it(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(address: str) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(weights, "check_reachable", unreachable)
    file = "deeplabv3_mobilenet_v3_large-fc3c493d.pth"
    with pytest.raises(
        DownloadError,
        match=rf"models/{file} cannot be downloaded: no route to host\. Hint: .* save it as {cache}/{file}",
    ):
        weights.load_weights(mobilenet(), "torchvision-coco")


def test_a_download_is_kept_only_if_its_checksum_is_that_of_its_name(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "check_reachable", lambda address: None)
    (tmp_path / "content").write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    good, bad = tmp_path / f"net-{digest[:8]}.pth", tmp_path / "net-00000000.pth"
    for file in (good, bad):
        file.write_bytes(b"weights")
    assert weights.fetch(good.as_uri()).read_bytes() == b"weights"
    good.unlink()
    assert weights.fetch(good.as_uri()) == cache / good.name, "from the cache"
    with pytest.raises(DownloadError, match="invalid hash value"):
        weights.fetch(bad.as_uri())
    assert [path.name for path in cache.iterdir()] == [good.name]


def test_the_published_files_are_torchvisions() -> None:
    for encoder, (file, reach) in weights.PUBLISHED.items():
        assert file.url.startswith(f"https://download.pytorch.org/models/deeplabv3_{encoder}")
        assert len(reach) == 3
