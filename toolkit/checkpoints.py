"""Checkpoints: safetensors files with a JSON manifest in their header. Opening one never runs code.

The manifest says everything that is needed to rebuild the model (plugin, its settings, classes) and where the
weights come from (dataset and its fingerprint, start weights and their license, metrics).
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import logging
import os
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, TypeAlias, runtime_checkable

from pydantic import AfterValidator, Field, Strict
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from toolkit import registry
from toolkit.config.keys import section_faults
from toolkit.data.label_values import LabelValues
from toolkit.errors import CheckpointError, UsageError
from toolkit.reading.fields import Count, Name, Number, Text, shown
from toolkit.reading.files import check_file, expanded, is_there, read_text
from toolkit.reading.json_text import parse_json
from toolkit.reading.records import MOST_FAULTS, judge
from toolkit.runtime.files import atomic_write
from toolkit.runtime.torch_files import load_torch
from toolkit.runtime.weight_files import recognize

logger = logging.getLogger("toolkit")

HEADER_KEY = "toolkit"
FORMAT = 1
BEST = "best.safetensors"
LAST = "last.safetensors"
CONFIG = "config.yaml"


MOST_BYTES = 1 << 40
"""Of a checkpoint; its tensors are mapped into memory rather than read."""

COPY_AGAIN = "copy or download the file again"

Part = Annotated[int, Strict(), Field(ge=0, le=255)]
"""Of a color."""


def _sections(config: Mapping[str, Any]) -> Mapping[str, Any]:
    faults = section_faults(config)
    if faults:
        raise ValueError("; ".join(faults))
    return config


def _label_values(values: Mapping[str, Any]) -> Mapping[str, Any]:
    LabelValues.from_dict(values)
    return values


@dataclass(frozen=True)
class CheckpointManifest:
    """What a checkpoint says of itself.

    Attributes:
        plugin: name of the plugin that built the model.
        task: what the model does, one of ``toolkit.registry.manifests.TASKS``.
        classes: the names that label indexes stand for.
        plugin_version: version of the plugin's network; a change means that older weights may not fit.
        plugin_code: hash of the plugin's files, see ``toolkit.registry.code``.
        model: the plugin's settings, as plain values.
        palette: one RGB color per class, or None for the default colors.
        label_values: the values of ``toolkit.data.label_values.LabelValues`` of the training data as plain
            values, where they have such label images.
        config: the settings of the whole run.
        dataset: name, split and fingerprint of the training data.
        start_weights: what training started from, with its license.
        metrics: figures on the validation split when the checkpoint was written.
        step: optimizer steps taken.
        toolkit: version of the toolkit that wrote the file.
        format: version of this manifest.
    """

    plugin: Name
    task: Name
    classes: tuple[Text, ...]
    plugin_version: Text = "1"
    model: Mapping[str, Any] = field(default_factory=dict)
    palette: tuple[tuple[Part, Part, Part], ...] | None = None
    label_values: Annotated[Mapping[str, Any], AfterValidator(_label_values)] | None = None
    config: Annotated[Mapping[str, Any], AfterValidator(_sections)] = field(default_factory=dict)
    dataset: Mapping[str, Text] = field(default_factory=dict)
    start_weights: Mapping[str, Text] = field(default_factory=dict)
    metrics: Mapping[str, Number | None] = field(default_factory=dict)
    step: Count = 0
    toolkit: Text = ""
    format: Count = FORMAT
    plugin_code: Text = ""

    def to_json(self) -> str:
        """The manifest as JSON."""
        return json.dumps(dataclasses.asdict(self), allow_nan=False)

    @classmethod
    def from_json(cls, text: str, source: Path) -> CheckpointManifest:
        """Read a manifest back.

        Somebody else may have written it, so every field is checked: the annotations of this class are the
        schema. Fields that it does not know are left out.

        Raises:
            CheckpointError: when it is no JSON, a field is missing or of another type (with all errors), or
                it is of a newer format.
        """
        where = f"the manifest in {source}"
        values = parse_json(text, where, "a description of the checkpoint", CheckpointError)
        version = values.get("format", 0) if isinstance(values, dict) else 0
        if isinstance(version, int) and version > FORMAT:
            raise CheckpointError(
                f"{source} was written by a newer version of the toolkit (format {shown(version)}; this"
                f" version reads {FORMAT}). Hint: upgrade the toolkit"
            )
        manifest: CheckpointManifest | None
        manifest, faults = judge(values, cls)
        if manifest is not None:
            counts = {"palette": ("colors", manifest.palette or None)}
            counts["label_values"] = ("values", manifest.label_values and manifest.label_values["classes"])
            count = len(manifest.classes)
            faults = [
                f"{name}: {len(given)} {what} for {count} classes"
                for name, (what, given) in counts.items()
                if given is not None and len(given) != count
            ]
        if faults or manifest is None:
            raise CheckpointError(
                f"{where} is damaged: {'; '.join(faults[:MOST_FAULTS])}. Hint: {COPY_AGAIN}"
            )
        return manifest


@dataclass(frozen=True)
class LoadReport:
    """What became of the tensors of a file and of a model, by name.

    Attributes:
        loaded: taken over.
        reinitialized: left at their start values on purpose, for the reason ``why_anew``.
        missing: in the model, not in the file.
        unexpected: in the file, not in the model.
        mismatched: in both with shapes that differ for another reason; ``name: file shape -> model shape``.
        by_class: heads of which the rows of some classes were taken over, by the names of the classes.
        kept_classes: these classes.
        new_classes: classes that the file does not know, and so have start values.
        why_anew: the reason for ``reinitialized``, in words.
    """

    loaded: tuple[str, ...] = ()
    reinitialized: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    mismatched: tuple[str, ...] = ()
    by_class: tuple[str, ...] = ()
    kept_classes: tuple[str, ...] = ()
    new_classes: tuple[str, ...] = ()
    why_anew: str = "because the classes differ"

    def __str__(self) -> str:
        lines = [f"{len(self.loaded)} tensors loaded"]
        if self.by_class:
            kept, new = _some(self.kept_classes, 10), _some(self.new_classes, 10)
            lines.append(
                f"{len(self.by_class)} by class name ({_some(self.by_class)}): loaded {kept}"
                + f"; random {new}" * bool(new)
            )
        if self.reinitialized:
            lines.append(
                f"{len(self.reinitialized)} start from random values {self.why_anew}:"
                f" {_some(self.reinitialized)}"
            )
        for what, names in (
            ("missing in the file", self.missing),
            ("not used", self.unexpected),
            ("do not fit", self.mismatched),
        ):
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


@runtime_checkable
class HasRun(Protocol):
    """What came of a run and knows its folder, such as what ``toolkit.train`` returns, or a ``Predictor``.

    Attributes:
        run: the folder of the run, or a checkpoint file; None where there is none.
    """

    @property
    def run(self) -> Path | None:
        """The folder or file."""


RunLike: TypeAlias = "str | os.PathLike[str] | HasRun"
"""A run's folder or a checkpoint file, as a path or as something that knows it."""


