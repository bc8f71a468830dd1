"""The training loop, top to bottom: settings in, a run's folder out."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric

import toolkit
from toolkit import registry
from toolkit.checkpoints import BEST, LAST, CheckpointManifest, save_checkpoint
from toolkit.config import RunSettings
from toolkit.data.loader import training_batches
from toolkit.errors import UsageError
from toolkit.evaluation.driver import evaluate
from toolkit.evaluation.protocols import by_protocol
from toolkit.evaluation.report import is_better
from toolkit.models.parts import parts_table
from toolkit.runtime.devices import is_first_process, make_fabric, naming_lost_peers, synchronize_batchnorm
from toolkit.runtime.files import atomic_write, remove_unfinished
from toolkit.runtime.seeding import seed_everything
from toolkit.training.assembly import StartWeights, build_evaluators, build_model, open_splits
from toolkit.training.folder import CONFIG_FILE, check_folder
from toolkit.training.interrupts import Interrupts
from toolkit.training.log import Clock, RunLog
from toolkit.training.optimizer import Ema, warmup_steps
from toolkit.training.state import RESUME_FILE, Progress, load_state, save_state
from toolkit.training.step import Stepper


@dataclass(frozen=True)
class TrainResult:
    """What came of a run.

    Attributes:
        run: its folder.
        steps: optimizer steps done.
        finished: False when it was interrupted and can be resumed.
        best_metric, best: the metric that chose the best checkpoint, and its value (NaN without validation).
        is_first_process: whether this process of a distributed run is the one that writes and speaks.
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
    settings: RunSettings, run: str | Path, *, resume: bool = False, show_progress: bool = False
) -> TrainResult:
    """Train the model that the settings describe, and keep everything in the folder ``run``.

    Args:
        settings: from ``toolkit.config.resolve``.
        run: the run's folder; must be new or empty unless ``resume``.
        resume: go on from the last saved state. A CPU run ends with the same weights, bit for bit, as one
            never stopped.
        show_progress: draw a progress bar on standard error.

    Raises:
        UsageError: when the folder holds another run already.
        NonFiniteLossError: when a loss or gradient becomes NaN or infinite; names step, loss and samples.
        ToolkitError: whatever is wrong with plugin, data, weights or disk.
    """
    run = Path(run)
    options = settings.train
    fabric = make_fabric(
        accelerator=options.accelerator,
        devices=options.devices,
        precision=options.precision,
        num_nodes=options.num_nodes,
    )
    if is_first_process():
        check_folder(run, settings, resume)
    fabric.launch()
    trainer = _Trainer(settings, run, fabric, resume)
    if (
        fabric.is_global_zero
    ):  # only now, so that a run that cannot start leaves no folder in the way of the next try
        remove_unfinished(run)
        with atomic_write(run / CONFIG_FILE, "w") as file:
            file.write(settings.to_yaml())
    folder = run if fabric.is_global_zero else None
    with (
        RunLog(folder, start=trainer.progress.step, steps=trainer.steps, show_progress=show_progress) as log,
        naming_lost_peers(fabric),
    ):
        return trainer.fit(log)


