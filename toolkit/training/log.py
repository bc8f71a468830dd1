"""What training tells: metrics.jsonl, train.log, TensorBoard events, and the terminal."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from lightning_fabric.loggers.logger import Logger
from rich.console import Console

from toolkit.data.dataset import Dataset
from toolkit.errors import OutputError
from toolkit.evaluation.driver import PredictedBatch, measuring
from toolkit.reading.figures import METRICS_FILE, read_figures
from toolkit.runtime.files import atomic_write, open_to_append, writing
from toolkit.runtime.progress import Display
from toolkit.training.events import EventFile
from toolkit.training.history import History
from toolkit.training.pace import Pace
from toolkit.visualization.drawing import Picture
from toolkit.wording import in_words

logger = logging.getLogger("toolkit")

LOG_FILE = "train.log"


class RunLog:
    """Writes the figures of one run, and what it says. A process other than the first passes ``folder=None``,
    and then nothing is written or said.

    Args:
        folder: the run's folder.
        start: steps that were done before (0 for a new run); figures that a killed run wrote after them are
            dropped.
        validated: the step of the last validation whose outcome is known; figures of one after that, which is
            done again, are dropped too.
        steps: steps in all.
        batch_size: images that a step sees in all processes, for the pace.
        eval_every: steps between validations, for the time that is left; None where there are none.
        show_progress: whether to show how far the run is: by a bar on a terminal, elsewhere by a line now and
            then.
        loggers: get the figures too.
        console: the terminal; standard error when None.

    Attributes:
        history: all figures so far, those of a resumed run's first part too.
        pace: how fast the run is.
    """

    def __init__(
        self,
        folder: Path | None,
        *,
        start: int,
        steps: int,
        validated: int | None = None,
        batch_size: int = 1,
        eval_every: int | None = None,
        show_progress: bool = False,
        loggers: Sequence[Logger] = (),
        console: Console | None = None,
    ) -> None:
        self.folder = folder
        self.start, self.steps, self.batch_size = start, steps, batch_size
        self.loggers = tuple(loggers)
        self.show_progress = show_progress and folder is not None
        self.display = Display(show=self.show_progress, console=console)
        self.pace = Pace(start, steps, eval_every)
        self.history = History()
        self._estimated = False
        if folder is not None:
            self._take_up(folder / METRICS_FILE, start, start if validated is None else validated)

    def __enter__(self) -> RunLog:
        with contextlib.ExitStack() as opened:
            if self.folder is not None:
                self.file = opened.enter_context(_appended(self.folder / METRICS_FILE))
                self.text = opened.enter_context(_appended(self.folder / LOG_FILE))
                self.tensorboard = EventFile(self.folder, self.start or None)
            opened.pop_all()
        self.display.__enter__()
        self.bar = self.display.add("training", self.steps, self.start)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.display.__exit__(kind, error, trace)
        if self.folder is not None:
            if error is not None:
                with contextlib.suppress(OutputError):  # perhaps the disk is full, and that is the error
                    self.note(f"error: {str(error) or type(error).__name__}")
            status = "success" if error is None else "failed"
            for other in self.loggers:
                self._tell(other, lambda other=other: other.finalize(status))  # type: ignore[misc]
            with contextlib.ExitStack() as stack:
                for each in (self.text, self.file, self.tensorboard):
                    stack.callback(self._close, each, error)

    def _close(self, file: Any, error: BaseException | None) -> None:
        """Close a file; what a full disk has not taken yet is written now, and fails again."""
        assert self.folder is not None  # the caller saw to it
        if error is None:
            with writing(self.folder):
                file.close()
        else:
            with contextlib.suppress(OSError, OutputError):  # the first error says enough
                file.close()

    def advance(self, step: int, loss: float, lr: float) -> None:
        """A step has been done; where it is time for it, say how far the run is."""
        pace = self.pace
        pace.stepped()
        if self.folder is None:
            return
        left = f"{in_words(pace.seconds_left(step))} left" if step < self.steps else "done"
        rate = self.batch_size / max(pace.seconds_per_step, 1e-9)
        speed = f"{rate:.1f} images/s" if rate < 100 else f"{rate:.0f} images/s"
        self.bar.update(step, f"{left}  loss {loss:.4f}  lr {lr:.1e}  {speed}")
        if not self._estimated and pace.is_trusted:
            self._estimated = True
            self.say(f"At the pace of the first steps, this takes {in_words(pace.seconds_left(step))} more")
        if pace.line_is_due(step):
            line = f"step {step}/{self.steps}  loss {loss:.4f}  lr {lr:.1e}  {speed}  {left}"
            self.note(line)
            if self.show_progress and not self.display.is_drawn:
                logger.info(line)

    @contextmanager
    def validating(
        self, dataset: Dataset, on_batch: Callable[[PredictedBatch], None]
    ) -> Iterator[Callable[[PredictedBatch], None]]:
        """Show how far a validation is; as ``toolkit.evaluation.driver.measuring``."""
        show, display = self.show_progress, self.display
        with measuring(dataset, on_batch, show=show, display=display, what="validating") as watch:
            yield watch

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        """One line in metrics.jsonl, and each figure in TensorBoard; NaN is written as null."""
        if self.folder is None:
            return
        line = {
            "step": step,
            **{name: value if math.isfinite(value) else None for name, value in figures.items()},
        }
        self.history.add(step, figures)
        with writing(self.file.name):
            self.file.write(json.dumps(line) + "\n")
            self.file.flush()
        self.tensorboard.write(figures, step)
        for other in self.loggers:
            self._tell(other, lambda other=other: other.log_metrics(dict(figures), step))  # type: ignore[misc]

    def _tell(self, other: Logger, tell: Callable[[], None]) -> None:
        """Tell another logger something; one that fails is told nothing any more, and stops nothing."""
        try:
            tell()
        except Exception as error:  # a network that was lost, say; they raise whatever they like
            self.loggers = tuple(each for each in self.loggers if each is not other)
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            name = type(other).__name__
            self.warn(f"{name} failed: {reason}. It is turned off; metrics.jsonl has all metrics")

    def show(self, name: str, picture: Picture, step: int) -> None:
        """A picture (uint8 ``[H, W, 3]``, RGB) for TensorBoard."""
        if self.folder is not None:
            self.tensorboard.show(name, picture, step)

    def say(self, text: str) -> None:
        """A line for people, or several."""
        if self.folder is not None:
            self.note(text)
            logger.info(text)

    def warn(self, text: str) -> None:
        """A line for people that something is wrong."""
        if self.folder is not None:
            self.note(f"warning: {text}")
            logger.warning("warning: %s", text)

    def note(self, text: str) -> None:
        """A line for train.log alone, or several, with the time."""
        if self.folder is None:
            return
        now = time.strftime("%Y-%m-%d %H:%M:%S")
        with writing(self.text.name):
            self.text.write("".join(f"{now}  {line}\n" for line in text.splitlines()))
            self.text.flush()

    def _take_up(self, path: Path, step: int, validated: int) -> None:
        """Keep the lines up to ``step``, and of validations those up to ``validated``; a last line that a
        kill cut short goes too.
        """
        if not path.exists():
            return
        kept = [
            figures
            for figures in read_figures(path)
            if figures["step"] <= (min(step, validated) if _is_validation(figures) else step)
        ]
        for figures in kept:
            self.history.add(int(figures["step"]), {k: v for k, v in figures.items() if k != "step"})
        with atomic_write(path, "w") as file:
            file.write("".join(json.dumps(figures) + "\n" for figures in kept))


def _is_validation(figures: dict[str, Any]) -> bool:
    return any(name.startswith("val/") for name in figures)


def _appended(path: Path) -> TextIO:
    """A file that lines are added to; names of images whose bytes are not UTF-8 are written as \\udce9."""
    return io.TextIOWrapper(open_to_append(path), "utf-8", "backslashreplace")


def read_metrics(run: Path) -> list[dict[str, float | None]]:
    """The lines of a run's metrics.jsonl."""
    return read_figures(run / METRICS_FILE)


def last_step(run: Path) -> int:
    """The last step that a run's metrics.jsonl knows of; 0 where there is none."""
    return max((int(figures["step"]) for figures in read_figures(run / METRICS_FILE)), default=0)
