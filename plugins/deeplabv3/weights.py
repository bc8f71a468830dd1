"""torchvision's published weights, those of encoders, and files with either."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import MobileNet_V3_Large_Weights, segmentation

from toolkit.checkpoints import LoadReport, read_foreign
from toolkit.errors import CheckpointError, DownloadError, UsageError
from toolkit.models.contract import Model
from toolkit.models.encoder_weights import load_encoder_weights, require_normalization
from toolkit.models.semantic import IMAGENET_MEAN, IMAGENET_STD, SemanticModel
from toolkit.models.weight_names import names_in_files, unwrapped
from toolkit.models.weights import take_tensors
from toolkit.reading.files import expanded
from toolkit.runtime.downloads import check_reachable, weights_folder

from .encoders import MOBILENET
from .network import DeepLab

COCO = "torchvision-coco"

PUBLISHED: dict[str, tuple[Any, tuple[int, ...]]] = {
    "resnet50": (segmentation.DeepLabV3_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1, (96, 192, 288)),
    "resnet101": (segmentation.DeepLabV3_ResNet101_Weights.COCO_WITH_VOC_LABELS_V1, (96, 192, 288)),
    MOBILENET: (segmentation.DeepLabV3_MobileNet_V3_Large_Weights.COCO_WITH_VOC_LABELS_V1, (192, 384, 576)),
}
"""torchvision's DeepLabv3 by encoder, with its atrous rates in pixels of the image: rate times output stride.
"""


def load_weights(model: Model, name: str) -> LoadReport:
    """Load published weights into a model.

    Args:
        model: a model of the plugin ``deeplabv3``, or of ``deeplabv3plus``, which takes only the encoder from
            DeepLabv3.
        name: ``torchvision-coco``, ``imagenet`` or another name of published weights of the encoder, or the
            path of a file: of torchvision's DeepLabv3, of an encoder, or exported from a run.

    Returns:
        which tensors were loaded. In the last layers, the channels of classes for which the weights were
        trained are loaded by name; the others keep their random weights.

    Raises:
        UsageError: when there are no such weights, or the model's settings do not match them.
        DownloadError: when they cannot be downloaded.
        CheckpointError: when a file is damaged or for a different model.
    """
    if not isinstance(model, SemanticModel) or not isinstance(model.network, DeepLab):
        raise UsageError(f"weights={name}: expected a DeepLab model, not {type(model).__name__}")
    network = model.network
    if name == COCO:
        return _load_coco(model, network)
    path = expanded(name)
    is_file = bool(path.suffix) or path.exists()
    if is_file and not path.is_file():
        raise CheckpointError(f"no weights file at {path}")
    tensors = unwrapped(read_foreign(path), names_in_files(model)) if is_file else {}
    if all(any(key.startswith(f"network.{part}.") for key in tensors) for part in ("backbone", "classifier")):
        return _take(model, tensors, str(path))
    if network.encoder_name != MOBILENET:
        return load_encoder_weights(model, network.encoder_name, name, plugin="deeplabv3")
    if not is_file:
        if name != "imagenet":
            raise UsageError(f"the encoder {MOBILENET!r} has no weights {name!r}; it has: imagenet, and none")
        require_normalization(model, IMAGENET_MEAN, IMAGENET_STD, f"weights={name}")
        tensors = read_foreign(fetch(MobileNet_V3_Large_Weights.IMAGENET1K_V1.url))
    tensors = {key.replace("features.", "backbone.", 1): value for key, value in tensors.items()}
    return _take(model, tensors, name)


def _load_coco(model: SemanticModel, network: DeepLab) -> LoadReport:
    if network.encoder_name not in PUBLISHED:
        raise UsageError(
            f"weights={COCO}: torchvision publishes DeepLabv3 weights for {', '.join(PUBLISHED)}, not on"
            f" {network.encoder_name!r}. Hint: model.encoder=resnet50, or weights=imagenet"
        )
    published, reach = PUBLISHED[network.encoder_name]
    require_normalization(model, IMAGENET_MEAN, IMAGENET_STD, f"weights={COCO}")
    _check_reach(network, reach)
    categories = ("background", *published.meta["categories"][1:])
    tensors = read_foreign(fetch(published.url))
    return _take(model, tensors, f"weights={COCO}", categories)


def _take(
    model: SemanticModel, tensors: Mapping[str, Tensor], source: str, classes: tuple[str, ...] | None = None
) -> LoadReport:
    """Load tensors by their names in the network; those of a head, if its classes are known, by the class
    names.
    """
    if any(key.endswith("running_mean") for key in tensors) and not any(
        isinstance(m, nn.BatchNorm2d) for m in model.modules()
    ):
        raise UsageError(
            f"{source}: trained with batch norm, which model.norm removes. Hint: model.norm=batch, or"
            " weights=none"
        )
    own = {key if key.startswith("network.") else f"network.{key}": value for key, value in tensors.items()}
    return take_tensors(model, own, source, classes=classes)


def _check_reach(network: DeepLab, reach: tuple[int, ...]) -> None:
    """Check the atrous rates: a dilated kernel is useless at a spacing other than the one it was trained
    with; rates may scale with the output stride.
    """
    wanted = [pixels // network.output_stride for pixels in reach]
    if list(network.rates) != wanted:
        raise UsageError(
            f"weights={COCO} were trained with atrous rates {wanted} at output stride"
            f" {network.output_stride}, not {list(network.rates)}. Hint: model.atrous_rates={wanted}"
        )


def fetch(url: str) -> Path:
    """A file from torchvision, cached if available. Its name ends with the first digits of its sha256.

    Raises:
        DownloadError: when it cannot be downloaded; says which file to download manually.
    """
    target = weights_folder() / url.rsplit("/", 1)[-1]
    if target.is_file():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        check_reachable(url)
        torch.hub.download_url_to_file(
            url, str(target), target.stem.rsplit("-", 1)[-1], progress=sys.stderr.isatty()
        )
    except (OSError, RuntimeError) as error:  # no connection, a full disk; a wrong checksum
        raise DownloadError(
            f"{url} cannot be downloaded: {error}. Hint: try again later, or download it elsewhere and save"
            " it as"
            f" {target.resolve()}"
        ) from error
    return target
