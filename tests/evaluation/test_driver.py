"""The one way in which models are run over a dataset: order, modes, losses and processes, against naive
loops.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from support.two_processes import in_two_processes
from torch import Tensor, nn

from toolkit.data.dataset import Dataset
from toolkit.data.loader import EvaluationLoader
from toolkit.errors import DataError
from toolkit.evaluation import driver
from toolkit.evaluation.alignment import Alignment
from toolkit.evaluation.base import Evaluator
from toolkit.evaluation.coco import Coco, CocoSettings
from toolkit.evaluation.driver import Evaluation, PredictedBatch, Subject, evaluate, predict_batches
from toolkit.evaluation.iou import IoU, IoUSettings
from toolkit.evaluation.protocols import PLAIN, Measurement
from toolkit.evaluation.report import Report
from toolkit.models.contract import Model, TrainableModel
from toolkit.models.semantic import SemanticModel
from toolkit.types import CONFIDENCE, Instances, Masks, Prediction, Sample

CLASSES = ("a", "b", "c", "never seen")


def objects(label_map: Tensor, scores: Tensor | None = None) -> Instances:
    """An object for each of the first three classes, scored where ``scores`` are given."""
    masks = Masks.from_dense(torch.stack([label_map == label for label in range(3)]))
    return Instances((*label_map.shape,), masks.boxes_xyxy(), torch.arange(3), masks, scores)  # type: ignore[arg-type]


class Noise(Dataset):
    """Images of noise of different sizes, with labels of noise."""

    classes = CLASSES

    def __init__(self, count: int) -> None:
        self.ids = [f"image {i}" for i in range(count)]

    def __getitem__(self, index: int) -> Sample:
        rng = np.random.default_rng(index)
        size = (6 + index % 3, 8)
        image = torch.from_numpy(rng.integers(0, 256, (3, *size), dtype=np.uint8))
        label_map = torch.from_numpy(rng.integers(0, 3, size, dtype=np.uint8))
        return Sample(self.ids[index], image, label_map, objects(label_map))


def guess(sample: Sample) -> Tensor:
    """A label map that is right in a good part of the pixels, but looks at the image only in the others."""
    assert sample.label_map is not None
    return torch.where(sample.image[0] < 150, sample.label_map, sample.image[1] % 3)


def brightness(sample: Sample) -> float:
    return float(sample.image.double().mean())


class Guesser(TrainableModel):
    """Remembers what it was asked, and in which state it was."""

    def __init__(self, classes: Sequence[str] = CLASSES, name: str = "") -> None:
        super().__init__(classes)
        self.name = name
        self.calls: list[list[str]] = []
        self.states: list[tuple[bool, bool, bool]] = []
        self.inner = nn.Sequential(nn.Dropout(0.5), nn.Linear(1, 1))

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        self.calls.append([sample.id for sample in samples])
        in_eval = not any(module.training for module in self.modules())
        self.states.append((in_eval, torch.is_grad_enabled(), torch.is_autocast_enabled("cpu")))
        return [
            Prediction(s.id, s.size, guess(s), objects(guess(s), torch.tensor([0.9, 0.8, 0.7])))
            for s in samples
        ]

    def loss(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
        values = torch.tensor([brightness(sample) for sample in samples])
        return {"brightness": values.mean(), "square": values.square().mean()}


class Mute(Model):
    """Predicts and knows no loss."""

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        return [Prediction(s.id, s.size, guess(s)) for s in samples]


def measurements(*, with_objects: bool = True) -> list[Measurement]:
    chosen = [Measurement(IoU(IoUSettings(), CLASSES))]
    return [*chosen, Measurement(Coco(CocoSettings(iou_types=("segm",)), CLASSES))][: 1 + with_objects]


def plain(report: Report) -> dict[str, Any]:
    """A report as something that can be compared: NaN is None, and equals itself."""
    return report.to_dict()


def test_every_batch_goes_through_all_and_each_begins_in_turn() -> None:
    models = [Guesser(name=name) for name in "xyz"]
    loader = EvaluationLoader(Noise(9), batch_size=2)
    batches = list(predict_batches([Subject(model) for model in models], loader))
    assert [batch.subject for batch in batches] == [0, 1, 2, 1, 2, 0, 2, 0, 1, 0, 1, 2, 1, 2, 0]
    assert [batch.first for batch in batches[::3]] == [0, 2, 4, 6, 8]
    for place, model in enumerate(models):
        own = [batch for batch in batches if batch.subject == place]
        seen = [sample.id for batch in own for sample in batch.samples]
        assert seen == [prediction.sample_id for batch in own for prediction in batch.predictions[PLAIN]]
        assert seen == [name for call in model.calls for name in call] == list(Noise(9).ids)
    assert all(not batch.losses for batch in batches), "nobody asked for them"


def test_a_batch_is_predicted_when_it_is_asked_for_and_not_before() -> None:
    model = Guesser()
    batches = predict_batches([Subject(model)], EvaluationLoader(Noise(4), batch_size=1))
    assert model.calls == []
    next(batches)
    next(batches)
    assert model.calls == [["image 0"], ["image 1"]]


@pytest.mark.parametrize("warm_up", [False, True])
def test_warming_up_predicts_the_first_batch_once_more_in_all_models(warm_up: bool) -> None:
    models = [Guesser(), Guesser()]
    subjects = [Subject(model) for model in models]
    batches = list(predict_batches(subjects, EvaluationLoader(Noise(4), batch_size=2), warm_up=warm_up))
    expected = [["image 0", "image 1"]] * (1 + warm_up) + [["image 2", "image 3"]]
    assert [model.calls for model in models] == [expected, expected]
    assert len(batches) == 4, "what only warms up is not handed out"
    assert list(predict_batches(subjects, [], warm_up=True)) == []


def test_what_is_timed_is_predicting_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(driver, "time", SimpleNamespace(perf_counter=lambda: clock.now))

    class Slow(Mute):
        def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
            clock.now += len(samples)
            return super().predict(samples)

    class SlowToRead(Noise):
        def __getitem__(self, index: int) -> Sample:
            clock.now += 100
            return super().__getitem__(index)

    subjects = [Subject(Slow(CLASSES)), Subject(Mute(CLASSES))]
    batches = predict_batches(subjects, EvaluationLoader(SlowToRead(3), batch_size=2), warm_up=True)
    assert [(batch.subject, batch.seconds) for batch in batches] == [(0, 2), (1, 0), (1, 0), (0, 1)]


def test_predictions_are_turned_into_the_classes_of_the_dataset() -> None:
    theirs = ("c", "never seen", "b", "a")

    class Reordered(Mute):
        """Right everywhere, in its own classes."""

        def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
            table = torch.tensor([theirs.index(name) for name in CLASSES], dtype=torch.uint8)
            return [Prediction(s.id, s.size, table[s.label_map.long()]) for s in samples]  # type: ignore[union-attr]

    aligned = Subject(Reordered(theirs), Alignment(theirs, CLASSES, "theirs"))
    seen: list[PredictedBatch] = []
    right = evaluate(aligned, Noise(3), measurements(with_objects=False), on_batch=seen.append)
    assert right.metrics()["mean_iou"] == 1.0
    for batch in seen:
        for sample, prediction in zip(batch.samples, batch.predictions[PLAIN], strict=True):
            assert sample.label_map is not None
            assert prediction.label_map is not None
            assert prediction.label_map.equal(sample.label_map)
    wrong = evaluate(Subject(Reordered(theirs)), Noise(3), measurements(with_objects=False))
    assert wrong.metrics()["mean_iou"] < 0.5


def test_models_are_in_eval_mode_without_gradients_and_as_before_afterwards() -> None:
    model = Guesser()
    model.train()
    model.inner[0].eval()  # frozen, say
    before = [module.training for module in model.modules()]
    assert set(before) == {True, False}
    evaluate(Subject(model, with_loss=True), Noise(3), measurements(), batch_size=2)
    assert model.states == [(True, False, False)] * 2
    assert [module.training for module in model.modules()] == before
    assert torch.is_grad_enabled()


def test_modes_are_restored_after_a_failure_too() -> None:
    class Failing(Guesser):
        def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
            raise DataError("no more")

    model = Failing()
    model.train()
    model.inner.eval()
    before = [module.training for module in model.modules()]
    with pytest.raises(DataError, match="no more"):
        evaluate(Subject(model), Noise(3), measurements())
    assert [module.training for module in model.modules()] == before


def test_the_context_of_the_forward_pass_holds_for_every_batch() -> None:
    model = Guesser()
    subject = Subject(model, autocast=torch.autocast("cpu", torch.bfloat16))
    evaluate(subject, Noise(5), measurements(), batch_size=2)
    assert model.states == [(True, False, True)] * 3
    assert not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize("batch_size", range(1, 9))
def test_every_sample_once_in_order_and_losses_are_means_over_samples(batch_size: int) -> None:
    dataset, model = Noise(7), Guesser()
    by_hand = measurements()
    for each in by_hand:
        each.evaluator.prepare(dataset)
    for i in range(7):
        prediction = Guesser().predict([dataset[i]])
        for each in by_hand:
            each.update([dataset[i]], {PLAIN: prediction})
    found = evaluate(Subject(model, with_loss=True), dataset, measurements(), batch_size=batch_size)
    assert [name for call in model.calls for name in call] == list(dataset.ids)
    assert [len(call) for call in model.calls] == [
        min(batch_size, 7 - first) for first in range(0, 7, batch_size)
    ]
    assert [plain(report) for report in found.reports] == [plain(each.report()) for each in by_hand]
    values = [brightness(dataset[i]) for i in range(7)]
    assert found.losses == pytest.approx(
        {"brightness": sum(values) / 7, "square": sum(value**2 for value in values) / 7}, rel=1e-6
    )


def test_a_loss_that_only_some_batches_have_is_summed_over_all_samples() -> None:
    """Such as that of keypoints: it counts as 0 where it is missing, as it does in training."""

    class Now(Guesser):
        def loss(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
            names = ["always", "image 2"][: 1 + (samples[0].id == "image 2")]
            return {name: torch.tensor(6.0) for name in names}

    found = evaluate(Subject(Now(), with_loss=True), Noise(3), measurements(), batch_size=2)
    assert found.losses == pytest.approx({"always": 6.0, "image 2": 2.0})


def test_whoever_wants_to_sees_all_predictions() -> None:
    seen: list[PredictedBatch] = []
    evaluate(Subject(Guesser(), with_loss=True), Noise(5), measurements(), batch_size=2, on_batch=seen.append)
    assert [batch.first for batch in seen] == [0, 2, 4]
    assert all(set(batch.losses) == {"brightness", "square"} for batch in seen)
    pairs = [pair for batch in seen for pair in zip(batch.samples, batch.predictions[PLAIN], strict=True)]
    assert [sample.id for sample, _ in pairs] == list(Noise(5).ids)
    for sample, prediction in pairs:
        assert prediction.label_map is not None
        assert prediction.label_map.equal(guess(sample))


@pytest.mark.parametrize("workers", [0, 1])
def test_loader_and_evaluators_can_be_used_again(workers: int) -> None:
    dataset, chosen = Noise(5), measurements()
    loader = EvaluationLoader(dataset, batch_size=2, workers=workers, keep_workers=True)
    subject = Subject(Guesser(), with_loss=True)
    first, second = (evaluate(subject, dataset, chosen, loader=loader) for _ in range(2))
    assert [plain(report) for report in first.reports] == [plain(report) for report in second.reports]
    assert first.losses == second.losses
    assert not math.isnan(first.metrics()["segm/AP"])


class Diary(Evaluator):
    """Writes down what happens to it."""

    def __init__(self) -> None:
        self.entries: list[Any] = []

    def reset(self) -> None:
        self.entries.append("reset")

    def prepare(self, dataset: Dataset) -> None:
        self.entries.append(dataset)

    def _update(self, sample: Sample, prediction: Prediction) -> None:
        self.entries.append(sample.id)

    def state(self) -> Any:
        return None

    def merge(self, states: Sequence[Any]) -> None:
        self.entries.append("merge")

    def report(self) -> Report:
        self.entries.append("report")
        return Report("diary", {})


def test_evaluators_are_emptied_told_the_dataset_fed_and_asked_once() -> None:
    dataset, diaries = Noise(3), [Diary(), Diary()]
    evaluate(Subject(Guesser()), dataset, [Measurement(diary) for diary in diaries], batch_size=2)
    expected = ["reset", dataset, "image 0", "image 1", "image 2", "report"]
    assert [diary.entries for diary in diaries] == [expected, expected]


def test_what_was_measured_before_does_not_count() -> None:
    chosen = measurements()
    evaluate(Subject(Guesser()), Noise(7), chosen)
    again = evaluate(Subject(Guesser()), Noise(2), chosen)
    anew = evaluate(Subject(Guesser()), Noise(2), measurements())
    assert [plain(report) for report in again.reports] == [plain(report) for report in anew.reports]


def test_losses_are_computed_only_where_they_are_wanted_and_known() -> None:
    class NoLoss(Guesser):
        def loss(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
            raise AssertionError("nobody asked")

    assert evaluate(Subject(NoLoss()), Noise(2), measurements()).losses == {}
    mute = Subject(Mute(CLASSES), with_loss=True)
    assert evaluate(mute, Noise(2), measurements(with_objects=False)).losses == {}


def test_predictions_and_losses_may_share_a_forward_pass() -> None:
    class OneShot(Guesser):
        def loss(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
            raise AssertionError("validate gives both")

        def validate(self, samples: Sequence[Sample]) -> tuple[list[Prediction], dict[str, Tensor]]:
            return self.predict(samples), {"shared": torch.tensor(float(len(samples)))}

    found = evaluate(Subject(OneShot(), with_loss=True), Noise(5), measurements(), batch_size=3)
    assert found.losses == pytest.approx({"shared": (3 * 3 + 2 * 2) / 5})


def test_what_nothing_defines_is_nan_and_never_0() -> None:
    empty = evaluate(Subject(Guesser(), with_loss=True), Noise(0), measurements())
    assert empty.metrics()
    assert all(math.isnan(value) for value in empty.metrics().values())
    assert empty.losses == {}
    some = evaluate(Subject(Guesser()), Noise(3), measurements())
    iou, coco = some.reports
    assert not math.isnan(iou.metrics["mean_iou"])
    assert math.isnan(iou.per_class["iou"][3])
    assert math.isnan(coco.per_class["segm/AP"][3])


def test_headlines_are_those_of_one_report_or_the_first_of_each() -> None:
    one = Report("one", {name: 0.5 for name in "abcd"})
    assert Evaluation((one,), {}).headline() == ["a", "b", "c"]
    several = (one, Report("none", {}), Report("two", {"x": 1.0, "y": 2.0}))
    assert Evaluation(several, {}).headline() == ["a", "x"]
    assert Evaluation(several, {}).metrics() == {**one.metrics, "x": 1.0, "y": 2.0}


def share(count: int) -> tuple[list[dict[str, Any]], dict[str, float], list[str]]:
    """What one process finds, and which samples it saw."""
    model = Guesser()
    found = evaluate(Subject(model, with_loss=True), Noise(count), measurements(), batch_size=2)
    return [plain(r) for r in found.reports], found.losses, [name for call in model.calls for name in call]


def shares(counts: Sequence[int]) -> list[tuple[list[dict[str, Any]], dict[str, float], list[str]]]:
    return [share(count) for count in counts]


@pytest.mark.slow
def test_two_processes_measure_like_one(tmp_path: Path) -> None:
    """With shares that are even, uneven, and none at all for the second process or for both."""
    counts = (6, 5, 1, 0)
    alone = shares(counts)
    for count, one, first, second in zip(
        counts, alone, *in_two_processes(tmp_path, shares, counts), strict=True
    ):
        names = list(Noise(count).ids)
        assert (first[2], second[2]) == (names[::2], names[1::2]), "each takes its share"
        for both in (first, second):
            assert both[0] == one[0]
            assert both[1] == pytest.approx(one[1], rel=1e-6)


@pytest.mark.parametrize(("limit", "given"), [(None, True), (2 * 12 * 16, True), (2 * 12 * 16 - 1, False)])
def test_images_with_too_many_numbers_have_no_probabilities(limit: int | None, given: bool) -> None:
    model = SemanticModel(nn.Conv2d(3, 2, 1), ("a", "b"))
    small, large = (Sample(str(n), torch.zeros((3, 12, n), dtype=torch.uint8)) for n in (8, 16))
    subject = Subject(model, with_confidence=True, confidence_limit=limit)
    found = [batch.predictions[PLAIN] for batch in predict_batches([subject], [[small], [small, large]])]
    assert [CONFIDENCE in each.extras for batch in found for each in batch] == [True, given, given]
    plain = next(predict_batches([Subject(model, confidence_limit=limit)], [[small]]))
    assert CONFIDENCE not in plain.predictions[PLAIN][0].extras
