"""Ensures that a run saves no NaN or infinite values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from torch import Tensor

from toolkit.errors import NonFiniteLossError
from toolkit.training.diagnosis import Diagnosis
from toolkit.training.state import RESUME_FILE, Progress

MOST_SKIPPED = 20
"""Number of consecutive steps that fp16 may skip while its scale adapts; a persistent NaN is an error."""


@dataclass(frozen=True)
class _Watched:
    """The values of one step to be checked, on their way from the device."""

    step: int
    lr: float
    terms: tuple[str, ...]
    sample_names: Sequence[str]
    numbers: Tensor
    arrived: torch.cuda.Event | None

    def read(self) -> list[float]:
        """The values; waits only for this step, and not for work that was queued after it."""
        if self.arrived is not None:
            self.arrived.synchronize()
        values: list[float] = self.numbers.tolist()
        return values


class LossGuard:
    """Checks the losses and the gradient norm of every step.

    On a CPU it checks before the step is taken. On other devices checking means waiting for the values, so
    they stay there and are checked one step later, or when ``settle`` is called, which happens before
    anything is measured or saved.

    Args:
        fabric: devices and processes.
        diagnosis: records the figures of every step.
        progress: counts the steps that fp16 skips.
        run: the run's folder, for messages.
        delayed: whether to check one step later; None decides by the device.

    Attributes:
        loss: mean over the processes of the total loss of the last step that was checked; NaN before.
        grad_norm: the gradient norm of that step, before clipping.
        terms: the losses of that step by name, in this process.
    """

    def __init__(
        self,
        fabric: Fabric,
        diagnosis: Diagnosis,
        progress: Progress,
        run: Path,
        *,
        delayed: bool | None = None,
    ) -> None:
        self.fabric, self.diagnosis, self.progress, self.run = fabric, diagnosis, progress, run
        self.delayed = fabric.device.type != "cpu" if delayed is None else delayed
        self.loss = self.grad_norm = math.nan
        self.terms: dict[str, float] = {}
        self._watched: _Watched | None = None

    def watch(
        self,
        step: int,
        losses: Mapping[str, Tensor],
        grad_norm: Tensor | None,
        *,
        sample_names: Sequence[str],
        lr: float,
    ) -> None:
        """Check a step that is about to be taken, now or one step later; first check the step before, if that
        is pending.

        Args:
            step: its number, from 1.
            losses: losses of this process by name, as scalars on the device.
            grad_norm: a scalar on the device; None if there is no gradient.
            sample_names: names of its samples, for the message.
            lr: the learning rate, for the message.

        Raises:
            NonFiniteLossError: in all processes, when a loss or gradient is NaN or infinite in one.
        """
        self.settle()
        norm = torch.full((), math.nan, device=self.fabric.device) if grad_norm is None else grad_norm
        own = torch.stack([*(value.detach().float() for value in losses.values()), norm.detach().float()])
        shared = torch.stack([(~torch.isfinite(own)).any().float(), own[:-1].sum()])
        if self.fabric.world_size > 1:
            shared = torch.as_tensor(self.fabric.all_reduce(shared, reduce_op="mean"))
        numbers, arrived = _towards_host(torch.cat([shared, own]))
        self._watched = _Watched(step, lr, tuple(losses), sample_names, numbers, arrived)
        if not self.delayed:
            self.settle()

    def settle(self) -> None:
        """Check what has not been checked yet.

        Raises:
            NonFiniteLossError: as ``watch``.
        """
        watched, self._watched = self._watched, None
        if watched is None:
            return
        faulty, self.loss, *own, self.grad_norm = watched.read()
        self.terms = dict(zip(watched.terms, own, strict=True))
        self.diagnosis.record(self.loss, self.grad_norm)
        if not faulty:
            self.progress.skipped = 0
            return
        self.progress.skipped += 1
        can_skip = bool(self.fabric.strategy.precision.state_dict())  # only a GradScaler has a state
        if self.progress.skipped > (MOST_SKIPPED if can_skip else 0):
            raise NonFiniteLossError(self._message(watched))

    def figures(self, lr: float, clip_norm: float | None) -> dict[str, float]:
        """Loss and gradient norm of the last step that was checked, its learning rate, and the terms of the
        loss, if there are several, as the mean over all processes; all of them must call it.

        Args:
            lr: the learning rate of that step.
            clip_norm: the norm that the gradient was clipped to, if it was.
        """
        figures = {"loss": self.loss, "lr": lr, "grad_norm": self.grad_norm}
        if clip_norm:
            figures["clip_ratio"] = self.clip_ratio(clip_norm)
        shares: list[dict[str, float]] = [self.terms] * self.fabric.world_size
        if self.fabric.world_size > 1:
            dist.all_gather_object(shares, self.terms)
        names = dict.fromkeys(name for share in shares for name in share)
        if len(names) > 1:
            figures |= {f"loss/{n}": sum(s.get(n, 0.0) for s in shares) / len(shares) for n in names}
        return figures

    def clip_ratio(self, clip_norm: float | None) -> float:
        """The factor by which torch's clipping multiplied the gradient."""
        return min(1.0, (clip_norm or math.inf) / (self.grad_norm + 1e-6))

    def _message(self, watched: _Watched) -> str:
        bad = [f"{name} is {value}" for name, value in self.terms.items() if not math.isfinite(value)]
        if not bad and math.isfinite(self.grad_norm):
            bad = ["a loss or gradient of another process is not finite, and that process says which"]
        what = ", ".join(bad) or (
            f"the gradient's norm is {self.grad_norm}, though the losses of this process are finite"
            f" ({self.terms})"
        )
        taken = "Nothing of that step was saved" if self.delayed else "The step was not taken"
        has_state = (self.run / RESUME_FILE).is_file()
        saved = f"the last saved state is in {self.run}" if has_state else "no state was saved yet"
        hint = self.diagnosis.explain(self.loss, self.grad_norm) or (
            f"Hint: look at these samples, lower train.lr (now {watched.lr:.2e}), or set train.clip_norm,"
            " train.warmup_steps or train.precision=fp32"
        )
        names = ", ".join(watched.sample_names)
        return f"step {watched.step}: {what}, in a batch with the samples {names}. {taken}; {saved}. {hint}"


def _towards_host(numbers: Tensor) -> tuple[Tensor, torch.cuda.Event | None]:
    """Send numbers to the host without waiting for them; the event signals when they have arrived."""
    if numbers.device.type != "cuda":
        return numbers, None
    host = torch.empty(numbers.shape, dtype=numbers.dtype, pin_memory=True)
    host.copy_(numbers, non_blocking=True)
    arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
    arrived.record()
    return host, arrived
