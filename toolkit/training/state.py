"""The state from which ``--resume`` continues: one file, written atomically, that contains everything that
training changes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import ConfigDict, Field, Strict
from torch import Tensor

from toolkit.errors import CheckpointError
from toolkit.reading.fields import Count, Schema
from toolkit.reading.files import is_there
from toolkit.reading.records import record
from toolkit.runtime.files import atomic_write
from toolkit.runtime.torch_files import load_torch

RESUME_FILE = "resume.pt"

_HINT = "start a new run from the weights of this one, with weights={} and another --out"


@dataclass
class Progress:
    """The progress of a run.

    Attributes:
        step: number of optimizer steps done.
        best: the best value of the chosen metric so far; NaN before the first validation.
        best_step: the step at which it was reached.
        stale: number of validations since then, for early stopping.
        skipped: number of consecutive steps that fp16 skipped because the loss or gradient overflowed.
        untrained: the metrics before the first step, if they were measured.
        validated: the step of the last validation; -1 before the first.
    """

    step: int = 0
    best: float = math.nan
    best_step: int = 0
    stale: int = 0
    skipped: int = 0
    untrained: dict[str, float] = field(default_factory=dict)
    validated: int = -1

    def forget_best(self) -> None:
        """Restart the search for the best value, for example if something else is measured."""
        self.best, self.best_step, self.stale, self.untrained = math.nan, 0, 0, {}
        self.validated = -1

    def compare(self, metric: str) -> str:
        """What to print after a metric: its value before training, if that was measured; empty before the
        first step.
        """
        return f" (untrained {self.untrained[metric]:.4f})" if self.step and metric in self.untrained else ""


class _Progress(Schema):
    """A ``Progress`` in a file."""

    step: Count
    best: float
    best_step: Count
    stale: Count
    skipped: Count
    untrained: dict[str, float]
    validated: Annotated[int, Strict(), Field(ge=-1, lt=2**63)]


class _Origin(Schema):
    name: str
    license: str


class _Data(Schema):
    classes: tuple[str, ...]
    fingerprint: str
    digests: dict[int, str]


class _State(Schema):
    """The contents of the file, which may come from somebody else."""

    model_config = ConfigDict(extra="ignore", frozen=True, arbitrary_types_allowed=True)

    progress: _Progress
    model: dict[str, Any]
    start_weights: _Origin
    optimizer: dict[str, Any]
    precision: dict[str, Any]
    diagnosis: dict[str, Any] = Field(default_factory=dict)
    data: _Data | None = None
    measured: dict[str, str] = Field(default_factory=dict)
    ema: dict[str, Tensor] = Field(default_factory=dict)


def save_state(folder: Path, progress: Progress, **parts: dict[str, Any]) -> None:
    """Write the progress and the state dicts of model, optimizer, … to the run's folder.

    Raises:
        OutputError: when the file cannot be written; the older one stays as it was.
    """
    with atomic_write(folder / RESUME_FILE, "wb") as file:
        torch.save({"progress": vars(progress), **parts}, file)


def load_state(folder: Path) -> tuple[Progress, dict[str, Any]]:
    """Read back what ``save_state`` wrote; never runs code from the file.

    Raises:
        CheckpointError: when the file is missing or damaged.
    """
    path = folder / RESUME_FILE
    if not is_there(path):
        raise CheckpointError(
            f"{folder} cannot be resumed: it has no {RESUME_FILE}, so no step was saved. Hint: start it"
            " again without --resume"
        )
    try:
        parts = load_torch(path, "the state of a run", CheckpointError)
    except CheckpointError:
        raise
    except Exception as error:  # torch raises many kinds for damaged files
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        if "weights_only" in reason:  # with torch's advice to switch the protection off
            reason = "it contains something other than the toolkit saves"
        raise CheckpointError(
            f"{path} is damaged or not safe to open: {reason}. Hint: {_HINT.format(folder)}"
        ) from None
    state = record(parts, _State, source=str(path), error=CheckpointError, hint=_HINT.format(folder))
    return Progress(**vars(state.progress)), {
        name: value for name, value in parts.items() if name in _State.model_fields and name != "progress"
    }
