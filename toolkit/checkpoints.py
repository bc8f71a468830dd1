"""Checkpoints: safetensors files with a JSON manifest in their header. Opening one never runs code.

The manifest says everything that is needed to rebuild the model (plugin, its settings, classes) and where the weights
come from (dataset and its fingerprint, start weights and their licence, metrics).
"""

from __future__ import annotations

import dataclasses
import io
import json
import logging
import pickle
import re
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from toolkit import registry
from toolkit.config import settings_class, validate
from toolkit.config.tree import merge
from toolkit.errors import CheckpointError, UnknownNameError, UsageError
from toolkit.models.contract import Model
from toolkit.runtime.files import atomic_write

logger = logging.getLogger("toolkit")

HEADER_KEY = "toolkit"
FORMAT = 1
BEST = "best.safetensors"
LAST = "last.safetensors"
LEAST_FIT = 0.5
"""A file of which a smaller part of the tensors fits is taken to be for another model."""


@dataclass(frozen=True)
class CheckpointManifest:
    """What a checkpoint says of itself.

    Attributes:
        plugin: name of the plugin that built the model.
        task: what the model does, one of ``toolkit.registry.manifests.TASKS``.
        classes: the names that label indexes stand for.
        plugin_version: version of the plugin's network; a change means that older weights may not fit.
        model: the plugin's settings, as plain values.
        palette: one RGB colour a class, or None for the default colours.
        config: the settings of the whole run.
        dataset: name, split and fingerprint of the training data.
        start_weights: what training started from, with its licence.
        metrics: figures on the validation split when the checkpoint was written.
        step: optimizer steps taken.
        toolkit: version of the toolkit that wrote the file.
        format: version of this manifest.
    """

    plugin: str
    task: str
    classes: tuple[str, ...]
    plugin_version: str = "1"
    model: Mapping[str, Any] = field(default_factory=dict)
    palette: tuple[tuple[int, int, int], ...] | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    dataset: Mapping[str, str] = field(default_factory=dict)
    start_weights: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    step: int = 0
    toolkit: str = ""
    format: int = FORMAT

    def to_json(self) -> str:
        """The manifest as JSON."""
        return json.dumps(dataclasses.asdict(self), allow_nan=False)

    @classmethod
    def from_json(cls, text: str, source: Path) -> CheckpointManifest:
        """Read a manifest back.

        Raises:
            CheckpointError: when it is no JSON, lacks a field or is of a newer format.
        """
        try:
            values = json.loads(text)
            if values.get("format", 0) > FORMAT:
                raise CheckpointError(
                    f"{source} was written by a newer toolkit (format {values['format']}, this one reads {FORMAT}). Repair: upgrade the toolkit"
                )
            known = {f.name for f in dataclasses.fields(cls)}
            values = {key: value for key, value in values.items() if key in known}
            values["classes"] = tuple(values["classes"])
            if values.get("palette") is not None:
                values["palette"] = tuple(tuple(colour) for colour in values["palette"])
            return cls(**values)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise CheckpointError(f"the manifest in {source} is damaged: {error}") from None


@dataclass(frozen=True)
class LoadReport:
    """What became of the tensors of a file and of a model, by name.

    Attributes:
        loaded: taken over.
        reinitialised: left at their start values on purpose, because the classes differ (a new head).
        missing: in the model, not in the file.
        unexpected: in the file, not in the model.
        mismatched: in both with shapes that differ for another reason; ``name: file shape -> model shape``.
    """

    loaded: tuple[str, ...] = ()
    reinitialised: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    mismatched: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"{len(self.loaded)} tensors taken"]
        if self.reinitialised:
            lines.append(f"{len(self.reinitialised)} start anew because the classes differ: {_some(self.reinitialised)}")
        for what, names in (("missing in the file", self.missing), ("not used", self.unexpected), ("do not fit", self.mismatched)):
            if names:
                lines.append(f"{len(names)} {what}: {_some(names)}")
        return "; ".join(lines)


