"""The parts that a run is made of, put together from its settings."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric

from toolkit import registry
from toolkit.config import RunSettings
from toolkit.config.schema import AUTO
from toolkit.data.loader import Batches, training_batches
from toolkit.data.transforms import build_transform
from toolkit.errors import UsageError
from toolkit.evaluation.protocols import plan_measurements
from toolkit.evaluation.selection import build_evaluators
from toolkit.models.building import build_model
from toolkit.models.contract import Model, TrainableModel
from toolkit.models.freezing import Freezing
from toolkit.models.start_weights import HANDED_OVER, RANDOM, take_start_weights
from toolkit.reading.files import is_there
from toolkit.registry.code import code_hash
from toolkit.runtime.fabric import synchronize_batchnorm
from toolkit.runtime.processes import failing_together
from toolkit.runtime.seeding import seed_everything
from toolkit.training.diagnosis import Diagnosis
from toolkit.training.guard import LossGuard
from toolkit.training.keeping import Keeper
from toolkit.training.length import with_batch_size, with_length
from toolkit.training.loss_module import LossModule
from toolkit.training.optimizer import Ema, build_optimizer, build_schedule
from toolkit.training.splits import Splits, with_scale
from toolkit.training.state import RESUME_FILE, Progress
from toolkit.training.validation import Validation


class RunParts:
    """One run: the parts that it is made of. They are made in each process by itself, and then ``connect``
    makes one run of them.

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
        settings = with_scale(settings, splits.train.scale)
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
        self.validation.subject(self.model)  # windows that the model cannot use are refused before anything
        synchronize_batchnorm(self.model, fabric)
        self.learning_rate_factor = build_schedule(options, self.steps)
        self.freezing = Freezing(self.model, options.freeze)
        if options.unfreeze_at is None:  # otherwise they are the optimizer's from the start
            self.freezing.freeze()
        self.module: Any = LossModule(self.model, f"plugin {self.plugin.name!r}")
        self.optimizer: Any = build_optimizer(self.model, options)
        self.freezing.freeze()

    def _checked(self, model: Model) -> TrainableModel:
        if not isinstance(model, TrainableModel):
            raise UsageError(
                f"plugin {self.plugin.name!r} cannot be trained: {self.plugin.build} returned"
                f" {type(model).__name__}, which is not a TrainableModel"
            )
        if tuple(model.classes) != tuple(self.train_set.classes):
            raise UsageError(
                f"the classes of the model are {', '.join(model.classes)}, but those of the"
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
        if self.resumes:
            with failing_together(self.fabric):
                self.forgot_best = not self.keeper.restore()
        self.guard = LossGuard(self.fabric, self.diagnosis, self.progress, self.run)

    @property
    def progress(self) -> Progress:
        """How far the run is."""
        return self.keeper.progress

    @property
    def is_stale(self) -> bool:
        """Whether validations have not improved for as long as the settings have patience."""
        patience = self.settings.train.patience
        return patience is not None and self.progress.stale >= patience

    @property
    def is_finished(self) -> bool:
        """Whether there is no step left to do."""
        return self.progress.step >= self.steps or self.is_stale

    def batches(self) -> Batches:
        """The training images of this process, from the next step on."""
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

    def unfreeze_when_due(self) -> bool:
        """Let the frozen parts learn when as many steps were done as the settings say; whether they begin to,
        now.
        """
        due = self.settings.train.unfreeze_at
        if due is None or self.progress.step < due or not self.freezing.is_active:
            return False
        self.freezing.unfreeze()
        # DDP counts what learns when it is made
        owner = f"plugin {self.plugin.name!r}"
        self.module = self.fabric.setup_module(LossModule(self.model, owner))
        return True

    def save(self) -> None:
        """Write the state to resume from, and ``last.safetensors``.

        Raises:
            NonFiniteLossError: when the loss of the last step was not finite; nothing is written then.
        """
        self.guard.settle()
        self.keeper.save()
