"""Published checkpoints and files with them; version and size of a file are determined from its tensors."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from toolkit.checkpoints import LoadReport, read_foreign, read_manifest
from toolkit.errors import CheckpointError, DownloadError, UsageError
from toolkit.models.contract import Model
from toolkit.reading.files import expanded
from toolkit.runtime.downloads import from_hub
from toolkit.runtime.weight_files import recognize_names

from .lora import DOWN, UP
from .model import Sam2Model
from .settings import Sam2Settings

OFFICIAL = "official"
MIRROR = {
    "2.0": "https://dl.fbaipublicfiles.com/segment_anything_2/072824",
    "2.1": "https://dl.fbaipublicfiles.com/segment_anything_2/092824",
}
"""The addresses at which the authors publish the same files."""

_PATCHES = "image_encoder.trunk.patch_embed.proj.weight"
_SIZES = {(96, 12): "tiny", (96, 16): "small", (112, 24): "base_plus", (144, 48): "large", (32, 5): "toy"}
"""Channels and blocks of the backbone of each size."""


def load_weights(model: Model, source: str) -> LoadReport:
    """Load a published checkpoint, or a file like one.

    Args:
        model: a model with the version and size of the weights.
        source: ``official``, ``sam2.1-tiny`` and the like, or the path of a file ``{"model": tensors}``.

    Raises:
        CheckpointError: when the file is damaged, or for another version, size or network; says which
            settings fit.
        UsageError: when the name is for another version or size than the model's.
        DownloadError: when the hub cannot be reached; says which file to fetch by hand.
    """
    if not isinstance(model, Sam2Model):
        raise UsageError(f"weights={source} are for the plugin sam2, not for {type(model).__name__}")
    path = expanded(source)
    if not path.exists():
        path = _download(*_chosen(source, model.settings))
    tensors = _named(read_foreign(path), path)
    _check_kind(tensors, model.settings, path)
    return _take(model, tensors, path)


def settings_of(weights: str) -> dict[str, str]:
    """Version and size of the network that weights belong to, as settings of the model.

    Args:
        weights: a name of published weights, or the path of a file or run; for anything else, for
            ``official`` and for files of other software the result is empty.
    """
    path = expanded(weights)
    if not path.exists():
        family, dash, size = weights.partition("-")
        is_name = dash and family in ("sam2", "sam2.1") and size in _SIZES.values()
        return {"version": "2.0" if family == "sam2" else "2.1", "size": size} if is_name else {}
    try:
        own = read_manifest(path)
        if own is not None:
            return {key: own.model[key] for key in ("version", "size") if key in own.model}
        version, size = recognize(_named(read_foreign(path), path), path)
    except CheckpointError:  # loading the weights reports what is wrong with them
        return {}
    return {"version": version, "size": size}


def recognize(tensors: Mapping[str, Tensor], path: Path) -> tuple[str, str]:
    """The version and the size of the network that tensors belong to.

    Raises:
        CheckpointError: when they do not belong to SAM 2; names SAM 1 if they belong to it.
    """
    if _PATCHES not in tensors:
        if any(
            name.startswith("image_encoder.blocks.") or name.startswith("image_encoder.patch_embed.")
            for name in tensors
        ):
            raise CheckpointError(
                f"{path} is a checkpoint of SAM 1 (Segment Anything of 2023), which has a different"
                " network. Hint: weights=official, or a file of SAM 2"
            )
        found = recognize_names(tensors)
        like = f" (they are named like those of {found.what})" if found else ""
        raise CheckpointError(
            f"{path} is not a SAM 2 checkpoint: it has no tensor {_PATCHES}, but"
            f" {', '.join(sorted(tensors)[:3])}, …{like}. Hint: weights=official, or a file of SAM 2"
        )
    blocks = {name.split(".")[3] for name in tensors if name.startswith("image_encoder.trunk.blocks.")}
    kind = (tensors[_PATCHES].shape[0], len(blocks))
    if kind not in _SIZES:
        raise CheckpointError(
            f"{path} is a SAM 2 checkpoint of unknown size, with {kind[0]} channels and {kind[1]} blocks in"
            f" its backbone; known are {', '.join(_SIZES.values())}"
        )
    return "2.1" if "no_obj_embed_spatial" in tensors else "2.0", _SIZES[kind]


def _named(tensors: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Tensors by their names in ``SAM2Base``, without any prefixes."""
    prefix = next((name.removesuffix(_PATCHES) for name in tensors if name.endswith(_PATCHES)), "")
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _check_kind(tensors: Mapping[str, Tensor], settings: Sam2Settings, path: Path) -> None:
    version, size = recognize(tensors, path)
    if (version, size) != (settings.version, settings.size):
        raise CheckpointError(
            f"{path} is for SAM {version} {size}, but the model is SAM {settings.version} {settings.size}. "
            f"Hint: model.version={version} model.size={size}, or other weights"
        )