def _some(names: tuple[str, ...], most: int = 4) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def save_checkpoint(path: Path, state: Mapping[str, Tensor], manifest: CheckpointManifest) -> None:
    """Write weights and manifest to ``path`` in one atomic step.

    Raises:
        OutputError: when the file cannot be written; an older file of that name stays as it was.
    """
    tensors: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, value in state.items():
        tensor = value.detach().cpu().contiguous()
        if tensor.data_ptr() in seen:  # safetensors refuses tensors that share memory
            tensor = tensor.clone()
        seen.add(tensor.data_ptr())
        tensors[name] = tensor
    with atomic_write(path, "wb") as file:
        file.write(save(tensors, {HEADER_KEY: manifest.to_json(), "format": "pt"}))


def find_checkpoint(run_or_file: str | Path) -> Path:
    """The checkpoint that a run's folder or a file name stands for: the best one, else the last.

    Raises:
        CheckpointError: when there is none.
    """
    path = Path(run_or_file).expanduser()
    if path.is_dir():
        for name in (BEST, LAST):
            if (path / name).is_file():
                return path / name
        raise CheckpointError(f"{path} holds neither {BEST} nor {LAST}: it is no run, or its training stopped before the first checkpoint")
    if not path.is_file():
        raise CheckpointError(f"no run or checkpoint at {path}")
    return path


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], CheckpointManifest | None]:
    """The tensors of a safetensors file, and its manifest when the toolkit wrote it.

    Raises:
        CheckpointError: when the file is truncated or no safetensors file.
    """
    return _open(path, with_tensors=True)


def _open(path: Path, *, with_tensors: bool = False) -> tuple[dict[str, Tensor], CheckpointManifest | None]:
    try:
        with safe_open(path, framework="pt") as file:
            header = (file.metadata() or {}).get(HEADER_KEY)
            names = file.keys() if with_tensors else ()
            tensors = {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} ({path.stat().st_size:,} bytes) is truncated or not a safetensors file: {error}. Repair: copy or download it again"
        ) from None
    return tensors, None if header is None else CheckpointManifest.from_json(header, path)


