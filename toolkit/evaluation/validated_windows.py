"""Whether a run predicts large images otherwise than it was validated while it trained."""

from __future__ import annotations

from pathlib import Path

from toolkit.checkpoints import CheckpointManifest
from toolkit.models.sliding_window import Tiling


def other_windows(manifest: CheckpointManifest, tiling: Tiling | None, run: Path) -> str:
    """What to tell a user who predicts with other windows than those that chose the best checkpoint; empty if
    they are the same, or the settings of the training name none.

    Args:
        manifest: of the checkpoint.
        tiling: when images are predicted window by window now.
        run: the path of the run, for the message.
    """
    train = manifest.config.get("train") or {}
    window, overlap = train.get("eval_window"), train.get("eval_overlap", Tiling.overlap)
    tiling = tiling or Tiling()
    is_given = isinstance(window, int) and isinstance(overlap, int | float)
    if not is_given or (window, overlap) == (tiling.window, tiling.overlap):
        return ""
    return (
        f"{run} was validated {_worded(window, overlap)} while it trained, and now predicts"
        f" {_worded(tiling.window, tiling.overlap)}. Hint: --window {window} --overlap {overlap:g} predicts"
        " as then"
    )


def _worded(window: int | None, overlap: float) -> str:
    if window is None:
        return "whole images unless they are very large"
    return f"in windows of {window} pixels that overlap by {overlap:g}"
