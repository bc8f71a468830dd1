"""The model in the form that distributed training needs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from toolkit.errors import InvalidDataError
from toolkit.models.contract import TrainableModel
from toolkit.models.returned import checked_losses
from toolkit.types import Sample


class SampleBatch:
    """Wraps samples for Fabric and DDP, which would otherwise look inside and try to copy them."""

    def __init__(self, samples: list[Sample]) -> None:
        self.samples = samples


class LossModule(nn.Module):
    """The model in the form that DDP needs: ``forward`` is the loss.

    Args:
        model: the model that computes the loss.
        owner: the owner of the model, for messages.
    """

    def __init__(self, model: TrainableModel, owner: str) -> None:
        super().__init__()
        self.model, self.owner = model, owner
        # DDP looks for unused parameters, and warns in every process when it finds none.
        self.unused = nn.Parameter(torch.zeros(()))

    def forward(self, batch: SampleBatch) -> dict[str, Tensor]:
        """The losses of a batch, by name.

        Raises:
            InvalidDataError: when the model returns something else, or batch norm cannot train on such
                a small batch.
        """
        try:
            losses = self.model.loss(batch.samples)
        except ValueError as error:
            if "Expected more than 1 value per channel" not in str(error):
                raise
            sizes = ", ".join(f"{s.path or s.id} ({s.size[0]}×{s.size[1]})" for s in batch.samples)
            raise InvalidDataError(
                f"{self.owner}, loss of the samples {sizes} (height×width): this batch leaves batch"
                " norm with a single value, on which it cannot train. Hint: train.batch_size=2 or more for"
                " each process and part, larger images, or another norm"
            ) from None
        return checked_losses(losses, batch.samples, owner=self.owner, with_gradient=torch.is_grad_enabled())
