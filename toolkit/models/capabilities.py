"""Capabilities: what a model may be able to do besides predicting and training.

Each capability is a small abstract class. A model declares it by deriving from it, the conformance suite
checks what it promises, and the rest of the toolkit calls ``model.capability(Tileable)`` and never checks the
model's class. A wrapper, such as a promptable model with a prompt source, answers for the model inside it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from toolkit.models.contract import Model
from toolkit.models.graphs import Graph
from toolkit.types import Instances, Prediction, Prompts, Sample, Size, Target


class Tileable(ABC):
    """Returns class scores for each pixel of any window, so that images too large for the network can be
    predicted window by window.
    """

    @property
    def shrinks_large_images(self) -> bool:
        """Whether ``predict`` downscales large images itself; then windows are used only on request."""
        return False

    @abstractmethod
    def logits(self, images: Tensor) -> Tensor:
        """Scores in the images' own pixel grid, which may be summed over windows; their arg-max over the
        classes is the result of ``predict``.

        Args:
            images: uint8 ``[B, 3, H, W]``, RGB, of any height and width.

        Returns:
            floating ``[B, C, H, W]`` on the model's device. Called in eval mode and without gradients.
        """


class Windowable:
    """Finds objects in a window of an image as in a whole image, so that images too large for the network can
    be predicted window by window, and their objects put together (``toolkit.models.merging``).

    There is nothing to implement: ``predict`` gets the windows as samples.
    """

    @property
    def shrinks_large_images(self) -> bool:
        """Whether ``predict`` downscales large images itself; then windows are used only on request."""
        return False


class Probabilistic(ABC):
    """Estimates the probability of each pixel's class, so that its calibration can be measured."""

    @abstractmethod
    def predict_with_confidence(self, samples: Sequence[Sample]) -> list[Prediction]:
        """Like ``predict``, with the probability of each pixel's class, from 0 to 1, as the ``PixelMap``
        named ``toolkit.types.CONFIDENCE`` in ``extras``.
        """


class Inspectable(ABC):
    """Has one network that takes a batch of images; ``toolkit summary`` shows its layers and costs.

    Attributes:
        network: the network.
        divisor: height and width of its input are multiples of this.
    """

    network: nn.Module
    divisor: int = 1

    @abstractmethod
    def network_input(self, images: Tensor) -> Tensor:
        """The network's input for images: resized, normalized and padded.

        Args:
            images: uint8 ``[B, 3, H, W]``, RGB.

        Returns:
            floating ``[B, C, h, w]`` on the model's device.
        """


class Promptable(ABC):
    """Segments objects given by prompts. An image is encoded once, and then any number of prompts is
    answered.

    Attributes:
        protocols: the prompt protocols with which it is evaluated, the most important first; see
            ``toolkit.evaluation.protocols``.
        untrained_prompts: the kinds of prompts (``point``, ``box``, ``mask``) that do not occur in training.
            A run from random weights refuses them.
    """

    protocols: tuple[str, ...] = ("box", "point", "point+2")
    untrained_prompts: tuple[str, ...] = ()

    @abstractmethod
    def encode(self, samples: Sequence[Sample]) -> list[Any]:
        """For each sample, the data shared by its prompts, such as the image embedding, in any form that
        ``answer`` accepts.
        """

    @abstractmethod
    def answer(self, encoded: Any, prompts: Prompts) -> Instances:
        """An object with mask and score for each prompt, in order, with the label of the prompt (0 if it has
        none).

        Args:
            encoded: one of the items that ``encode`` returned.
            prompts: prompts for that image, in its own pixels; may be empty.
        """

    @abstractmethod
    def find_all(self, encoded: Any) -> Instances:
        """Every object in the image, with masks and scores, labeled 0."""


class MaskPromptable(ABC):
    """Takes approximate masks and its own earlier answers as prompts, in addition to points and boxes."""

    @property
    def refines(self) -> bool:
        """Whether corrections work best together with the earlier answer, because the model was trained that
        way.
        """
        return True

    @abstractmethod
    def answer_logits(self, encoded: Any, prompts: Prompts) -> tuple[Instances, Tensor]:
        """Like ``Promptable.answer``, and also returns logits that can be passed as ``Prompts.logits`` to
        refine the answer.

        Args:
            encoded: one of the items that ``Promptable.encode`` returned.
            prompts: prompts for that image; may have masks or logits, alone or with points and boxes.

        Returns:
            An object for each prompt, in order, and float32 ``[N, h, w]`` on the CPU, above 0 inside.
        """


