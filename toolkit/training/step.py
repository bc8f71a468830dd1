"""One step of training: forward and backward over the parts of a batch, clipping, the optimizer, and a look
at what it did.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from torch import Tensor, nn

from toolkit.config import TrainSettings
from toolkit.errors import NonFiniteLossError
from toolkit.models.contract import TrainableModel, total_loss
from toolkit.runtime.seeding import seed_everything
from toolkit.training.diagnosis import FIRST_STEPS, Diagnosis
from toolkit.training.freezing import Freezing
from toolkit.training.gradients import measure_update
from toolkit.training.log import Clock, RunLog
from toolkit.training.optimizer import build_optimizer, build_schedule, set_learning_rate
from toolkit.training.state import RESUME_FILE, Progress
from toolkit.types import Sample

MOST_SKIPPED = 20
"""Steps in a row that fp16 may skip while its scale finds its level; a NaN that stays is an error."""


class Stepper:
    """Takes the steps of a run.

    Args:
        options: how to learn.
        steps: in all.
        model: what learns.
        fabric: devices, processes and precision.
        run: the run's folder, for messages.

    Attributes:
        optimizer: as Fabric wraps it.
        diagnosis: follows losses and gradients.

    Raises:
        ConfigError: when settings name a part or step that is not there.
        TrainingError: when nothing in the model is trainable.
    """

    def __init__(
        self, options: TrainSettings, steps: int, model: TrainableModel, fabric: Fabric, run: Path
    ) -> None:
        self.options, self.model, self.fabric, self.run = options, model, fabric, run
        self.factor = build_schedule(options, steps)
        self.freezing = Freezing(model, options.freeze)
        if (
            options.unfreeze_at is None
        ):  # else they are the optimizer's from the start, but get no gradient yet
            self.freezing.hold()
        optimizer = build_optimizer(model, options)
        self.freezing.hold()
        self.module: Any
        self.optimizer: Any
        self.module, self.optimizer = fabric.setup(_LossModule(model), optimizer)
        self.diagnosis = Diagnosis(options)

    def begin(self) -> None:
        """Put the model in training mode, but for what is frozen."""
        self.model.train()
        self.freezing.hold()

    def thaw_when_due(self, step: int, log: RunLog) -> None:
        """Let the frozen parts learn when as many steps were done as the settings say."""
        due = self.options.unfreeze_at
        if due is None or step < due or not self.freezing.holds:
            return
        self.freezing.thaw()
        self.module = self.fabric.setup_module(
            _LossModule(self.model)
        )  # DDP counts what learns when it is made
        log.say(f"step {due}: everything learns from here on")

    def take(
        self, batches: Iterator[list[Sample]], clock: Clock, progress: Progress, log: RunLog, *, logged: bool
    ) -> dict[str, float]:
        """One optimizer step over ``accumulate`` parts of the batch; returns the figures for the log, all of
        them if it is logged.

        Raises:
            NonFiniteLossError: in all processes, and before it reaches the weights, when a loss or gradient
                is NaN or infinite in one.
        """
        options, step = self.options, progress.step
        seed_everything(options.seed, "step", step, self.fabric.global_rank)
        factor = self.factor(step)
        set_learning_rate(self.optimizer, factor)
        losses, names = self._backward(batches, clock)
        limit = options.clip_norm or math.inf
        norm = self.fabric.clip_gradients(
            self.module, self.optimizer, max_norm=limit, error_if_nonfinite=False
        )
        grad_norm = math.nan if norm is None else float(norm)
        loss = self._check(losses, grad_norm, names, progress)
        self.diagnosis.record(loss, grad_norm)

        figures = {"loss": loss, "lr": options.scaled_lr() * factor, "grad_norm": grad_norm}
        clip_ratio = min(1.0, limit / (grad_norm + 1e-6))  # as torch clips
        if options.clip_norm:
            figures["clip_ratio"] = clip_ratio
        if (logged or step < FIRST_STEPS) and self.fabric.is_global_zero and math.isfinite(grad_norm):
            statistics = measure_update(self.model, self.optimizer, clip_ratio)
            figures |= statistics.figures
            for warning in self.diagnosis.check(step + 1, statistics, factor):
                log.warn(warning)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return figures | (self._terms(losses) if logged else {})

    def _backward(self, batches: Iterator[list[Sample]], clock: Clock) -> tuple[dict[str, float], list[str]]:
        """Gradients of the mean loss over the parts; returns this process's losses, and what its samples are
        called.
        """
        parts, losses, names = self.options.accumulate, dict[str, float](), list[str]()
        for part in range(parts):
            with clock.waiting_for_data():
                samples = next(batches)
            names += [sample.path or sample.id for sample in samples]
            with self.fabric.no_backward_sync(self.module, enabled=part < parts - 1):
                terms = self.module(_Opaque(samples))
                self.fabric.backward(total_loss(terms) / parts)
            for name, value in terms.items():
                losses[name] = losses.get(name, 0.0) + value.item() / parts
        return losses, names

    def _check(
        self, losses: dict[str, float], grad_norm: float, names: list[str], progress: Progress
    ) -> float:
        """The mean loss of all processes, if the step may be taken; fp16 may skip a few."""
        bad = {name: value for name, value in losses.items() if not math.isfinite(value)}
        faulty, loss = float(bool(bad) or not math.isfinite(grad_norm)), sum(losses.values())
        if self.fabric.world_size > 1:
            mean = self.fabric.all_reduce(
                torch.tensor([faulty, loss], device=self.fabric.device), reduce_op="mean"
            )
            faulty, loss = torch.as_tensor(mean).tolist()
        if not faulty:
            progress.skipped = 0
            return loss
        progress.skipped += 1
        allowed = (
            MOST_SKIPPED if self.fabric.strategy.precision.state_dict() else 0
        )  # only a GradScaler has a state
        if progress.skipped <= allowed:
            return loss
        what = ", ".join(f"{name} is {value}" for name, value in bad.items())
        if not bad:
            what = (
                f"the gradient's norm is {grad_norm}, though the losses of this process are finite ({losses})"
            )
        saved = (
            f"the last saved state is in {self.run}"
            if (self.run / RESUME_FILE).is_file()
            else "no state was saved yet"
        )
        repair = self.diagnosis.explain(loss, grad_norm) or (
            f"Repair: look at these samples, lower train.lr (now {self.optimizer.param_groups[0]['lr']:.2e}),"
            " or set train.clip_norm, train.warmup_steps or train.precision=fp32"
        )
        raise NonFiniteLossError(
            f"step {progress.step + 1}: {what}, with the samples {', '.join(names)}. The step was not taken;"
            f" {saved}. {repair}"
        )

    def _terms(self, losses: dict[str, float]) -> dict[str, float]:
        """The terms of the loss, where there are several, as the mean of all processes."""
        shares: list[dict[str, float]] = [losses] * self.fabric.world_size
        if self.fabric.world_size > 1:
            dist.all_gather_object(shares, losses)
        names = dict.fromkeys(name for share in shares for name in share)
        if len(names) < 2:
            return {}
        return {f"loss/{name}": sum(share.get(name, 0.0) for share in shares) / len(shares) for name in names}

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run goes on from, beside the model."""
        return {
            "optimizer": self.optimizer.state_dict(),
            "precision": self.fabric.strategy.precision.state_dict(),
            "diagnosis": self.diagnosis.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state."""
        self.optimizer.load_state_dict(state["optimizer"])
        self.fabric.strategy.precision.load_state_dict(state["precision"])
        self.diagnosis.load_state_dict(state.get("diagnosis", {}))


class _Opaque:
    """Samples on their way through Fabric and DDP, which would otherwise look inside and try to copy them."""

    def __init__(self, samples: list[Sample]) -> None:
        self.samples = samples


class _LossModule(nn.Module):
    """The model as DDP wants it: ``forward`` is the loss."""

    def __init__(self, model: TrainableModel) -> None:
        super().__init__()
        self.model = model
        self.unused = nn.Parameter(
            torch.zeros(())
        )  # DDP looks for unused parameters, and warns in every process when it finds none

    def forward(self, batch: _Opaque) -> dict[str, Tensor]:
        return self.model.loss(batch.samples)
