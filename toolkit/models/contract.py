"""The contract that every model plugin meets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from toolkit.models import simulated_prompts as prompting
from toolkit.types import Instances, Prediction, Prompts, Sample


class Model(nn.Module, ABC):
    """A network that looks at samples. Resizing, padding and normalizing are its own business, inside
    ``predict``.

    Attributes:
        classes: the names that label indexes stand for, background included where the model has one.
        class_tensors: entries of the state dict whose shape follows from the number of classes; where start
            weights have another shape there, these start anew and the log says so. Empty: tensors that differ
            just where the number of classes stands.
        untrained: patterns (see ``toolkit.models.parts``) of parameters that are not used in training, such
            as those of another task; reports do not count them as frozen.
    """

    classes: tuple[str, ...]
    class_tensors: tuple[str, ...] = ()
    untrained: tuple[str, ...] = ()

    def __init__(self, classes: Sequence[str]) -> None:
        super().__init__()
        self.classes = tuple(classes)

    @abstractmethod
    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        """One prediction a sample, in order, each in the sample's own pixel grid, on the CPU.

        The images may differ in size. Called in eval mode and without gradients by the core.
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


class PromptableModel(TrainableModel):
    """A model that segments what a user points at. An image is encoded once, and then answers any number of
    prompts.

    It is measured once for each of its prompt protocols, with prompts taken from the true objects
    (``toolkit.models.simulated_prompts``): ``box``; ``point``, the most interior one; ``point+N``, with N
    corrections; and ``auto``, without prompts, whose objects have to be matched with the true ones. In every
    other, the instances of a prediction stand in the order of the sample's, one to one.

    Attributes:
        protocols: names of protocols, the most important first.
    """

    protocols: tuple[str, ...] = ("box", "point", "point+2")

    @abstractmethod
    def encode(self, samples: Sequence[Sample]) -> list[Any]:
        """For each sample what its prompts have in common, such as the embedding of its image; whatever
        ``answer`` understands.
        """

    @abstractmethod
    def answer(self, encoded: Any, prompts: Prompts) -> Instances:
        """An object with mask and score for each prompt, in order, labeled as the prompt is (0 where it is
        not).

        Args:
            encoded: one of the items that ``encode`` returned.
            prompts: of that image, in its own pixels; there may be none.
        """

    @abstractmethod
    def find_all(self, encoded: Any) -> Instances:
        """Every object in the image, with masks and scores, labeled 0."""

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        """The answers to each sample's ``prompts``, or everything in the image where that is None."""
        found = (self._answer(item, s.prompts) for s, item in zip(samples, self.encode(samples), strict=True))
        return [
            Prediction(s.id, s.size, instances=instances) for s, instances in zip(samples, found, strict=True)
        ]

    def predict_protocols(self, samples: Sequence[Sample]) -> dict[str, list[Prediction]]:
        """For each of ``protocols`` one prediction a sample; each image is encoded once.

        Raises:
            InvalidDataError: when a sample has no masks to take prompts from, or a protocol's name is
                unknown.
        """
        predictions: dict[str, list[Prediction]] = {protocol: [] for protocol in self.protocols}
        for sample, item in zip(samples, self.encode(samples), strict=True):
            for protocol, instances in self._ask(item, prompting.truth_of(sample)).items():
                predictions[protocol].append(Prediction(sample.id, sample.size, instances=instances))
        return predictions

    def _answer(self, encoded: Any, prompts: Prompts | None) -> Instances:
        return self.find_all(encoded) if prompts is None else self.answer(encoded, prompts)

    def _ask(self, encoded: Any, truth: Instances) -> dict[str, Instances]:
        """The answers to all protocols; those that begin with the same clicks share them."""
        rounds = {protocol: prompting.corrections_of(protocol) for protocol in self.protocols}
        answers: dict[str, Instances] = {}
        if prompting.BOX in rounds:
            answers[prompting.BOX] = self.answer(encoded, prompting.box_prompts(truth))
        if prompting.AUTO in rounds:
            answers[prompting.AUTO] = self.find_all(encoded)
        clicked = {protocol: count for protocol, count in rounds.items() if protocol not in answers}
        if clicked:
            prompts = prompting.point_prompts(truth)
            for count in range(max(clicked.values()) + 1):
                current = self.answer(encoded, prompts)
                answers |= {protocol: current for protocol, wanted in clicked.items() if wanted == count}
                if count < max(clicked.values()) and truth.masks is not None and current.masks is not None:
                    prompts = prompting.with_corrections(prompts, truth.masks, current.masks)
        return answers


class TrackingModel(PromptableModel):
    """A promptable model that follows objects through a video."""

    @abstractmethod
    def track(
        self, frames: Sequence[Sample], prompts: Mapping[int, Sequence[Prompts]]
    ) -> Iterator[Prediction]:
        """One prediction a frame, in order, from the first frame that has prompts to the last of the video.

        Args:
            frames: all of one size; decoded when they are asked for, so ask for each once and in order where
                you can.
            prompts: what shows objects, by the number of the frame; each row of each item is an object of its
                own. There is at least one.

        Returns:
            The objects seen in each frame, labeled with their number: in the order of the frames, and in a
            frame of the rows.
        """


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
