"""Published weights, and files with such weights."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from toolkit.checkpoints import LoadReport, read_foreign
from toolkit.errors import CheckpointError, UsageError
from toolkit.models.contract import Model
from toolkit.models.semantic import IMAGENET_MEAN, IMAGENET_STD
from toolkit.models.weights import take_tensors
from toolkit.reading.files import expanded
from toolkit.registry.manifests import Download
from toolkit.runtime.downloads import fetch, from_hub, weights_folder
from toolkit.types import Size

from .model import Classifier
from .networks import OWN_SIZES, SIMPLE, VGG16, last_layers

log = logging.getLogger("toolkit")

IMAGENET = "imagenet"
FILE = "model.safetensors"


def load_weights(model: Model, name: str) -> LoadReport:
    """Load published weights, or those of a file. The last layer starts from random values where the number
    of classes differs.

    Args:
        model: of this plugin.
        name: ``imagenet``, or the path of a file with weights of the same network, as torchvision and timm
            publish them.

    Returns:
        which tensors were loaded.

    Raises:
        UsageError: when there are no such weights, or they need other settings of the model.
        DownloadError: when they cannot be downloaded.
        CheckpointError: when a file is damaged or for a different model.
    """
    if not isinstance(model, Classifier):
        raise UsageError(f"weights={name}: expected a classifier, not {type(model).__name__}")
    path = expanded(name)
    if path.suffix or path.exists():
        if not path.is_file():
            raise CheckpointError(f"no weights file at {path}. Hint: check its name")
        return take_tensors(model, read_foreign(path), str(path))
    architecture = model.settings.architecture
    if name != IMAGENET or architecture == SIMPLE:
        known = "none" if architecture == SIMPLE else f"{IMAGENET}, none"
        raise UsageError(
            f"architecture {architecture!r} has no weights {name!r}; it has: {known}. Hint: weights=none, or"
            " the path of a run"
        )
    if architecture == VGG16:
        return _load_vgg16(model)
    return _load_timm(model, architecture)


def _load_vgg16(model: Classifier) -> LoadReport:
    """torchvision's weights; the name of the file ends with the first digits of its sha256."""
    from torchvision.models import VGG16_BN_Weights, VGG16_Weights

    norm = model.settings.norm or "none"
    if norm == "group":
        raise UsageError(
            f"weights={IMAGENET}: VGG16 was published without a norm and with batch norm, not with group"
            " norm. Hint: model.norm=batch, or weights=none"
        )
    _check_normalization(model, IMAGENET_MEAN, IMAGENET_STD)
    _warn_of_small_images(model, OWN_SIZES[VGG16])
    url = (VGG16_Weights if norm == "none" else VGG16_BN_Weights).IMAGENET1K_V1.url
    digits = Path(url).stem.rsplit("-", 1)[-1]
    hint = "give the path of such a file as weights=FILE, or set weights=none"
    path = fetch(Download(url, checksum=f"sha256:{digits}"), weights_folder(), instead=hint)
    return take_tensors(model, read_foreign(path), f"weights={IMAGENET}")


def _load_timm(model: Classifier, name: str) -> LoadReport:
    """timm's weights from the Hugging Face Hub. timm itself brings their names and shapes into those of the
    network, which differ for some models.
    """
    import timm

    config: Any = timm.get_pretrained_cfg(name)
    if not config or not config.hf_hub_id:
        raise UsageError(
            f"the model {name!r} of timm has no published weights on the Hugging Face Hub. Hint:"
            " weights=none, or the path of a file"
        )
    if model.settings.norm not in (None, "batch"):
        raise UsageError(
            f"weights={IMAGENET} were trained with the norms of {name!r}, which model.norm replaces. Hint:"
            " leave out model.norm, or set weights=none"
        )
    _check_normalization(model, tuple(config.mean), tuple(config.std))
    _warn_of_small_images(model, (config.input_size[1], config.input_size[2]))
    hint = "set weights=none, or pass the path of the file, downloaded elsewhere, as weights=PATH"
    path = from_hub(config.hf_hub_id, FILE, hint=hint)
    options: dict[str, Any] = {"img_size": model.size} if _changes_size(model, config) else {}
    try:
        filled = timm.create_model(
            name,
            pretrained=True,
            num_classes=len(model.classes),
            pretrained_cfg_overlay={"state_dict": read_foreign(path)},
            **options,
        )
    except RuntimeError as error:
        raise CheckpointError(
            f"{path} does not fit the model {name!r} of timm: {error}. Hint: download it again"
        ) from None
    heads = tuple(f"{each}." for each in last_layers(filled))
    same = len(model.classes) == config.num_classes
    tensors = {key: value for key, value in filled.state_dict().items() if same or not key.startswith(heads)}
    return take_tensors(model, tensors, f"weights={IMAGENET}")


def _changes_size(model: Classifier, config: Any) -> bool:
    return bool(config.fixed_input_size) and model.size != tuple(config.input_size[1:])


def _warn_of_small_images(model: Classifier, published: Size) -> None:
    """Published weights know objects at the size that these have in images of their training."""
    if any(2 * own < theirs for own, theirs in zip(model.size, published, strict=True)):
        log.warning(
            "weights=%s were trained on images of %d × %d pixels, and these are resized to %d × %d, in which"
            " objects are much smaller. Hint: model.size=null takes the size of the weights",
            *(IMAGENET, *published, *model.size),
        )


def _check_normalization(model: Classifier, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    """Refuse weights that were trained with another normalization of images; they are useless with this."""
    wanted = [
        f"model.{key}={list(values)}"
        for key, values, own in (("mean", mean, model.settings.mean), ("std", std, model.settings.std))
        if any(abs(a - b) > 1e-3 for a, b in zip(values, own, strict=True))
    ]
    if wanted:
        raise UsageError(
            f"weights={IMAGENET} of {model.settings.architecture!r} were trained with a different image"
            f" normalization. Hint: add {' '.join(wanted)}"
        )
