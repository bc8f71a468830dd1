"""Published weights for the encoders of segmentation_models.pytorch and timm.

They are downloaded from the Hugging Face Hub, as the libraries do, or read from a file. A plugin's
``load_weights`` calls ``load_encoder_weights``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import huggingface_hub as hub
import segmentation_models_pytorch as smp
import timm
import torch
from pydantic import Field
from torch import Tensor, nn

from toolkit.checkpoints import (
    CheckpointManifest,
    LoadReport,
    exported_manifest,
    read_foreign,
    read_manifest,
)
from toolkit.errors import CheckpointError, DownloadError, UsageError
from toolkit.models.semantic import SemanticModel
from toolkit.models.weight_names import names_in_files, unwrapped, without_common_steps
from toolkit.models.weights import LEAST_FIT, load_weights
from toolkit.reading.fields import Number, Schema, Text
from toolkit.reading.files import expanded
from toolkit.reading.json_text import load_json
from toolkit.reading.records import record
from toolkit.runtime.downloads import from_hub

FILE = "model.safetensors"

PARTS = ("encoder", "backbone")
"""Names of the encoder in whole networks."""

ENCODER_SETTINGS = ("encoder", "architecture")
"""What plugins call the setting that names the encoder of their model."""

COUNT = "num_batches_tracked"
"""A counter of batch norm that says nothing about the fit, and that old files lack."""


def load_encoder_weights(
    model: SemanticModel, encoder: str, name: str, *, plugin: str, depth: int = 5
) -> LoadReport:
    """Load published weights into a model's encoder; the rest of the network keeps its random weights.

    Args:
        model: the model, which knows which part of its network is the encoder.
        encoder: the encoder's name in segmentation_models.pytorch, or ``tu-`` followed by a timm model.
        name: ``imagenet`` or another name of published weights of the encoder, or the path of a file with
            weights for the encoder or the whole model, or of a checkpoint of another plugin with the same
            encoder.
        plugin: the model's plugin, for messages.
        depth: number of stages of the encoder.

    Returns:
        which tensors of the model were loaded and which keep random values; ``unexpected`` are those of the
        file that the model does not have, such as a classifier.

    Raises:
        UsageError: when there are no such weights, or they do not match the model's norm or image
            normalization.
        DownloadError: when the hub cannot be reached.
        CheckpointError: when a file is damaged or for a different encoder; of a checkpoint of the toolkit,
            all tensors of the encoder must fit.
    """
    part = model.encoder
    if part is None:
        raise UsageError(
            f"weights={name}: this model has no encoder to load weights into. Hint: weights=none"
        )
    path = expanded(name)
    if path.suffix or path.exists():
        source = str(path)
        if _is_whole_model(path, model):
            return load_weights(model, path, plugin)
        manifest = read_manifest(path) or exported_manifest(path) if path.is_file() else None
        if manifest is not None:
            return _take_from_checkpoint(model, part, encoder, depth, path, manifest)
    else:
        source = f"the weights {name!r} of {encoder}"
        path = _download(*_repository(encoder, name))
        _check_normalization(model, encoder, name)
    return _take(model, part, encoder, _read(path, part, encoder, depth), source)


def _take_from_checkpoint(
    model: SemanticModel,
    part: nn.Module,
    encoder: str,
    depth: int,
    path: Path,
    manifest: CheckpointManifest,
) -> LoadReport:
    """The encoder out of a checkpoint of another plugin, whose settings say which encoder it is, and how
    images were normalized.
    """
    settings = manifest.model
    theirs = next((str(settings[key]) for key in ENCODER_SETTINGS if settings.get(key)), "")
    whose = f"weights={path} are of the plugin {manifest.plugin!r}"
    if theirs and _bare_name(theirs) != _bare_name(encoder):
        raise CheckpointError(
            f"{whose} with the encoder {theirs!r}; expected {encoder!r}, as in this model. Hint:"
            f" {_same_encoder(theirs)}"
        )
    for key, used in (("mean", model.mean), ("std", model.std)):
        learned = settings.get(key)
        if isinstance(learned, (list, tuple)) and list(learned) != list(used):
            raise UsageError(
                f"{whose}, which was trained with {key} {list(learned)} of the images, not {list(used)}."
                f" Hint: add model.{key}={list(learned)}"
            )
    found = _read(path, part, encoder, depth)
    own = part.state_dict()
    wrong = [
        key
        for key, value in own.items()
        if not key.endswith(COUNT) and (key not in found or found[key].shape != value.shape)
    ]
    if wrong:
        raise CheckpointError(
            f"{whose}, whose encoder is not {encoder!r} as in this model: {len(wrong)} of its {len(own)}"
            f" tensors are missing or of another shape, such as {wrong[0]}. Hint: set model.… as it was when"
            " these weights were trained"
        )
    return _take(model, part, encoder, found, str(path))


def _content(value: Tensor) -> tuple[tuple[int, ...], bytes]:
    """Shape and numbers, to recognize a tensor whatever it is called."""
    numbers = value.detach().cpu().contiguous().double().numpy()
    return tuple(value.shape), hashlib.sha256(numbers.tobytes()).digest()


def _bare_name(encoder: str) -> str:
    """The name of a network, whichever library it is from, without that of its published weights."""
    return _timm_name(encoder).partition(".")[0]


def _same_encoder(name: str) -> str:
    """How to get the encoder of this name, or what to do where there is none, for a hint."""
    if name in smp.encoders.get_encoder_names():
        return f"model.encoder={name}"
    if timm.is_model(_bare_name(name)):
        return f"model.encoder=tu-{_bare_name(name)}"
    return "weights=none, or the weights of a run with this encoder"


def _is_whole_model(path: Path, model: SemanticModel) -> bool:
    """Whether a file's tensors are named like those of the whole model rather than an encoder: it contains
    most of the part after the encoder.
    """
    if not path.is_file():
        return False
    part = model.encoder
    encoder = {id(value) for value in part.state_dict(keep_vars=True).values()} if part else set()
    behind = [n for n, value in model.state_dict(keep_vars=True).items() if id(value) not in encoder]
    found = unwrapped(read_foreign(path), names_in_files(model))
    return sum(name in found for name in behind) >= LEAST_FIT * len(behind) > 0


def _read(path: Path, part: nn.Module, encoder: str, depth: int) -> dict[str, Tensor]:
    """The tensors of a file under their names in the encoder."""
    if not path.is_file():
        raise CheckpointError(f"no weights file at {path}")
    tensors = read_foreign(path)
    own = part.state_dict()
    found = unwrapped(tensors, list(own), inside=PARTS)  # of an encoder alone, or inside a whole model
    if not _is_timm(encoder) or all(key in found for key in own if not key.endswith(COUNT)):
        return found
    try:
        return _filled_by_timm(encoder, depth, tensors)
    except RuntimeError as error:
        if any(key in own for key in found):
            return found
        raise CheckpointError(f"{path} does not fit the encoder {encoder!r}: {error}") from None


def _filled_by_timm(encoder: str, depth: int, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a classifier under the names that they have in an encoder: timm renames them while
    loading. It leaves random values where there are none; these are left out.
    """
    bare = without_common_steps(tensors, inside=PARTS)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        empty = smp.encoders.TimmUniversalEncoder(_timm_name(encoder), pretrained=False, depth=depth)
        torch.manual_seed(0)
        filled = smp.encoders.TimmUniversalEncoder(
            _timm_name(encoder), pretrained=True, depth=depth, pretrained_cfg_overlay={"state_dict": bare}
        )
    before, contents = empty.state_dict(), {_content(value) for value in tensors.values()}
    return {
        key: value
        for key, value in filled.state_dict().items()
        if not torch.equal(value, before[key]) or _content(value) in contents
    }


