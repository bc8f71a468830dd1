"""The contract that every model plugin meets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from toolkit.types import Prediction, Sample
from toolkit.visualization.drawing import DRAW_ABOVE

C = TypeVar("C")


class Model(nn.Module, ABC):
    """A network that looks at samples. Resizing, padding and normalizing are its own business, inside
    ``predict``.

    Attributes:
        classes: the names that label indexes stand for, background included where the model has one.
        class_tensors: entries of the state dict whose shape follows from the number of classes; where start
            weights have another shape there, these start anew and the log says so. Empty: tensors that differ
            just where the number of classes stands.
        draw_above: the score from which on its objects are drawn.
        untrained: patterns (see ``toolkit.models.parts``) of parameters that are not used in training, such
            as those of another task; reports do not count them as frozen.
    """

    classes: tuple[str, ...]
    class_tensors: tuple[str, ...] = ()
    draw_above: float = DRAW_ABOVE
    untrained: tuple[str, ...] = ()

    def __init__(self, classes: Sequence[str]) -> None:
        super().__init__()
        self.classes = tuple(classes)

    @abstractmethod
    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        """One prediction a sample, in order, each in the sample's own pixel grid, on the CPU.

        The images may differ in size. Called in eval mode and without gradients by the core.
        """

    def capability(self, kind: type[C]) -> C | None:
        """This model as one that has a capability (see ``toolkit.models.capabilities``); None where it has
        not.

        A wrapper answers with the model inside it, for the capabilities that wrapping leaves as they are.
        """
        return self if isinstance(self, kind) else None

    def expect_images(self, names: Iterable[str]) -> None:
        """Learn the ids of all samples that will be predicted, before the first.

        Raises:
            DataError: when the model was told something about an image that is not among them.
        """

    def export_state(self) -> dict[str, Tensor]:
        """The weights as the model's origin names them: what ``toolkit export`` writes for other software to
        open.
        """
        return dict(self.state_dict())

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        first = next(self.parameters(), None)
        return torch.device("cpu") if first is None else first.device


class TrainableModel(Model):
    """A model that learns from samples."""

    @abstractmethod
    def loss(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
        """The losses of a batch, by name, as scalar tensors on the model's device; their sum is minimized.

        Each is a mean over the samples, so that a batch split over processes or accumulated in parts gives
        the same gradient as the whole.
        """

    def parameter_groups(self, lr: float, weight_decay: float) -> list[dict[str, Any]]:
        """What the optimizer gets: groups with ``params`` and, where they differ, their own ``lr`` or
        ``weight_decay``.

        ``name`` labels a group in the log. Override to freeze or slow down a part; parameters left out, or
        without ``requires_grad``, do not train. The default decays matrices and kernels and leaves biases and
        norms alone.
        """
        trainable = [p for p in self.parameters() if p.requires_grad]
        groups = [
            {
                "name": "weights",
                "params": [p for p in trainable if p.dim() > 1],
                "lr": lr,
                "weight_decay": weight_decay,
            },
            {
                "name": "biases and norms",
                "params": [p for p in trainable if p.dim() <= 1],
                "lr": lr,
                "weight_decay": 0.0,
            },
        ]
        return [group for group in groups if group["params"]]

    def validate(self, samples: Sequence[Sample]) -> tuple[list[Prediction], dict[str, Tensor]]:
        """Predictions and losses of held-out samples. Override where one forward pass can serve both."""
        return self.predict(samples), self.loss(samples)


def total_loss(losses: Mapping[str, Tensor]) -> Tensor:
    """The sum of the named losses, a scalar tensor."""
    return torch.stack(list(losses.values())).sum()


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode without gradients for a while; afterwards every module is in the mode that it was in."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode
