"""The files of a run that stopped before its first step: they never block the next try."""

from __future__ import annotations

import shutil
from pathlib import Path

from toolkit.checkpoints import BEST, read_manifest
from toolkit.errors import CheckpointError
from toolkit.reading.figures import METRICS_FILE
from toolkit.runtime.files import UNFINISHED
from toolkit.runtime.locks import LOCK_FILE, holds_nothing, locked
from toolkit.training.history import RESULTS_FILE
from toolkit.training.label_file import LABELS_FILE
from toolkit.training.log import LOG_FILE, last_step
from toolkit.training.pictures import PICTURES

CONFIG_FILE = "config.yaml"

LEFT_BEFORE_STEPS = (
    *(CONFIG_FILE, METRICS_FILE, LOG_FILE, BEST, LOCK_FILE, "events.out.tfevents.*", UNFINISHED),
    *(RESULTS_FILE, LABELS_FILE, *PICTURES),
)
"""Files that a run may have written by then."""

_LEFT_BY_LOGGERS = {
    "csv": ("version_*",),
    "wandb": ("run-*", "offline-run-*", "latest-run", "debug*.log", "settings"),
}
"""Folders that ``train.loggers`` may have created by then, with their possible contents."""


def never_stepped(run: Path) -> bool:
    """Whether a folder contains only the files of a run that stopped before its first step."""
    if run.is_dir() and not run.is_symlink() and holds_nothing(run) and any(run.iterdir()):
        return True
    # Settings alone may be anybody's; with the lock next to them, they belong to a run.
    if not (run / CONFIG_FILE).is_file() or not any((run / n).is_file() for n in (METRICS_FILE, LOCK_FILE)):
        return False
    if not all(_is_left_before_steps(path) for path in run.iterdir()):
        return False
    if (run / METRICS_FILE).is_file() and last_step(run):
        return False
    try:
        best = read_manifest(run / BEST)  # from a validation before the first step
    except CheckpointError:  # damaged, so somebody may want to look at it
        return False
    return best.step == 0 if best else not (run / BEST).exists()


def clear(run: Path) -> None:
    """Empty a folder for which ``never_stepped`` is true. If the process is killed meanwhile, it remains true
    for the rest.
    """
    with locked(run):
        # The settings last: together with the lock, they mark the folder as a run.
        for path in sorted(run.iterdir(), key=lambda path: path.name == CONFIG_FILE):
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != LOCK_FILE:
                path.unlink()


def _is_left_before_steps(path: Path) -> bool:
    if path.is_dir() and not path.is_symlink():
        known = _LEFT_BY_LOGGERS.get(path.name, ())
        return bool(known) and all(any(map(inner.match, known)) for inner in path.iterdir())
    return path.is_file() and any(map(path.match, LEFT_BEFORE_STEPS))
