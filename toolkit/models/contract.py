"""The contract of model plugins."""

from __future__ import annotations

import itertools
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
    """A network that works on samples. Resizing, padding and normalizing happen inside ``predict``.

    Attributes:
        classes: the names of the label indexes, including the background if the model has one.
        class_tensors: entries of the state dict whose first dimension depends on the number of classes. If
            start weights were trained for other classes, the rows of shared classes are copied by name, the
            others keep their random initialization, and the log reports this. If empty, they are found by
            building the same model for other classes.
        first_class_row: index of the first class row in entries that also have other rows, such as one for a
            background: 0 if those follow, 1 if one precedes. None: not known, and such entries keep their
            random initialization entirely.
        draw_above: the minimum score of objects to draw.
        untrained: patterns (see ``toolkit.models.parts``) of parameters that training does not use, such as
            those of another task; reports do not count them as frozen.
        encoder_part: name of the module that turns images into features, as in ``named_modules``; in
            patterns, ``encoder`` stands for it, whatever the network calls it. Empty: only parts that are
            called so.
        graph_parameters: number of the parameters of an exported model, which are constants of its graphs.
    """

    classes: tuple[str, ...]
    class_tensors: tuple[str, ...] = ()
    first_class_row: int | None = None
    draw_above: float = DRAW_ABOVE
    untrained: tuple[str, ...] = ()
    encoder_part: str = ""
    graph_parameters: int = 0

    def __init__(self, classes: Sequence[str]) -> None:
        super().__init__()
        self.classes = tuple(classes)

    @abstractmethod
    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        """One prediction per sample, in order, each in the sample's own pixel grid, on the CPU.

        The images may differ in size. Called in eval mode and without gradients by the core.
        """

    def capability(self, kind: type[C]) -> C | None:
        """This model as an instance of a capability (see ``toolkit.models.capabilities``), or None if it does
        not have it.

        A wrapper returns the model inside it, for the capabilities that wrapping does not change.
        """
        return self if isinstance(self, kind) else None

    def expect_images(self, names: Iterable[str]) -> None:
        """Receive the ids of all samples that will be predicted, before the first prediction.

        Raises:
            DataError: when the model has information (such as prompts) about an image that is not among them.
        """

    def expected_images(self) -> tuple[str, ...]:
        """Those of the samples of ``expect_images`` that the model has information about. The same model in
        another process receives these, and then predicts the same.
        """
        return ()

    def export_state(self) -> dict[str, Tensor]:
        """The weights under the names of the original software; ``toolkit export`` writes them."""
        return dict(self.state_dict())

    @property
    def device(self) -> torch.device:
        """The device of the parameters, or of the buffers of a model without parameters."""
        first = next(itertools.chain(self.parameters(), self.buffers()), None)
        return torch.device("cpu") if first is None else first.device


class TrainableModel(Model):
    """A model that can be trained on samples."""

    @abstractmethod
    def loss(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
        """The losses of a batch, by name, as scalar tensors on the model's device; their sum is minimized.

        Each is a mean over the samples, so that a batch split over processes or accumulated in parts gives
        the same gradient as the whole batch.
        """

    def parameter_groups(self, lr: float, weight_decay: float) -> list[dict[str, Any]]:
        """The optimizer's parameter groups, with ``params`` and, where they differ, their own ``lr`` or
        ``weight_decay``.

        ``name`` labels a group in the log. Override to freeze or slow down a part; parameters left out, or
        without ``requires_grad``, do not train. By default, weight decay applies to matrices and kernels but
        not to biases and norms.
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
        """Predictions and losses of held-out samples. Override if one forward pass can serve both."""
        return self.predict(samples), self.loss(samples)


def total_loss(losses: Mapping[str, Tensor]) -> Tensor:
    """The sum of the named losses, a scalar tensor."""
    return torch.stack(list(losses.values())).sum()


@contextmanager
def with_gradients() -> Iterator[None]:
    """Context manager in which gradients are computed even if the caller has switched them off with
    ``torch.no_grad`` or ``torch.inference_mode``: for building models, which may look at gradients, and for
    training."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Context manager for eval mode without gradients; afterwards every module is back in its previous
    mode."""
    modes = [(module, module.training) for module in model.modules()]
    if any(mode for _, mode in modes):  # otherwise eval(), which takes longer than some layers of a GPU
        model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            if module.training != mode:
                module.training = mode


def parameter_count(model: nn.Module) -> int:
    """Number of the values in a model's parameters; in an exported one, those that are constants of its
    graphs.
    """
    inside = sum(each.graph_parameters for each in model.modules() if isinstance(each, Model))
    return inside + sum(parameter.numel() for parameter in model.parameters())
