"""Start weights: taking over from a file what fits a model."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from torch import Tensor

from toolkit.checkpoints import CheckpointManifest, LoadReport, find_checkpoint, read_checkpoint, read_foreign
from toolkit.errors import CheckpointError
from toolkit.models.contract import Model
from toolkit.runtime.weight_files import recognize_names

LEAST_FIT = 0.5
"""A file of which a smaller part of the tensors fits is taken to be for another model."""


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
            f"Hint: train with --plugin {manifest.plugin}, or start from other weights"
        )
    return take_tensors(model, tensors, str(path), old_classes=len(manifest.classes) if manifest else None)


def take_tensors(
    model: Model,
    tensors: Mapping[str, Tensor],
    source: str,
    *,
    old_classes: int | None = None,
    anew: Collection[str] = (),
) -> LoadReport:
    """Take over what fits of tensors that are named like the model's own; a head for other classes starts
    anew.

    Args:
        model: gets the weights.
        tensors: of a file, say, whose names a plugin has translated.
        source: what they are, for messages.
        old_classes: how many classes they were learned for, where that is known.
        anew: names of tensors that start anew even where they fit: those of a head for as many classes, but
            others.

    Raises:
        CheckpointError: when less than half of the model's tensors are among them.
    """
    tensors = without_wrapper(tensors, model.state_dict())
    fit = compare_tensors(model, tensors, old_classes, anew)
    if len(fit.loaded) < LEAST_FIT * len(model.state_dict()):
        found = recognize_names(tensors)
        of = f" (its tensors are named like those of {found.what})" if found else ""
        raise CheckpointError(
            f"{source} is plainly for another model{of}: only {len(fit.loaded)} of the"
            f" {len(model.state_dict())} tensors of this one fit. {fit}. Hint: set model.… as it was when"
            " these weights were trained, or start from others (toolkit plugins info NAME lists them) or from"
            " weights=none"
        )
    model.load_state_dict({name: tensors[name] for name in fit.loaded}, strict=False)
    return fit


WRAPPERS = ("module.", "model.", "net.", "network.", "_orig_mod.")
"""What DistributedDataParallel, Lightning modules and torch.compile put before the names of tensors."""


def without_wrapper(tensors: Mapping[str, Tensor], own: Collection[str]) -> Mapping[str, Tensor]:
    """Tensors without the first step of their names where all have the same, no name is the model's own as it
    stands, and more are without it.
    """
    if any(name in own for name in tensors):
        return tensors
    for prefix in WRAPPERS:
        if tensors and all(name.startswith(prefix) for name in tensors):
            bare = {name.removeprefix(prefix): value for name, value in tensors.items()}
            return bare if any(name in own for name in bare) else tensors
    return tensors


def compare_tensors(
    model: Model, tensors: Mapping[str, Tensor], old_classes: int | None = None, anew: Collection[str] = ()
) -> LoadReport:
    """Compare names and shapes. A head's tensors are those that the model names, or that differ only where
    the number of classes stands.
    """
    own = model.state_dict()
    loaded, reinitialized, mismatched = [], [], []
    for name, value in own.items():
        if name not in tensors:
            continue
        theirs = tensors[name].shape
        if name in anew:
            reinitialized.append(name)
        elif theirs == value.shape:
            loaded.append(name)
        elif (name in model.class_tensors and len(theirs) == value.dim()) or _is_head(
            tuple(theirs), tuple(value.shape), old_classes, len(model.classes)
        ):
            reinitialized.append(name)
        else:
            mismatched.append(f"{name}: {list(theirs)} -> {list(value.shape)}")
    return LoadReport(
        tuple(loaded),
        tuple(reinitialized),
        tuple(name for name in own if name not in tensors),
        tuple(name for name in tensors if name not in own),
        tuple(mismatched),
    )


def _is_head(
    theirs: tuple[int, ...], ours: tuple[int, ...], old_classes: int | None, new_classes: int
) -> bool:
    if len(theirs) != len(ours):
        return False
    differing = [(a, b) for a, b in zip(theirs, ours, strict=True) if a != b]
    return len(differing) == 1 and differing[0][1] == new_classes and old_classes in (None, differing[0][0])
