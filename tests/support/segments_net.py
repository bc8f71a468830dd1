"""A plugin that learns panoptic segmentation by itself: a class for every pixel, and regions of a class of
things as things.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from toolkit import PanopticMap, PluginManifest, Prediction, Sample, Segment, Settings, TrainableModel
from toolkit.errors import InvalidDataError

PLUGIN = PluginManifest(
    name="segments-net",
    summary="two convolutions, and regions of one class as segments",
    task="panoptic",
    build=":build",
    defaults={"train": {"steps": 40, "batch_size": 8, "lr": 0.03, "workers": 0, "eval_every": 20}},
)


class SegmentsNet(TrainableModel):
    def __init__(self, classes: Sequence[str]) -> None:
        super().__init__(classes)
        layers = [nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, len(classes), 1)]
        self.net = nn.Sequential(*layers)

    def logits(self, sample: Sample) -> Tensor:
        found: Tensor = self.net(sample.image[None].to(self.device) / 255 - 0.5)
        return found.float()

    def loss(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
        losses = []
        for sample in samples:
            panoptic = sample.get("panoptic")
            if panoptic is None:
                raise InvalidDataError(f"sample {sample.id!r} has no segments to learn from")
            target = panoptic.label_map()[None].long().to(self.device)
            each = F.cross_entropy(self.logits(sample), target, ignore_index=255, reduction="sum")
            losses.append(each / (target != 255).sum().clamp(min=1))
        return {"cross_entropy": torch.stack(losses).mean()}

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        return [
            Prediction(sample.id, sample.size, extras={"panoptic": self._segments(sample)})
            for sample in samples
        ]

    def _segments(self, sample: Sample) -> PanopticMap:
        labels = self.logits(sample)[0].argmax(0).to(torch.uint8).cpu().numpy()
        numbers = np.zeros(labels.shape, np.int32)
        segments: list[Segment] = []
        for label in np.unique(labels).tolist():
            count, regions = cv2.connectedComponents((labels == label).astype(np.uint8))
            whole = self.classes[label] == "background"
            for number in range(1, 2 if whole else count):
                inside = labels == label if whole else regions == number
                if inside.sum() >= 20:
                    segments.append(Segment(label, not whole))
                    numbers[inside] = len(segments)
        return PanopticMap(torch.from_numpy(numbers), tuple(segments))


def build(settings: Settings, classes: Sequence[str]) -> SegmentsNet:
    return SegmentsNet(classes)
