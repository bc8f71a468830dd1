"""What a model may be able to do beside predicting and learning.

Each capability is a small abstract class. A model declares it by deriving from it, the conformance suite
checks what it promises, and the rest of the toolkit asks ``model.capability(Tileable)`` and never what class
a model is of. A wrapper, such as a promptable model with somebody to prompt it, answers for the model inside
it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from toolkit.types import Instances, Prediction, Prompts, Sample


class Tileable(ABC):
    """Gives class scores for each pixel of any window, so that images too large for the network are predicted
    window by window.
    """

    @property
    def shrinks_large_images(self) -> bool:
        """Whether ``predict`` shrinks large images itself; then windows are used only where they are asked
        for.
        """
        return False

    @abstractmethod
    def logits(self, images: Tensor) -> Tensor:
        """Scores in the images' own grid, which may be added up over windows; their arg-max over the classes
        is what ``predict`` gives.

        Args:
            images: uint8 ``[B, 3, H, W]``, RGB, of any height and width.

        Returns:
            floating ``[B, C, H, W]`` on the model's device. Called in eval mode and without gradients.
        """


class Inspectable(ABC):
    """Has one network that takes a batch of images, whose layers and costs ``toolkit summary`` shows.

    Attributes:
        network: the network.
        divisor: height and width of what it gets are multiples of this.
    """

    network: nn.Module
    divisor: int = 1

    @abstractmethod
    def network_input(self, images: Tensor) -> Tensor:
        """What the network gets for images: resized, normalized and padded.

        Args:
            images: uint8 ``[B, 3, H, W]``, RGB.

        Returns:
            floating ``[B, C, h, w]`` on the model's device.
        """


class Promptable(ABC):
    """Segments what a user points at. An image is encoded once, and then any number of prompts is answered.

    Attributes:
        protocols: the prompt protocols that it is measured by, the most important first; see
            ``toolkit.evaluation.protocols``.
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


class Trackable(ABC):
    """Follows objects through a video."""

    @abstractmethod
    def track(
        self, frames: Sequence[Sample], prompts: Mapping[int, Sequence[Prompts]]
    ) -> Iterator[Prediction]:
        """One prediction per frame, in order, from the first frame that has prompts to the last of the video.

        Args:
            frames: all of one size; decoded when they are asked for, so ask for each once and in order where
                you can.
            prompts: what shows objects, by the number of the frame; each row of each item is an object of its
                own. There is at least one.

        Returns:
            The objects seen in each frame, labeled with their number: in the order of the frames, and in a
            frame of the rows.
        """
