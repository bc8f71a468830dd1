"""A model plugin with small settings, as the subject of the checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch

from toolkit import registry
from toolkit.config import Settings, TrainSettings, settings_class, validate
from toolkit.config.tree import copy_tree, merge
from toolkit.models.building import build_model
from toolkit.models.contract import Model, TrainableModel, evaluating, total_loss
from toolkit.registry.manifests import PluginManifest, TaskManifest
from toolkit.runtime.seeding import seed_everything
from toolkit.testing.checks import skip
from toolkit.testing.samples import unlabeled, with_prompts
from toolkit.training.optimizer import build_optimizer
from toolkit.types import Prediction, Sample, Size

BATCH = 4


@dataclass(frozen=True)
class Training:
    """The result of a short training on one batch.

    Attributes:
        model: the trained model.
        before, after: the loss of the batch, with the same random numbers.
        reached: names of the parameters that had a nonzero gradient in some step.
        trainable: names of the parameters in the optimizer.
    """

    model: TrainableModel
    before: float
    after: float
    reached: frozenset[str]
    trainable: frozenset[str]


@dataclass(frozen=True)
class ModelCase:
    """A plugin, and how to check it.

    Attributes:
        plugin: a name, or the path of a file or folder.
        settings: the plugin's own settings, nested; preferably for a small model.
        train: settings of the section ``train`` on top of the manifest's defaults; ``lr`` and ``optimizer``
            are used here.
        size: approximate height and width of the images, in pixels.
        steps: number of steps within which the loss must decrease.
    """

    plugin: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    train: Mapping[str, Any] = field(default_factory=dict)
    size: Size = (64, 64)
    steps: int = 20

    @property
    def manifest(self) -> PluginManifest:
        """The plugin's manifest."""
        return registry.named(registry.plugins(), self.plugin, by_user=True)

    @property
    def task(self) -> TaskManifest:
        """The plugin's task."""
        return registry.task_of(self.manifest)

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes for which the model is built, unless a check uses others."""
        return self.task.classes

    def model_settings(self) -> Settings:
        """The plugin's settings, validated."""
        result: Settings = validate(
            settings_class(self.manifest), self.settings, source=f"settings of plugin {self.manifest.name!r}"
        )
        return result

    def build(self, classes: Sequence[str] | None = None, *, seed: int = 0) -> Model:
        """A new model with random weights, in eval mode."""
        seed_everything(seed, "model")
        model = build_model(self.manifest, self.model_settings(), classes or self.classes)
        return model.eval()

    def build_trainable(self, classes: Sequence[str] | None = None, *, seed: int = 0) -> TrainableModel:
        """A new model in training mode; the check is skipped if the plugin's model is not trainable."""
        model = self.build(classes, seed=seed)
        if not isinstance(model, TrainableModel):
            skip(f"the model is not trainable: {type(model).__name__} is not a TrainableModel")
        return model.train()

    def samples(
        self,
        count: int = BATCH,
        *,
        classes: Sequence[str] | None = None,
        objects: int = 3,
        sizes: Sequence[Size] = (),
        seed: int = 0,
    ) -> list[Sample]:
        """Generated samples of different sizes with all labels, and with prompts for a promptable model."""
        height, width = self.size
        usual = [(height, width), (height, width), (height * 3 // 4, width), (height - 7, width + 5)]
        sizes = sizes or [usual[i % len(usual)] for i in range(count)]
        if not self.task.examples:
            skip(f"the task {self.task.name!r} provides no examples to test models with")
        make: Callable[..., list[Sample]] = self.task.resolve(self.task.examples)
        samples = make(classes or self.classes, sizes, objects=objects, seed=seed)
        return [with_prompts(sample) for sample in samples] if "answers" in self.task.predicts else samples

    def unlabeled(self, count: int = BATCH, **options: Any) -> list[Sample]:
        """Generated samples without labels, as in inference; prompts are kept."""
        return [unlabeled(sample) for sample in self.samples(count, **options)]

    def predict(self, model: Model, samples: Sequence[Sample]) -> list[Prediction]:
        """Predictions under the same conditions as in the core: in eval mode, without gradients, with seeded
        random numbers."""
        with evaluating(model):
            seed_everything(0, "predict")
            return model.predict(samples)

    def loss_of(self, model: TrainableModel, samples: Sequence[Sample]) -> float:
        """The total loss in the model's current mode, with the same random numbers each time."""
        with torch.no_grad():
            seed_everything(0, "loss")
            return float(total_loss(model.loss(samples)))

    def train_settings(self) -> TrainSettings:
        """The plugin's default training settings, for a few steps on a small batch."""
        tree = merge(copy_tree(self.manifest.defaults).get("train", {}), dict(self.train))
        tree = {
            key: value
            for key, value in tree.items()
            if key not in ("epochs", "milestones", "schedule", "accumulate", "devices", "num_nodes")
        }
        settings: TrainSettings = validate(
            TrainSettings,
            {**tree, "steps": self.steps, "batch_size": BATCH},
            source=f"defaults of plugin {self.manifest.name!r}",
        )
        return settings

    def train_steps(
        self, model: TrainableModel, batch: Sequence[Sample], steps: int
    ) -> tuple[frozenset[str], frozenset[str]]:
        """Train on one batch.

        Returns:
            The names of the parameters that had a nonzero gradient, and of those in the optimizer.
        """
        settings = self.train_settings()
        optimizer = build_optimizer(model, settings)
        given = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
        names = {
            name: parameter
            for name, parameter in model.named_parameters()
            if id(parameter) in given and parameter.requires_grad
        }
        reached: set[str] = set()
        for step in range(steps):
            seed_everything(settings.seed, "step", step)
            total_loss(model.loss(batch)).backward()  # type: ignore[no-untyped-call]
            reached |= {
                name
                for name, parameter in names.items()
                if parameter.grad is not None and bool(parameter.grad.any())
            }
            if settings.clip_norm is not None:
                torch.nn.utils.clip_grad_norm_(names.values(), settings.clip_norm)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return frozenset(reached), frozenset(names)

    @cached_property
    def training(self) -> Training:
        """A short training, run once and shared by all checks that use it."""
        model, batch = self.build_trainable(), self.samples()
        before = self.loss_of(model, batch)
        reached, trainable = self.train_steps(model, batch, self.steps)
        return Training(model, before, self.loss_of(model, batch), reached, trainable)

    def trained_or_new(self) -> Model:
        """The model after a short training if that works, else a new one; whether it works is the subject of
        another check.
        """
        try:
            return self.training.model
        except Exception:  # third-party code may raise anything
            return self.build()
