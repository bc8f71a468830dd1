"""What is kept of the images that were measured."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from report_cases import EVERY_KIND, A, findings_of, gray, objects, with_label_maps, with_objects

from toolkit.evaluation.confusion import confusion_matrix
from toolkit.evaluation.driver import PredictedBatch
from toolkit.evaluation.protocols import PLAIN
from toolkit.reporting.observer import Observer, image_iou, image_sizes
from toolkit.types import CONFIDENCE, VOID, PixelMap, Prediction, Sample


def test_objects_are_counted_and_kept_in_order() -> None:
    observer = findings_of(("a", "b"), EVERY_KIND).observer
    assert [image.id for image in observer.images] == [sample.id for sample, _ in EVERY_KIND]
    assert [image.place for image in observer.images] == list(range(len(EVERY_KIND)))
    assert observer.counts.objects.tolist() == [5, 2]
    assert observer.counts.images.tolist() == [5, 2]
    assert not observer.has_answers


def test_crowds_are_no_objects() -> None:
    sample, prediction = with_objects("one", [(0, A), (1, A)], [], [])
    assert sample.instances is not None
    crowd = replace(sample.instances, is_crowd=torch.tensor([True, False]))
    observer = findings_of(("a", "b"), [(sample.with_(instances=crowd), prediction)]).observer
    assert observer.counts.objects.tolist() == [0, 1]


def test_a_label_map_comes_back_as_it_was() -> None:
    rng = np.random.default_rng(0)
    truth, seen = (rng.integers(0, 3, (30, 40)).astype(np.uint8) for _ in range(2))
    truth[:5] = VOID
    observer = findings_of(("a", "b", "c"), [with_label_maps("one", truth, seen)]).observer
    (image,) = observer.images
    label_map = image.prediction().label_map
    assert label_map is not None
    assert label_map.numpy().tolist() == seen.tolist()
    assert observer.counts.pixels.tolist() == [int((truth == label).sum()) for label in range(3)]
    assert observer.confusion.tolist() == confusion_matrix(truth, seen, 3).tolist()


def test_the_iou_of_an_image_is_that_of_a_naive_loop() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        truth, seen = (rng.choice([0, 1, 2, VOID], (9, 9)).astype(np.uint8) for _ in range(2))
        known = truth != VOID
        values = []
        for label in range(4):
            union = known & ((truth == label) | (seen == label))
            if union.any():
                values.append((known & (truth == label) & (seen == label)).sum() / union.sum())
        expected = np.mean(values) if values else np.nan
        assert image_iou(confusion_matrix(truth, seen, 4)) == pytest.approx(expected, nan_ok=True)
    assert np.isnan(image_iou(np.zeros((3, 3), np.int64)))


def test_a_task_with_neither_leaves_its_images_alone() -> None:
    depth = Prediction("one", (8, 8), extras={"depth": PixelMap(torch.zeros(8, 8))})
    observer = findings_of(("a",), [(gray("one", (8, 8)), depth)]).observer
    assert observer.images[0].truth is None
    assert np.isnan(observer.images[0].iou)


def test_answers_belong_to_their_objects() -> None:
    sample, _ = with_objects("one", [(0, A)], [], [])
    answers = Prediction("one", sample.size, instances=objects([(0, A)], [0.9]))
    assert findings_of(("a",), [(sample, answers)], protocol="box").observer.has_answers
    assert not findings_of(("a",), [(sample, answers)], protocol="auto").observer.has_answers


def test_sizes_are_those_of_the_images() -> None:
    assert image_sizes([]) is None
    pairs = [
        (gray(str(side), (side, 10)), Prediction(str(side), (side, 10), extras={"x": 1}))
        for side in (9, 3, 7)
    ]
    assert image_sizes(findings_of(("a",), pairs).observer.images) == ((3, 10), (7, 10), (9, 10))


def with_confidence(
    truth: np.ndarray, seen: np.ndarray, values: np.ndarray
) -> list[tuple[Sample, Prediction]]:
    sample, prediction = with_label_maps("one", truth, seen)
    confidence = PixelMap(torch.from_numpy(values.astype(np.float32)))
    return [(sample, replace(prediction, extras={CONFIDENCE: confidence}))]


def test_the_certainty_of_a_class_is_its_mean_where_model_and_label_agree() -> None:
    truth = np.array([[0, 0, 1, 1], [VOID, 0, 1, 1]], np.uint8)
    seen = np.array([[0, 1, 1, 1], [0, 0, 1, 0]], np.uint8)
    values = np.array([[0.5, 0.9, 0.6, 0.8], [0.99, np.nan, 0.7, 0.95]])
    observer = findings_of(("a", "b", "c"), with_confidence(truth, seen, values)).observer
    assert observer.certainty.means() == pytest.approx([0.5, 0.7, np.nan], nan_ok=True)
    observer = findings_of(("a", "b"), [with_label_maps("one", truth, seen)]).observer
    assert np.isnan(observer.certainty.means()).all()


def test_what_images_look_like_is_kept_where_it_is_wanted() -> None:
    sample = gray("one")
    prediction = Prediction("one", sample.size, extras={"x": 1})
    for with_looks in (True, False):
        observer = Observer(("a",), with_looks=with_looks)
        observer.add(PredictedBatch(0, 3, [sample], {PLAIN: [prediction]}, {}, 0.0))
        assert list(observer.looks) == ([3] if with_looks else [])
