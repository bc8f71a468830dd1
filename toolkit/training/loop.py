"""The training loop, top to bottom: settings in, a run's folder out."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer

import toolkit
from toolkit import registry
from toolkit.checkpoints import BEST, LAST, CheckpointManifest, save_checkpoint
from toolkit.config import RunSettings
from toolkit.errors import NonFiniteLossError, UsageError
from toolkit.evaluation.protocols import by_protocol
from toolkit.evaluation.report import is_better
from toolkit.files import atomic_write, remove_unfinished
from toolkit.model import TrainableModel, total_loss
from toolkit.training.assembly import StartWeights, build_evaluators, build_model, open_splits
from toolkit.training.devices import is_first_process, make_fabric, naming_lost_peers, synchronise_batchnorm
from toolkit.training.folder import CONFIG_FILE, check_folder
from toolkit.training.freezing import Freezing
from toolkit.training.interrupts import Interrupts
from toolkit.training.log import Clock, RunLog
from toolkit.training.optimizer import Ema, build_optimizer, build_schedule, set_learning_rate, warmup_steps
from toolkit.training.parts import parts_table
from toolkit.training.state import RESUME_FILE, Progress, load_state, save_state
from toolkit.training.stream import seed_everything, training_batches
from toolkit.training.validation import evaluate
from toolkit.types import Sample

MOST_SKIPPED = 20
"""Steps in a row that fp16 may skip while its scale finds its level; a NaN that stays is an error."""


@dataclass(frozen=True)
class TrainResult:
    """What came of a run.

    Attributes:
        run: its folder.
        steps: optimizer steps done.
        finished: False when it was interrupted and can be resumed.
        best_metric, best: the metric that chose the best checkpoint, and its value (NaN without validation).
        is_first_process: whether this process of a distributed run is the one that writes and speaks.
    """

    run: Path
    steps: int
    finished: bool
    best_metric: str
    best: float
    is_first_process: bool = True


def train(settings: RunSettings, run: str | Path, *, resume: bool = False, show_progress: bool = False) -> TrainResult:
    """Train the model that the settings describe, and keep everything in the folder ``run``.

    Args:
        settings: from ``toolkit.config.resolve``.
        run: the run's folder; must be new or empty unless ``resume``.
        resume: go on from the last saved state. A CPU run ends with the same weights, bit for bit, as one never stopped.
        show_progress: draw a progress bar on standard error.

    Raises:
        UsageError: when the folder holds another run already.
        NonFiniteLossError: when a loss or gradient becomes NaN or infinite; names step, loss and samples.
        ToolkitError: whatever is wrong with plugin, data, weights or disk.
    """
    run = Path(run)
    options = settings.train
    fabric = make_fabric(accelerator=options.accelerator, devices=options.devices, precision=options.precision, num_nodes=options.num_nodes)
    if is_first_process():
        check_folder(run, settings, resume)
    fabric.launch()
    trainer = _Trainer(settings, run, fabric, resume)
    if fabric.is_global_zero:  # only now, so that a run that cannot start leaves no folder in the way of the next try
        remove_unfinished(run)
        with atomic_write(run / CONFIG_FILE, "w") as file:
            file.write(settings.to_yaml())
    folder = run if fabric.is_global_zero else None
    with RunLog(folder, start=trainer.progress.step, steps=trainer.steps, show_progress=show_progress) as log, naming_lost_peers(fabric):
        return trainer.fit(log)


class _Trainer:
    """One run: the parts that it is made of, and the loop over them."""

    def __init__(self, settings: RunSettings, run: Path, fabric: Fabric, resume: bool) -> None:
        self.settings, self.run, self.fabric = settings, run, fabric
        options = settings.train
        self.plugin = registry.named(registry.plugins(), settings.plugin)
        self.train_set, self.val_set = open_splits(settings)
        self.steps = options.steps or max(1, math.ceil((options.epochs or 0) * len(self.train_set) / options.batch_size))
        self.evaluators = build_evaluators(settings, self.train_set.classes)
        self.factor = build_schedule(options, self.steps)
        self.eval_every = options.eval_every or max(1, self.steps // 10)

        seed_everything(options.seed, "model")  # every process starts from the same weights
        resume = resume and (run / RESUME_FILE).is_file()
        self.model, self.start_weights = build_model(settings, self.plugin, self.train_set.classes, with_weights=not resume)
        self.evaluators = by_protocol(self.evaluators, self.model)
        synchronise_batchnorm(self.model, fabric)
        self.freezing = Freezing(self.model, options.freeze)
        if options.unfreeze_at is None:  # else they are the optimizer's from the start, but get no gradient yet
            self.freezing.hold()
        optimizer = build_optimizer(self.model, options)
        self.freezing.hold()
        self.module, self.optimizer = _setup(fabric, self.model, optimizer)
        self.ema = Ema(self.model, options.ema) if options.ema else None
        self.progress = Progress()
        if resume:
            self._restore()
        self.best_metric = self._choose_best_metric()

    def fit(self, log: RunLog) -> TrainResult:
        """The loop."""
        self.model.train()
        self.freezing.hold()
        self._thaw_when_due(log)
        self._introduce(log)
        options, progress = self.settings.train, self.progress
        batches = training_batches(
            self.train_set,
            self._transform(),
            seed=options.seed,
            batch_size=options.batch_size,
            accumulate=options.accumulate,
            rank=self.fabric.global_rank,
            world=self.fabric.world_size,
            start=progress.step,
            steps=self.steps,
            workers=options.workers,
        )
        if options.eval_first and not progress.step:
            self._validate(log)
        clock = Clock()
        with Interrupts(enabled=self.fabric.world_size == 1) as interrupts:
            while progress.step < self.steps and not self._stale() and not interrupts.noticed:
                self._thaw_when_due(log)
                figures = self._step(batches, clock)
                progress.step += 1
                clock.images += options.batch_size
                if self.ema:
                    self.ema.update(self.model, progress.step)
                log.advance(progress.step, figures["loss"], figures["lr"])
                last = progress.step == self.steps
                if progress.step % options.log_every == 0 or last:
                    log.write(progress.step, figures | clock.figures())
                if progress.step % self.eval_every == 0 or last:
                    self._validate(log)
                if progress.step % options.checkpoint_every == 0 or last or interrupts.noticed or self._stale():
                    self._save()
        return self._conclude(log)

    def _thaw_when_due(self, log: RunLog) -> None:
        """Let the frozen parts learn once the step has come that the settings name."""
        due = self.settings.train.unfreeze_at
        if due is None or self.progress.step < due or not self.freezing.holds:
            return
        self.freezing.thaw()
        self.module = self.fabric.setup_module(_LossModule(self.model))  # DDP counts what learns when it is made
        log.say(f"step {due}: everything learns from here on")

    def _step(self, batches: Iterator[list[Sample]], clock: Clock) -> dict[str, float]:
        """One optimizer step over ``accumulate`` parts of the batch; returns the figures for the log."""
        options, progress = self.settings.train, self.progress
        seed_everything(options.seed, "step", progress.step, self.fabric.global_rank)
        set_learning_rate(self.optimizer, self.factor(progress.step))
        sums: dict[str, float] = {}
        names: list[str] = []
        for part in range(options.accumulate):
            with clock.waiting_for_data():
                samples = next(batches)
            names += [sample.path or sample.id for sample in samples]
            is_last = part == options.accumulate - 1
            with self.fabric.no_backward_sync(self.module, enabled=not is_last):
                losses = self.module(_Opaque(samples))
                self.fabric.backward(total_loss(losses) / options.accumulate)
            for name, value in losses.items():
                sums[name] = sums.get(name, 0.0) + value.item() / options.accumulate
        limit = options.clip_norm or math.inf
        norm = self.fabric.clip_gradients(self.module, self.optimizer, max_norm=limit, error_if_nonfinite=False)
        grad_norm = math.nan if norm is None else float(norm)
        self._guard(sums, grad_norm, names)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        figures = {"loss": sum(sums.values()), "lr": self.optimizer.param_groups[0]["lr"], "grad_norm": grad_norm}
        return figures | ({f"loss/{name}": value for name, value in sums.items()} if len(sums) > 1 else {})

    def _guard(self, losses: dict[str, float], grad_norm: float, names: list[str]) -> None:
        """Stop on a loss or gradient that is not finite, in all processes and before it reaches the weights; fp16 may skip a few steps."""
        bad = {name: value for name, value in losses.items() if not math.isfinite(value)}
        faulty = torch.tensor(float(bool(bad) or not math.isfinite(grad_norm)), device=self.fabric.device)
        if not bool(torch.as_tensor(self.fabric.all_reduce(faulty, reduce_op="sum"))):
            self.progress.skipped = 0
            return
        self.progress.skipped += 1
        allowed = MOST_SKIPPED if self.fabric.strategy.precision.state_dict() else 0  # only a GradScaler has a state
        if self.progress.skipped <= allowed:
            return
        what = ", ".join(f"{name} is {value}" for name, value in bad.items())
        if not bad:
            what = f"the gradient's norm is {grad_norm}, though the losses of this process are finite ({losses})"
        saved = f"the last saved state is in {self.run}" if (self.run / RESUME_FILE).is_file() else "no state was saved yet"
        raise NonFiniteLossError(
            f"step {self.progress.step + 1}: {what}, with the samples {', '.join(names)}. The step was not taken; {saved}. "
            f"Repair: look at these samples, lower train.lr (now {self.optimizer.param_groups[0]['lr']:.2e}), "
            "or set train.clip_norm, train.warmup_steps or train.precision=fp32"
        )

    def _validate(self, log: RunLog) -> None:
        """Measure, log, and keep the best."""
        if self.val_set is None:
            return
        progress, options = self.progress, self.settings.train
        with self._averaged_weights():
            validation = evaluate(
                self.model,
                self.val_set,
                self.evaluators,
                batch_size=options.eval_batch_size,
                workers=options.workers,
                with_loss=True,
                autocast=self.fabric.autocast(),
            )
            metrics = validation.metrics()
            loss = sum(validation.losses.values())
            value = (metrics | {"loss": loss})[self.best_metric]
            improved = is_better(self.best_metric, value, progress.best)
            if improved:
                progress.best, progress.best_step, progress.stale = value, progress.step, 0
                self._checkpoint(BEST, metrics)
            else:
                progress.stale += 1
        figures = {f"val/{name}": number for name, number in metrics.items()}
        figures |= {"val/loss": loss}
        figures |= {f"val/loss/{name}": number for name, number in validation.losses.items() if len(validation.losses) > 1}
        log.write(progress.step, figures)
        if not progress.step:
            progress.untrained = metrics
        shown = ", ".join(f"{name} {metrics[name]:.4f}{progress.compare(name)}" for name in validation.headline())
        log.say(f"step {progress.step}: val loss {loss:.4f}, {shown}{' (best so far)' if improved else ''}")

    def _choose_best_metric(self) -> str:
        """The metric that the best checkpoint is chosen by; known before the first step, because an empty report names its metrics too."""
        known = [name for evaluator in self.evaluators for name in evaluator.report().metrics] + ["loss"]
        chosen = self.settings.train.best_metric or known[0]
        if chosen not in known:
            raise UsageError(f"train.best_metric={chosen} is not measured. There are: {', '.join(known)}")
        return chosen

    def _stale(self) -> bool:
        patience = self.settings.train.patience
        return patience is not None and self.progress.stale >= patience

    @contextmanager
    def _averaged_weights(self) -> Iterator[None]:
        """The model with its moving average in place of its weights, where there is one."""
        if self.ema is None:
            yield
            return
        own = {name: value.clone() for name, value in self.model.state_dict().items()}
        self.model.load_state_dict(self.ema.average)
        try:
            yield
        finally:
            self.model.load_state_dict(own)

    def _checkpoint(self, name: str, metrics: dict[str, float]) -> None:
        """Write the weights that the model has now, with their manifest."""
        if self.fabric.is_global_zero:
            save_checkpoint(self.run / name, self.model.state_dict(), self._manifest(metrics))
        self.fabric.barrier()

    def _save(self) -> None:
        """Write the state to resume from, then ``last.safetensors``."""
        if self.fabric.is_global_zero:
            parts = {
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "precision": self.fabric.strategy.precision.state_dict(),
                "start_weights": {"name": self.start_weights.name, "licence": self.start_weights.licence},
            }
            save_state(self.run, self.progress, **parts, **({"ema": self.ema.average} if self.ema else {}))
        with self._averaged_weights():
            self._checkpoint(LAST, {})

    def _restore(self) -> None:
        self.progress, parts = load_state(self.run)
        self.start_weights = StartWeights(**parts["start_weights"])
        self.model.load_state_dict(parts["model"])
        self.optimizer.load_state_dict(parts["optimizer"])
        self.fabric.strategy.precision.load_state_dict(parts["precision"])
        if self.ema:
            self.ema.load(parts["ema"])

    def _manifest(self, metrics: dict[str, float]) -> CheckpointManifest:
        settings = self.settings
        return CheckpointManifest(
            plugin=self.plugin.name,
            plugin_version=self.plugin.version,
            task=self.plugin.task,
            classes=tuple(self.train_set.classes),
            palette=self.train_set.palette,
            model=settings.model.model_dump(mode="json"),
            config=settings.model_dump(mode="json"),
            dataset={"name": settings.data.name, "split": settings.data.train_split, "fingerprint": self.train_set.fingerprint()},
            start_weights={"name": self.start_weights.name, "licence": self.start_weights.licence},
            metrics={name: value if math.isfinite(value) else None for name, value in metrics.items()},
            step=self.progress.step,
            toolkit=toolkit.__version__,
        )

    def _transform(self) -> Any:
        from toolkit.transforms import build_transform

        return build_transform(self.settings.augment) if self.settings.augment else None

    def _introduce(self, log: RunLog) -> None:
        options = self.settings.train
        count = sum(p.numel() for p in self.model.parameters())
        trainable = sum(p.numel() for p in self.model.parameters() if p.requires_grad)
        held_out = f"{len(self.val_set)} to validate on" if self.val_set else "none to validate on"
        log.say(f"{self.plugin.name} on {self.settings.data.name}: {len(self.train_set)} images to learn from, {held_out}")
        log.say(f"{count:,} parameters, {trainable:,} of them trainable; {self.fabric.world_size} process(es) on {self.fabric.device.type}")
        log.say(parts_table(self.model, self.optimizer.param_groups, options.unfreeze_at))
        if self.start_weights.report is not None:
            log.say(f"weights={self.start_weights.name} (licence: {self.start_weights.licence}): {self.start_weights.report}")
        if trainable < count and self.settings.weights == "none":
            log.say(f"{count - trainable:,} parameters are frozen at random values, because weights=none: name weights, or freeze nothing")
        if options.scaled_lr() != options.lr:
            log.say(
                f"learning rate {options.lr:g} is stated for {options.lr_batch_size} images a step; with {options.batch_size} it is scaled to "
                f"{options.scaled_lr():g} (train.lr_scaling=none turns this off)"
            )
        if (warmup := warmup_steps(options, self.steps)) < options.warmup_steps:
            log.say(f"warm-up takes {warmup} steps, half of the run, in place of the {options.warmup_steps} of train.warmup_steps")
        if self.progress.step:
            log.say(f"going on after step {self.progress.step} of {self.steps}")

    def _conclude(self, log: RunLog) -> TrainResult:
        progress = self.progress
        finished = progress.step >= self.steps or self._stale()
        if self._stale():
            log.say(
                f"stopped early: no better {self.best_metric or 'metric'} in {progress.stale} validations; the best was at step {progress.best_step}"
            )
        elif not finished:
            log.say(f"interrupted after step {progress.step} of {self.steps}; the state is saved, --resume goes on from here")
        return TrainResult(self.run, progress.step, finished, self.best_metric, progress.best, self.fabric.is_global_zero)


class _Opaque:
    """Samples on their way through Fabric and DDP, which would otherwise look inside and try to copy them."""

    def __init__(self, samples: list[Sample]) -> None:
        self.samples = samples


class _LossModule(nn.Module):
    """The model as DDP wants it: ``forward`` is the loss."""

    def __init__(self, model: TrainableModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: _Opaque) -> dict[str, Tensor]:
        return self.model.loss(batch.samples)


def _setup(fabric: Fabric, model: TrainableModel, optimizer: Optimizer) -> tuple[Any, Any]:
    module, wrapped = fabric.setup(_LossModule(model), optimizer)
    return module, wrapped
