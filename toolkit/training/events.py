"""TensorBoard's event file."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard.writer import SummaryWriter

from toolkit.runtime.files import writing
from toolkit.visualization.drawing import Picture, encode_picture


class EventFile:
    """Writes metrics and pictures for TensorBoard.

    TensorBoard writes in its own thread. An error there is raised by the next call here, as the usual error
    for a run's files; the thread itself does not report it, since it would print a traceback.

    Args:
        folder: the folder of the run.
        first_step: the first step of a resumed run; existing events from there on were written by a killed
            process.

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
        """Add the metrics of a step."""
        with writing(self._folder):
            for name, value in figures.items():
                self._writer.add_scalar(name, value, step)

    def show(self, name: str, picture: Picture, step: int) -> None:
        """Add a picture, uint8 ``[H, W, 3]``, RGB."""
        writer: Any = self._writer  # its own add_image writes PNG
        with writing(self._folder):
            writer._get_file_writer().add_summary(_image_summary(name, picture), step)

    def close(self) -> None:
        """Write what is pending, and close the file."""
        try:
            with writing(self._folder):
                try:
                    # raises the thread's errors, which closing would not
                    self._writer.flush()
                finally:
                    self._writer.close()
        finally:
            threading.excepthook = self._hook

    def _told(self, failure: threading.ExceptHookArgs) -> None:
        is_theirs = type(failure.thread).__module__.startswith("tensorboard.")
        if not (is_theirs and isinstance(failure.exc_value, OSError)):
            self._hook(failure)


def _image_summary(name: str, picture: Picture) -> Summary:
    """A picture for TensorBoard as JPEG, which is much smaller than the PNG that ``add_image`` writes."""
    height, width = picture.shape[:2]
    image = Summary.Image(
        height=height, width=width, colorspace=3, encoded_image_string=encode_picture(picture, ".jpg")
    )
    return Summary(value=[Summary.Value(tag=name, image=image)])