class Explainable(ABC):
    """Has a differentiable score for what it predicts, so that its gradient says which pixels matter.

    Attributes:
        channel_order: the order in which the network gets the colors of a pixel, ``RGB`` or ``BGR``.
    """

    channel_order: str = "RGB"

    @abstractmethod
    def score(self, images: Tensor, target: Target) -> Tensor:
        """The score of a target in each image, differentiable with respect to the pixels. It must depend on
        each image alone.

        For images with whole numbers it is computed from what ``predict`` computes, before a softmax or
        sigmoid: the logit of a class, averaged over the target's pixels where classes are those of pixels;
        the logit of an object's class in its box, or those of its mask; the logits of a prompt's mask in the
        mask that answers it.

        Args:
            images: floating ``[B, 3, H, W]``, RGB from 0 to 255, of the target's size, on the model's device.
            target: what is explained, the same for all of the images.

        Returns:
            floating ``[B]`` on the model's device. Called in eval mode, with and without gradients.

        Raises:
            UsageError: when the model predicts nothing of this kind.
        """

    @abstractmethod
    def layers(self) -> tuple[str, ...]:
        """Names of modules within the model, as in ``named_modules``, that run once for an image and return
        feature maps ``[B, C, h, w]``; the first is the default for methods that need a layer.
        """

    def maps_in_image(self, maps: Tensor, size: Size) -> Tensor:
        """Maps of a layer in the pixels of the images. By default, they are stretched over the whole image,
        by bilinear interpolation (half-pixel centers); override it if the network gets images with padding
        or cropped.

        Args:
            maps: floating ``[B, h, w]``, in the grid of a layer.
            size: height and width ``H, W`` of the images, in pixels.

        Returns:
            floating ``[B, H, W]``.
        """
        return F.interpolate(maps[:, None], size, mode="bilinear", align_corners=False)[:, 0]


class Trackable(ABC):
    """Follows objects through a video.

    Attributes:
        only_for_tracking: names or patterns of the parameters that only tracking uses and that training does
            not reach. A run from random weights cannot track if there are any.
    """

    only_for_tracking: tuple[str, ...] = ()

    @abstractmethod
    def track(
        self, frames: Sequence[Sample], prompts: Mapping[int, Sequence[Prompts]]
    ) -> Iterator[Prediction]:
        """One prediction per frame, in order, from the first frame that has prompts to the last of the video.

        Args:
            frames: all of the same size; decoded on access, so access each once and in order if you can.
            prompts: prompts by frame number. Rows with the same id are the same object, corrected in a later
                frame; each row without an id is an object of its own. There is at least one.

        Returns:
            The objects visible in each frame, labeled with their number; objects are numbered in the order of
            their first frames, and within a frame in the order of the rows. Where an object is does not
            depend on which other objects are tracked.
        """


class Exportable(ABC):
    """Consists of networks that are graphs of tensors, which other software can run, and of code around them.

    ``toolkit export`` writes the graphs. The exported folder is used with the plugin's own code around the
    graphs, so that all that surrounds the networks is the same as before.
    """

    @abstractmethod
    def graphs(self) -> tuple[Graph, ...]:
        """The networks that ``predict`` runs, in eval mode. Each name occurs once."""

    @abstractmethod
    def with_graphs(self, graphs: Mapping[str, nn.Module]) -> Model:
        """A model like this one, in eval mode, that runs ``graphs`` instead of its networks and has none of
        their weights.

        Args:
            graphs: for each name in ``graphs()``, a module with the arguments and results of that graph. A
                graph with one output returns a tensor, one with several a tuple.
        """

    @property
    @abstractmethod
    def processing(self) -> Mapping[str, Any]:
        """What happens before and after the graphs, for those who write it in another language and for
        ``program``: plain values that JSON has.
        """

    @property
    def program(self) -> tuple[Path, ...]:
        """Python files that need NumPy and OpenCV alone, of which the last has a function
        ``predict(image, graphs, manifest)``: with ``toolkit.export.program_frame``, they become the program
        ``predict.py`` in an exported folder, which then has no such program if there are none.

        The function takes an RGB image, uint8 ``[H, W, 3]``, the graphs by name, as functions of arrays to
        lists of arrays, and the manifest of the folder; if ``processing["kind"]`` is ``promptable``, also the
        prompts for the image, as in a JSON file of prompts. It returns arrays by the names of the fields of a
        prediction: ``label_map``, or ``boxes_xyxy``, ``labels``, ``scores``, ``masks`` (bool
        ``[N, H, W]``) and ``keypoints``, or names of ``extras``.
        """
        return ()
