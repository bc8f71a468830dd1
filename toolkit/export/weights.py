"""Exports weights in the format of a model's original software."""

from __future__ import annotations

import io
from pathlib import Path

import torch

from toolkit.errors import UsageError
from toolkit.models.building import load_model
from toolkit.runtime.files import atomic_write

EXPORT_SUFFIXES = (".pth", ".pt")


def export_model(run_or_file: str | Path, out: Path) -> int:
    """Write ``{"model": tensors}`` with ``torch.save``, as read by Detectron2's checkpointer and
    ``build_sam2``, and the manifest next to it, by which ``weights=`` knows plugin and classes.

    Args:
        run_or_file: a run or a checkpoint of the toolkit.
        out: output file with one of the suffixes ``EXPORT_SUFFIXES``; an existing file is replaced. The
            manifest has the same name with the suffix ``.json``.

    Returns:
        How many tensors were written.

    Raises:
        CheckpointError: when there is no usable checkpoint.
        UsageError: when ``out`` has another suffix.
        OutputError: when a file cannot be written; an existing file is left unchanged.
    """
    if out.suffix not in EXPORT_SUFFIXES:
        raise UsageError(
            f"{out}: exported weights are torch files. Hint: choose a name that ends in"
            f" {' or '.join(EXPORT_SUFFIXES)}"
        )
    model, manifest = load_model(run_or_file)
    state = {name: value.detach().cpu().contiguous() for name, value in model.export_state().items()}
    buffer = io.BytesIO()  # torch would hide a full disk behind its own error
    torch.save({"model": state}, buffer)
    with atomic_write(out, "wb") as file:
        file.write(buffer.getbuffer())
    with atomic_write(out.with_suffix(".json"), "w") as text:
        text.write(manifest.to_json())
    return len(state)
