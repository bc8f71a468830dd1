"""The published rule of merging a label map and objects, and two models as one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from toolkit.errors import UsageError
from toolkit.models.capabilities import Promptable
from toolkit.models.contract import Model
from toolkit.models.panoptic import PanopticPair, PanopticSettings, merge_panoptic
from toolkit.types import VOID, Instances, Masks, Prediction, Sample, Segment

SIZE = (6, 10)


def objects(*rows: tuple[slice, slice], labels: Sequence[int], scores: Sequence[float] | None) -> Instances:
    dense = torch.zeros((len(rows), *SIZE), dtype=torch.bool)
    for mask, row in zip(dense, rows, strict=True):
        mask[row] = True
    masks = Masks.from_dense(dense)
    known = None if scores is None else torch.tensor(scores)
    return Instances(SIZE, masks.boxes_xyxy(), torch.tensor(labels, dtype=torch.int64), masks, known)


def settings(**fields: float) -> PanopticSettings:
    return PanopticSettings(**({"stuff_area": 0} | fields))  # type: ignore[arg-type]


LEFT, MIDDLE = (slice(0, 6), slice(0, 4)), (slice(0, 6), slice(2, 6))
SKY = torch.zeros(SIZE, dtype=torch.uint8)


def test_objects_by_falling_score_then_stuff() -> None:
    found = merge_panoptic(SKY, objects(LEFT, MIDDLE, labels=[1, 2], scores=[0.6, 0.9]), {1, 2}, settings())
    assert [(s.label, s.is_thing) for s in found.segments] == [(2, True), (1, True), (0, False)]
    assert found.numbers[0].tolist() == [2, 2, 1, 1, 1, 1, 3, 3, 3, 3]
    assert found.segments[0].score == pytest.approx(0.9)


def test_exactly_the_thresholds_are_within_them() -> None:
    pair = objects(LEFT, MIDDLE, labels=[1, 1], scores=[0.9, 0.5])
    assert len(merge_panoptic(SKY, pair, {1}, settings()).things()) == 2, "half of it is covered"
    assert len(merge_panoptic(SKY, pair, {1}, settings(overlap_threshold=0.49)).things()) == 1
    assert len(merge_panoptic(SKY, pair, {1}, settings(score_threshold=0.51)).things()) == 1
    assert len(merge_panoptic(SKY, pair, {1}, settings(score_threshold=0.95)).things()) == 0
    kept = merge_panoptic(SKY, pair[[0]], {1}, settings(stuff_area=36))
    assert kept.segments[-1] == Segment(0, False)
    small = merge_panoptic(SKY, pair[[0]], {1}, settings(stuff_area=37))
    assert [segment.is_thing for segment in small.segments] == [True]
    assert int((small.numbers == 0).sum()) == 36


def test_what_was_skipped_hides_nothing() -> None:
    """The second is covered too much, so that the third is not hidden by it."""
    rows = [(slice(0, 6), slice(0, 6)), (slice(0, 6), slice(1, 7)), (slice(0, 6), slice(6, 8))]
    found = merge_panoptic(SKY, objects(*rows, labels=[1] * 3, scores=[0.9, 0.8, 0.7]), {1}, settings())
    assert found.numbers[0].tolist() == [1] * 6 + [2, 2, 3, 3]


def test_the_semantic_map_gives_no_things_and_keeps_void() -> None:
    label_map = torch.tensor([[0, 0, 1, VOID, 2, 2, 2, 0, 0, 0]] * 6, dtype=torch.uint8)
    found = merge_panoptic(label_map, objects(labels=[], scores=[]), {1}, settings())
    assert [segment.label for segment in found.segments] == [0, 2]
    assert found.numbers[0].tolist() == [1, 1, 0, 0, 2, 2, 2, 1, 1, 1]


def test_against_a_loop_over_pixels() -> None:
    for seed in range(60):
        rng = np.random.default_rng(seed)
        count = int(rng.integers(0, 7))
        rows = [
            (slice(y, y + int(rng.integers(1, 5))), slice(x, x + int(rng.integers(1, 7))))
            for y, x in zip(
                rng.integers(0, 6, count).tolist(), rng.integers(0, 10, count).tolist(), strict=True
            )
        ]
        scores = rng.choice([0.3, 0.5, 0.7, 0.9], count).astype(np.float32)
        given = objects(*rows, labels=rng.integers(0, 3, count).tolist(), scores=scores.tolist())
        label_map = torch.from_numpy(rng.choice([0, 1, 3, 4, VOID], SIZE).astype(np.uint8))
        chosen = settings(
            stuff_area=int(rng.integers(0, 20)), overlap_threshold=float(rng.choice([0, 0.3, 0.5]))
        )
        found = merge_panoptic(label_map, given, {0, 1, 2}, chosen)
        owner: dict[tuple[int, int], tuple[int, bool, int]] = {}
        assert given.masks is not None
        dense = given.masks.dense().numpy()
        for i in sorted(range(count), key=lambda i: -scores[i]):
            pixels = [(int(y), int(x)) for y, x in np.argwhere(dense[i])]
            covered = [pixel for pixel in pixels if pixel in owner]
            if scores[i] >= 0.5 and pixels and len(covered) / len(pixels) <= chosen.overlap_threshold:
                label = int(given.labels[i])
                owner |= {pixel: (label, True, i) for pixel in pixels if pixel not in owner}
        left: dict[int, list[tuple[int, int]]] = {}
        for (y, x), label in np.ndenumerate(label_map.numpy()):
            if (y, x) not in owner and label in (3, 4):
                left.setdefault(int(label), []).append((y, x))
        for label, pixels in left.items():
            if len(pixels) >= chosen.stuff_area:
                owner |= {pixel: (label, False, -1) for pixel in pixels}
        for (y, x), number in np.ndenumerate(found.numbers.numpy()):
            expected = owner.get((y, x))
            segment = found.segments[number - 1] if number else None
            assert (segment and (segment.label, segment.is_thing)) == (expected and expected[:2]), seed
        assert len(found.segments) == len(set(owner.values())), seed


class Given(Model):
    """Predicts the same for every sample."""

    def __init__(
        self, classes: Sequence[str], label_map: torch.Tensor | None, instances: Instances | None
    ) -> None:
        super().__init__(classes)
        self.label_map, self.instances = label_map, instances

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        return [Prediction(sample.id, sample.size, self.label_map, self.instances) for sample in samples]


IMAGE = Sample("a", torch.zeros((3, *SIZE), dtype=torch.uint8))


def test_a_pair_has_the_classes_of_both() -> None:
    detector = Given(("cup", "sky", "box"), None, objects(LEFT, labels=[2], scores=[0.8]))
    pair = PanopticPair(Given(("sky", "sand"), SKY, None), detector, settings(), things=("cup", "box"))
    assert pair.classes == ("sky", "sand", "cup", "box")
    (found,) = pair.predict([IMAGE])
    assert found.label_map is SKY
    assert found.instances is not None
    assert found.instances.labels.tolist() == [3]
    assert [segment.label for segment in found.extras["panoptic"].segments] == [3, 0]
    assert found.fields() == ["label_map", "instances", "panoptic"]


def test_objects_of_stuff_are_no_segments() -> None:
    """A detector that was trained with the names of stuff may answer with one."""
    detector = Given(("sky", "cup"), None, objects(LEFT, MIDDLE, labels=[0, 1], scores=[0.9, 0.8]))
    pair = PanopticPair(Given(("sky", "sand"), SKY, None), detector, settings(), things=("cup",))
    (found,) = pair.predict([IMAGE])
    assert [segment.label for segment in found.extras["panoptic"].segments] == [2, 0]


def test_what_makes_no_pair_is_refused() -> None:
    semantic = Given(("background", "cup"), SKY, None)
    detector = Given(("background", "cup"), None, objects(LEFT, labels=[1], scores=[0.8]))
    assert PanopticPair(semantic, detector).things == ("cup",)
    for first, second, words in (
        (detector, detector, "predicts no label map. Hint: the first run must be of a semantic model"),
        (semantic, semantic, "predicts no objects. Hint: the second run must be of a detector"),
    ):
        with pytest.raises(UsageError, match=words):
            PanopticPair(first, second).predict([IMAGE])
    boxes = Instances(SIZE, torch.tensor([[0.0, 0, 2, 2]]), torch.tensor([1]), scores=torch.ones(1))
    with pytest.raises(UsageError, match="predicts no masks of objects"):
        PanopticPair(semantic, Given(("cup", "box"), None, boxes)).predict([IMAGE])
    with pytest.raises(UsageError, match=r"nothing is stuff. Hint: name the things with 'things=\[NAME"):
        PanopticPair(Given(("cup",), SKY, None), Given(("cup",), None, None))
    with pytest.raises(UsageError, match="things names mug, but the classes of the two runs are background"):
        PanopticPair(semantic, detector, PanopticSettings(things=("mug",)))
    with pytest.raises(ValidationError, match="score_threshold"):
        PanopticSettings(score_threshold=1.5)


class Prompted(Given, Promptable):
    """Takes prompts."""

    encode = answer = find_all = None  # type: ignore[assignment]


def test_a_promptable_model_finds_no_classes() -> None:
    with pytest.raises(UsageError, match="the second model itself needs prompts"):
        PanopticPair(Given(("sky",), SKY, None), Prompted(("cup",), None, None))
