"""Checks of models that declare a capability; see ``toolkit.models.capabilities``."""

from __future__ import annotations

import json

import torch
from torch import Tensor, nn

from toolkit.models.capabilities import Exportable, Inspectable, Probabilistic, Tileable, Trackable
from toolkit.models.contract import evaluating
from toolkit.models.graphs import Graph, as_tuple
from toolkit.testing.checks import expect, skip
from toolkit.testing.closeness import PIXELS, difference
from toolkit.testing.model_case import ModelCase
from toolkit.types import CONFIDENCE, PixelMap, Prediction, Prompts, Sample

FRAMES = 3
FEWEST_EXAMPLES = 3
"""Of a graph: its axes could not be told from numbers with fewer."""


def windows_give_the_prediction(case: ModelCase) -> None:
    """The scores of a window that covers the image have its size, and their arg-max is the prediction;
    smaller windows have scores too.
    """
    model = case.build()
    tileable = model.capability(Tileable)
    if tileable is None:
        skip("the model does not declare the capability Tileable")
    for sample in case.unlabeled():
        (prediction,) = case.predict(model, [sample])
        height, width = sample.size
        with evaluating(model):
            scores = tileable.logits(sample.image[None])
            part = tileable.logits(sample.image[None, :, : height // 2, : width // 2])
        classes = len(case.classes)
        for found, size in ((scores, sample.size), (part, (height // 2, width // 2))):
            expect(
                tuple(found.shape) == (1, classes, *size) and found.is_floating_point(),
                f"logits of an image of {size} are {found.dtype} {list(found.shape)}; expected floating"
                f" {[1, classes, *size]}. Hint: resize them to the image's own pixels",
            )
        label_map = prediction.label_map
        if label_map is not None and not tileable.shrinks_large_images:
            differing = float((scores[0].argmax(0).cpu() != label_map).float().mean())
            expect(
                differing <= PIXELS,
                f"the arg-max of the logits of sample {sample.id!r} differs from its prediction in"
                f" {differing:.1%} of the pixels. Hint: predict must be the arg-max of logits",
            )


def confidence_is_of_the_prediction(case: ModelCase) -> None:
    """Predictions with confidence have the label map of those without, and a probability for every pixel."""
    model = case.build()
    probabilistic = model.capability(Probabilistic)
    if probabilistic is None:
        skip("the model does not declare the capability Probabilistic")
    samples = case.unlabeled()
    with evaluating(model):
        found = probabilistic.predict_with_confidence(samples)
    expect(
        [each.sample_id for each in found] == [sample.id for sample in samples],
        f"predict_with_confidence returned {len(found)} predictions for {len(samples)} samples, or in another"
        " order. Hint: return one per sample, in the same order",
    )
    for plain, each in zip(case.predict(model, samples), found, strict=True):
        values = each.extras.get(CONFIDENCE)
        expect(
            isinstance(values, PixelMap) and bool(((values.values >= 0) & (values.values <= 1 + 1e-6)).all()),
            f"the prediction with confidence of sample {each.sample_id!r} has no {CONFIDENCE!r} in its extras"
            " with values from 0 to 1. Hint: give a PixelMap of probabilities",
        )
        if plain.label_map is not None and each.label_map is not None:
            differing = float((plain.label_map != each.label_map).float().mean())
            expect(
                differing <= PIXELS,
                f"the prediction with confidence of sample {each.sample_id!r} differs from that without in"
                f" {differing:.1%} of the pixels. Hint: both must be the same prediction",
            )


def network_takes_its_input(case: ModelCase) -> None:
    """The declared network accepts the declared input, in multiples of the divisor."""
    model = case.build()
    inspectable = model.capability(Inspectable)
    if inspectable is None:
        skip("the model does not declare the capability Inspectable")
    images = torch.stack([case.unlabeled(1)[0].image] * 2)
    with evaluating(model):
        given = inspectable.network_input(images)
        inspectable.network(given)
    fits = given.dim() == 4 and len(given) == 2 and given.is_floating_point()
    expect(
        fits,
        f"network_input gives {given.dtype} {list(given.shape)}; expected floating [2, channels, height,"
        " width]",
    )
    divisible = all(side % inspectable.divisor == 0 for side in given.shape[2:])
    expect(
        divisible,
        f"network_input gives {list(given.shape)}, whose sides are not multiples of {inspectable.divisor}",
    )


def graphs_give_the_prediction(case: ModelCase) -> None:
    """The declared graphs compute what they declare for inputs of at least three sizes, and the same model
    around them has no weights of its own and predicts the same.
    """
    model = case.build()
    exportable = model.capability(Exportable)
    if exportable is None:
        skip("the model does not declare the capability Exportable")
    graphs = exportable.graphs()
    for graph in graphs:
        _check_graph(graph)
    json.dumps(dict(exportable.processing), allow_nan=False)
    around = exportable.with_graphs({graph.name: _Wrapped(graph.network) for graph in graphs})
    inside = {id(p) for graph in graphs for p in graph.network.parameters()}
    own = [name for name, parameter in around.named_parameters() if id(parameter) not in inside]
    expect(
        not own,
        f"with_graphs returns a model that has weights besides those of the graphs: {', '.join(own[:3])}."
        " Hint: leave out the networks that the graphs replace",
    )
    samples = case.unlabeled()
    for sample, wanted, found in zip(
        samples, case.predict(model, samples), case.predict(around, samples), strict=True
    ):
        what = difference(wanted, found)
        expect(
            not what,
            f"with its own networks as graphs, the model predicts something else for {sample.id!r}: {what}."
            " Hint: everything between the graphs belongs into with_graphs",
        )


class _Wrapped(nn.Module):
    """A network that is only called, as a graph is: nothing else of it can be used."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self._network = network

    def forward(self, *tensors: Tensor) -> Tensor | tuple[Tensor, ...]:
        found = as_tuple(self._network(*tensors))
        return found[0] if len(found) == 1 else found


def _check_graph(graph: Graph) -> None:
    """Check that the examples and their results have the sizes that a graph declares."""
    expect(
        len(graph.examples) >= FEWEST_EXAMPLES,
        f"the graph {graph.name!r} has {len(graph.examples)} examples; expected at least {FEWEST_EXAMPLES},"
        " of different sizes",
    )
    for example in graph.examples:
        with evaluating(graph.network):
            results = as_tuple(graph.network(*example))
        sizes: dict[str, int] = {}
        for declared, tensors in ((graph.inputs, example), (graph.outputs, results)):
            expect(
                len(tensors) == len(declared),
                f"the graph {graph.name!r} returns {len(tensors)} tensors, but declares {list(declared)}",
            )
            for (name, axes), tensor in zip(declared.items(), tensors, strict=True):
                fits = len(axes) == tensor.dim() and all(
                    sizes.setdefault(axis, size) == size if isinstance(axis, str) else axis == size
                    for axis, size in zip(axes, tensor.shape, strict=False)
                )
                expect(
                    fits,
                    f"{name} of the graph {graph.name!r} is {list(tensor.shape)}, but declared as"
                    f" {list(axes)}. Hint: a name stands for one size in all tensors of a graph",
                )


def objects_are_tracked(case: ModelCase) -> None:
    """Objects prompted in the first frame are tracked in every frame, numbered in their order; each object's
    position is the same without the others; and a prompt with an earlier id refers to the same object.
    """
    model = case.build()
    trackable = model.capability(Trackable)
    if trackable is None:
        skip("the model does not declare the capability Trackable")
    (first,) = case.samples(1)
    truth = first.instances
    assert truth is not None  # samples of a promptable task have objects
    frames = [Sample(f"frame {i}", first.image) for i in range(FRAMES)]
    prompts = {0: [Prompts(boxes_xyxy=truth.boxes_xyxy)]}
    with torch.no_grad():
        found = list(trackable.track(frames, prompts))
    names = [prediction.sample_id for prediction in found]
    expect(
        names == [frame.id for frame in frames],
        f"track returned predictions for {names}, but there are {FRAMES} frames",
    )
    for prediction in found:
        instances = prediction.instances
        expect(instances is not None, f"{prediction.sample_id} has no instances")
        assert instances is not None
        labels = instances.labels.tolist()
        expect(
            labels == sorted(set(labels)) and all(label < len(truth) for label in labels),
            f"{prediction.sample_id} has objects numbered {labels}; expected numbers from 0 to"
            f" {len(truth) - 1}, each once, in ascending order",
        )
    first_box = Prompts(boxes_xyxy=truth.boxes_xyxy[:1], ids=("first",))
    with torch.no_grad():
        alone = list(trackable.track(frames, {0: [first_box]}))
        corrected = list(trackable.track(frames, {0: [first_box], FRAMES - 1: [first_box]}))
    for together, single in zip(found, alone, strict=True):
        differing = (_first_object(together) ^ _first_object(single)).float().mean().item()
        expect(
            differing <= PIXELS,
            f"the first object of {single.sample_id} is another mask when it is tracked alone:"
            f" {differing:.1%} of the pixels differ. Hint: track each object by itself",
        )
    numbers = {n for each in corrected if each.instances is not None for n in each.instances.labels.tolist()}
    expect(
        numbers <= {0},
        f"two prompts with the id of one object gave objects numbered {sorted(numbers)}; expected 0 alone",
    )


def _first_object(prediction: Prediction) -> Tensor:
    """The mask of object 0, bool ``[H, W]``; empty if it is not visible."""
    found = prediction.instances
    if found is None or found.masks is None or 0 not in found.labels.tolist():
        return torch.zeros(prediction.size, dtype=torch.bool)
    return found.masks[[found.labels.tolist().index(0)]].dense()[0]
