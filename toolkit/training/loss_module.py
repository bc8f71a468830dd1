"""The model as distributed training wants it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from toolkit.models.contract import TrainableModel
from toolkit.models.returned import checked_losses
from toolkit.types import Sample


class SampleBatch:
    """Samples on their way through Fabric and DDP, which would otherwise look inside and try to copy them."""

    def __init__(self, samples: list[Sample]) -> None:
        self.samples = samples


class LossModule(nn.Module):
    """The model as DDP wants it: ``forward`` is the loss.

    Args:
        model: computes it.
        owner: whose model it is, for messages.
    """

    def __init__(self, model: TrainableModel, owner: str) -> None:
        super().__init__()
        self.model, self.owner = model, owner
        # DDP looks for unused parameters, and warns in every process when it finds none.
        self.unused = nn.Parameter(torch.zeros(()))

    def forward(self, batch: SampleBatch) -> dict[str, Tensor]:
        """The losses of a batch, by name.

        Raises:
            InvalidDataError: when the model returns something else.
        """
        losses = self.model.loss(batch.samples)
        return checked_losses(losses, batch.samples, owner=self.owner, with_gradient=torch.is_grad_enabled())
