"""Weights written as the software that a model comes from reads them."""

from __future__ import annotations

import io
from pathlib import Path

import torch

from toolkit.errors import UsageError
from toolkit.models.building import load_model
from toolkit.runtime.files import atomic_write

EXPORT_SUFFIXES = (".pth", ".pt")


def export_model(run_or_file: str | Path, out: Path) -> int:
    """Write ``{"model": tensors}`` by ``torch.save``, which Detectron2's checkpointer and ``build_sam2``
    open, and the manifest beside it.

    Args:
        run_or_file: a run or a checkpoint of the toolkit.
        out: a name that ends in one of ``EXPORT_SUFFIXES``; an older file is replaced. The manifest takes the
            same name in ``.json``.

    Returns:
        How many tensors were written.

    Raises:
        CheckpointError: when there is no usable checkpoint.
        UsageError: when ``out`` has another suffix.
        OutputError: when a file cannot be written; an older one of that name stays as it was.
    """
    if out.suffix not in EXPORT_SUFFIXES:
        raise UsageError(
            f"{out}: exported weights are torch files. Hint: choose a name that ends in"
            f" {' or '.join(EXPORT_SUFFIXES)}"
        )
    model, manifest = load_model(run_or_file)
    state = {name: value.detach().cpu().contiguous() for name, value in model.export_state().items()}
    buffer = io.BytesIO()  # torch hides a full disk behind an error of its own
    torch.save({"model": state}, buffer)
    with atomic_write(out, "wb") as file:
        file.write(buffer.getbuffer())
    with atomic_write(out.with_suffix(".json"), "w") as text:
        text.write(manifest.to_json())
    return len(state)
