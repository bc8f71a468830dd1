from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, jaccard_score

from toolkit.errors import InvalidDataError
from toolkit.evaluation.iou import IoU, IoUSettings, build
from toolkit.evaluation.manifests import EVALUATOR
from toolkit.evaluation.report import Report
from toolkit.types import CONFIDENCE, VOID, Instances, Masks, PixelMap, Prediction, Sample, Size

Map = np.ndarray


def sample(
    truth: Map | None, name: str = "a", instances: Instances | None = None, size: Size | None = None
) -> Sample:
    size = size or (truth.shape if truth is not None else instances.size)  # type: ignore[union-attr]
    label_map = None if truth is None else torch.from_numpy(truth)
    return Sample(
        name, torch.zeros(3, *size, dtype=torch.uint8), label_map, instances, path=f"photos/{name}.jpg"
    )


def prediction(guess: Map, name: str = "a") -> Prediction:
    return Prediction(name, guess.shape, torch.from_numpy(guess))


def measure(truth: Map, guess: Map, classes: int, void: str = "ignore") -> Report:
    evaluator = IoU(IoUSettings(void=void), [f"c{i}" for i in range(classes)])
    evaluator.update([sample(truth)], [prediction(guess)])
    return evaluator.report()


def maps(*rows: list[int]) -> list[Map]:
    return [np.array([row], dtype=np.uint8) for row in rows]


def naive(truth: Map, guess: Map, classes: int, void: str) -> list[float]:
    """IoU of each class, pixel by pixel."""
    result = []
    for c in range(classes):
        both = either = 0
        for t, p in zip(truth.ravel(), guess.ravel(), strict=True):
            if t == VOID and void == "ignore":
                continue
            both += t == c and p == c
            either += t == c or p == c
        result.append(both / either if either else math.nan)
    return result


def test_the_worked_example() -> None:
    """14 pixels found, 1 invented, 1 missed: 14 / (14 + 1 + 1) = 0.875."""
    truth, guess = maps([1] * 15 + [0], [1] * 14 + [0, 1])
    assert measure(truth, guess, 2).per_class["iou"][1] == 0.875


@pytest.mark.parametrize("void", ["ignore", "false_positive"])
def test_equals_a_naive_loop_on_thousands_of_cases(void: str) -> None:
    rng = np.random.default_rng(0)
    for _ in range(1500):
        classes, height, width = (int(n) for n in rng.integers((1, 1, 1), (6, 6, 6)))
        truth, guess = rng.choice(np.array([*range(classes), VOID], np.uint8), (2, height, width))
        expected = naive(truth, guess, classes, void)
        report = measure(truth, guess, classes, void)
        assert np.array_equal(report.per_class["iou"], expected, equal_nan=True)
        defined = [value for value in expected if not math.isnan(value)]
        assert report.metrics["mean_iou"] == pytest.approx(
            np.mean(defined) if defined else math.nan, nan_ok=True
        )


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_equals_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    for _ in range(100):
        classes = int(rng.integers(2, 7))
        truth, guess = rng.integers(0, classes, (2, 7, 9), dtype=np.uint8)
        report, t, p = measure(truth, guess, classes), truth.ravel(), guess.ravel()
        metrics = report.metrics
        assert metrics["pixel_accuracy"] == pytest.approx(accuracy_score(t, p))
        assert metrics["mean_iou"] == pytest.approx(jaccard_score(t, p, average="macro"))
        assert metrics["frequency_weighted_iou"] == pytest.approx(jaccard_score(t, p, average="weighted"))
        assert metrics["mean_dice"] == pytest.approx(f1_score(t, p, average="macro"))
        assert metrics["mean_class_accuracy"] == pytest.approx(balanced_accuracy_score(t, p))
        present = sorted({*t.tolist(), *p.tolist()})
        assert [report.per_class["dice"][c] for c in present] == pytest.approx(
            f1_score(t, p, average=None, labels=present)
        )


def test_void_in_the_truth_by_both_conventions() -> None:
    truth, guess = maps([0, 0, 1, VOID, VOID], [0, 0, 1, 0, VOID])
    ignored, counted = measure(truth, guess, 2), measure(truth, guess, 2, "false_positive")
    assert ignored.per_class["iou"] == [1, 1]
    assert counted.per_class["iou"] == [2 / 3, 1]
    assert counted.per_class["dice"] == [4 / 5, 1]
    assert counted.metrics["pixel_accuracy"] == 1  # void pixels have no true class to be right about
    assert counted.notes == ("Classes predicted on void pixels count as false positives.",)


