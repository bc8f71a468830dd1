"""A plugin that finds what is bright, and something else that it is not sure of, for the tests of what takes
prompts from a detector.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from toolkit import Instances, PluginManifest, Prediction, Sample, Settings
from toolkit.models.contract import Model

PLUGIN = PluginManifest(
    name="bright-detector",
    summary="finds what is bright, for tests",
    task="instance",
    build=":build",
    evaluators=("coco",),
)


class BrightDetector(Model):
    def __init__(self, classes: Sequence[str]) -> None:
        super().__init__(classes)
        self.unused = nn.Parameter(torch.zeros(1))

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        return [Prediction(sample.id, sample.size, instances=self._found(sample)) for sample in samples]

    def _found(self, sample: Sample) -> Instances:
        rows, columns = (sample.image[0] > 120).nonzero(as_tuple=True)
        box = [float(v) for v in (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)]
        boxes = torch.tensor([box, [0.0, 0.0, 3.0, 2.0]])
        return Instances(
            sample.size, boxes, torch.zeros(2, dtype=torch.int64), scores=torch.tensor([0.9, 0.2])
        )


def build(settings: Settings, classes: Sequence[str]) -> BrightDetector:
    return BrightDetector(classes)
