"""The training loop: settings in, a run's folder out. ``Trainer.fit`` goes from step to step, and
``Trainer.take_step`` is a step: forward, backward, clip, step.

What the loop needs is in modules of its own: ``run_parts`` puts the run together, ``run_validation``
validates it, ``result`` says what came of it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from torch import Tensor

from toolkit import registry
from toolkit.config import RunSettings
from toolkit.data.dataset import Dataset
from toolkit.data.loader import Batches
from toolkit.errors import LoaderError
from toolkit.models.contract import Model, total_loss, with_gradients
from toolkit.runtime.fabric import is_first_process, launch, make_fabric, naming_lost_peers
from toolkit.runtime.files import atomic_write, remove_unfinished
from toolkit.runtime.locks import locked
from toolkit.runtime.processes import check_meeting_point, failing_together, share_buffers
from toolkit.runtime.seeding import seed_everything
from toolkit.training.diagnosis import FIRST_STEPS
from toolkit.training.folder import CONFIG_FILE, as_before, check_folder, kept_settings
from toolkit.training.gradients import measure_update
from toolkit.training.interrupts import Interrupts
from toolkit.training.label_file import label_lines
from toolkit.training.log import RunLog
from toolkit.training.loggers import make_loggers
from toolkit.training.loss_module import SampleBatch
from toolkit.training.messages import opening_lines, warning_lines
from toolkit.training.optimizer import set_learning_rate
from toolkit.training.pace import Clock
from toolkit.training.pictures import RunPictures
from toolkit.training.result import TrainResult, conclude
from toolkit.training.run_parts import RunParts
from toolkit.training.run_report import RunReport
from toolkit.training.run_validation import RunValidation
from toolkit.training.splits import Splits, open_splits


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
    before = kept_settings(run) if resume else None
    if resume:
        settings = as_before(run, settings, before)
    options = settings.train
    fabric = make_fabric(
        accelerator=options.device,
        devices=options.devices,
        precision=options.precision,
        num_nodes=options.num_nodes,
    )
    if is_first_process():
        check_folder(run, settings, resume, before)
        check_meeting_point(options.devices * options.num_nodes)
    launch(fabric)
    with ExitStack() as stack:
        stack.enter_context(with_gradients())
        stack.enter_context(naming_lost_peers(fabric))
        with failing_together(fabric):
            splits = _splits(settings, train_set, val_set)
            parts = RunParts(settings, run, fabric, splits, model=model, resume=resume)
        stack.callback(parts.validation.close)
        parts.connect()
        folder, loggers = run if fabric.is_global_zero else None, []
        if folder:  # only now, so that a run that cannot start leaves no folder in the way
            stack.enter_context(locked(folder))
            remove_unfinished(folder)
            loggers = make_loggers(parts.settings, run)  # before anything is written, as this may fail
            with atomic_write(folder / CONFIG_FILE, "w") as file:
                file.write(parts.settings.to_yaml())
        log = RunLog(
            folder,
            start=parts.progress.step,
            validated=parts.progress.validated,
            steps=parts.steps,
            batch_size=parts.settings.train.images_per_step,
            eval_every=parts.eval_every if splits.val else None,
            show_progress=show_progress,
            loggers=loggers,
        )
        return Trainer(parts, stack.enter_context(log)).fit()


def _splits(settings: RunSettings, train_set: Dataset | None, val_set: Dataset | None) -> Splits:
    if train_set is not None:
        return Splits(train_set, val_set)
    plugin = registry.named(registry.plugins(), settings.plugin)
    return open_splits(settings, registry.task_of(plugin))


class Trainer:
    """The loop over the steps of a run.

    Args:
        parts: of the run, connected.
        log: of the run.
    """

    def __init__(self, parts: RunParts, log: RunLog) -> None:
        self.parts, self.log = parts, log
        self.task = registry.task_of(parts.plugin)
        self.pictures = RunPictures(
            log.folder,
            log,
            parts.train_set,
            self.task.truth,
            metrics=[f"val/{name}" for name in parts.validation.headline],
        )
        # of several processes, each sees a part of the images only
        folder = log.folder if parts.fabric.world_size == 1 else None
        facts = {
            "plugin": parts.plugin.name,
            "task": parts.plugin.task,
            "start weights": parts.start_weights.name,
        }
        threshold = parts.model.draw_above
        self.report = RunReport(folder, log, parts.settings, parts.splits.val, threshold, facts)
        self.validation = RunValidation(parts, log, self.pictures, self.report)

    def fit(self) -> TrainResult:
        """The loop."""
        parts, log = self.parts, self.log
        began = time.perf_counter()
        self._unfreeze_when_due()
        self._introduce()
        if parts.resumes and log.folder:
            parts.keeper.renew_last()
        self.validation.begin()
        batches, clock = parts.batches(), Clock()
        with closing(batches), Interrupts(enabled=parts.fabric.world_size == 1) as interrupts:
            while not parts.is_finished and not interrupts.noticed:
                self.take_step(batches, clock)
                validates = self.validation.is_due()
                if validates:
                    parts.save()  # before, because validating may fail
                    self.validation.validate()
                stops = parts.is_finished or interrupts.noticed
                is_time = parts.progress.step % parts.settings.train.checkpoint_every == 0
                if stops or (is_time and not validates):
                    parts.save()
        self.pictures.finish()
        if parts.is_finished:
            self.report.write()
        seconds = math.nan if log.start else time.perf_counter() - began
        return conclude(parts, log, seconds, notes=self.validation.notes, photos=self.validation.photos)

    def take_step(self, batches: Batches, clock: Clock) -> None:
        """One step of the optimizer, on as many batches as are accumulated."""
        parts, log, options = self.parts, self.log, self.parts.settings.train
        fabric, progress, step = parts.fabric, parts.progress, parts.progress.step
        logged = (step + 1) % options.log_every == 0 or step + 1 == parts.steps
        self._unfreeze_when_due()
        seed_everything(options.seed, "step", step, fabric.global_rank)
        factor = parts.learning_rate_factor(step)
        lr = options.scaled_lr() * factor
        set_learning_rate(parts.optimizer, factor)
        with clock.waiting_for_data(), self._saving_if_loaders_die():
            pieces = [next(batches) for _ in range(options.accumulate)]

        losses: dict[str, Tensor] = {}
        for piece, samples in enumerate(pieces, start=1):
            with fabric.no_backward_sync(parts.module, enabled=piece < options.accumulate):
                terms = parts.module(SampleBatch(samples))  # forward
                fabric.backward(total_loss(terms) / options.accumulate)  # backward
            for name, value in terms.items():
                losses[name] = losses.get(name, 0) + value.detach() / options.accumulate
        limit = options.clip_norm or math.inf
        norm = fabric.clip_gradients(  # clip
            parts.module, parts.optimizer, max_norm=limit, error_if_nonfinite=False
        )
        names = [sample.path or sample.id for samples in pieces for sample in samples]
        parts.guard.watch(step + 1, losses, norm, sample_names=names, lr=lr)
        figures = self._diagnose_step(step, factor, logged=logged)
        parts.optimizer.step()  # step
        parts.optimizer.zero_grad(set_to_none=True)

        progress.step += 1
        clock.images += options.images_per_step
        if parts.ema:
            share_buffers(parts.model, fabric)
            parts.ema.update(parts.model, progress.step)
        if progress.step == 1:
            self.pictures.first_batch(pieces[-1])
        log.advance(progress.step, parts.guard.loss, lr)
        if logged:
            log.write(progress.step, figures | clock.figures())

    def _unfreeze_when_due(self) -> None:
        if self.parts.unfreeze_when_due():
            self.log.say(f"step {self.parts.settings.train.unfreeze_at}: all parts are trained from now on")

    @contextmanager
    def _saving_if_loaders_die(self) -> Iterator[None]:
        """Between two steps, there is a state to save when the processes that read images have died."""
        parts = self.parts
        try:
            yield
        except LoaderError as error:
            if parts.fabric.world_size > 1 or parts.progress.step <= self.log.start:
                raise
            parts.save()
            raise LoaderError(
                f"{error}. The state after step {parts.progress.step} is saved; --resume continues from there"
            ) from None

    def _introduce(self) -> None:
        parts, log = self.parts, self.log
        scale = parts.train_set.scale
        for line in warning_lines(self.task, parts.model.classes, parts.start_weights, scale):
            log.warn(line)
        for line in opening_lines(
            parts.settings,
            parts.plugin,
            parts.splits,
            parts.model,
            parts.optimizer.param_groups,
            None if parts.is_handed_over else parts.start_weights,
            parts.fabric,
            parts.steps,
            parts.progress.step,
        ):
            log.say(line)
        if parts.batch_note:
            log.say(parts.batch_note)
        if log.folder is not None:
            for line in label_lines(log.folder, parts.settings, parts.splits, self.task.truth):
                log.say(line)

    def _diagnose_step(self, step: int, factor: float, *, logged: bool) -> dict[str, float]:
        """Where it is due, what the step that is about to be taken will do; the figures for the log."""
        if not logged and step >= FIRST_STEPS:
            return {}
        parts, guard, options = self.parts, self.parts.guard, self.parts.settings.train
        guard.settle()
        figures = guard.figures(options.scaled_lr() * factor, options.clip_norm) if logged else {}
        if parts.fabric.is_global_zero and math.isfinite(guard.grad_norm):
            statistics = measure_update(parts.model, parts.optimizer, guard.clip_ratio(options.clip_norm))
            figures |= statistics.figures if logged else {}
            for warning in parts.diagnosis.check(step + 1, statistics, factor):
                self.log.warn(warning)
        return figures