def test_void_in_the_prediction_is_a_miss_and_nobodys_false_positive() -> None:
    truth, guess = maps([0, 0, 1, 1], [0, VOID, 1, 1])
    report = measure(truth, guess, 2)
    assert report.per_class["iou"] == [0.5, 1]
    assert report.metrics["pixel_accuracy"] == 0.75


def test_absent_classes_are_nan_and_out_of_the_means_and_noted() -> None:
    truth, guess = maps([0, 0, 0, 0], [0, 0, 0, 2])
    report = measure(truth, guess, 5)
    assert report.per_class["iou"][0] == 0.75
    assert report.per_class["iou"][2] == 0  # predicted, so it is defined
    assert all(math.isnan(report.per_class["iou"][c]) for c in (1, 3, 4))
    assert report.metrics["mean_iou"] == 0.375
    assert report.metrics["mean_class_accuracy"] == 0.75
    assert report.notes == (
        "3 of 5 classes (c1, c3, c4) are absent from truth and prediction and left out of the means.",
        ("1 of 5 classes (c2) is absent from the truth but predicted, and left out of mean_class_accuracy."),
    )


def test_without_samples_everything_is_nan() -> None:
    report = IoU(IoUSettings(), ["a", "b"]).report()
    assert list(report.metrics) == [
        "mean_iou",
        "mean_dice",
        "pixel_accuracy",
        "mean_class_accuracy",
        "frequency_weighted_iou",
        "image_mean_iou",
    ]
    assert all(math.isnan(value) for value in report.metrics.values())
    assert all(math.isnan(value) for values in report.per_class.values() for value in values)
    assert report.notes == ("No samples were evaluated, so all metrics are undefined.",)


def test_nothing_but_void_is_nan_too() -> None:
    report = measure(*maps([VOID, VOID], [0, VOID]), 2)
    assert all(math.isnan(value) for value in report.metrics.values())


def test_merged_states_equal_a_single_pass() -> None:
    rng = np.random.default_rng(2)
    pairs = [rng.choice(np.array([0, 1, 2, VOID], np.uint8), (2, *rng.integers(1, 9, 2))) for _ in range(12)]
    samples = [sample(truth, str(i)) for i, (truth, _) in enumerate(pairs)]
    guesses = [prediction(guess, str(i)) for i, (_, guess) in enumerate(pairs)]
    single, ranks = IoU(IoUSettings(), "abc"), [IoU(IoUSettings(), "abc") for _ in range(3)]
    single.update(samples, guesses)
    for rank, evaluator in enumerate(ranks):
        evaluator.update(samples[rank::3], guesses[rank::3])
    states = [pickle.loads(pickle.dumps(evaluator.state())) for evaluator in ranks]
    ranks[0].merge(states)
    assert ranks[0].report() == single.report()
    ranks[0].reset()
    assert math.isnan(ranks[0].report().metrics["mean_iou"])
    assert states[0]["matrix"].sum() > 0  # a state is a copy


def test_a_state_is_not_changed_by_later_updates() -> None:
    evaluator = IoU(IoUSettings(), "ab")
    before = evaluator.state()
    evaluator.update([sample(*maps([0]))], [prediction(*maps([0]))])
    assert before["matrix"].sum() == 0


def test_the_manifest_builds_it() -> None:
    (manifest,) = (manifest for manifest in EVALUATOR if manifest.name == "iou")
    assert manifest.resolve(manifest.build) is build
    settings = manifest.resolve(manifest.settings)()
    assert isinstance(build(settings, ["a"]), IoU)


# instances --------------------------------------------------------------------------------------------------
# ---------------


def objects(width: int, *spans: tuple[int, int], labels: list[int], **more: object) -> Instances:
    """Objects in an image of one row, each given as its first column and the one after its last."""
    dense = torch.zeros(len(spans), 1, width, dtype=torch.bool)
    for mask, (start, stop) in zip(dense, spans, strict=True):
        mask[0, start:stop] = True
    masks = Masks.from_dense(dense)
    return Instances((1, width), masks.boxes_xyxy(), torch.tensor(labels), masks, **more)  # type: ignore[arg-type]


def scored(width: int, *spans: tuple[int, int], labels: list[int], scores: list[float]) -> Prediction:
    return Prediction(
        "a", (1, width), instances=objects(width, *spans, labels=labels, scores=torch.tensor(scores))
    )


def measure_one(classes: tuple[str, ...], truth: Sample, guess: Prediction, **settings: object) -> Report:
    evaluator = IoU(IoUSettings(**settings), classes)
    evaluator.update([truth], [guess])
    return evaluator.report()


