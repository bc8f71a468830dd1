"""Mask R-CNN around a graph that another runtime computes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from toolkit.errors import UsageError
from toolkit.models import resizing_program
from toolkit.types import Instances, Sample, Size

from .contract import Engine
from .graph import as_detections, outputs_of
from .inputs import DIVISOR, network_input, padded_size
from .postprocessing import to_instances
from .settings import MaskRCNNSettings

PROGRAM = (Path(resizing_program.__file__), Path(__file__).with_name("program.py"))


class ExportedMaskRCNN(Engine):
    """A Mask R-CNN whose network is a graph, see ``toolkit.plugins.maskrcnn.graph``; it cannot be trained.

    Args:
        detector: the graph.
        settings: those of the exported model.
        classes: the names that label indexes stand for.
    """

    def __init__(self, detector: nn.Module, settings: MaskRCNNSettings, classes: Sequence[str]) -> None:
        super().__init__(settings, classes)
        self.detector = detector

    def losses(self, samples: Sequence[Sample], sizes: Sequence[Size]) -> dict[str, Tensor]:
        """Raise ``UsageError``."""
        raise UsageError("an exported model cannot be trained. Hint: train the run that it was exported from")

    def detect(self, samples: Sequence[Sample], sizes: Sequence[Size]) -> list[Instances]:
        """See ``Engine``."""
        return [self._detect(sample, size) for sample, size in zip(samples, sizes, strict=True)]

    def _detect(self, sample: Sample, size: Size) -> Instances:
        image = network_input(sample.image, size, padded_size([size]), self.settings.input)
        results = self.detector(image[None].to(self.device), torch.tensor(size).to(self.device))
        options = self.settings
        return to_instances(
            as_detections(results, options),
            size,
            sample.size,
            options.mask_head.threshold,
            pastes=options.operators.paste,
        )


def processing_of(settings: MaskRCNNSettings) -> dict[str, Any]:
    """What happens before and after the graph, as plain values."""
    given = settings.input
    return {
        "kind": "instance",
        "input": {
            "graph": "detector",
            "channels": given.format,
            "short_side": given.short_side_test,
            "long_side": given.long_side_test,
            "resize": (
                "the shorter side to short_side (0: unchanged), the longer one to at most long_side, by"
                " Pillow's bilinear filter, in 8 bits"
            ),
            "mean": list(given.pixel_mean),
            "std": list(given.pixel_std),
            "normalize": "(value - mean) / std, in the order of channels",
            "divisor": DIVISOR,
            "pad": "with 0, at the bottom and on the right, to multiples of divisor",
            "size": "height and width before padding",
        },
        "output": {
            "results": list(outputs_of(settings)),
            "boxes": "x0, y0, x1, y1 in the pixels of the resized image; those without area are dropped",
            "masks": "probabilities over each box, interpolated bilinearly between the centers of cells",
            "heatmaps": (
                "of keypoints, over each box, interpolated bicubically to its pixels; the largest value is"
                " the keypoint, and its softmax over the heat map itself the score"
            ),
            "mask_threshold": settings.mask_head.threshold,
            "score_threshold": settings.roi.score_thresh_test,
        },
    }
