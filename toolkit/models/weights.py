"""Start weights: loads the tensors of a file that fit a model."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from toolkit.checkpoints import LoadReport, find_checkpoint, read_weights
from toolkit.errors import CheckpointError
from toolkit.models.class_rows import (
    ClassAxis,
    declared_axes,
    fallback_axes,
    moved_rows,
    probed_axes,
)
from toolkit.models.contract import Model
from toolkit.models.weight_names import names_in_files, unwrapped
from toolkit.runtime.weight_files import recognize_names

LEAST_FIT = 0.5
"""If a smaller fraction of the tensors fits, a file is assumed to be for another model."""

Build = Callable[[Sequence[str]], Model]


def load_weights(model: Model, path: Path, plugin: str, build: Build | None = None) -> LoadReport:
    """Load the tensors of a file that fit, as the start of training; of a head, the rows of the classes that
    both have, by name.

    Args:
        model: receives the weights.
        path: a run, a checkpoint of the toolkit, a file that ``toolkit export`` wrote, or a safetensors or
            torch file of tensors.
        plugin: name of the model's plugin.
        build: builds the model for other classes, to find out which tensors depend on them; without it, those
            that the model lists in ``class_tensors`` do, and those whose shapes differ.

    Raises:
        CheckpointError: when the file is damaged, unsafe, belongs to another plugin, or less than half of it
            fits.
    """
    path = find_checkpoint(path)
    tensors, manifest = read_weights(path)
    if manifest is not None and manifest.plugin != plugin:
        raise CheckpointError(
            f"{path} is a checkpoint of the plugin {manifest.plugin!r}, not of {plugin!r}. "
            f"Hint: train with --plugin {manifest.plugin}, or start from other weights"
        )
    return take_tensors(
        model, tensors, str(path), classes=manifest.classes if manifest else None, build=build
    )


def take_tensors(
    model: Model,
    tensors: Mapping[str, Tensor],
    source: str,
    *,
    classes: Sequence[str] | None = None,
    build: Build | None = None,
    anew: Collection[str] = (),
) -> LoadReport:
    """Load the tensors that fit and are named like the model's own, whatever the prefixes of the names.

    Args:
        model: receives the weights.
        tensors: for example those of a file, with names that a plugin has translated.
        source: where they come from, for messages.
        classes: the classes that they were trained for, in order; None if unknown. The rows of a head are
            matched by the names of the classes; classes that the tensors do not have keep their random start
            values. If the classes are unknown, a head of the model's shape is loaded as it is, and any other
            head keeps its random start values.
        build: as for ``load_weights``.
        anew: names of tensors that keep their random start values even if they fit.

    Raises:
        CheckpointError: when less than half of the model's tensors are among them.
    """
    tensors = unwrapped(tensors, names_in_files(model))
    fit = compare_tensors(model, tensors, None if classes is None else len(classes), anew)
    heads: dict[str, Tensor] = {}
    if classes is not None and tuple(classes) != model.classes:
        axes = _axes(model, tensors, tuple(classes), build)
        heads = _moved(model, {n: v for n, v in tensors.items() if n not in anew}, axes, tuple(classes))
        fit = _with_classes(model, fit, heads, axes, tuple(classes))
    if len(fit.loaded) + len(heads) < LEAST_FIT * len(model.state_dict()):
        found = recognize_names(tensors)
        of = f" (its tensors are named like those of {found.what})" if found else ""
        raise CheckpointError(
            f"{source} is for another model{of}: only {len(fit.loaded)} of the"
            f" {len(model.state_dict())} tensors of this one fit. {fit}. Hint: set model.… as it was when"
            " these weights were trained, or start from others (toolkit plugins info NAME lists them) or from"
            " weights=none"
        )
    model.load_state_dict({name: tensors[name] for name in fit.loaded} | heads, strict=False)
    return fit


def _axes(
    model: Model, tensors: Mapping[str, Tensor], classes: tuple[str, ...], build: Build | None
) -> dict[str, ClassAxis | None]:
    """Which tensors depend on the classes, and how; None for those that possibly do."""
    found = None if build is None else probed_axes(model, build)
    if found is None:
        found = declared_axes(model) or fallback_axes(model, tensors, classes)
        if not found and len(classes) == len(model.classes):  # nothing shows which tensors are the head's
            count = len(classes)
            return {n: None for n, v in model.state_dict().items() if v.dim() and v.shape[0] == count}
    return {**found}


def _moved(
    model: Model,
    tensors: Mapping[str, Tensor],
    axes: Mapping[str, ClassAxis | None],
    classes: tuple[str, ...],
) -> dict[str, Tensor]:
    """The heads with the rows of the classes that both have, without the heads that keep their random start
    values.
    """
    if not set(classes) & set(model.classes):
        return {}
    own = model.state_dict()
    heads = {
        name: moved_rows(own[name], tensors[name], axis, model.classes, classes, model.first_class_row)
        for name, axis in axes.items()
        if axis is not None and name in tensors
    }
    return {name: value for name, value in heads.items() if value is not None}


def _with_classes(
    model: Model,
    fit: LoadReport,
    heads: Collection[str],
    axes: Collection[str],
    classes: tuple[str, ...],
) -> LoadReport:
    """The report if heads were loaded by class and the others of ``axes`` keep random start values."""
    anew = {name for name in axes if name not in heads and name not in fit.missing} | {*fit.reinitialized}
    decided = {*heads, *anew}
    return replace(
        fit,
        loaded=tuple(name for name in fit.loaded if name not in decided),
        reinitialized=tuple(name for name in model.state_dict() if name in anew and name not in heads),
        mismatched=tuple(line for line in fit.mismatched if line.partition(": ")[0] not in decided),
        by_class=tuple(name for name in model.state_dict() if name in heads),
        kept_classes=tuple(name for name in model.classes if name in classes) if heads else (),
        new_classes=tuple(name for name in model.classes if name not in classes) if axes else (),
    )


def compare_tensors(
    model: Model,
    tensors: Mapping[str, Tensor],
    old_classes: int | None = None,
    anew: Collection[str] = (),
) -> LoadReport:
    """Compare names and shapes. A head's tensors are those that the model lists, or that differ only in the
    dimension of the number of classes.
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
