"""From settings to a model, and from samples to probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from toolkit.errors import InvalidDataError, UsageError
from toolkit.models import resizing_program
from toolkit.models.capabilities import Explainable, Exportable, Inspectable
from toolkit.models.contract import TrainableModel, evaluating
from toolkit.models.explained import refuse_kind
from toolkit.models.feature_layers import feature_layers, probe
from toolkit.models.graphs import Graph
from toolkit.models.resizing import groups_by_size, shrunk
from toolkit.models.strided import channels_last
from toolkit.types import Prediction, Sample, Size, Target

from .labels import FIELD, probabilities_of, top
from .networks import build_network, last_layers
from .settings import ClassifierSettings


class Classifier(TrainableModel, Inspectable, Explainable, Exportable):
    """A network that gives one logit per class for an image.

    All images are resized to one size, so that each goes through the network in the same way whatever else is
    in its batch.

    Args:
        network: takes float32 ``[B, 3, h, w]`` and returns logits ``[B, C]``.
        classes: one name per logit.
        size: ``h`` and ``w``.
        settings: loss and preprocessing.
    """

    _scale: Tensor
    _shift: Tensor

    def __init__(
        self, network: nn.Module, classes: Sequence[str], size: Size, settings: ClassifierSettings
    ) -> None:
        super().__init__(classes)
        if not self.classes:
            raise UsageError("a classifier needs at least one class")
        self.network = channels_last(network)
        self.settings, self.size = settings, size
        std = torch.tensor(settings.std)
        # (x / 255 - mean) / std as one multiplication and one subtraction
        self.register_buffer("_scale", (1 / (255 * std)).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("_shift", (torch.tensor(settings.mean) / std).view(1, 3, 1, 1), persistent=False)

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        """The probability of each class for each image, float32 ``[C]`` as ``class_probabilities`` in
        ``extras``, with ``class_name`` and ``class_score``, the most probable one and its probability.
        """
        if not samples:
            return []
        with evaluating(self):
            return self._predictions(samples, self._logits(samples))

    def loss(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
        """The cross-entropy, mean over the samples.

        Raises:
            InvalidDataError: when a sample has no class; names it.
        """
        targets = self._targets(samples)
        return self._losses(self._logits(samples), targets)

    def validate(self, samples: Sequence[Sample]) -> tuple[list[Prediction], dict[str, Tensor]]:
        """Predictions and losses from one forward pass, in eval mode."""
        targets = self._targets(samples)
        with evaluating(self):
            logits = self._logits(samples)
            return self._predictions(samples, logits), self._losses(logits, targets)

    def network_input(self, images: Tensor) -> Tensor:
        """Images resized to the network's size and normalized.

        Args:
            images: uint8 ``[B, 3, H, W]``, RGB.

        Returns:
            float32 ``[B, 3, h, w]`` in channels-last memory, on the model's device.
        """
        if self.settings.fit == "crop":
            images = _cropped(images, self.size)
        images = shrunk(images.to(self._scale.device).to(self._scale.dtype), self.size)
        images = images * self._scale - self._shift
        return images.contiguous(memory_format=torch.channels_last)

    def score(self, images: Tensor, target: Target) -> Tensor:
        """The logit of a class for each image; see ``Explainable``."""
        if target.kind != "class" or target.label is None:
            raise refuse_kind(self, target, "the classes of whole images")
        if target.label >= len(self.classes):
            raise UsageError(f"there is no class {target.label}: the model has {len(self.classes)}")
        logits: Tensor = self.network(self.network_input(images))
        return logits[:, target.label]

    def layers(self) -> tuple[str, ...]:
        """See ``Explainable``. The default is the last layer with feature maps, before they are pooled."""
        names = feature_layers(self.network, probe(self.network, *self.size))
        return tuple(f"network.{name}" for name in names)

    def maps_in_image(self, maps: Tensor, size: Size) -> Tensor:
        """See ``Explainable``; 0 in what is cropped."""
        if self.settings.fit != "crop":
            return super().maps_in_image(maps, size)
        top, left, height, width = _crop(size, self.size)
        whole = maps.new_zeros(len(maps), *size)
        inside = super().maps_in_image(maps, (height, width))
        whole[:, top : top + height, left : left + width] = inside
        return whole

    def export_state(self) -> dict[str, Tensor]:
        """The weights of the network alone, under their names in it."""
        return dict(self.network.state_dict())

    def graphs(self) -> tuple[Graph, ...]:
        """The network, from normalized images of its size to logits."""
        generator = torch.Generator().manual_seed(0)
        examples = tuple((torch.randn((count, 3, *self.size), generator=generator),) for count in (2, 1, 5))
        inputs = {"images": ("batch", 3, *self.size)}
        return (Graph("network", self.network, inputs, {"logits": ("batch", len(self.classes))}, examples),)

    def with_graphs(self, graphs: Mapping[str, nn.Module]) -> Classifier:
        """The same preprocessing around another network."""
        return Classifier(graphs["network"], self.classes, self.size, self.settings).eval()

    @property
    def processing(self) -> Mapping[str, Any]:
        """How images become the network's input, and logits become probabilities."""
        given = self.settings
        return {
            "kind": "classification",
            "input": {
                "graph": "network",
                "channels": "RGB",
                "size": list(self.size),
                "fit": given.fit,
                "resize": "bilinear with antialiasing, in floating point; with fit crop, of the middle part",
                "mean": list(given.mean),
                "std": list(given.std),
                "normalize": "(value / 255 - mean) / std",
            },
            "output": {"class_probabilities": "softmax of the logits"},
        }

    @property
    def program(self) -> tuple[Path, ...]:
        """The same in NumPy."""
        return (Path(resizing_program.__file__), Path(__file__).with_name("program.py"))

    def _logits(self, samples: Sequence[Sample]) -> Tensor:
        """float32 ``[B, C]`` on the model's device, in the order of the samples."""
        places, inputs = [], []
        for positions, images in groups_by_size(samples):
            places += positions
            inputs.append(self.network_input(images))
        order = torch.tensor(places).argsort()
        batch = torch.cat(inputs)[order.to(self.device)]
        logits = self.network(batch.contiguous(memory_format=torch.channels_last))
        expected = (len(samples), len(self.classes))
        if not isinstance(logits, Tensor) or tuple(logits.shape) != expected:
            found = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise UsageError(
                f"{type(self.network).__name__} must return logits {list(expected)}, one per image and class,"
                f" not {found}. Hint: use another model.architecture"
            )
        return logits.float()

    def _targets(self, samples: Sequence[Sample]) -> Tensor:
        if not samples:
            raise InvalidDataError("the loss of an empty batch is undefined; expected at least one sample")
        found = [probabilities_of(sample, len(self.classes)) for sample in samples]
        return torch.stack(found).to(self.device)

    def _losses(self, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        return {
            "cross_entropy": F.cross_entropy(logits, targets, label_smoothing=self.settings.label_smoothing)
        }

    def _predictions(self, samples: Sequence[Sample], logits: Tensor) -> list[Prediction]:
        found = []
        for sample, probabilities in zip(samples, logits.softmax(1).cpu(), strict=True):
            index, score = top(probabilities)
            extras = {
                FIELD: probabilities.clone(),
                "class_name": self.classes[index],
                "class_score": score,
            }
            found.append(Prediction(sample.id, sample.size, extras=extras))
        return found


def build(settings: ClassifierSettings, classes: Sequence[str]) -> Classifier:
    """A classifier with random weights.

    Raises:
        ConfigError: when the architecture is unknown or does not support the settings.
    """
    network, size = build_network(settings, len(classes))
    model = Classifier(network, classes, size, settings)
    last = tuple(f"network.{name}." for name in last_layers(network))
    model.class_tensors = tuple(name for name, _ in model.named_parameters() if name.startswith(last))
    model.first_class_row = 0
    return model


def _cropped(images: Tensor, size: Size) -> Tensor:
    """The largest part in the middle of images ``[B, 3, H, W]`` that has the aspect ratio of ``size``."""
    top, left, height, width = _crop((images.shape[2], images.shape[3]), size)
    return images[:, :, top : top + height, left : left + width]


def _crop(image_size: Size, size: Size) -> tuple[int, int, int, int]:
    """Top, left, height and width of that part."""
    height, width = image_size
    scale = min(height / size[0], width / size[1])
    h, w = (
        max(1, min(side, round(wanted * scale))) for side, wanted in ((height, size[0]), (width, size[1]))
    )
    return (height - h) // 2, (width - w) // 2, h, w