def test_outside_true_instances_a_predicted_class_is_a_false_positive_even_if_void_is_ignored() -> None:
    truth = sample(None, instances=objects(8, (0, 4), labels=[0]))
    for guess in (
        scored(8, (0, 4), (6, 8), labels=[0, 1], scores=[0.9, 0.9]),
        prediction(np.array([[0, 0, 0, 0, VOID, VOID, 1, 1]], np.uint8)),
    ):
        report = measure_one(("cat", "dog"), truth, guess, void="ignore")
        assert report.per_class["iou"] == [1, 0]
        assert report.metrics["pixel_accuracy"] == 1


def test_with_a_background_class_what_is_outside_the_instances_counts_as_it() -> None:
    truth = sample(None, instances=objects(8, (0, 4), labels=[1]))
    report = measure_one(("background", "cat"), truth, scored(8, (0, 5), labels=[1], scores=[0.9]))
    assert report.per_class["iou"] == [3 / 4, 4 / 5]
    assert report.metrics["pixel_accuracy"] == 7 / 8


def test_instances_can_be_measured_against_a_label_map_and_the_other_way_round() -> None:
    classes = ("background", "cat", "dog")
    label_map = np.array([[0, 1, 1, 2, 2, 0]], np.uint8)
    as_instances = objects(6, (1, 3), (3, 5), labels=[1, 2])
    guess = np.array([[0, 1, 2, 2, 2, 2]], np.uint8)
    guessed_instances = scored(6, (1, 2), (2, 6), labels=[1, 2], scores=[0.8, 0.7])
    reports = [
        measure_one(classes, truth, predicted)
        for truth in (sample(label_map), sample(None, instances=as_instances))
        for predicted in (prediction(guess), guessed_instances)
    ]
    assert all(report == reports[0] for report in reports)
    assert reports[0].per_class["iou"] == [1 / 2, 1 / 2, 2 / 4]


def test_weak_predictions_are_not_painted() -> None:
    truth = sample(None, instances=objects(4, (0, 2), labels=[0]))
    guess = scored(4, (0, 2), (2, 4), labels=[0, 0], scores=[0.9, 0.3])
    assert measure_one(("cat",), truth, guess).per_class["iou"] == [1]
    assert measure_one(("cat",), truth, guess, score_threshold=0.2).per_class["iou"] == [0.5]


@pytest.mark.parametrize("classes", [("cat", "dog"), ("cat", "background")])
def test_crowds_are_left_out(classes: tuple[str, ...]) -> None:
    truth = sample(
        None, instances=objects(6, (0, 2), (1, 5), labels=[0, 0], is_crowd=torch.tensor([False, True]))
    )
    with_guess_in_crowd = measure_one(classes, truth, scored(6, (0, 5), labels=[0], scores=[1.0]))
    assert with_guess_in_crowd.per_class["iou"][0] == 1
    outside = measure_one(classes, truth, scored(6, (0, 6), labels=[0], scores=[1.0]))
    assert outside.per_class["iou"][0] == 2 / 3


def test_no_objects_and_none_predicted() -> None:
    truth, guess = (
        sample(None, instances=Instances.empty((3, 4), with_masks=True)),
        Instances.empty((3, 4), with_scores=True),
    )
    report = measure_one(("background", "cat"), truth, Prediction("a", (3, 4), instances=guess))
    assert report.per_class["iou"][0] == 1
    assert math.isnan(report.per_class["iou"][1])


# faults -----------------------------------------------------------------------------------------------------
# ---------------


def test_a_value_beyond_the_classes_names_the_value_and_the_sample() -> None:
    with pytest.raises(
        InvalidDataError,
        match=r"sample 'a' \(photos/a.jpg\): the truth has value 9 in 1 pixels, but there are 2 classes",
    ):
        measure(*maps([0, 9], [0, 0]), 2)
    with pytest.raises(InvalidDataError, match=r"sample 'a'.*the prediction has value 2"):
        measure(*maps([0, 1], [0, 2]), 2)


def test_a_faulty_pair_changes_nothing() -> None:
    evaluator = IoU(IoUSettings(), "ab")
    with pytest.raises(InvalidDataError):
        evaluator.update([sample(*maps([0, 9]))], [prediction(*maps([0, 0]))])
    assert evaluator.state()["matrix"].sum() == 0
    assert evaluator.state()["images"] == []


def test_a_sample_without_labels_is_refused() -> None:
    unlabeled = Sample("a", torch.zeros(3, 1, 2, dtype=torch.uint8))
    with pytest.raises(InvalidDataError, match="sample 'a': it has neither a label map nor instances"):
        measure_one(("cat",), unlabeled, prediction(*maps([0, 0])))


def test_instances_without_masks_are_refused() -> None:
    boxes = Instances((1, 2), torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.tensor([0]))
    with pytest.raises(InvalidDataError, match=r"sample 'a'.*needs masks"):
        measure_one(("cat",), sample(None, instances=boxes), prediction(*maps([0, 0])))


