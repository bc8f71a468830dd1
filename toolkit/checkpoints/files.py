"""Checkpoint files: safetensors with a manifest in their header; and files of weights that others wrote."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from toolkit.checkpoints.exported import checkpoint_of_export, read_export
from toolkit.checkpoints.finding import (
    MOST_BYTES,
    describe_foreign,
    find_checkpoint,
    is_export,
    refuse_if_known,
)
from toolkit.checkpoints.manifest import COPY_AGAIN, CheckpointManifest
from toolkit.checkpoints.torch_weights import read_torch_weights
from toolkit.errors import CheckpointError
from toolkit.reading.files import check_file, expanded, read_text
from toolkit.runtime.files import atomic_write

HEADER_KEY = "toolkit"


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


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], CheckpointManifest | None]:
    """The tensors of a safetensors file, and its manifest when the toolkit wrote it.

    Raises:
        CheckpointError: when the file is truncated or no safetensors file.
    """
    return _open(path, tensors="all")


def read_own(path: Path) -> tuple[dict[str, Tensor], CheckpointManifest]:
    """The tensors and the manifest of a checkpoint that the toolkit wrote; of another file, no tensor is
    read.

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
        refuse_if_known(path)
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
    """The tensors of a file of weights: ``.safetensors``, or a torch file with nothing but tensors in it, see
    ``toolkit.checkpoints.torch_weights``; and its manifest when the toolkit wrote it, or exported it and the
    manifest still lies beside it.

    Raises:
        CheckpointError: when the file is truncated, or holds anything that would run code when loaded.
    """
    if is_export(path):
        raise CheckpointError(
            f"{path.parent} is an exported model, whose graphs cannot be trained. Hint: give the run that it"
            " was exported from"
        )
    if path.suffix == ".safetensors":
        return read_checkpoint(path)
    return read_torch_weights(path), exported_manifest(path)


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
    if is_export(path):
        return checkpoint_of_export(read_export(path.parent), path.parent)
    return _open(path)[1] if path.suffix == ".safetensors" else None


def checkpoint_name(run_or_file: str | os.PathLike[str], manifest: CheckpointManifest) -> str:
    """The plugin and a hash of the file, which tell weights apart in the manifests of results."""
    with open(find_checkpoint(run_or_file), "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return f"{manifest.plugin} {digest[:16]}"
