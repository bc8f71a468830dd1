"""The model as distributed training wants it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from toolkit.models.contract import TrainableModel
from toolkit.types import Sample


class SampleBatch:
    """Samples on their way through Fabric and DDP, which would otherwise look inside and try to copy them."""

    def __init__(self, samples: list[Sample]) -> None:
        self.samples = samples


class LossModule(nn.Module):
    """The model as DDP wants it: ``forward`` is the loss."""

    def __init__(self, model: TrainableModel) -> None:
        super().__init__()
        self.model = model
        # DDP looks for unused parameters, and warns in every process when it finds none.
        self.unused = nn.Parameter(torch.zeros(()))

    def forward(self, batch: SampleBatch) -> dict[str, Tensor]:
        """The losses of a batch, by name."""
        return self.model.loss(batch.samples)
