"""The training loop: settings in, a run's folder out. ``Trainer.fit`` is the whole of it, top to bottom."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric
from torch import Tensor

from toolkit import registry
from toolkit.checkpoints import BEST
from toolkit.config import RunSettings
from toolkit.config.schema import AUTO
from toolkit.data.dataset import Dataset
from toolkit.data.loader import Batches, training_batches
from toolkit.data.transforms import build_transform
from toolkit.errors import LoaderError, UsageError
from toolkit.evaluation.driver import PredictedBatch
from toolkit.evaluation.protocols import plan_measurements
from toolkit.evaluation.selection import build_evaluators
from toolkit.models.building import build_model
from toolkit.models.contract import Model, TrainableModel, total_loss, with_gradients
from toolkit.models.freezing import Freezing
from toolkit.models.start_weights import HANDED_OVER, RANDOM, take_start_weights
from toolkit.reading.files import is_there
from toolkit.registry.code import code_hash
from toolkit.runtime.fabric import is_first_process, make_fabric, naming_lost_peers, synchronize_batchnorm
from toolkit.runtime.files import atomic_write, remove_unfinished
from toolkit.runtime.locks import locked
from toolkit.runtime.processes import check_meeting_point, failing_together, share_buffers
from toolkit.runtime.seeding import seed_everything
from toolkit.training.diagnosis import FIRST_STEPS, Diagnosis
from toolkit.training.folder import CONFIG_FILE, as_before, check_folder
from toolkit.training.gradients import measure_update
from toolkit.training.guard import LossGuard
from toolkit.training.interrupts import Interrupts
from toolkit.training.keeping import Keeper
from toolkit.training.label_file import label_lines
from toolkit.training.length import with_batch_size, with_length
from toolkit.training.log import RunLog
from toolkit.training.loggers import make_loggers
from toolkit.training.loss_module import LossModule, SampleBatch
from toolkit.training.messages import closing_line, opening_lines, warning_lines
from toolkit.training.optimizer import (
    Ema,
    averaged_weights,
    build_optimizer,
    build_schedule,
    set_learning_rate,
)
from toolkit.training.pace import Clock
from toolkit.training.pictures import RunPictures, ShownPredictions
from toolkit.training.run_report import RunReport
from toolkit.training.splits import Splits, open_splits
from toolkit.training.state import RESUME_FILE, Progress
from toolkit.training.validation import Validation
from toolkit.wording import counted


@dataclass(frozen=True)
class TrainResult:
    """What came of a run.

    Attributes:
        run: its folder.
        steps: optimizer steps done.
        finished: False when it was interrupted and can be resumed.
        best_metric, best: the metric that chose the best checkpoint, and its value (NaN without validation).
        best_step: the step at which it had that value.
        summary: what came of the run, for people.
        photos: the folder that the validation images come from; None where they come from no file.
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
    best_step: int = 0
    summary: str = ""
    photos: Path | None = None


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
        show_progress: say how far the run is: by a bar where standard error is a terminal, elsewhere by a
            line now and then.
        model: is trained in place of the one that the settings describe, from the weights that it has; the
            plugin that they name must build one with the same tensors when the run is loaded.
        train_set, val_set: are used in place of the splits that the settings name; both or neither.

    Raises:
        UsageError: when the folder holds another run already.
        NonFiniteLossError: when a loss or gradient becomes NaN or infinite; names step, loss and samples.
        ToolkitError: whatever is wrong with plugin, data, weights or disk.
    """
    run = Path(run)
    if resume:
        settings = as_before(run, settings)
    options = settings.train
    fabric = make_fabric(
        accelerator=options.device,
        devices=options.devices,
        precision=options.precision,
        num_nodes=options.num_nodes,
    )
    if is_first_process():
        check_folder(run, settings, resume)
        check_meeting_point(options.devices * options.num_nodes)
    fabric.launch()
    with ExitStack() as stack:
        stack.enter_context(with_gradients())
        stack.enter_context(naming_lost_peers(fabric))
        with failing_together(fabric):
            splits = _splits(settings, train_set, val_set)
            trainer = Trainer(settings, run, fabric, splits, model=model, resume=resume)
        stack.callback(trainer.validation.close)
        trainer.connect()
        folder, loggers = run if fabric.is_global_zero else None, []
        if folder:  # only now, so that a run that cannot start leaves no folder in the way
            stack.enter_context(locked(folder))
            remove_unfinished(folder)
            loggers = make_loggers(trainer.settings, run)  # before anything is written, as this may fail
            with atomic_write(folder / CONFIG_FILE, "w") as file:
                file.write(trainer.settings.to_yaml())
        log = RunLog(
            folder,
            start=trainer.progress.step,
            validated=trainer.progress.validated,
            steps=trainer.steps,
            batch_size=trainer.settings.train.images_per_step,
            eval_every=trainer.eval_every if splits.val else None,
            show_progress=show_progress,
            loggers=loggers,
        )
        return trainer.fit(stack.enter_context(log))


def _splits(settings: RunSettings, train_set: Dataset | None, val_set: Dataset | None) -> Splits:
    if train_set is not None:
        return Splits(train_set, val_set)
    plugin = registry.named(registry.plugins(), settings.plugin)
    return open_splits(settings, registry.task_of(plugin))


class Trainer:
    """One run: the parts that it is made of, and the loop over them. It is made in each process by itself,
    and then ``connect`` makes one run of them.

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
        self.plugin = registry.named(registry.plugins(), settings.plugin)
        settings, self.batch_note = with_batch_size(settings, splits.train, self.plugin)
        settings = with_length(settings, len(splits.train))
        self.settings, self.run, self.fabric, self.splits = settings, run, fabric, splits
        options, self.train_set = settings.train, splits.train
        self.plugin_code = code_hash(self.plugin)
        self.steps = options.steps or max(
            1, math.ceil((options.epochs or 0) * len(self.train_set) / options.images_per_step)
        )
        self.eval_every = options.eval_every or max(1, self.steps // 10)
        evaluators = build_evaluators(settings.evaluators, self.train_set.classes)

        seed_everything(options.seed, "model")  # every process starts from the same weights
        self.resumes = resume and is_there(run / RESUME_FILE)
        self.is_handed_over = model is not None
        self.start_weights = HANDED_OVER if self.is_handed_over else RANDOM
        built = model or build_model(self.plugin, settings.model, self.train_set.classes)
        self.model = self._checked(built)
        if model is None and not self.resumes:
            self.start_weights = take_start_weights(self.model, self.plugin, settings.weights, settings.model)
        if settings.weights == AUTO:  # so that the settings say what was taken
            taken = RANDOM if self.is_handed_over else self.start_weights
            self.settings = settings.model_copy(update={"weights": taken.name})
        # a resumed run has not read yet what it started from
        start = {} if self.resumes else {"name": self.start_weights.name}
        measurements = plan_measurements(self.model, evaluators, start)
        self.validation = Validation(splits.val, measurements, options, fabric)
        synchronize_batchnorm(self.model, fabric)
        self.learning_rate_factor = build_schedule(options, self.steps)
        self.freezing = Freezing(self.model, options.freeze)
        if options.unfreeze_at is None:  # otherwise they are the optimizer's from the start
            self.freezing.freeze()
        self.module: Any = LossModule(self.model, f"plugin {self.plugin.name!r}")
        self.optimizer: Any = build_optimizer(self.model, options)
        self.freezing.freeze()
        self.photos: Path | None = None

    def _checked(self, model: Model) -> TrainableModel:
        if not isinstance(model, TrainableModel):
            raise UsageError(
                f"plugin {self.plugin.name!r} cannot be trained: {self.plugin.build} returned"
                f" {type(model).__name__}, which is not a TrainableModel"
            )
        if tuple(model.classes) != tuple(self.train_set.classes):
            raise UsageError(
                f"the classes of {type(model).__name__} are {', '.join(model.classes)}, but those of the"
                f" training data are {', '.join(self.train_set.classes)}, in this order. Hint: build the"
                " model for the classes of the data"
            )
        return model

    def connect(self) -> None:
        """Make one run of all processes: the model and the optimizer as Fabric and DDP want them, from the
        saved state where the run goes on.

        Raises:
            CheckpointError: when the state is damaged, or does not fit.
            UsageError: when the training data are not those that the state was learned from.
        """
        options = self.settings.train
        self.module, self.optimizer = self.fabric.setup(self.module, self.optimizer)
        self.diagnosis = Diagnosis(options)
        self.ema = Ema(self.model, options.ema) if options.ema else None
        self.model.train()
        self.freezing.freeze()
        self.keeper = Keeper(
            self.run,
            self.settings,
            self.plugin,
            self.plugin_code,
            self.train_set,
            self.model,
            self.optimizer,
            self.ema,
            self.diagnosis,
            self.fabric,
            self.start_weights,
        )
        self.forgot_best = False
        # what the best validation of this process had to say
        self.notes: list[str] = []
        if self.resumes:
            with failing_together(self.fabric):
                self.forgot_best = not self.keeper.restore()
        self.guard = LossGuard(self.fabric, self.diagnosis, self.progress, self.run)

    @property
    def progress(self) -> Progress:
        """How far the run is."""
        return self.keeper.progress

    def fit(self, log: RunLog) -> TrainResult:
        """The loop."""
        options, fabric, progress = self.settings.train, self.fabric, self.progress
        began = time.perf_counter()
        pictures = RunPictures(
            log.folder,
            log,
            self.train_set,
            registry.task_of(self.plugin).truth,
            metrics=[f"val/{name}" for name in self.validation.headline],
        )
        report = self._begin_report(log)
        self._unfreeze_when_due(log)
        self._introduce(log)
        if self.resumes and log.folder:
            self.keeper.renew_last()
        self._begin_measuring(log, pictures, report)
        batches, clock = self._batches(), Clock()
        with closing(batches), Interrupts(enabled=fabric.world_size == 1) as interrupts:
            while progress.step < self.steps and not self._is_stale() and not interrupts.noticed:
                step, last = progress.step, progress.step + 1 == self.steps
                logged = (step + 1) % options.log_every == 0 or last
                self._unfreeze_when_due(log)
                seed_everything(options.seed, "step", step, fabric.global_rank)
                factor = self.learning_rate_factor(step)
                set_learning_rate(self.optimizer, factor)

                losses: dict[str, Tensor] = {}
                names: list[str] = []
                with clock.waiting_for_data(), self._saving_if_loaders_die(log):
                    parts = [next(batches) for _ in range(options.accumulate)]
                for part, samples in enumerate(parts):
                    is_partial = part + 1 < options.accumulate
                    with fabric.no_backward_sync(self.module, enabled=is_partial):
                        terms = self.module(SampleBatch(samples))  # forward
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
                figures = self._diagnose_step(step, factor, log, logged=logged)
                self.optimizer.step()  # step
                self.optimizer.zero_grad(set_to_none=True)

                progress.step += 1
                clock.images += options.images_per_step
                if self.ema:
                    share_buffers(self.model, fabric)
                    self.ema.update(self.model, progress.step)
                if progress.step == 1:
                    pictures.first_batch(samples)
                log.advance(progress.step, self.guard.loss, options.scaled_lr() * factor)
                if logged:
                    log.write(progress.step, figures | clock.figures())
                validates = self._validation_is_due()
                if validates:
                    self._save()  # before, because validating may fail
                    self._validate(log, pictures, report)
                stops = last or interrupts.noticed or self._is_stale()
                if stops or (progress.step % options.checkpoint_every == 0 and not validates):
                    self._save()
        pictures.finish()
        if progress.step >= self.steps or self._is_stale():
            report.write()
        return self._conclude(log, math.nan if log.start else time.perf_counter() - began)

    def _begin_report(self, log: RunLog) -> RunReport:
        # of several processes, each sees a part of the images only
        folder = log.folder if self.fabric.world_size == 1 else None
        facts = {
            "plugin": self.plugin.name,
            "task": self.plugin.task,
            "start weights": self.start_weights.name,
        }
        return RunReport(folder, log, self.settings, self.splits.val, self.model.draw_above, facts)

    def _begin_measuring(self, log: RunLog, pictures: RunPictures, report: RunReport) -> None:
        """Before the first step: the validation that is due then, or which a kill has prevented; else a try
        on a few images, so that what is wrong with it is known before there is anything to lose.
        """
        progress = self.progress
        if self.forgot_best:
            log.say("The metrics have changed, so the best checkpoint is selected again")
        if self.splits.val is None:
            return
        if progress.step and self._validation_is_due():
            self._validate(log, pictures, report)
            self._save()
        elif self.settings.train.eval_first and not progress.step:
            self._validate(log, pictures, report)
        elif progress.step < self.steps and not self._is_stale():
            with failing_together(self.fabric):
                self.validation.try_out(self.model)

    def _validation_is_due(self) -> bool:
        progress = self.progress
        is_time = progress.step % self.eval_every == 0 or progress.step >= self.steps
        return self.splits.val is not None and is_time and progress.validated < progress.step

    @contextmanager
    def _saving_if_loaders_die(self, log: RunLog) -> Iterator[None]:
        """Between two steps, there is a state to save when the processes that read images have died."""
        try:
            yield
        except LoaderError as error:
            if self.fabric.world_size > 1 or self.progress.step <= log.start:
                raise
            self._save()
            raise LoaderError(
                f"{error}. The state after step {self.progress.step} is saved; --resume continues from there"
            ) from None

    def _introduce(self, log: RunLog) -> None:
        for line in warning_lines(registry.task_of(self.plugin), self.model.classes):
            log.warn(line)
        for line in opening_lines(
            self.settings,
            self.plugin,
            self.splits,
            self.model,
            self.optimizer.param_groups,
            None if self.is_handed_over else self.start_weights,
            self.fabric,
            self.steps,
            self.progress.step,
        ):
            log.say(line)
        if self.batch_note:
            log.say(self.batch_note)
        if log.folder is not None:
            for line in label_lines(
                log.folder, self.settings, self.splits, registry.task_of(self.plugin).truth
            ):
                log.say(line)

    def _diagnose_step(self, step: int, factor: float, log: RunLog, *, logged: bool) -> dict[str, float]:
        """Where it is due, what the step that is about to be taken will do; the figures for the log."""
        if not logged and step >= FIRST_STEPS:
            return {}
        self.guard.settle()
        options, guard = self.settings.train, self.guard
        figures = guard.figures(options.scaled_lr() * factor, options.clip_norm) if logged else {}
        if self.fabric.is_global_zero and math.isfinite(guard.grad_norm):
            statistics = measure_update(self.model, self.optimizer, guard.clip_ratio(options.clip_norm))
            figures |= statistics.figures if logged else {}
            for warning in self.diagnosis.check(step + 1, statistics, factor):
                log.warn(warning)
        return figures

    def _batches(self) -> Batches:
        options, augment = self.settings.train, self.settings.augment
        return training_batches(
            self.train_set,
            build_transform(augment, self.train_set.keypoint_names) if augment else None,
            seed=options.seed,
            batch_size=options.images_per_step,
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
        owner = f"plugin {self.plugin.name!r}"
        self.module = self.fabric.setup_module(LossModule(self.model, owner))
        log.say(f"step {due}: all parts are trained from now on")

    def _validate(self, log: RunLog, pictures: RunPictures, report: RunReport) -> None:
        """Measure, log, draw, and keep the best."""
        if self.splits.val is None:
            return
        self.guard.settle()
        share_buffers(self.model, self.fabric)  # so that what is measured is what is kept
        with log.pace.validating():
            self._measure(log, pictures, report, self.splits.val)

    def _measure(self, log: RunLog, pictures: RunPictures, report: RunReport, val_set: Dataset) -> None:
        progress = self.progress
        own = len(range(self.fabric.global_rank, len(val_set), self.fabric.world_size))
        shown = ShownPredictions(own, self.model.draw_above)
        report.begin_validation()

        def look(batch: PredictedBatch) -> None:
            shown.add(batch)
            report.add(batch)

        with averaged_weights(self.model, self.ema), log.validating(val_set, look) as watch:
            figures = self.validation.measure(self.model, watch)
            improved = self.validation.note_if_best(figures, progress)
            if improved:
                self.keeper.checkpoint(BEST, figures.metrics)
                pictures.improved(figures.reports, progress.step)
                self.notes = [note for report in figures.reports for note in report.notes]
                report.improved(figures.reports, progress.step)
        progress.validated = progress.step
        log.write(progress.step, figures.for_log())
        if not progress.step:
            progress.untrained = figures.metrics
        log.say(figures.line(progress, improved=improved))
        self.photos = shown.folder
        is_last = progress.step >= self.steps or self._is_stale()
        pictures.validation(shown, last=is_last)

    def _is_stale(self) -> bool:
        patience = self.settings.train.patience
        return patience is not None and self.progress.stale >= patience

    def _save(self) -> None:
        """Write the state to resume from, and ``last.safetensors``."""
        self.guard.settle()
        self.keeper.save()

    def _conclude(self, log: RunLog, seconds: float) -> TrainResult:
        self.guard.settle()
        progress, split = self.progress, self.settings.data.val_split
        finished = progress.step >= self.steps or self._is_stale()
        if self._is_stale():
            log.say(
                f"stopped early: {self.validation.best_metric} has not improved in {progress.stale}"
                f" validations; the best was at step {progress.best_step}"
            )
        elif not finished:
            log.say(
                f"interrupted after step {progress.step} of {self.steps}; the state is saved; --resume"
                " continues from here"
            )
        for note in self.notes:
            log.say(f"Best validation: {note}")
        warnings = self.diagnosis.warnings
        if warnings:  # once more where it is not overlooked
            log.warn(f"{' and '.join(warnings)}, see above")
        summary = closing_line(
            progress,
            self.steps,
            finished=finished,
            seconds=seconds,
            metric=self.validation.best_metric,
            measured_on=f"{counted(len(self.splits.val or ()), 'image')} of split {split}",
        )
        log.note(summary)
        return TrainResult(
            self.run,
            progress.step,
            finished,
            self.validation.best_metric,
            progress.best,
            self.fabric.is_global_zero,
            tuple(warnings.values()),
            best_step=progress.best_step,
            summary=summary,
            photos=self.photos,
        )