class _Trainer:
    """One run: the parts that it is made of, and the loop over them."""

    def __init__(self, settings: RunSettings, run: Path, fabric: Fabric, resume: bool) -> None:
        self.settings, self.run, self.fabric = settings, run, fabric
        options = settings.train
        self.plugin = registry.named(registry.plugins(), settings.plugin)
        self.train_set, self.val_set = open_splits(settings)
        self.steps = options.steps or max(
            1, math.ceil((options.epochs or 0) * len(self.train_set) / options.batch_size)
        )
        self.evaluators = build_evaluators(settings, self.train_set.classes)
        self.eval_every = options.eval_every or max(1, self.steps // 10)

        seed_everything(options.seed, "model")  # every process starts from the same weights
        resume = resume and (run / RESUME_FILE).is_file()
        self.model, self.start_weights = build_model(
            settings, self.plugin, self.train_set.classes, with_weights=not resume
        )
        self.evaluators = by_protocol(self.evaluators, self.model)
        synchronize_batchnorm(self.model, fabric)
        self.stepper = Stepper(options, self.steps, self.model, fabric, run)
        self.ema = Ema(self.model, options.ema) if options.ema else None
        self.progress = Progress()
        if resume:
            self._restore()
        self.best_metric = self._choose_best_metric()

    def fit(self, log: RunLog) -> TrainResult:
        """The loop."""
        self.stepper.begin()
        self.stepper.thaw_when_due(self.progress.step, log)
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
                self.stepper.thaw_when_due(progress.step, log)
                last = progress.step + 1 == self.steps
                logged = (progress.step + 1) % options.log_every == 0 or last
                figures = self.stepper.take(batches, clock, progress, log, logged=logged)
                progress.step += 1
                clock.images += options.batch_size
                if self.ema:
                    self.ema.update(self.model, progress.step)
                log.advance(progress.step, figures["loss"], figures["lr"])
                if logged:
                    log.write(progress.step, figures | clock.figures())
                if progress.step % self.eval_every == 0 or last:
                    self._validate(log)
                if (
                    progress.step % options.checkpoint_every == 0
                    or last
                    or interrupts.noticed
                    or self._stale()
                ):
                    self._save()
        return self._conclude(log)

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
        figures |= {
            f"val/loss/{name}": number
            for name, number in validation.losses.items()
            if len(validation.losses) > 1
        }
        log.write(progress.step, figures)
        if not progress.step:
            progress.untrained = metrics
        shown = ", ".join(
            f"{name} {metrics[name]:.4f}{progress.compare(name)}" for name in validation.headline()
        )
        log.say(f"step {progress.step}: val loss {loss:.4f}, {shown}{' (best so far)' if improved else ''}")

    def _choose_best_metric(self) -> str:
        """The metric that the best checkpoint is chosen by; known before the first step, because an empty
        report names its metrics too.
        """
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
                "start_weights": {"name": self.start_weights.name, "license": self.start_weights.license},
            }
            save_state(
                self.run,
                self.progress,
                **parts,
                **self.stepper.state_dict(),
                **({"ema": self.ema.average} if self.ema else {}),
            )
        with self._averaged_weights():
            self._checkpoint(LAST, {})

    def _restore(self) -> None:
        self.progress, parts = load_state(self.run)
        self.start_weights = StartWeights(**parts["start_weights"])
        self.model.load_state_dict(parts["model"])
        self.stepper.load_state_dict(parts)
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

    def _transform(self) -> Any:
        from toolkit.data.transforms import build_transform

        return build_transform(self.settings.augment) if self.settings.augment else None

    def _introduce(self, log: RunLog) -> None:
        options = self.settings.train
        count = sum(p.numel() for p in self.model.parameters())
        trainable = sum(p.numel() for p in self.model.parameters() if p.requires_grad)
        held_out = f"{len(self.val_set)} to validate on" if self.val_set else "none to validate on"
        log.say(
            f"{self.plugin.name} on {self.settings.data.name}: {len(self.train_set)} images to learn from,"
            f" {held_out}"
        )
        log.say(
            f"{count:,} parameters, {trainable:,} of them trainable; {self.fabric.world_size} process(es) on"
            f" {self.fabric.device.type}"
        )
        log.say(parts_table(self.model, self.stepper.optimizer.param_groups, options.unfreeze_at))
        if self.start_weights.report is not None:
            log.say(
                f"weights={self.start_weights.name} (license: {self.start_weights.license}):"
                f" {self.start_weights.report}"
            )
        if trainable < count and self.settings.weights == "none":
            log.say(
                f"{count - trainable:,} parameters are frozen at random values, because weights=none: name"
                " weights, or freeze nothing"
            )
        if options.scaled_lr() != options.lr:
            log.say(
                f"learning rate {options.lr:g} is stated for {options.lr_batch_size} images a step; with"
                f" {options.batch_size} it is scaled to {options.scaled_lr():g} (train.lr_scaling=none turns"
                " this off)"
            )
        if (warmup := warmup_steps(options, self.steps)) < options.warmup_steps:
            log.say(
                f"warm-up takes {warmup} steps, half of the run, in place of the {options.warmup_steps} of"
                " train.warmup_steps"
            )
        if self.progress.step:
            log.say(f"going on after step {self.progress.step} of {self.steps}")

    def _conclude(self, log: RunLog) -> TrainResult:
        progress = self.progress
        finished = progress.step >= self.steps or self._stale()
        if self._stale():
            log.say(
                f"stopped early: no better {self.best_metric or 'metric'} in {progress.stale} validations;"
                f" the best was at step {progress.best_step}"
            )
        elif not finished:
            log.say(
                f"interrupted after step {progress.step} of {self.steps}; the state is saved, --resume goes"
                " on from here"
            )
        warnings = self.stepper.diagnosis.warnings
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
