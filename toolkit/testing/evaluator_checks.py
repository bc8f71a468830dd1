"""Checks of evaluators."""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from toolkit import registry
from toolkit.config import settings_class, validate
from toolkit.data.dataset import Dataset
from toolkit.data.generated import generate
from toolkit.errors import InvalidDataError, UsageError
from toolkit.evaluation.base import Evaluator
from toolkit.evaluation.report import Report, is_better
from toolkit.registry.manifests import EvaluatorManifest
from toolkit.testing.checks import expect, explain
from toolkit.testing.samples import CLASSES
from toolkit.types import FIELDS, Instances, Masks, PanopticMap, PixelMap, Prediction, Sample

SIZES = [(40, 48), (48, 40)] * 3
ROUNDING = 1e-9


@dataclass(frozen=True)
class EvaluatorCase:
    """An evaluator, and how to check it.

    Attributes:
        evaluator: a name, or the path of a file or folder that contains one.
        settings: the evaluator's own settings.
        classes: names of the label indexes.
    """

    evaluator: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    classes: Sequence[str] = CLASSES

    @property
    def manifest(self) -> EvaluatorManifest:
        """The evaluator's manifest."""
        return registry.named(registry.evaluators(), self.evaluator, by_user=True)

    @property
    def measures(self) -> tuple[str, ...]:
        """The tasks or fields that it declares to measure."""
        return self.manifest.measures

    @property
    def dataset(self) -> Dataset:
        """The dataset that it is evaluated on."""
        return _Examples(self.classes, self.samples())

    def samples(self) -> list[Sample]:
        """All samples of the dataset: examples of the task that predicts what the evaluator measures."""
        measures = set(self.measures)
        if not measures & {*FIELDS, "answers"}:
            for task in registry.tasks():
                if task.examples and measures & set(task.predicts):
                    made: list[Sample] = task.resolve(task.examples)(self.classes, SIZES, objects=3, seed=0)
                    return made
        return generate(self.classes, SIZES)

    def build(self) -> Evaluator:
        """A new evaluator that knows its dataset."""
        manifest = self.manifest
        settings = validate(
            settings_class(manifest), self.settings, source=f"settings of evaluator {manifest.name!r}"
        )
        evaluator = manifest.resolve(manifest.build)(settings, tuple(self.classes))
        if not isinstance(evaluator, Evaluator):
            raise UsageError(
                f"{manifest.build} of evaluator {manifest.name!r} must return a toolkit.Evaluator, not"
                f" {type(evaluator).__name__}"
            )
        evaluator.reset()
        evaluator.prepare(self.dataset)
        return evaluator

    def pairs(self) -> list[tuple[Sample, Prediction]]:
        """Samples with partly wrong predictions, different for each."""
        samples = self.samples()
        others = [*samples[1:], *samples[:1]]
        return [
            (sample, imperfect(sample, seed, other))
            for seed, (sample, other) in enumerate(zip(samples, others, strict=True))
        ]

    def measured(self, pairs: Sequence[tuple[Sample, Prediction]]) -> Report:
        """The report on some samples."""
        return _updated(self.build(), pairs).report()


class _Examples(Dataset):
    """Samples in a list."""

    def __init__(self, classes: Sequence[str], samples: Sequence[Sample]) -> None:
        self.classes, self.ids, self._samples = tuple(classes), [sample.id for sample in samples], samples

    def __getitem__(self, index: int) -> Sample:
        return self._samples[index]


def perfect(sample: Sample) -> Prediction:
    """The truth as a prediction, with scores of 1."""
    truth = sample.instances
    found = (
        None if truth is None else replace(truth, scores=torch.ones(len(truth)), is_crowd=None, areas=None)
    )
    extras = {name: _predicted(value) for name, value in sample.extras.items()}
    return Prediction(sample.id, sample.size, sample.label_map, found, extras=extras)


def _predicted(value: Any) -> Any:
    """The truth as a model would predict it, with a number for every pixel, even where the truth has none."""
    return PixelMap(value.values.nan_to_num()) if isinstance(value, PixelMap) else value


