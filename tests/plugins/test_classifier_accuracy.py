"""The evaluator ``accuracy`` against scikit-learn and loops."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn import metrics as sklearn
from toolkit.plugins.classifier.accuracy import Accuracy, AccuracySettings, build
from toolkit.plugins.classifier.labels import FIELD
from torch.nn import functional as F

from toolkit.errors import InvalidDataError
from toolkit.evaluation.bootstrap import draws, merge_repeated, resampled_metrics
from toolkit.evaluation.report import Report
from toolkit.types import Prediction, Sample

IMAGE = torch.zeros(3, 4, 5, dtype=torch.uint8)


def pair(label: int, probabilities: Sequence[float], name: str = "a") -> tuple[Sample, Prediction]:
    found = torch.tensor(probabilities, dtype=torch.float32)
    truth = F.one_hot(torch.tensor(label), len(found)).float()
    return Sample(name, IMAGE, extras={FIELD: truth}), Prediction(name, (4, 5), extras={FIELD: found})


def random_pairs(
    count: int, classes: int, seed: int = 0
) -> tuple[list[tuple[Sample, Prediction]], NDArray[np.int64], NDArray[np.float32]]:
    """Pairs, labels ``[N]`` and probabilities ``[N, C]``; the last class is neither true nor predicted."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes - 1, count)
    scores = rng.dirichlet(np.full(classes, 0.4), count).astype(np.float32)
    scores[:, -1] = 0
    scores[np.arange(count), labels] += rng.random(count).astype(np.float32)
    scores /= scores.sum(1, keepdims=True)
    pairs = [pair(int(labels[i]), scores[i].tolist(), f"{i:03d}") for i in range(count)]
    return pairs, labels, scores


def evaluator(classes: int, bins: int = 10) -> Accuracy:
    return build(AccuracySettings(calibration_bins=bins), [f"class {i}" for i in range(classes)])


def measured(pairs: Sequence[tuple[Sample, Prediction]], classes: int) -> Accuracy:
    found = evaluator(classes)
    for sample, prediction in pairs:
        found.update([sample], [prediction])
    return found


@pytest.mark.parametrize("classes", [3, 7, 12])
def test_figures_equal_those_of_scikit_learn(classes: int) -> None:
    pairs, labels, scores = random_pairs(150, classes)
    report = measured(pairs, classes).report()
    predicted, known = scores.argmax(1), list(range(classes))
    used = list(range(classes - 1))
    assert report.metrics["top1"] == pytest.approx(sklearn.accuracy_score(labels, predicted))
    assert report.metrics["mean_class_accuracy"] == pytest.approx(
        sklearn.balanced_accuracy_score(labels, predicted)
    )
    assert report.metrics["mean_f1"] == pytest.approx(
        sklearn.f1_score(labels, predicted, labels=used, average="macro")
    )
    matrix = report.matrices["confusion"]
    assert matrix.values == sklearn.confusion_matrix(labels, predicted, labels=known).tolist()
    for name, theirs in (
        ("accuracy", sklearn.recall_score),
        ("precision", sklearn.precision_score),
        ("f1", sklearn.f1_score),
    ):
        expected = theirs(labels, predicted, labels=known, average=None, zero_division=np.nan)
        np.testing.assert_allclose(report.per_class[name], expected)
        assert math.isnan(report.per_class[name][-1]), "undefined is NaN"
    assert ("top5" in report.metrics) == (classes > 5)
    if classes > 5:
        top5 = sklearn.top_k_accuracy_score(labels, scores, k=5, labels=known)
        assert report.metrics["top5"] == pytest.approx(top5)