def path_of_run(run: RunLike) -> Path:
    """The path that names a run.

    Raises:
        UsageError: when it is something that was not made from a run.
    """
    path = run if isinstance(run, (str, os.PathLike)) else getattr(run, "run", None)
    if path is None:
        raise UsageError(
            f"{type(run).__name__} does not refer to a run. Hint: give the folder of a run, a checkpoint"
            " file, or what toolkit.train or toolkit.load returned"
        )
    return Path(path)


def find_checkpoint(run_or_file: str | os.PathLike[str]) -> Path:
    """The checkpoint that a run's folder or a file name stands for: the best one, else the last.

    Raises:
        CheckpointError: when there is none, or what is called so is no file.
    """
    path = expanded(run_or_file)
    if path.is_dir():
        for name in (BEST, LAST):
            if is_there(path / name):
                check_file(path / name, "a checkpoint", CheckpointError, most=MOST_BYTES)
                return path / name
        known = describe_foreign(path)
        raise CheckpointError(f"{path} {known}" if known else f"{path} {_without_checkpoint(path)}")
    if not is_there(path):
        raise CheckpointError(f"no run or checkpoint at {path}{runs_beside(path)}")
    return path


def _without_checkpoint(folder: Path) -> str:
    """What a folder without a checkpoint is, and what can be done about it."""
    if (folder / CONFIG).is_file():
        return (
            f"contains neither {BEST} nor {LAST}: its training stopped before the first checkpoint. Hint:"
            f" toolkit train --resume {folder}"
        )
    inside = sorted(str(each.parent) for each in folder.glob(f"*/{CONFIG}"))
    found = f"it contains the runs {', '.join(inside[:5])}" if inside else "give the folder of a run"
    return f"is not a run: it contains neither {BEST} nor {LAST}. Hint: {found}"