def _take(
    model: SemanticModel, part: nn.Module, encoder: str, tensors: dict[str, Tensor], source: str
) -> LoadReport:
    own = part.state_dict()
    fitting = {key: value for key, value in tensors.items() if key in own and own[key].shape == value.shape}
    wanted = [key for key in own if not key.endswith(COUNT)]
    if sum(key in fitting for key in wanted) < LEAST_FIT * len(wanted):
        hint = (
            "Hint: model.norm=batch"
            if _has_batch_norms(tensors) and not _has_batch_norms(own)
            else "Hint: weights=none"
        )
        raise CheckpointError(
            f"weights {source} are for an encoder other than {encoder!r}: only {len(fitting)} of its"
            f" {len(own)} tensors fit. {hint}"
        )
    if _has_batch_norms(tensors) and not _has_batch_norms(own):
        raise UsageError(
            f"weights {source} were trained with batch norm, which model.norm removes. Hint:"
            " model.norm=batch, or weights=none"
        )
    nn.Module.load_state_dict(
        part, fitting, strict=False
    )  # the libraries' own versions change the dictionary
    prefix = next(name for name, module in model.named_modules() if module is part) + "."
    return LoadReport(
        loaded=tuple(prefix + key for key in fitting),
        reinitialized=tuple(key for key in model.state_dict() if not key.startswith(prefix)),
        why_anew="because the weights are only for the encoder",
        missing=tuple(prefix + key for key in wanted if key not in tensors),
        unexpected=tuple(key for key in tensors if key not in own),
        mismatched=tuple(
            f"{prefix}{key}: {list(tensors[key].shape)} -> {list(value.shape)}"
            for key, value in own.items()
            if key in tensors and key not in fitting
        ),
    )


