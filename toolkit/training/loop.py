"""The training loop: settings in, a run's folder out. ``Trainer.fit`` is the whole of it, top to bottom."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from torch import Tensor, nn

import toolkit
from toolkit import registry
from toolkit.checkpoints import BEST, LAST, CheckpointManifest, save_checkpoint
from toolkit.config import RunSettings
from toolkit.data.dataset import Dataset
from toolkit.data.loader import EvaluationLoader, training_batches
from toolkit.data.transforms import build_transform
from toolkit.errors import UsageError
from toolkit.evaluation.driver import Subject, evaluate
from toolkit.evaluation.protocols import plan_measurements
from toolkit.evaluation.report import is_better
from toolkit.evaluation.selection import build_evaluators
from toolkit.models.building import build_model
from toolkit.models.contract import Model, TrainableModel, total_loss
from toolkit.models.freezing import Freezing
from toolkit.models.start_weights import RANDOM, StartWeights, take_start_weights
from toolkit.runtime.devices import is_first_process, make_fabric, naming_lost_peers, synchronize_batchnorm
from toolkit.runtime.files import atomic_write, remove_unfinished
from toolkit.runtime.seeding import seed_everything
from toolkit.training.diagnosis import FIRST_STEPS, Diagnosis
from toolkit.training.folder import CONFIG_FILE, check_folder
from toolkit.training.gradients import measure_update
from toolkit.training.guard import LossGuard
from toolkit.training.interrupts import Interrupts
from toolkit.training.log import Clock, RunLog
from toolkit.training.messages import opening_lines
from toolkit.training.optimizer import Ema, build_optimizer, build_schedule, set_learning_rate
from toolkit.training.splits import Splits, open_splits
from toolkit.training.state import RESUME_FILE, Progress, load_state, save_state
from toolkit.types import Sample


@dataclass(frozen=True)
class TrainResult:
    """What came of a run.

    Attributes:
        run: its folder.
        steps: optimizer steps done.
        finished: False when it was interrupted and can be resumed.
        best_metric, best: the metric that chose the best checkpoint, and its value (NaN without validation).
        is_first_process: whether this process of a distributed run is the one that writes files and logs.
        warnings: what was said about gradients that explode or vanish.
    """

    run: Path
    steps: int
    finished: bool
    best_metric: str
    best: float
    is_first_process: bool = True
    warnings: tuple[str, ...] = ()


def train(
    settings: RunSettings,
    run: str | Path,
    *,
    resume: bool = False,
    show_progress: bool = False,
    model: Model | None = None,
    train_set: Dataset | None = None,
    val_set: Dataset | None = None,
) -> TrainResult:
    """Train the model that the settings describe, and keep everything in the folder ``run``.

    Args:
        settings: from ``toolkit.resolve``.
        run: the run's folder; must be new or empty unless ``resume``.
        resume: go on from the last saved state. A CPU run ends with the same weights, bit for bit, as one
            never stopped.
        show_progress: draw a progress bar on standard error.
        model: is trained in place of the one that the settings describe, from the weights that it has; the
            plugin that they name must build one with the same tensors when the run is loaded.
        train_set, val_set: are used in place of the splits that the settings name; both or neither.

    Raises:
        UsageError: when the folder holds another run already.
        NonFiniteLossError: when a loss or gradient becomes NaN or infinite; names step, loss and samples.
        ToolkitError: whatever is wrong with plugin, data, weights or disk.
    """
    run, options = Path(run), settings.train
    fabric = make_fabric(
        accelerator=options.accelerator,
        devices=options.devices,
        precision=options.precision,
        num_nodes=options.num_nodes,
    )
    if is_first_process():
        check_folder(run, settings, resume)
    fabric.launch()
    plugin = registry.named(registry.plugins(), settings.plugin)
    if train_set is None:
        splits = open_splits(settings, registry.task_of(plugin))
    else:
        splits = Splits(train_set, val_set)
    trainer = Trainer(settings, run, fabric, splits, model=model, resume=resume)
    if fabric.is_global_zero:  # only now, so that a run that cannot start leaves no folder in the way
        remove_unfinished(run)
        with atomic_write(run / CONFIG_FILE, "w") as file:
            file.write(settings.to_yaml())
    folder = run if fabric.is_global_zero else None
    start = trainer.progress.step
    with (
        RunLog(folder, start=start, steps=trainer.steps, show_progress=show_progress) as log,
        naming_lost_peers(fabric),
    ):
        return trainer.fit(log)


class Trainer:
    """One run: the parts that it is made of, and the loop over them.

    Args:
        settings: of the run.
        run: its folder.
        fabric: devices, processes and precision; launched.
        splits: the data.
        model: in place of the one that the settings describe.
        resume: go on from the state in the folder, where there is one.

    Raises:
        ConfigError: when settings name a part or step that is not there.
        TrainingError: when nothing in the model is trainable.
        ToolkitError: whatever is wrong with plugin, weights or state.
    """

    def __init__(
        self,
        settings: RunSettings,
        run: Path,
        fabric: Fabric,
        splits: Splits,
        *,
        model: Model | None = None,
        resume: bool = False,
    ) -> None:
        self.settings, self.run, self.fabric, self.splits = settings, run, fabric, splits
        options, self.train_set, self.val_set = settings.train, splits.train, splits.val
        self.plugin = registry.named(registry.plugins(), settings.plugin)
        self.steps = options.steps or max(
            1, math.ceil((options.epochs or 0) * len(self.train_set) / options.batch_size)
        )
        self.eval_every = options.eval_every or max(1, self.steps // 10)
        self._loader: EvaluationLoader | None = None
        evaluators = build_evaluators(settings.evaluators, self.train_set.classes)

        seed_everything(options.seed, "model")  # every process starts from the same weights
        resume = resume and (run / RESUME_FILE).is_file()
        self.start_weights = RANDOM
        built = model or build_model(self.plugin, settings.model, self.train_set.classes)
        if not isinstance(built, TrainableModel):
            raise UsageError(
                f"plugin {self.plugin.name!r} cannot be trained: {self.plugin.build} returned"
                f" {type(built).__name__}, which is no TrainableModel"
            )
        self.model = built
        if model is None and not resume:
            self.start_weights = take_start_weights(self.model, self.plugin, settings.weights)
        self.measurements = plan_measurements(self.model, evaluators)
        synchronize_batchnorm(self.model, fabric)
        self._prepare_learning()
        self.progress = Progress()
        if resume:
            self._restore()
        self.guard = LossGuard(fabric, self.diagnosis, self.progress, run)
        self.best_metric, self.lower_is_better = self._choose_best_metric()

    def _prepare_learning(self) -> None:
        """What is frozen, the optimizer and its schedule, and the model as Fabric and DDP want it."""
        options = self.settings.train
        self.learning_rate_factor = build_schedule(options, self.steps)
        self.freezing = Freezing(self.model, options.freeze)
        # else they are the optimizer's from the start, without a gradient yet
        if options.unfreeze_at is None:
            self.freezing.freeze()
        optimizer = build_optimizer(self.model, options)
        self.freezing.freeze()
        self.module: Any
        self.optimizer: Any
        self.module, self.optimizer = self.fabric.setup(_LossModule(self.model), optimizer)
        self.diagnosis = Diagnosis(options)
        self.ema = Ema(self.model, options.ema) if options.ema else None
        self.model.train()
        self.freezing.freeze()

    def fit(self, log: RunLog) -> TrainResult:
        """The loop."""
        options, fabric, progress = self.settings.train, self.fabric, self.progress
        self._unfreeze_when_due(log)
        for line in opening_lines(
            self.settings,
            self.plugin.name,
            self.splits,
            self.model,
            self.optimizer.param_groups,
            self.start_weights,
            fabric,
            self.steps,
        ):
            log.say(line)
        if progress.step:
            log.say(f"going on after step {progress.step} of {self.steps}")
        batches, clock = self._batches(), Clock()
        if options.eval_first and not progress.step:
            self._validate(log)
        with Interrupts(enabled=fabric.world_size == 1) as interrupts:
            while progress.step < self.steps and not self._is_stale() and not interrupts.noticed:
                step, last = progress.step, progress.step + 1 == self.steps
                logged = (step + 1) % options.log_every == 0 or last
                self._unfreeze_when_due(log)
                seed_everything(options.seed, "step", step, fabric.global_rank)
                factor = self.learning_rate_factor(step)
                set_learning_rate(self.optimizer, factor)

                losses: dict[str, Tensor] = {}
                names: list[str] = []
                for part in range(options.accumulate):
                    with clock.waiting_for_data():
                        samples = next(batches)
                    is_partial = part + 1 < options.accumulate
                    with fabric.no_backward_sync(self.module, enabled=is_partial):
                        terms = self.module(_Opaque(samples))  # forward
                        fabric.backward(total_loss(terms) / options.accumulate)  # backward
                    for name, value in terms.items():
                        losses[name] = losses.get(name, 0) + value.detach() / options.accumulate
                    names += [sample.path or sample.id for sample in samples]
                norm = fabric.clip_gradients(  # clip
                    self.module,
                    self.optimizer,
                    max_norm=options.clip_norm or math.inf,
                    error_if_nonfinite=False,
                )
                self.guard.watch(step + 1, losses, norm, sample_names=names, lr=options.scaled_lr() * factor)
                figures = self._step(step, factor, log, logged=logged)  # step

                progress.step += 1
                clock.images += options.batch_size
                if self.ema:
                    self.ema.update(self.model, progress.step)
                log.advance(progress.step, self.guard.loss, options.scaled_lr() * factor)
                if logged:
                    log.write(progress.step, figures | clock.figures())
                if progress.step % self.eval_every == 0 or last:
                    self._validate(log)
                stops = last or interrupts.noticed or self._is_stale()
                if progress.step % options.checkpoint_every == 0 or stops:
                    self._save()
        return self._conclude(log)

    def _step(self, step: int, factor: float, log: RunLog, *, logged: bool) -> dict[str, float]:
        """The optimizer's step, and a look at what it does where that is due; the figures for the log."""
        is_due = logged or step < FIRST_STEPS
        if is_due:
            self.guard.settle()
        figures = self._loss_figures(factor) if logged else {}
        if is_due and self.fabric.is_global_zero and math.isfinite(self.guard.grad_norm):
            statistics = measure_update(self.model, self.optimizer, self._clip_ratio())
            figures |= statistics.figures if logged else {}
            for warning in self.diagnosis.check(step + 1, statistics, factor):
                log.warn(warning)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return figures

    def _loss_figures(self, factor: float) -> dict[str, float]:
        """Loss, learning rate and gradient norm of this step, and the terms of the loss, where there are
        several, as the mean of all processes.
        """
        options, guard = self.settings.train, self.guard
        figures = {"loss": guard.loss, "lr": options.scaled_lr() * factor, "grad_norm": guard.grad_norm}
        if options.clip_norm:
            figures["clip_ratio"] = self._clip_ratio()
        shares: list[dict[str, float]] = [guard.terms] * self.fabric.world_size
        if self.fabric.world_size > 1:
            dist.all_gather_object(shares, guard.terms)
        names = dict.fromkeys(name for share in shares for name in share)
        if len(names) > 1:
            figures |= {f"loss/{n}": sum(s.get(n, 0.0) for s in shares) / len(shares) for n in names}
        return figures

    def _clip_ratio(self) -> float:
        """What clipping multiplied the gradient by, as torch clips."""
        return min(1.0, (self.settings.train.clip_norm or math.inf) / (self.guard.grad_norm + 1e-6))

    def _batches(self) -> Iterator[list[Sample]]:
        options, augment = self.settings.train, self.settings.augment
        return training_batches(
            self.train_set,
            build_transform(augment) if augment else None,
            seed=options.seed,
            batch_size=options.batch_size,
            accumulate=options.accumulate,
            rank=self.fabric.global_rank,
            world=self.fabric.world_size,
            start=self.progress.step,
            steps=self.steps,
            workers=options.workers,
            pin_memory=self.fabric.device.type == "cuda",
        )

    def _unfreeze_when_due(self, log: RunLog) -> None:
        """Let the frozen parts learn when as many steps were done as the settings say."""
        due = self.settings.train.unfreeze_at
        if due is None or self.progress.step < due or not self.freezing.is_active:
            return
        self.freezing.unfreeze()
        # DDP counts what learns when it is made
        self.module = self.fabric.setup_module(_LossModule(self.model))
        log.say(f"step {due}: everything learns from here on")

    def _validate(self, log: RunLog) -> None:
        """Measure, log, and keep the best."""
        if self.val_set is None:
            return
        self.guard.settle()
        progress = self.progress
        with self._averaged_weights():
            subject = Subject(self.model, autocast=self.fabric.autocast(), with_loss=True)
            evaluation = evaluate(
                subject, self.val_set, self.measurements, loader=self._validation_loader(self.val_set)
            )
            metrics, loss = evaluation.metrics(), sum(evaluation.losses.values())
            value = (metrics | {"loss": loss})[self.best_metric]
            improved = is_better(value, progress.best, lower=self.lower_is_better)
            if improved:
                progress.best, progress.best_step, progress.stale = value, progress.step, 0
                self._checkpoint(BEST, metrics)
            else:
                progress.stale += 1
        figures = {f"val/{name}": number for name, number in metrics.items()} | {"val/loss": loss}
        if len(evaluation.losses) > 1:
            figures |= {f"val/loss/{name}": number for name, number in evaluation.losses.items()}
        log.write(progress.step, figures)
        if not progress.step:
            progress.untrained = metrics
        shown = ", ".join(f"{n} {metrics[n]:.4f}{progress.compare(n)}" for n in evaluation.headline())
        best = " (best so far)" if improved else ""
        log.say(f"step {progress.step}: val loss {loss:.4f}, {shown}{best}")

    def _validation_loader(self, dataset: Dataset) -> EvaluationLoader:
        """One for all validations, so that its processes are started once."""
        if self._loader is None:
            options = self.settings.train
            self._loader = EvaluationLoader(
                dataset,
                batch_size=options.eval_batch_size,
                workers=options.workers,
                rank=self.fabric.global_rank,
                world=self.fabric.world_size,
                keep_workers=True,
                pin_memory=self.fabric.device.type == "cuda",
            )
        return self._loader

    def _choose_best_metric(self) -> tuple[str, bool]:
        """The metric that the best checkpoint is chosen by, and whether less of it is better; known before
        the first step, because an empty report names its metrics too.
        """
        reports = [measurement.report() for measurement in self.measurements]
        lower = {"loss"} | {name for report in reports for name in report.lower_is_better}
        known = [name for report in reports for name in report.metrics] + ["loss"]
        chosen = self.settings.train.best_metric or known[0]
        if chosen not in known:
            raise UsageError(f"train.best_metric={chosen} is not measured. There are: {', '.join(known)}")
        return chosen, chosen in lower

    def _is_stale(self) -> bool:
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
        self.guard.settle()
        if self.fabric.is_global_zero:
            parts = {
                "model": self.model.state_dict(),
                "start_weights": {"name": self.start_weights.name, "license": self.start_weights.license},
                "optimizer": self.optimizer.state_dict(),
                "precision": self.fabric.strategy.precision.state_dict(),
                "diagnosis": self.diagnosis.state_dict(),
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
        self.diagnosis.load_state_dict(parts.get("diagnosis", {}))
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
            dataset={
                "name": settings.data.name,
                "split": settings.data.train_split,
                "fingerprint": self.train_set.fingerprint(),
            },
            start_weights={"name": self.start_weights.name, "license": self.start_weights.license},
            metrics={name: value if math.isfinite(value) else None for name, value in metrics.items()},
            step=self.progress.step,
            toolkit=toolkit.__version__,
        )

    def _conclude(self, log: RunLog) -> TrainResult:
        self.guard.settle()
        progress = self.progress
        finished = progress.step >= self.steps or self._is_stale()
        if self._is_stale():
            log.say(
                f"stopped early: no better {self.best_metric} in {progress.stale} validations; the best was"
                f" at step {progress.best_step}"
            )
        elif not finished:
            log.say(
                f"interrupted after step {progress.step} of {self.steps}; the state is saved, --resume goes"
                " on from here"
            )
        warnings = self.diagnosis.warnings
        if warnings:  # once more where it is not overlooked
            log.warn(f"{' and '.join(warnings)}, see above")
        return TrainResult(
            self.run,
            progress.step,
            finished,
            self.best_metric,
            progress.best,
            self.fabric.is_global_zero,
            tuple(warnings.values()),
        )


class _Opaque:
    """Samples on their way through Fabric and DDP, which would otherwise look inside and try to copy them."""

    def __init__(self, samples: list[Sample]) -> None:
        self.samples = samples


class _LossModule(nn.Module):
    """The model as DDP wants it: ``forward`` is the loss."""

    def __init__(self, model: TrainableModel) -> None:
        super().__init__()
        self.model = model
        # DDP looks for unused parameters, and warns in every process when it finds none.
        self.unused = nn.Parameter(torch.zeros(()))

    def forward(self, batch: _Opaque) -> dict[str, Tensor]:
        return self.model.loss(batch.samples)
