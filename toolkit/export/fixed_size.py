"""Exports for images of one size: the graphs with a fixed height and width, and the images to compare them
on.
"""

from __future__ import annotations

import torch

from toolkit.data.dataset import Dataset
from toolkit.errors import UsageError
from toolkit.export.quantizing import recording
from toolkit.models.capabilities import Exportable, Promptable
from toolkit.models.contract import Model, evaluating
from toolkit.models.graphs import Graph
from toolkit.types import Sample, Size

MOST_SIDE = 1 << 14
"""Largest height or width, in pixels."""


def check_size(model: Model, size: Size) -> None:
    """Raise ``UsageError`` if the graphs of a model cannot be fixed to images of a size."""
    if not all(1 <= side <= MOST_SIDE for side in size):
        raise UsageError(f"--size must be from 1 to {MOST_SIDE} pixels, not {size[0]}x{size[1]}")
    if model.capability(Promptable) is not None:
        raise UsageError(
            "the networks of promptable models take images of one size already, to which others are resized."
            " Hint: leave out --size"
        )


def fixed_graphs(model: Model, exported: Model, size: Size) -> tuple[Graph, ...]:
    """The graphs of a model for images of one size.

    Args:
        model: in torch.
        exported: the same with graphs that take images of any size; it is asked for the inputs that an image
            of this size makes.
        size: height and width of the images, in pixels.

    Raises:
        UsageError: when a graph has no height and width that could be fixed.
    """
    exportable = model.capability(Exportable)
    assert exportable is not None
    random = torch.Generator().manual_seed(0)
    with recording(exported) as inputs, evaluating(exported):
        for _ in range(2):
            image = torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=random)
            exported.predict([Sample("an image of noise", image)])
        exported.predict([Sample("a black image", torch.zeros((3, *size), dtype=torch.uint8))])
    graphs = exportable.graphs()
    fixed = tuple(
        graph.for_inputs(tuple(tuple(map(torch.from_numpy, each.values())) for each in inputs[graph.name]))
        if inputs[graph.name]
        else graph
        for graph in graphs
    )
    if [graph.inputs for graph in fixed] == [graph.inputs for graph in graphs]:
        raise UsageError(
            "this model resizes images to one size already: its graphs have no height and width that could be"
            " fixed. Hint: leave out --size"
        )
    return fixed


def indexes_of_size(dataset: Dataset, size: Size, most: int) -> list[int]:
    """The first images of a dataset that have a size.

    Raises:
        UsageError: when there are none.
    """
    found: list[int] = []
    for index in range(len(dataset)):
        if len(found) == most:
            break
        if dataset[index].size == size:
            found.append(index)
    if not found:
        first = dataset[0].size
        raise UsageError(
            f"none of the {len(dataset)} images that the export needs has the --size"
            f" {size[0]}x{size[1]}; the first has {first[0]}x{first[1]}. Hint: --data, --data-dir and --split"
            " name others"
        )
    return found
