"""TensorBoard's file of events."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch.utils.tensorboard.writer import SummaryWriter

from toolkit.runtime.files import writing


class EventFile:
    """Writes figures and pictures for TensorBoard.

    TensorBoard writes in a thread of its own. What fails there is raised by the next call here, as the error
    that all files of a run have, and not told by that thread too, which would be a traceback.

    Args:
        folder: of the run.
        first_step: of a run that goes on: events from there on were written by a process that was killed.

    Raises:
        OutputError: when the file cannot be written; all methods do so, too.
    """

    def __init__(self, folder: Path, first_step: int | None = None) -> None:
        self._folder = folder
        self._hook = threading.excepthook
        threading.excepthook = self._told
        try:
            with writing(folder):
                self._writer = SummaryWriter(str(folder), purge_step=first_step)
        except BaseException:
            threading.excepthook = self._hook
            raise

    def write(self, figures: Mapping[str, float], step: int) -> None:
        """Enter the figures of a step."""
        with writing(self._folder):
            for name, value in figures.items():
                self._writer.add_scalar(name, value, step)

    def show(self, name: str, picture: Any, step: int) -> None:
        """Enter a picture, uint8 ``[H, W, 3]``, RGB."""
        with writing(self._folder):
            self._writer.add_image(name, picture, step, dataformats="HWC")

    def close(self) -> None:
        """Write what is left, and close the file."""
        try:
            with writing(self._folder):
                try:
                    # raises what the thread has met; closing would not
                    self._writer.flush()
                finally:
                    self._writer.close()
        finally:
            threading.excepthook = self._hook

    def _told(self, failure: threading.ExceptHookArgs) -> None:
        is_theirs = type(failure.thread).__module__.startswith("tensorboard.")
        if not (is_theirs and isinstance(failure.exc_value, OSError)):
            self._hook(failure)
