"""The output of training: metrics.jsonl, train.log, TensorBoard events, and the terminal."""

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
    """Writes the metrics and the messages of one run. Processes other than the first pass ``folder=None``,
    and then nothing is written or printed.

    Args:
        folder: the run's folder.
        start: number of steps done before (0 for a new run); metrics that a killed run wrote after them are
            dropped.
        validated: the step of the last validation whose result is known; metrics of a later one, which is
            repeated, are dropped too.
        steps: total number of steps.
        batch_size: number of images per step in all processes, for the speed.
        eval_every: steps between validations, for the remaining time; None if there are none.
        show_progress: whether to show progress: with a bar on a terminal, elsewhere with an occasional line.
        loggers: additional loggers for the metrics.
        console: the terminal; standard error when None.

    Attributes:
        history: all metrics so far, including those from before a resumed run was stopped.
        pace: the speed of the run.
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
                with contextlib.suppress(OutputError):  # the disk may be full, and that may be the error
                    self.note(f"error: {str(error) or type(error).__name__}")
            status = "success" if error is None else "failed"
            for other in self.loggers:
                self._tell(other, lambda other=other: other.finalize(status))  # type: ignore[misc]
            with contextlib.ExitStack() as stack:
                for each in (self.text, self.file, self.tensorboard):
                    stack.callback(self._close, each, error)

    def _close(self, file: Any, error: BaseException | None) -> None:
        """Close a file; data that a full disk has not accepted yet is written now, which fails again."""
        assert self.folder is not None  # checked by the caller
        if error is None:
            with writing(self.folder):
                file.close()
        else:
            with contextlib.suppress(OSError, OutputError):  # the first error is enough
                file.close()

    def advance(self, step: int, loss: float, lr: float) -> None:
        """Record that a step has been done; if a line is due, show progress."""
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
        """Show the progress of a validation; see ``toolkit.evaluation.driver.measuring``."""
        show, display = self.show_progress, self.display
        with measuring(dataset, on_batch, show=show, display=display, what="validating") as watch:
            yield watch

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        """Write one line in metrics.jsonl, and each metric to TensorBoard; NaN is written as null."""
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
        """Call an additional logger; if it fails, it is turned off, and training continues."""
        try:
            tell()
        except Exception as error:  # such as a lost network; loggers may raise anything
            self.loggers = tuple(each for each in self.loggers if each is not other)
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            name = type(other).__name__
            self.warn(f"{name} failed: {reason}. It is turned off; metrics.jsonl has all metrics")

    def show(self, name: str, picture: Picture, step: int) -> None:
        """Add a picture (uint8 ``[H, W, 3]``, RGB) to TensorBoard."""
        if self.folder is not None:
            self.tensorboard.show(name, picture, step)

    def say(self, text: str) -> None:
        """Print one or more lines for people."""
        if self.folder is not None:
            self.note(text)
            logger.info(text)

    def warn(self, text: str) -> None:
        """Print a warning for people."""
        if self.folder is not None:
            self.note(f"warning: {text}")
            logger.warning("warning: %s", text)

    def note(self, text: str) -> None:
        """Write one or more lines with the time to train.log only."""
        if self.folder is None:
            return
        now = time.strftime("%Y-%m-%d %H:%M:%S")
        with writing(self.text.name):
            self.text.write("".join(f"{now}  {line}\n" for line in text.splitlines()))
            self.text.flush()

    def _take_up(self, path: Path, step: int, validated: int) -> None:
        """Keep the lines up to ``step``, and validations up to ``validated``; a last line that was cut short
        by a kill is removed as well.
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
    """Open a file to append lines; names of images whose bytes are not UTF-8 are written as \\udce9."""
    return io.TextIOWrapper(open_to_append(path), "utf-8", "backslashreplace")


def read_metrics(run: Path) -> list[dict[str, float | None]]:
    """The lines of a run's metrics.jsonl."""
    return read_figures(run / METRICS_FILE)


def last_step(run: Path) -> int:
    """The last step in a run's metrics.jsonl; 0 if there is none."""
    return max((int(figures["step"]) for figures in read_figures(run / METRICS_FILE)), default=0)
