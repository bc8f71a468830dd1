"""The graph of a semantic model, and a description of what surrounds it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from toolkit.models.graphs import Graph
from toolkit.models.resizing import Padding

PROGRAM = tuple(Path(__file__).with_name(f"{name}_program.py") for name in ("resizing", "semantic"))

SMALLEST = 16
"""Side of the smallest example for networks that take images of any size, in pixels."""

SHAPES = ((2, 3, 4), (1, 1, 1), (1, 1, 7), (3, 5, 2), (1, 9, 11))
"""Examples: the number of images, and height and width in multiples of the divisor."""


def logits_graph(network: nn.Module, classes: int, divisor: int) -> Graph:
    """A network from normalized images to logits, which takes any number of images of any size that is a
    multiple of ``divisor``.
    """
    unit = max(divisor, SMALLEST)
    extra = 1 if divisor == 1 else 0
    generator = torch.Generator().manual_seed(0)
    examples = tuple(
        (torch.randn((count, 3, rows * unit + extra, columns * unit - extra), generator=generator),)
        for count, rows, columns in SHAPES
    )
    return Graph(
        "network",
        network,
        {"images": ("batch", 3, "height", "width")},
        {"logits": ("batch", classes, "rows", "columns")},
        examples,
    )


def processing_of(
    mean: Sequence[float], std: Sequence[float], divisor: int, padding: Padding, long_side: int | None
) -> dict[str, Any]:
    """What surrounds the graph, as plain values."""
    return {
        "kind": "semantic",
        "input": {
            "graph": "network",
            "channels": "RGB",
            "long_side": long_side,
            "shrink": "bilinear with antialiasing, in 8 bits, if the longer side is above long_side",
            "mean": list(mean),
            "std": list(std),
            "normalize": "(value / 255 - mean) / std",
            "divisor": divisor,
            "padding": padding,
            "pad": "at the bottom and on the right, to multiples of divisor",
        },
        "output": {
            "resize": (
                "bilinear with half-pixel centers to the padded size, without the padding; then, if the image"
                " was shrunk, to its own size"
            ),
            "label": "the class with the largest logit; the first of equal ones",
        },
    }
