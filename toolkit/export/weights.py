"""Exports weights in the format of a model's original software."""

from __future__ import annotations

from pathlib import Path

import torch

from toolkit.errors import OutputError, UsageError
from toolkit.models.building import load_model
from toolkit.reading.json_text import load_json
from toolkit.runtime.files import atomic_write, writing
from toolkit.runtime.locks import locked_file

EXPORT_SUFFIXES = (".pth", ".pt")


def export_model(run_or_file: str | Path, out: Path) -> int:
    """Write ``{"model": tensors}`` with ``torch.save``, as read by Detectron2's checkpointer and
    ``build_sam2``, and the manifest next to it, from which ``weights=`` learns plugin and classes.

    Args:
        run_or_file: a run or a checkpoint of the toolkit.
        out: output file with one of the suffixes ``EXPORT_SUFFIXES``; an existing file is replaced. The
            manifest has the same name with the suffix ``.json``.

    Returns:
        The number of tensors that were written.

    Raises:
        CheckpointError: when there is no usable checkpoint.
        UsageError: when ``out`` has another suffix, or another process is writing it.
        OutputError: when a file cannot be written (existing weights are then left unchanged), or when the
            manifest's path holds a file that is not a manifest.
    """
    if out.suffix not in EXPORT_SUFFIXES:
        raise UsageError(
            f"{out}: exported weights are torch files. Hint: choose a name that ends in"
            f" {' or '.join(EXPORT_SUFFIXES)}"
        )
    model, manifest = load_model(run_or_file)
    state = {name: value.detach().cpu().contiguous() for name, value in model.export_state().items()}
    described = out.with_suffix(".json")
    with locked_file(out):
        _refuse_others(described)
        # In this order, the manifest of other weights never describes what is there after a kill.
        with writing(described):
            described.unlink(missing_ok=True)
        with atomic_write(out, "wb") as file:
            torch.save({"model": state}, file)
        with atomic_write(described, "w") as text:
            text.write(manifest.to_json())
    return len(state)


def _refuse_others(path: Path) -> None:
    """Raise ``OutputError`` if the manifest's path holds a file that is not a manifest."""
    if not path.exists():
        return
    try:
        found = load_json(path, "a manifest", OutputError)
    except OutputError:
        found = None
    if not (isinstance(found, dict) and {"plugin", "classes", "format"} <= found.keys()):
        raise OutputError(
            f"the manifest would be written to {path}, but that file exists and is not a manifest. Hint:"
            " choose another name with --out, or move that file away"
        )
