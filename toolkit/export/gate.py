"""The gate: an exported folder is compared with the model in torch before anybody gets it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from toolkit.data.dataset import Dataset
from toolkit.data.loader import EvaluationLoader
from toolkit.errors import ExportError, ToolkitError
from toolkit.evaluation.alignment import Alignment
from toolkit.evaluation.driver import PredictedBatch, Subject, measured_by, measuring, predict_batches
from toolkit.evaluation.protocols import PLAIN, Measurement
from toolkit.export.answers import (
    compare_protocol,
    gate_answers,
)
from toolkit.export.parity import (
    LIMITS,
    Limits,
    compare_metrics,
    compare_predictions,
    compare_rows,
    compare_tensors,
    keep_worst,
)
from toolkit.models.capabilities import Exportable, Promptable
from toolkit.models.contract import Model, evaluating
from toolkit.models.graphs import Graph, RuntimeGraph, as_tuple
from toolkit.types import Sample, Size

CROPS = ((1, 1), (1, 37), (23, 1), (31, 33), (70, 131))
"""Height and width of the small and odd images that predictions are compared on, in pixels."""


@dataclass
class Measured:
    """What the gate has measured; ``parity.json``.

    Attributes:
        tensors: the largest difference for each graph and input size, as a fraction of the largest value.
        predictions: the largest differences of predictions, by kind.
        images: how many images were compared.
        metrics: the metrics in torch and of the export.
        program: the largest differences of ``predict.py``, by kind; None without one.
        ran_on: what each graph ran on, as the runtime reports it.
        runtime: the runtime and its version.
    """

    tensors: dict[str, float] = field(default_factory=dict)
    predictions: dict[str, float] = field(default_factory=dict)
    images: int = 0
    metrics: dict[str, dict[str, float | None]] = field(default_factory=dict)
    program: dict[str, float] | None = None
    ran_on: dict[str, list[str]] = field(default_factory=dict)
    runtime: str = ""


def gate_tensors(
    model: Model, exported: Model, measured: Measured, graphs: Sequence[Graph] | None = None
) -> None:
    """Compare each graph with the network on all examples of the graph; ``graphs`` are those of the model
    when None.

    Raises:
        ExportError: when one differs by more than the graph's tolerance.
    """
    exportable = model.capability(Exportable)
    assert exportable is not None
    running = runtime_graphs(exported)
    record_runtime(exported, measured)
    for graph in exportable.graphs() if graphs is None else graphs:
        for example in graph.examples:
            sizes = ", ".join(_size(tensor) for tensor in example)
            case = f"graph {graph.name!r} with {sizes}"
            with evaluating(graph.network):
                wanted = as_tuple(graph.network(*example))
            try:
                found = as_tuple(running[graph.name](*example))
            except ToolkitError as error:
                raise ExportError(f"{case}: {error}") from error
            compare = compare_rows if graph.ranked else compare_tensors
            difference = compare(wanted, found, tuple(graph.outputs), graph.tolerance, case)
            measured.tensors[f"{graph.name} {sizes}"] = difference


def record_runtime(exported: Model, measured: Measured) -> None:
    """Note what each graph runs on, as the runtime reports it."""
    for name, graph in runtime_graphs(exported).items():
        engine = graph.prepared()
        measured.ran_on[name], measured.runtime = list(engine.ran_on), engine.runtime


def runtime_graphs(model: Model) -> dict[str, RuntimeGraph]:
    """The graphs of an exported model, by name."""
    return {each.name: each for each in model.modules() if isinstance(each, RuntimeGraph)}


def gate_odd_images(
    model: Model, exported: Model, dataset: Dataset, measured: Measured, size: Size | None = None
) -> list[Sample]:
    """Compare the predictions for small and odd images (of one size, those without contents and of noise),
    and return those; of a promptable model, the answers to all kinds of prompts for them and for the first
    image of the data.
    """
    samples = list(odd_images(dataset[0].image) if size is None else empty_images(size, size))
    if model.capability(Promptable) is not None:
        samples.append(Sample(dataset[0].id, dataset[0].image))
        measured.images += len(samples)
        return gate_answers(model, exported, samples, measured.predictions)
    with evaluating(model), evaluating(exported):
        for sample in samples:
            (wanted,) = model.predict([sample])
            try:
                (found,) = exported.predict([sample])
            except Exception as error:  # what surrounds a wrong graph may fail in any way
                raise ExportError(
                    f"{sample.id}: torch has a prediction, but the export fails: {error}"
                ) from error
            keep_worst(measured.predictions, compare_predictions(wanted, found, limits_of(model)))
    measured.images += len(samples)
    return samples


def limits_of(model: Model, limits: Limits = LIMITS) -> Limits:
    """The limits for the predictions of a model, with its own threshold for objects."""
    exportable = model.capability(Exportable)
    output = dict(exportable.processing if exportable is not None else {}).get("output", {})
    return replace(limits, threshold=output.get("score_threshold"))


def odd_images(image: Tensor) -> Iterator[Sample]:
    """Small parts of an image ``[3, H, W]``, a black one, one of noise, and one that is much wider than
    high.
    """
    _, height, width = image.shape
    for h, w in CROPS:
        part = image[:, : min(h, height), : min(w, width)]
        yield Sample(f"the first {part.shape[1]} x {part.shape[2]} pixels", part.contiguous())
    yield from empty_images((64, 80), (96, 64))
    strip = image[:, : min(40, height)]
    yield Sample("a wide image", torch.cat([strip] * 3, dim=2)[:, :, : max(width, 400)].contiguous())


def empty_images(black: Size, noisy: Size) -> Iterator[Sample]:
    """A black image and one of noise, of these sizes."""
    yield Sample("a black image", torch.zeros((3, *black), dtype=torch.uint8))
    noise = torch.randint(0, 256, (3, *noisy), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    yield Sample("an image of noise", noise)


def gate_data(
    model: Model,
    exported: Model,
    dataset: Dataset,
    measurements: tuple[Sequence[Measurement], Sequence[Measurement]],
    measured: Measured,
    *,
    alignment: Alignment | None = None,
    metric_limit: float = LIMITS.metric,
    compares: bool = True,
    batch_size: int = 4,
    show: bool = False,
) -> None:
    """Compare predictions and metrics on a dataset.

    Args:
        model, exported: in torch, and with graphs.
        dataset: images with their truth.
        measurements: of either model, with evaluators of its own.
        measured: receives the results.
        alignment: from the model's classes to those of the data.
        metric_limit: by how much the main metric of each evaluator may differ.
        compares: whether predictions are compared one by one, as for fp32.
        batch_size: images at a time.
        show: whether to show progress.

    Raises:
        ExportError: when a prediction or a metric differs by more than is allowed.
    """
    for measurement in (*measurements[0], *measurements[1]):
        measurement.evaluator.reset()
        measurement.evaluator.prepare(dataset)
    subjects = [
        measured_by(Subject(each, alignment), own)
        for each, own in zip((model, exported), measurements, strict=True)
    ]
    loader = EvaluationLoader(dataset, batch_size=batch_size, workers=0, rank=0, world=1)
    waiting: dict[int, PredictedBatch] = {}
    with measuring(dataset, subjects=2, show=show, what="comparing") as watch:
        for batch in predict_batches(subjects, loader):
            watch(batch)
            for measurement in measurements[batch.subject]:
                measurement.update(batch.samples, batch.predictions)
            other = waiting.pop(batch.first, None)
            if other is None:
                waiting[batch.first] = batch
            elif compares:
                pair = (batch, other) if batch.subject == 0 else (other, batch)
                _compare_batches(model, *pair, measured)
    measured.images += len(dataset)
    reports = [[measurement.report() for measurement in own] for own in measurements]
    for wanted, found in zip(*reports, strict=True):
        main = next(iter(wanted.metrics), None)
        if main is None:
            continue
        case = f"the metrics of {wanted.name} on {len(dataset)} images"
        compare_metrics({main: wanted.metrics[main]}, found.metrics, metric_limit, case)
        measured.metrics |= compare_metrics(wanted.metrics, found.metrics, float("inf"), case)


def _compare_batches(
    model: Model, torch_batch: PredictedBatch, export_batch: PredictedBatch, measured: Measured
) -> None:
    limits = limits_of(model)
    for protocol, predictions in torch_batch.predictions.items():
        pairs = zip(torch_batch.samples, predictions, export_batch.predictions[protocol], strict=True)
        for sample, wanted, found in pairs:
            if protocol == PLAIN:
                keep_worst(measured.predictions, compare_predictions(wanted, found, limits))
            elif wanted.instances is not None and found.instances is not None:
                answers = compare_protocol(model, protocol, sample, wanted.instances, found.instances)
                keep_worst(measured.predictions, answers)


def _size(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a number"


class SomeImages(Dataset):
    """Some samples of a dataset.

    Args:
        dataset: all of them.
        chosen: their indexes.
    """

    def __init__(self, dataset: Dataset, chosen: Sequence[int]) -> None:
        self._dataset, self._chosen = dataset, list(chosen)
        self.classes, self.palette = dataset.classes, dataset.palette
        self.ids = [dataset.ids[i] for i in self._chosen]
        self.label_values, self.keypoint_names = dataset.label_values, dataset.keypoint_names

    def __getitem__(self, index: int) -> Sample:
        """The sample at ``index`` of those that were chosen."""
        return self._dataset[self._chosen[index]]


def evenly_spaced(total: int, count: int) -> list[int]:
    """At most ``count`` of the indexes from 0 to ``total``."""
    count = min(count, total)
    return [i * total // count for i in range(count)]