def _has_batch_norms(tensors: dict[str, Tensor]) -> bool:
    return any(key.endswith("running_mean") for key in tensors)


def _is_timm(encoder: str) -> bool:
    return encoder.startswith("tu-") or bool(smp.encoders.is_equivalent_to_timm_universal(encoder))


def _timm_name(encoder: str) -> str:
    """timm's name for an encoder ``tu-NAME``, or ``timm-NAME`` as in older recipes."""
    name = encoder.removeprefix("tu-").removeprefix("timm-")
    return f"tf_{name}" if encoder.startswith("timm-mobilenetv3") else name


def _repository(encoder: str, name: str) -> tuple[str, str | None]:
    """Repository and revision of the weights on the hub."""
    if _is_timm(encoder):
        config: Any = timm.models.get_pretrained_cfg(_timm_name(encoder))
        if name == "imagenet" and config is not None and config.hf_hub_id:
            return config.hf_hub_id, None
        known = ["imagenet"] if config is not None and config.hf_hub_id else []
    else:
        settings = smp.encoders.encoders[encoder]["pretrained_settings"]
        if name in settings:
            return settings[name]["repo_id"], settings[name]["revision"]
        known = sorted(settings)
    raise UsageError(
        f"the encoder {encoder!r} has no weights {name!r}; it has: {', '.join(known) or 'none'}, and none"
    )


def _download(repository: str, revision: str | None, filename: str = FILE) -> Path:
    """The path of a file from the hub, cached if available."""
    address = f"{hub.constants.ENDPOINT}/{repository}/resolve/{revision or 'main'}/{filename}"
    hint = f"set weights=none, or download {address} elsewhere and pass its path as weights=PATH"
    return from_hub(repository, filename, revision=revision, hint=hint)


class _Published(Schema):
    """A repository's information about how to use its weights."""

    mean: list[Number]
    std: list[Number]
    input_range: Annotated[tuple[Number, ...], Field(min_length=2)] = (0.0, 1.0)
    input_space: Text = "RGB"


def _check_normalization(model: SemanticModel, encoder: str, name: str) -> None:
    """Check the image normalization: published weights are useless with a different one."""
    if _is_timm(encoder):
        config: Any = timm.models.get_pretrained_cfg(_timm_name(encoder))
        published: dict[str, Any] = {"mean": config.mean, "std": config.std}
    else:
        config_file = _download(*_repository(encoder, name), "config.json")
        content = load_json(config_file, "how weights are used", DownloadError)
        published = record(content, _Published, source=str(config_file), error=DownloadError).model_dump()
    mean, std = tuple(published["mean"]), tuple(published["std"])
    scale = published.get("input_range", [0, 1])[-1]
    mean, std = tuple(m / scale for m in mean), tuple(s / scale for s in std)
    if published.get("input_space", "RGB") == "BGR":
        raise UsageError(
            f"the weights {name!r} of {encoder!r} expect images in BGR order, which is not supported. Hint:"
            " choose another encoder"
        )
    require_normalization(model, mean, std, f"the weights {name!r} of {encoder!r}")


def require_normalization(
    model: SemanticModel, mean: Sequence[float], std: Sequence[float], weights: str
) -> None:
    """Check that a model normalizes images as its weights need it: they are useless otherwise.

    Args:
        model: that takes the weights.
        mean, std: that they were trained with, of values from 0 to 1.
        weights: what they are, for the message.

    Raises:
        UsageError: when the model does it differently; says which settings to give.
    """
    if any(abs(a - b) > 1e-3 for a, b in zip((*mean, *std), (*model.mean, *model.std), strict=True)):
        wanted = " ".join(
            f"model.{key}=[{', '.join(f'{v:.6g}' for v in values)}]"
            for key, values in (("mean", mean), ("std", std))
        )
        raise UsageError(f"{weights} were trained with a different image normalization. Hint: add {wanted}")