def runs_beside(path: Path) -> str:
    """A hint that names the run that a path without a file is in, or the runs beside it, the nearest first;
    empty when there are none.
    """
    if (path.parent / CONFIG).is_file():
        return f". Hint: {path.parent} is a run; give this folder"
    try:
        beside = [each.name for each in path.parent.iterdir() if (each / CONFIG).is_file()]
    except OSError:
        return ""
    near = difflib.get_close_matches(path.name, beside, n=3, cutoff=0.0)
    return f". Hint: there are {', '.join(str(path.parent / name) for name in near)}" if near else ""


def describe_foreign(path: Path, *, by_names: bool = True) -> str | None:
    """What a file or folder is that is no checkpoint of the toolkit, and what can be done with it: a sentence
    with a hint, to stand behind its path. None when it is nothing known; arguments as for ``recognize``.
    """
    found = recognize(path, by_names=by_names)
    if found is None:
        return None
    readers = [plugin.name for plugin in registry.plugins() if found.family and found.family in plugin.reads]
    hint = f"toolkit train --plugin {readers[0]} --weights {path} --data D" if readers else found.hint
    return f"is {found.what}. Hint: {hint}"


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], CheckpointManifest | None]:
    """The tensors of a safetensors file, and its manifest when the toolkit wrote it.

    Raises:
        CheckpointError: when the file is truncated or no safetensors file.
    """
    return _open(path, tensors="all")


def read_own(path: Path) -> tuple[dict[str, Tensor], CheckpointManifest]:
    """The tensors and the manifest of a checkpoint that the toolkit wrote; of another file, no tensor is read.

    Raises:
        CheckpointError: when the file is damaged, or the toolkit did not write it; says what it is.
    """
    tensors, manifest = _open(path, tensors="own") if path.suffix == ".safetensors" else ({}, None)
    return tensors, own(manifest, path)


def own(manifest: CheckpointManifest | None, path: Path) -> CheckpointManifest:
    """The manifest of a file, where it has one.

    Raises:
        CheckpointError: when it has none, so that the toolkit did not write it; says what it is.
    """
    if manifest is not None:
        return manifest
    known = describe_foreign(path)
    if known is not None:
        raise CheckpointError(f"{path} is not a run of the toolkit: it {known}")
    raise CheckpointError(
        f"{path} was not written by the toolkit: it has no manifest. Hint: give the folder of a run; to"
        f" train from this file, give its plugin and data: toolkit train --weights {path} --plugin P --data"
        " D"
    )


def _open(
    path: Path, *, tensors: Literal["all", "own", "none"] = "none"
) -> tuple[dict[str, Tensor], CheckpointManifest | None]:
    """The tensors of a safetensors file and its manifest; with "own", the tensors only where it has one."""
    size = check_file(path, "a checkpoint", CheckpointError, most=MOST_BYTES)
    try:
        with safe_open(path, framework="pt") as file:
            header = (file.metadata() or {}).get(HEADER_KEY)
            wanted = tensors == "all" or (tensors == "own" and header is not None)
            found = {name: file.get_tensor(name) for name in (file.keys() if wanted else ())}
    # A tensor of a type that this torch has not is a KeyError, a TypeError or a RuntimeError.
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, RuntimeError, MemoryError) as error:
        _refuse_if_known(path)
        if zipfile.is_zipfile(path):
            raise CheckpointError(
                f"{path} was written by torch.save, not by safetensors. Hint: rename it to"
                f" {path.with_suffix('.pth').name}"
            ) from None
        raise CheckpointError(
            f"{path} ({size:,} bytes) is truncated or not a safetensors file: {error}. Hint: {COPY_AGAIN}"
        ) from None
    return found, None if header is None else CheckpointManifest.from_json(header, path)


