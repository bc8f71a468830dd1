"""A plugin with faults planted in it, each of which one check of ``toolkit plugins check`` must name; without
faults it passes all.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F

from toolkit import VOID, PluginManifest, Prediction, Sample, Settings, TrainableModel
from toolkit.errors import InvalidDataError
from toolkit.models.losses import cross_entropy

PLUGIN = PluginManifest(
    name="faulty",
    summary="a plugin with faults, for tests",
    task="semantic",
    build=":build",
    settings=":FaultySettings",
    evaluators=("iou",),
    defaults={"train": {"steps": 20, "lr": 0.01}},
)
TEN = (
    "any_image_size",
    "batch_equals_singles",
    "truth_is_not_looked_at",
    "no_objects",
    "loss_is_a_mean_over_samples",
    "gradients_reach_all_parameters",
    "samples_stay_as_they_are",
    "predicting_leaves_no_trace",
    "training_is_repeatable",
    "moves_between_devices",
)
"""Faults that can be had together, each called after the check that must find it."""


class FaultySettings(Settings):
    """Which faults it has."""

    faults: tuple[str, ...] = TEN
    """Names of checks."""


class Faulty(TrainableModel):
    """Looks at each pixel and its neighbors."""

    def __init__(self, faults: Sequence[str], classes: Sequence[str]) -> None:
        super().__init__(classes)
        self.faults = frozenset(faults)
        if self.has("builds"):
            torch.seed()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()
        )
        self.head = nn.Conv2d(8, len(classes), 1)
        count = len(classes)
        odd = f"odd{count}" if self.has("weights_start_other_classes") else "odd"
        self.register_parameter(odd, nn.Parameter(torch.ones(1)))
        self.unused = nn.Parameter(torch.zeros(3)) if self.has("gradients_reach_all_parameters") else None
        self.register_buffer(
            "start", torch.randn(1) if self.has("save_and_load") else torch.ones(1), persistent=False
        )

    def has(self, fault: str) -> bool:
        return fault in self.faults

    def logits(self, sample: Sample) -> Tensor:
        """``[1, C, H, W]``."""
        image = sample.image[None]
        if self.has("samples_stay_as_they_are"):
            image.clamp_(10)
        pixels = image.to(self.device) / 255
        if self.has("moves_between_devices"):
            pixels = pixels - torch.tensor([0.5, 0.4, 0.4])[:, None, None]
        if self.has("any_image_size"):
            F.avg_pool2d(pixels, 4)
        if self.has("predicting_is_repeatable"):
            pixels = pixels * 100 * (np.random.default_rng().random() - 0.5)
        logits: Tensor = self.head(self.body(pixels))
        if self.has("mixed_precision"):
            logits.detach().numpy()
        if self.has("rows_follow_class_names"):
            logits = logits.roll(1, dims=1)
        return logits * self.odd[0] * self.start.square()

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        logits = [self.logits(sample)[0] for sample in samples]
        if self.has("batch_equals_singles"):
            mean = torch.stack([each.mean((1, 2)) for each in logits]).mean(0)
            logits = [each - mean[:, None, None] for each in logits]
        if self.has("predicting_leaves_no_trace"):
            self.train()
        if self.has("one_class"):
            logits = [each.squeeze() for each in logits]
        return [
            self._prediction(sample, each.argmax(0).to(torch.uint8).cpu())
            for sample, each in zip(samples, logits, strict=True)
        ]

    def _prediction(self, sample: Sample, label_map: Tensor) -> Prediction:
        if self.has("truth_is_not_looked_at") and sample.label_map is not None:
            label_map = sample.label_map
        name = sample.id.upper() if self.has("predictions_fit_the_samples") else sample.id
        return Prediction(name, sample.size, label_map=label_map)

    def loss(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
        losses = []
        for sample in samples:
            label_map = sample.label_map
            if label_map is None and self.has("missing_labels_are_named"):
                raise InvalidDataError("a label map is missing")
            if label_map is None:
                raise InvalidDataError(f"sample {sample.id!r} has no label_map")
            loss = cross_entropy(self.logits(sample), label_map[None].to(self.device))
            if self.has("no_objects") and len(self.classes) > 1:
                shown = ((label_map > 0) & (label_map != VOID)).sum().to(self.device)
                loss = loss * shown / shown  # NaN where there is nothing
            losses.append(loss)
        total = (
            torch.stack(losses).sum()
            if self.has("loss_is_a_mean_over_samples")
            else torch.stack(losses).mean()
        )
        return {"cross_entropy": self._spoilt(total)}

    def _spoilt(self, loss: Tensor) -> Tensor:
        if self.has("training_is_repeatable") and self.training:
            loss = loss * (1 + 1e-4 * np.random.default_rng().random())
        if self.has("loss_is_finite"):
            loss = loss.detach()
        if self.has("loss_falls"):
            loss = 2 * loss.detach() - loss
        if self.has("runs_in_two_processes") and dist.is_initialized():
            self.odd.data += dist.get_rank()
        return loss


def build(settings: FaultySettings, classes: Sequence[str]) -> Faulty:
    return Faulty(settings.faults, classes)