def imperfect(sample: Sample, seed: int, other: Sample | None = None) -> Prediction:
    """The shifted truth: by a little, or with ``seed`` 2, 5, … so far that nothing is correct. The number and
    order of objects stay the same, as for answers to prompts.

    Args:
        sample: the truth.
        seed: which moves and scores.
        other: what cannot be shifted, because it is about an image as a whole, is then that of this sample.
    """
    is_lost = seed % 3 == 2
    moves = (sample.size[0] // 2, sample.size[1] // 2) if is_lost else (1 + seed % 3, seed % 4)
    label_map, found = sample.label_map, None
    if label_map is not None:
        label_map = torch.zeros_like(label_map) if is_lost else label_map.roll(moves, (0, 1))
    if sample.instances is not None:
        found = _moved_instances(sample.instances, moves, seed, is_lost=is_lost)
    extras = {}
    for name, value in sample.extras.items():
        value = _predicted(value)
        if isinstance(value, PixelMap):
            value = PixelMap(value.values.roll(moves, (0, 1)) * (1.1 + is_lost))
        elif isinstance(value, PanopticMap):
            value = PanopticMap(value.numbers.roll(moves, (0, 1)), value.segments)
        elif is_lost and other is not None and other.get(name) is not None:
            value = _predicted(other.get(name))
        extras[name] = value
    return Prediction(sample.id, sample.size, label_map, found, extras=extras)


def _moved_instances(truth: Instances, moves: tuple[int, int], seed: int, *, is_lost: bool) -> Instances:
    assert truth.masks is not None
    masks = Masks.from_dense(truth.masks.dense().roll(moves, (1, 2))) if len(truth) else truth.masks
    scores = torch.rand(len(truth), generator=torch.Generator().manual_seed(seed)) / 2 + 0.5
    labels = truth.labels.flip(0) if is_lost else truth.labels
    return Instances(truth.size, masks.boxes_xyxy(), labels, masks, scores)


def _updated(evaluator: Evaluator, pairs: Sequence[tuple[Sample, Prediction]]) -> Evaluator:
    for sample, prediction in pairs:
        evaluator.update([sample], [prediction])
    return evaluator


def _difference(one: Report, other: Report) -> str:
    """The first metric in which two reports differ; empty if they do not."""
    if list(one.metrics) != list(other.metrics):
        return f"metrics {list(one.metrics)} and {list(other.metrics)}"
    for name, value in one.metrics.items():
        if not _equal(value, other.metrics[name]):
            return f"{name} is {value:.6g} and {other.metrics[name]:.6g}"
    for name, values in one.per_class.items():
        if not all(_equal(a, b) for a, b in zip(values, other.per_class.get(name, ()), strict=True)):
            return f"{name} of the classes is {values} and {list(other.per_class[name])}"
    return ""


def _equal(one: float, other: float) -> bool:
    return (math.isnan(one) and math.isnan(other)) or math.isclose(
        one, other, rel_tol=ROUNDING, abs_tol=ROUNDING
    )


def reports_are_complete(case: EvaluatorCase) -> None:
    """A report has metrics that are numbers, and can be written as JSON and shown as a table."""
    report = case.measured(case.pairs())
    expect(len(report.metrics) > 0, "the report has no metrics")
    wrong = [name for name, value in report.metrics.items() if not isinstance(value, float)]
    expect(
        not wrong,
        f"the metrics {wrong} are not floats. Hint: convert them with float(…), so that they can be written",
    )
    first = next(iter(report.metrics))
    expect(
        not math.isnan(report.metrics[first]),
        f"{first}, the first metric, which chooses the best checkpoint, is undefined",
    )
    json.loads(report.to_json())
    report.table()
    expect(
        tuple(report.classes) in ((), tuple(case.classes)),
        f"the report's classes are {report.classes}, not {tuple(case.classes)}",
    )


def nothing_measured_is_undefined(case: EvaluatorCase) -> None:
    """Before the first update, the metrics are NaN and have their final names."""
    empty, full = case.build().report(), case.measured(case.pairs())
    first = next(iter(full.metrics))
    expect(
        first in empty.metrics,
        f"before the first update the report has no {first!r}, so the best checkpoint cannot be chosen by it",
    )
    defined = [name for name, value in empty.metrics.items() if not math.isnan(value)]
    expect(
        not defined,
        f"before the first update {defined[:3]} have values. Hint: report undefined metrics as NaN, never as"
        " 0 or -1",
    )


def parts_merge_to_the_whole(case: EvaluatorCase) -> None:
    """The merged states of several processes give the same report as a single process, however the samples
    were divided.
    """
    pairs = case.pairs()
    whole = case.measured(pairs)
    for shares in ([pairs[::2], pairs[1::2]], [pairs[:1], pairs[1:]], [pairs, []]):
        parts = [_updated(case.build(), share) for share in shares]
        states = [part.state() for part in parts]
        parts[0].merge([states[0], *(pickle.loads(pickle.dumps(state)) for state in states[1:])])
        what = _difference(parts[0].report(), whole)
        expect(
            not what,
            f"merged from parts of {[len(share) for share in shares]} samples, and from the whole: {what}",
        )


def order_does_not_matter(case: EvaluatorCase) -> None:
    """Samples may arrive in any order, one by one or in batches."""
    pairs = case.pairs()
    whole = case.measured(pairs)
    what = _difference(case.measured(pairs[::-1]), whole)
    expect(not what, f"with the samples in reverse order: {what}")
    evaluator = case.build()
    evaluator.update([sample for sample, _ in pairs], [prediction for _, prediction in pairs])
    what = _difference(evaluator.report(), whole)
    expect(not what, f"with all samples in one batch, and one by one: {what}")


def perfect_predictions_are_best(case: EvaluatorCase) -> None:
    """Predictions that equal the truth get a better first metric than others and no worse metric, by the rule
    that chooses checkpoints.
    """
    good = case.measured([(sample, perfect(sample)) for sample in case.samples()])
    bad = case.measured(case.pairs())
    for place, (name, value) in enumerate(good.metrics.items()):
        lower = name in good.lower_is_better
        other = bad.metrics[name]
        fits = not is_better(other, value, lower=lower) if place else is_better(value, other, lower=lower)
        expect(
            fits or math.isnan(value),
            f"{name} is {value:.4g} for perfect predictions and {other:.4g} for worse ones, but"
            f" {'lower' if lower else 'higher'} is declared to be better. Hint: list metrics where lower is"
            f" better: Report(…, lower_is_better=({name!r},))",
        )


def reset_forgets(case: EvaluatorCase) -> None:
    """After `reset`, an evaluator behaves like a new one."""
    pairs = case.pairs()
    evaluator = _updated(case.build(), pairs)
    evaluator.report()
    evaluator.reset()
    evaluator.prepare(case.dataset)
    what = _difference(_updated(evaluator, pairs[:2]).report(), case.measured(pairs[:2]))
    expect(not what, f"after reset, and in a new evaluator: {what}")


def reporting_changes_nothing(case: EvaluatorCase) -> None:
    """A report can be requested at any time and repeatedly, without changing later reports."""
    pairs, evaluator = case.pairs(), case.build()
    for pair in pairs:
        _updated(evaluator, [pair]).report()
    what = _difference(evaluator.report(), case.measured(pairs))
    expect(not what, f"with a report after each sample, and with one at the end: {what}")


def what_does_not_fit_is_refused(case: EvaluatorCase) -> None:
    """Predictions of other samples, and samples without labels, raise an InvalidDataError that names the
    sample.
    """
    pairs = case.pairs()
    (one, _), (other, wrong) = pairs[0], pairs[1]
    bare = Sample(one.id, one.image)
    faults = [
        ("a prediction of another sample", one, wrong),
        ("a sample without any label", bare, perfect(one)),
    ]
    for what, sample, prediction in faults:
        try:
            case.build().update([sample], [prediction])
        except InvalidDataError as error:
            expect(
                sample.id in str(error),
                f"the error for {what} does not name the sample {sample.id!r}: {error}",
            )
            continue
        except Exception as error:
            raise AssertionError(
                f"{what} raises {explain(error, case.manifest)}. Hint: raise InvalidDataError with its id"
            ) from error
        raise AssertionError(
            f"{what} is accepted ({other.id!r} for {one.id!r}). Hint: raise InvalidDataError with the"
            " sample's id"
        )