def read_foreign(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint that others wrote; as ``read_weights``."""
    return read_weights(path)[0]


def read_weights(path: Path) -> tuple[dict[str, Tensor], CheckpointManifest | None]:
    """The tensors of a file of weights: ``.safetensors``, or a torch file with nothing but tensors in it; and
    its manifest when the toolkit wrote it, or exported it and the manifest still lies beside it.

    In a torch file, a state dict may lie at the top level or in dictionaries, under one of the names
    ``STATE_DICTS`` or as the only one.

    Raises:
        CheckpointError: when the file is truncated, or holds anything that would run code when loaded.
    """
    if path.suffix == ".safetensors":
        return read_checkpoint(path)
    content = _load_torch(path)
    tensors = _state_dict(content)
    if tensors is None:
        _refuse_if_known(path)
        known = ", ".join(repr(name) for name in STATE_DICTS)
        raise CheckpointError(
            f"{path} contains no state dict: expected tensors by name, at the top level or under one of"
            f" {known}. Hint: save model.state_dict() with torch.save, and use that file"
        )
    return tensors, exported_manifest(path)


STATE_DICTS = (
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "net",
    "network",
    "module",
    "weights",
)
"""What programs call the state dict in what they save, first that which counts where several are there."""


def _state_dict(content: Any, depth: int = 3) -> dict[str, Tensor] | None:
    """The tensors by name in what ``torch.load`` returned."""
    if not isinstance(content, dict) or not content:
        return None
    if all(isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()):
        return content
    if not depth:
        return None
    for name in STATE_DICTS:
        found = _state_dict(content.get(name), depth - 1)
        if found is not None:
            return found
    others = [found for value in content.values() if (found := _state_dict(value, 0)) is not None]
    return others[0] if len(others) == 1 else None


def _load_torch(path: Path) -> Any:
    """What ``torch.save`` wrote, as far as it is plain values and tensors."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickle protocols, on the way to the error below
            return load_torch(path, "weights", CheckpointError)
    except CheckpointError:
        _refuse_if_known(path)
        raise
    except pickle.UnpicklingError as error:
        _refuse_if_known(path)
        # torch's message begins with the advice to switch the protection off; what it found comes later
        found = re.search(r"unsupported .*?(?= was not|\.?$|\. )", str(error), re.IGNORECASE | re.MULTILINE)
        raise CheckpointError(
            f"{path} is refused: it contains pickled Python objects, and opening it could run code"
            f" ({found[0] if found else 'unknown content'}). Hint: save its state_dict alone, preferably as"
            " .safetensors"
        ) from None
    except (
        Exception
    ) as error:  # torch raises many kinds for files that are damaged, or something else altogether
        _refuse_if_known(path)
        raise CheckpointError(
            f"{path} is truncated or not a torch file: {_first_line(error)}. Hint: copy or download it again"
        ) from None


def _refuse_if_known(path: Path) -> None:
    """Raise ``CheckpointError`` with the name of what a file is, where that keeps it from being read."""
    known = describe_foreign(path, by_names=False)
    if known:
        raise CheckpointError(f"{path} {known}") from None


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0].split(". ")[0].rstrip(".: ")


def exported_manifest(path: str | Path) -> CheckpointManifest | None:
    """The manifest beside a torch file that ``toolkit export`` wrote; None where there is none, and for names
    of weights.
    """
    path = expanded(path)
    beside = path.with_suffix(".json")
    if path.suffix == ".safetensors" or not (path.is_file() and beside.is_file()):
        return None
    try:
        text = read_text(beside, "a description of the checkpoint", CheckpointError)
        return CheckpointManifest.from_json(text, beside)
    except CheckpointError:  # something else that is called so
        return None


def read_manifest(run_or_file: str | Path) -> CheckpointManifest | None:
    """The manifest of a checkpoint of the toolkit, without its tensors; None for files of others and names of
    weights.

    Raises:
        CheckpointError: when the file is damaged.
    """
    if not expanded(run_or_file).exists():
        return None
    path = find_checkpoint(run_or_file)
    return _open(path)[1] if path.suffix == ".safetensors" else None


def checkpoint_name(run_or_file: str | os.PathLike[str], manifest: CheckpointManifest) -> str:
    """The plugin and a hash of the file, which tell weights apart in the manifests of results."""
    with open(find_checkpoint(run_or_file), "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return f"{manifest.plugin} {digest[:16]}"


def license_of(manifest: CheckpointManifest | None) -> str:
    """The license of the weights that a checkpoint was trained from, as far as its manifest knows it;
    ``unknown`` otherwise.
    """
    return "unknown" if manifest is None else manifest.start_weights.get("license", "unknown")
