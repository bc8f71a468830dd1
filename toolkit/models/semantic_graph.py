"""The graph of a semantic model, and a description of what surrounds it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import nn

from toolkit.errors import CheckpointError
from toolkit.models.graphs import Axes, Graph
from toolkit.models.resizing import Padding
from toolkit.reading.fields import Number
from toolkit.reading.records import MOST_FAULTS, judge

KIND = "semantic"
"""In ``processing``: what ``SemanticModel`` does, all of which is in ``processing`` and in the graph."""

INPUTS: dict[str, Axes] = {"images": ("batch", 3, "height", "width")}

MOST_SIDE = 1 << 16
"""Largest number of pixels that a size in a manifest may have."""

Triple = Annotated[tuple[Number, ...], Field(min_length=3, max_length=3)]
Pixels = Annotated[int, Field(ge=1, le=MOST_SIDE)]


@dataclass(frozen=True)
class SemanticInput:
    """How a ``SemanticModel`` prepares images, as its manifest says; see there.

    Attributes:
        mean, std: of each channel.
        divisor: of the sizes of the network's input.
        padding: how images are padded.
        long_side: above which images are downscaled.
    """

    mean: Triple
    std: Annotated[tuple[Annotated[Number, Field(gt=0)], ...], Field(min_length=3, max_length=3)]
    divisor: Pixels
    padding: Padding
    long_side: Pixels | None = None


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
        INPUTS,
        outputs_of(classes),
        examples,
    )


def outputs_of(classes: int) -> dict[str, Axes]:
    """The graph's results for a number of classes."""
    return {"logits": ("batch", classes, "rows", "columns")}


def processing_of(
    mean: Sequence[float], std: Sequence[float], divisor: int, padding: Padding, long_side: int | None
) -> dict[str, Any]:
    """What surrounds the graph, as plain values."""
    return {
        "kind": KIND,
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


def read_processing(processing: Mapping[str, Any], source: str) -> SemanticInput:
    """What ``processing_of`` wrote.

    Raises:
        CheckpointError: when it is damaged.
    """
    given = processing.get("input")
    named = {each.name for each in fields(SemanticInput)}
    values = {k: v for k, v in given.items() if k in named} if isinstance(given, dict) else given
    read: SemanticInput | None
    read, faults = judge(values, SemanticInput)
    if read is None:
        raise CheckpointError(
            f"{source} is damaged, in processing.input: {'; '.join(faults[:MOST_FAULTS])}. Hint: copy or"
            " export the folder again"
        )
    return read