def test_figures_equal_those_of_loops() -> None:
    pairs, labels, scores = random_pairs(60, 8, seed=4)
    report = measured(pairs, 8).report()
    right = in_five = 0
    error, bins = 0.0, [[0.0, 0.0] for _ in range(10)]
    for label, row in zip(labels.tolist(), scores.tolist(), strict=True):
        order = sorted(range(8), key=lambda c: -row[c])
        right += order[0] == label
        in_five += label in order[:5]
        bins[min(int(max(row) * 10), 9)][0] += max(row)
        bins[min(int(max(row) * 10), 9)][1] += order[0] == label
    for score, correct in bins:
        error += abs(score - correct) / 60
    assert report.metrics["top1"] == pytest.approx(right / 60)
    assert report.metrics["top5"] == pytest.approx(in_five / 60)
    assert report.metrics["ECE"] == pytest.approx(error, abs=1e-6)
    assert report.lower_is_better == ("ECE",)
    assert dict(zip(report.images, report.per_image["right"], strict=True)) == {
        f"{i:03d}": float(scores[i].argmax() == labels[i]) for i in range(60)
    }


def test_of_equal_classes_the_first_counts() -> None:
    same = [1 / 6] * 6
    for label, top1, top5 in ((0, 1, 1), (4, 0, 1), (5, 0, 0)):
        found = measured([pair(label, same)], 6).report().metrics
        assert (found["top1"], found["top5"]) == (top1, top5)


def test_parts_of_processes_and_draws_of_the_bootstrap() -> None:
    pairs, _, _ = random_pairs(40, 7)
    whole = measured(pairs, 7)
    parts = [measured(pairs[:13], 7), measured(pairs[13:13], 7), measured(pairs[13:], 7)]
    merged = evaluator(7)
    merged.merge([part.state() for part in parts])
    assert_equal(merged.report(), whole.report())
    states = [measured([each], 7).state() for each in pairs]
    times = [i % 3 for i in range(40)]
    drawn = evaluator(7)
    merge_repeated(drawn, states, times)
    again = [each for each, count in zip(pairs, times, strict=True) for _ in range(count)]
    assert_equal(drawn.report(), measured(again, 7).report())
    spread = resampled_metrics(evaluator(7), states, draws(40, 30, 0))["top1"]
    assert np.std(spread) > 0.01
    assert abs(spread.mean() - whole.report().metrics["top1"]) < 0.1


def assert_equal(one: Report, other: Report) -> None:
    assert one.metrics == pytest.approx(other.metrics, nan_ok=True)
    assert one.matrices == other.matrices
    for name, values in one.per_class.items():
        np.testing.assert_allclose(values, other.per_class[name])


def test_nothing_is_undefined() -> None:
    report = evaluator(6).report()
    assert list(report.metrics) == ["top1", "top5", "mean_class_accuracy", "mean_f1", "ECE"]
    assert all(math.isnan(value) for value in report.metrics.values())
    assert report.notes == ("No samples were evaluated, so all metrics are undefined.",)


def test_classes_without_images_are_told_and_left_out_of_the_mean() -> None:
    pairs = [pair(0, [0.9, 0.1, 0.0]), pair(0, [0.2, 0.8, 0.0], "b")]
    report = measured(pairs, 3).report()
    assert report.metrics["mean_class_accuracy"] == 0.5
    assert report.per_class["accuracy"][0] == 0.5
    assert np.isnan(report.per_class["accuracy"][1:]).all()
    assert report.per_class["precision"][:2] == [1.0, 0.0]
    assert np.isnan(report.per_class["f1"][2])
    assert report.notes[0] == (
        "2 of 3 classes (class 1, class 2) are absent from the truth and left out of mean_class_accuracy."
    )


def test_many_classes_have_no_matrix() -> None:
    report = measured([pair(299, [0.0] * 299 + [1.0])], 300).report()
    assert report.matrices == {}
    assert "The confusion matrix of more than 255 classes is left out." in report.notes


@pytest.mark.parametrize("found", [[0.5, 0.5, 0.0], [0.6, 0.6], [1.5, -0.5]])
def test_what_is_no_probability_of_the_classes_is_refused(found: list[float]) -> None:
    sample, _ = pair(0, [1.0, 0.0])
    wrong = Prediction("a", (4, 5), extras={FIELD: torch.tensor(found)})
    with pytest.raises(InvalidDataError, match="the prediction for sample 'a' has class_probabilities"):
        evaluator(2).update([sample], [wrong])


def test_without_classes_there_is_nothing_to_measure() -> None:
    with pytest.raises(InvalidDataError, match="at least one class"):
        build(AccuracySettings(), ())