def test_pairs_that_do_not_belong_together_are_refused() -> None:
    evaluator = IoU(IoUSettings(), "ab")
    (row,) = maps([0, 1])
    with pytest.raises(InvalidDataError, match="2 samples were given with 1 predictions"):
        evaluator.update([sample(row, "a"), sample(row, "b")], [prediction(row, "a")])
    with pytest.raises(InvalidDataError, match="prediction 'b' was given for sample 'a'"):
        evaluator.update([sample(row, "a")], [prediction(row, "b")])
    with pytest.raises(InvalidDataError, match=r"prediction for sample 'a' is 2×1 .*image is 1×2"):
        evaluator.update([sample(row, "a")], [prediction(row.T.copy(), "a")])


@pytest.mark.parametrize("count", [0, 256])
def test_too_many_or_no_classes_are_refused(count: int) -> None:
    with pytest.raises(InvalidDataError, match=f"1 … 255 classes, not {count}"):
        IoU(IoUSettings(), [str(i) for i in range(count)])


def test_the_mean_iou_of_each_image() -> None:
    """Their mean is not the IoU over all pixels."""
    pairs = [maps([0, 0, 1, 1], [0, 1, 1, 1]), maps([1], [0]), maps([VOID], [1])]
    evaluator = IoU(IoUSettings(), ["a", "b"])
    for i, (truth, guess) in enumerate(pairs):
        evaluator.update([sample(truth, f"{2 - i}")], [prediction(guess, f"{2 - i}")])
    report = evaluator.report()
    assert report.images == ("0", "1", "2")
    expected = [math.nan, 0, (1 / 2 + 2 / 3) / 2]
    assert report.per_image["mean_iou"] == pytest.approx(expected, nan_ok=True)
    assert report.metrics["image_mean_iou"] == pytest.approx(np.mean(expected[1:]))


def with_confidence(guess: Map, values: list[list[float]], name: str) -> Prediction:
    extras = {CONFIDENCE: PixelMap(torch.tensor(values))}
    return Prediction(name, guess.shape, torch.from_numpy(guess), extras=extras)


def test_calibration_equals_a_plain_loop() -> None:
    rng = np.random.default_rng(0)
    evaluators = [IoU(IoUSettings(calibration=True, calibration_bins=7), ["a", "b"]) for _ in range(2)]
    points = []
    for i in range(12):
        truth, guess = (rng.choice([0, 1, VOID], (4, 5)).astype(np.uint8) for _ in range(2))
        values = rng.random((4, 5)).astype(np.float32)
        values[0, 0] = rng.choice([0, 1, np.nan])
        evaluators[i % 2].update([sample(truth, str(i))], [with_confidence(guess, values.tolist(), str(i))])
        points += [
            (float(v), t == g)
            for t, g, v in zip(truth.flat, guess.flat, values.flat, strict=True)
            if t != VOID and g != VOID and not math.isnan(v)
        ]
    error = 0.0
    for place in range(7):
        inside = [(v, right) for v, right in points if min(math.floor(v * 7), 6) == place]
        error += abs(sum(v for v, _ in inside) - sum(right for _, right in inside))
    merged = IoU(IoUSettings(calibration=True, calibration_bins=7), ["a", "b"])
    merged.merge([pickle.loads(pickle.dumps(each.state())) for each in evaluators])
    report = merged.report()
    assert report.metrics["ECE"] == pytest.approx(error / len(points))
    assert report.lower_is_better == ("ECE",)
    assert len(report.curves["reliability"].x) == 7


def test_calibration_without_probabilities_says_so() -> None:
    evaluator = IoU(IoUSettings(calibration=True), ["a", "b"])
    assert evaluator.wants_confidence
    truth, guess = maps([0, 1], [0, 1])
    evaluator.update([sample(truth)], [prediction(guess)])
    report = evaluator.report()
    assert math.isnan(report.metrics["ECE"])
    assert any("1 prediction without probabilities left out of ECE" in note for note in report.notes)


def test_boundary_f_is_a_mean_over_images_then_classes() -> None:
    truth = np.zeros((20, 20), dtype=np.uint8)
    truth[5:10, 5:10] = 1
    evaluator = IoU(IoUSettings(boundary=True), ["a", "b", "c"])
    for name, guess in (("0", truth), ("1", np.zeros_like(truth))):
        evaluator.update([sample(truth, name)], [prediction(guess, name)])
    report = evaluator.report()
    assert report.per_class["boundary_f"] == pytest.approx([0.5, 0.5, math.nan], nan_ok=True)
    assert report.metrics["boundary_f"] == 0.5
    assert "boundary_f" not in IoU(IoUSettings(), ["a"]).report().metrics
