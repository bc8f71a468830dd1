"""What training tells: metrics.jsonl, TensorBoard events, and the terminal."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from torch.utils.tensorboard.writer import SummaryWriter

from toolkit.runtime.files import atomic_write

logger = logging.getLogger("toolkit")

METRICS_FILE = "metrics.jsonl"


class RunLog:
    """Writes the figures of one run. A process other than the first passes ``folder=None`` and nothing is
    written.

    Args:
        folder: the run's folder.
        start: steps that were done before (0 for a new run); later lines of a killed run are dropped.
        steps: steps in all, for the progress bar.
        show_progress: whether to draw a bar when the terminal allows it.
    """

    def __init__(self, folder: Path | None, *, start: int, steps: int, show_progress: bool) -> None:
        self.folder = folder
        self.start, self.steps = start, steps
        console = Console(stderr=True)
        self.progress = Progress(
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            disable=folder is None or not show_progress or not console.is_terminal,
            transient=True,
        )
        if folder is not None:
            self._drop_lines_after(folder / METRICS_FILE, start)

    def __enter__(self) -> RunLog:
        self.progress.__enter__()
        self.task = self.progress.add_task("train", total=self.steps, completed=self.start, figures="")
        if self.folder is not None:
            self.tensorboard = SummaryWriter(str(self.folder), purge_step=self.start or None)
            self.file = (self.folder / METRICS_FILE).open("a", encoding="utf-8")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.__exit__(kind, error, trace)
        if self.folder is not None:
            self.tensorboard.close()
            self.file.close()

    def advance(self, step: int, loss: float, lr: float) -> None:
        """Move the progress bar to ``step``."""
        self.progress.update(self.task, completed=step, figures=f"loss {loss:.4f} lr {lr:.2e}")

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        """One line in metrics.jsonl, and each figure in TensorBoard; NaN is written as null."""
        if self.folder is None:
            return
        line = {
            "step": step,
            **{name: value if math.isfinite(value) else None for name, value in figures.items()},
        }
        self.file.write(json.dumps(line) + "\n")
        self.file.flush()
        for name, value in figures.items():
            self.tensorboard.add_scalar(name, value, step)

    def say(self, text: str) -> None:
        """A line for people."""
        if self.folder is not None:
            logger.info(text)

    def warn(self, text: str) -> None:
        """A line for people that something is wrong."""
        if self.folder is not None:
            logger.warning("warning: %s", text)

    @staticmethod
    def _drop_lines_after(path: Path, step: int) -> None:
        """Keep the lines up to ``step``; a last line that a kill cut short goes too."""
        if not path.exists():
            return
        kept = []
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                if json.loads(line)["step"] <= step:
                    kept.append(line)
            except ValueError:
                continue
        with atomic_write(path, "w") as file:
            file.write("".join(f"{line}\n" for line in kept))


def read_metrics(run: Path) -> list[dict[str, float | None]]:
    """The lines of a run's metrics.jsonl."""
    return [json.loads(line) for line in (run / METRICS_FILE).read_text(encoding="utf-8").splitlines()]


def last_step(run: Path) -> int:
    """The last step that a run's metrics.jsonl knows of; 0 where there is none. A line that was cut off by a
    kill is passed over.
    """
    last = 0
    for line in (run / METRICS_FILE).read_text(encoding="utf-8", errors="replace").splitlines():
        with contextlib.suppress(ValueError, KeyError, TypeError):
            last = max(last, int(json.loads(line)["step"]))
    return last


class Clock:
    """Where the time goes: images a second, and the part of the time spent waiting for data."""

    def __init__(self) -> None:
        self._restart()

    def _restart(self) -> None:
        self.began, self.waited, self.images = time.perf_counter(), 0.0, 0

    @contextmanager
    def waiting_for_data(self) -> Iterator[None]:
        """Count what happens inside as waiting."""
        began = time.perf_counter()
        yield
        self.waited += time.perf_counter() - began

    def figures(self) -> dict[str, float]:
        """The figures since the last call; ``images`` is counted up by the caller."""
        passed = max(time.perf_counter() - self.began, 1e-9)
        figures = {"images_per_second": self.images / passed, "data_wait": self.waited / passed}
        self._restart()
        return figures