def read_foreign(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint that others wrote: ``.safetensors``, or a torch file with nothing but tensors in it.

    A state dict may lie at the top level or under ``model`` or ``state_dict``.

    Raises:
        CheckpointError: when the file is truncated, or holds anything that would run code when loaded.
    """
    if path.suffix == ".safetensors":
        return read_checkpoint(path)[0]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickle protocols, on the way to the error below
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # torch's message begins with the advice to switch the protection off; what it found comes later
        found = re.search(r"unsupported .*?(?= was not|\.?$|\. )", str(error), re.IGNORECASE | re.MULTILINE)
        raise CheckpointError(
            f"{path} is refused: it is no plain file of tensors, and opening it could run code ({found[0] if found else 'unknown content'}). "
            "Repair: save its state_dict alone, best as .safetensors"
        ) from None
    except Exception as error:  # torch raises many kinds for files that are damaged, or something else altogether
        raise CheckpointError(f"{path} is truncated or not a torch file: {_first_line(error)}. Repair: copy or download it again") from None
    for key in ("model", "state_dict"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not content or not all(isinstance(value, Tensor) for value in content.values()):
        raise CheckpointError(f"{path} holds no state dict: expected tensors by name, at the top level or under 'model' or 'state_dict'")
    return content


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0].split(". ")[0].rstrip(".: ")


def read_manifest(run_or_file: str | Path) -> CheckpointManifest | None:
    """The manifest of a checkpoint of the toolkit, without its tensors; None for files of others and names of weights.

    Raises:
        CheckpointError: when the file is damaged.
    """
    if not Path(run_or_file).expanduser().exists():
        return None
    path = find_checkpoint(run_or_file)
    return _open(path)[1] if path.suffix == ".safetensors" else None


def is_own(run_or_file: str | Path) -> bool:
    """Whether the toolkit wrote this checkpoint."""
    return read_manifest(run_or_file) is not None


def licence_of(run_or_file: str | Path) -> str:
    """The licence of the weights that a checkpoint was trained from, as far as its manifest knows it; ``unknown`` otherwise."""
    manifest = read_manifest(run_or_file)
    return "unknown" if manifest is None else manifest.start_weights.get("licence", "unknown")


def load_model(run_or_file: str | Path, settings: Mapping[str, Any] | None = None) -> tuple[Model, CheckpointManifest]:
    """Rebuild the model that a run or a checkpoint file holds, with its weights, in eval mode on the CPU.

    Args:
        run_or_file: a run's folder or a checkpoint file.
        settings: of the model, nested; they are laid over those that it was trained with. The weights must still fit.

    Raises:
        CheckpointError: when the file is damaged, was not written by the toolkit, or does not fit its own plugin.
        UnavailableError: when the plugin cannot be loaded here.
    """
    path = find_checkpoint(run_or_file)
    if path.suffix != ".safetensors":
        raise CheckpointError(
            f"{path} is no checkpoint of the toolkit (those end in .safetensors). Repair: pass it to training as weights={path}"
        )
    tensors, manifest = read_checkpoint(path)
    if manifest is None:
        raise CheckpointError(f"{path} was not written by the toolkit: it has no manifest. Repair: pass it to training as weights={path}")
    model = build_model(manifest, path, settings)
    fit = _fit(model, tensors)
    if fit.missing or fit.unexpected or fit.mismatched:
        raise CheckpointError(
            f"{path} does not fit the plugin {manifest.plugin!r} that is installed here{', with the settings given' * bool(settings)}: {fit}"
        )
    version = registry.plugins().get(manifest.plugin).version
    if version != manifest.plugin_version:
        logger.warning(
            "%s was written by version %s of the plugin %s; this is version %s", path, manifest.plugin_version, manifest.plugin, version
        )
    model.load_state_dict(tensors)
    return model.eval(), manifest


def build_model(manifest: CheckpointManifest, source: Path, settings: Mapping[str, Any] | None = None) -> Model:
    """The model that a manifest describes, other settings laid over its own, with random weights."""
    try:
        plugin = registry.plugins().get(manifest.plugin)
    except UnknownNameError as error:
        raise UnknownNameError(
            f"{source} needs a plugin that is not here: {error}. Repair: name its file with --plugin, or to registry.add_path"
        ) from None
    where = f"the manifest in {source}{' with the settings given' * bool(settings)}"
    chosen = validate(settings_class(plugin), merge(dict(manifest.model), settings or {}), source=where)
    model = plugin.resolve(plugin.build)(chosen, manifest.classes)
    if not isinstance(model, Model):
        raise CheckpointError(f"plugin {manifest.plugin!r}: {plugin.build} must return a toolkit.Model, not {type(model).__name__}")
    return model


EXPORT_SUFFIXES = (".pth", ".pt")


def export_model(run_or_file: str | Path, out: Path) -> int:
    """Write ``{"model": tensors}`` by ``torch.save``, which Detectron2's checkpointer and ``build_sam2`` open, and the manifest beside it.

    Args:
        run_or_file: a run or a checkpoint of the toolkit.
        out: a name that ends in one of ``EXPORT_SUFFIXES``; an older file is replaced. The manifest takes the same name in ``.json``.

    Returns:
        How many tensors were written.

    Raises:
        CheckpointError: when there is no usable checkpoint.
        UsageError: when ``out`` has another suffix.
        OutputError: when a file cannot be written; an older one of that name stays as it was.
    """
    if out.suffix not in EXPORT_SUFFIXES:
        raise UsageError(f"{out}: exported weights are torch files. Repair: choose a name that ends in {' or '.join(EXPORT_SUFFIXES)}")
    model, manifest = load_model(run_or_file)
    state = {name: value.detach().cpu().contiguous() for name, value in model.export_state().items()}
    buffer = io.BytesIO()  # torch hides a full disk behind an error of its own
    torch.save({"model": state}, buffer)
    with atomic_write(out, "wb") as file:
        file.write(buffer.getbuffer())
    with atomic_write(out.with_suffix(".json"), "w") as text:
        text.write(manifest.to_json())
    return len(state)


def load_weights(model: Model, path: Path, plugin: str) -> LoadReport:
    """Take over what fits from a file, as the start of training; a head for other classes starts anew.

    Args:
        model: gets the weights.
        path: a run, a checkpoint of the toolkit, or a safetensors or torch file of tensors.
        plugin: name of the model's plugin.

    Raises:
        CheckpointError: when the file is damaged, unsafe, of another plugin, or less than half of it fits.
    """
    path = find_checkpoint(path)
    manifest: CheckpointManifest | None = None
    if path.suffix == ".safetensors":
        tensors, manifest = read_checkpoint(path)
    else:
        tensors = read_foreign(path)
    if manifest is not None and manifest.plugin != plugin:
        raise CheckpointError(
            f"{path} is a checkpoint of the plugin {manifest.plugin!r}, not of {plugin!r}. "
            f"Repair: train with --plugin {manifest.plugin}, or start from other weights"
        )
    return take_tensors(model, tensors, str(path), old_classes=len(manifest.classes) if manifest else None)


def take_tensors(
    model: Model, tensors: Mapping[str, Tensor], source: str, *, old_classes: int | None = None, anew: Collection[str] = ()
) -> LoadReport:
    """Take over what fits of tensors that are named like the model's own; a head for other classes starts anew.

    Args:
        model: gets the weights.
        tensors: of a file, say, whose names a plugin has translated.
        source: what they are, for messages.
        old_classes: how many classes they were learnt for, where that is known.
        anew: names of tensors that start anew even where they fit: those of a head for as many classes, but others.

    Raises:
        CheckpointError: when less than half of the model's tensors are among them.
    """
    fit = _fit(model, tensors, old_classes, anew)
    if len(fit.loaded) < LEAST_FIT * len(model.state_dict()):
        raise CheckpointError(
            f"{source} is plainly for another model: only {len(fit.loaded)} of the {len(model.state_dict())} tensors of this one fit. {fit}"
        )
    model.load_state_dict({name: tensors[name] for name in fit.loaded}, strict=False)
    return fit


def _fit(model: Model, tensors: Mapping[str, Tensor], old_classes: int | None = None, anew: Collection[str] = ()) -> LoadReport:
    """Compare names and shapes. A head's tensors are those that the model names, or that differ only where the number of classes stands."""
    own = model.state_dict()
    loaded, reinitialised, mismatched = [], [], []
    for name, value in own.items():
        if name not in tensors:
            continue
        theirs = tensors[name].shape
        if name in anew:
            reinitialised.append(name)
        elif theirs == value.shape:
            loaded.append(name)
        elif (name in model.class_tensors and len(theirs) == value.dim()) or _is_head(
            tuple(theirs), tuple(value.shape), old_classes, len(model.classes)
        ):
            reinitialised.append(name)
        else:
            mismatched.append(f"{name}: {list(theirs)} -> {list(value.shape)}")
    return LoadReport(
        tuple(loaded),
        tuple(reinitialised),
        tuple(name for name in own if name not in tensors),
        tuple(name for name in tensors if name not in own),
        tuple(mismatched),
    )


def _is_head(theirs: tuple[int, ...], ours: tuple[int, ...], old_classes: int | None, new_classes: int) -> bool:
    if len(theirs) != len(ours):
        return False
    differing = [(a, b) for a, b in zip(theirs, ours, strict=True) if a != b]
    return len(differing) == 1 and differing[0][1] == new_classes and old_classes in (None, differing[0][0])