def _take(model: Sam2Model, tensors: dict[str, Tensor], path: Path) -> LoadReport:
    own = model.network.state_dict()
    adapters = [name for name in own if name.rpartition(".")[2] in (DOWN, UP) and name not in tensors]
    missing = [name for name in own if name not in tensors and name not in adapters]
    unexpected = [name for name in tensors if name not in own]
    mismatched = [
        f"{n}: {list(tensors[n].shape)} -> {list(v.shape)}"
        for n, v in own.items()
        if n in tensors and tensors[n].shape != v.shape
    ]
    report = LoadReport(
        loaded=tuple(f"network.{name}" for name in own if name in tensors),
        missing=tuple(missing),
        unexpected=tuple(unexpected),
        mismatched=tuple(mismatched),
    )
    if missing or unexpected or mismatched:
        raise CheckpointError(
            f"{path} does not fit SAM {model.settings.version} {model.settings.size} as a whole: {report}"
        )
    model.network.load_state_dict(tensors, strict=not adapters)
    return report


def _chosen(name: str, settings: Sam2Settings) -> tuple[str, str]:
    """Version and size that a name of published weights stands for.

    Raises:
        UsageError: when the model has another version or size.
    """
    wanted = (settings.version, settings.size)
    if settings.size == "toy":
        raise UsageError(
            f"weights={name}: the size toy has no published weights. Hint: weights=none, or another"
            " model.size"
        )
    if name == OFFICIAL:
        return wanted
    version, _, size = name.removeprefix("sam").partition("-")
    named = ("2.0" if version == "2" else version, size)
    if named != wanted:
        raise UsageError(
            f"weights={name} are for SAM {named[0]} {named[1]}, but the model is SAM {wanted[0]} {wanted[1]}."
            f" Hint: model.version={named[0]} model.size={named[1]}, or weights={OFFICIAL}"
        )
    return named


def _download(version: str, size: str) -> Path:
    """The path of a published checkpoint, from the hub's cache if it is there, checked against the hash
    that the hub publishes.

    Raises:
        DownloadError: when it is not available.
    """
    family = "sam2.1" if version == "2.1" else "sam2"
    filename = f"{family}_hiera_{size}.pt"
    repository = f"facebook/{family}-hiera-{size.replace('_', '-')}"
    hint = (
        f"download {MIRROR[version]}/{filename} elsewhere and set weights= to its path, or use weights=none"
        " for random weights"
    )
    path = from_hub(repository, filename, hint=hint)
    _check_hash(path)
    return path


def _check_hash(path: Path) -> None:
    """Compare with the sha256 that the hub publishes for large files and its cache uses as their names."""
    published = path.resolve().name
    if len(published) == 64:
        with open(path, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != published:
            raise DownloadError(
                f"{path} is damaged: its sha256 is {found}, not {published}. Hint: delete it to download it"
                " again"
            )
