"""Objects painted into label maps: which lies on top, and what is void."""

from __future__ import annotations

import pickle
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from toolkit.data.dataset import Dataset
from toolkit.data.painting import ObjectsAsClasses, instances_to_label_map
from toolkit.errors import DataError, InvalidDataError
from toolkit.types import VOID, Instances, Masks, Sample, Size


def squares(size: Size, *corners: tuple[int, int, int, int], labels: list[int], **more: object) -> Instances:
    """Filled rectangles given as x0, y0, x1, y1."""
    dense = torch.zeros(len(corners), *size, dtype=torch.bool)
    for mask, (x0, y0, x1, y1) in zip(dense, corners, strict=True):
        mask[y0:y1, x0:x1] = True
    masks = Masks.from_dense(dense)
    return Instances(size, masks.boxes_xyxy(), torch.tensor(labels), masks, **more)  # type: ignore[arg-type]


def test_small_true_objects_lie_on_large_ones_and_later_on_earlier() -> None:
    instances = squares((4, 6), (1, 1, 3, 3), (0, 0, 5, 4), (2, 1, 4, 3), labels=[0, 1, 2])
    expected = [[1, 1, 1, 1, 1, 9], [1, 0, 2, 2, 1, 9], [1, 0, 2, 2, 1, 9], [1, 1, 1, 1, 1, 9]]
    found = instances_to_label_map(instances, ("a", "b", "c"))
    assert found.dtype == torch.uint8
    assert found.is_contiguous()
    assert torch.equal(
        found, torch.tensor(expected, dtype=torch.uint8).masked_fill_(torch.tensor(expected) == 9, VOID)
    )


def test_of_predictions_the_highest_score_wins() -> None:
    instances = squares((2, 3), (0, 0, 3, 2), (0, 0, 2, 1), labels=[0, 1], scores=torch.tensor([0.9, 0.8]))
    assert instances_to_label_map(instances, ("a", "b")).unique().tolist() == [0]


def test_uncovered_pixels_are_background_where_it_is_a_class() -> None:
    instances = squares((2, 2), (0, 0, 1, 1), labels=[0])
    assert instances_to_label_map(instances, ("a", "b")).tolist() == [[0, VOID], [VOID, VOID]]
    assert instances_to_label_map(instances, ("a", "background")).tolist() == [[0, 1], [1, 1]]
    assert instances_to_label_map(Instances.empty((1, 2)), ("background", "a")).tolist() == [[0, 0]]


def test_crowds_are_void_below_everything() -> None:
    instances = squares(
        (1, 4), (1, 0, 2, 1), (0, 0, 3, 1), labels=[1, 1], is_crowd=torch.tensor([False, True])
    )
    assert instances_to_label_map(instances, ("background", "a")).tolist() == [[VOID, 1, VOID, 0]]


def test_painting_equals_a_naive_loop() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        n, height, width = (int(v) for v in rng.integers((0, 1, 1), (6, 12, 12)))
        dense = torch.from_numpy(rng.random((n, height, width)) < 0.4)
        scores, labels = (
            torch.from_numpy(rng.permutation(n).astype(np.float32) / 10),
            torch.from_numpy(rng.integers(0, 3, n)),
        )
        masks = Masks.from_dense(dense)
        expected = torch.full((height, width), VOID, dtype=torch.uint8)
        for i in scores.argsort():
            expected[dense[i]] = labels[i].to(torch.uint8)
        found = instances_to_label_map(
            Instances((height, width), masks.boxes_xyxy(), labels, masks, scores), "abc"
        )
        assert torch.equal(found, expected)


def test_instances_without_masks_or_of_unknown_class_are_refused() -> None:
    boxes = Instances((4, 4), torch.tensor([[0.0, 0.0, 2.0, 2.0]]), torch.tensor([0]))
    with pytest.raises(InvalidDataError, match="needs masks"):
        instances_to_label_map(boxes, ("a",))
    with pytest.raises(InvalidDataError, match="label 3, but there are 2 classes"):
        instances_to_label_map(squares((4, 4), (0, 0, 2, 2), labels=[3]), ("a", "b"))


class Rectangles(Dataset):
    """Two objects that overlap, none, and one that has only a box."""

    ids = ("both", "none", "box")

    def __init__(
        self, classes: Sequence[str], palette: tuple[tuple[int, int, int], ...] | None = None
    ) -> None:
        self.classes = tuple(classes)
        self.palette = palette

    def __getitem__(self, index: int) -> Sample:
        instances = [
            squares((2, 4), (0, 0, 3, 2), (2, 0, 4, 1), labels=[0, 1]),
            Instances.empty((2, 4)),
            Instances((2, 4), torch.tensor([[0.0, 0.0, 2.0, 2.0]]), torch.tensor([0])),
        ][index]
        path = "photos/box.jpg" if index == 2 else ""
        return Sample(self.ids[index], torch.zeros(3, 2, 4, dtype=torch.uint8), None, instances, path=path)


RED, GREEN = (200, 0, 0), (0, 200, 0)


def test_a_background_is_put_before_classes_that_have_none() -> None:
    dataset = ObjectsAsClasses(Rectangles(("cat", "dog"), (RED, GREEN)))
    assert dataset.classes == ("background", "cat", "dog")
    assert dataset.palette == ((0, 0, 0), RED, GREEN)
    assert dataset.ids == ("both", "none", "box")
    assert len(dataset) == 3
    sample = dataset[0]
    assert sample.label_map is not None
    assert sample.label_map.tolist() == [[1, 1, 2, 2], [1, 1, 1, 0]]
    assert sample.instances is None, "or evaluators would not know which is the truth"
    assert sample.id == "both"


def test_a_background_that_is_there_keeps_its_place() -> None:
    dataset = ObjectsAsClasses(Rectangles(("cat", "background", "dog"), (RED, (1, 2, 3), GREEN)))
    assert dataset.classes == ("cat", "background", "dog")
    assert dataset.palette == (RED, (1, 2, 3), GREEN)
    sample = dataset[0]
    assert sample.label_map is not None
    assert sample.label_map.tolist() == [[0, 0, 1, 1], [0, 0, 0, 1]]


def test_without_a_palette_there_is_none_for_the_classes() -> None:
    assert ObjectsAsClasses(Rectangles(("cat", "dog"))).palette is None


def test_an_image_without_objects_is_all_background() -> None:
    sample = ObjectsAsClasses(Rectangles(("cat", "dog")))[1]
    assert sample.label_map is not None
    assert sample.label_map.tolist() == [[0] * 4] * 2


def test_objects_without_masks_or_no_objects_at_all_are_refused_by_the_name_of_the_sample() -> None:
    with pytest.raises(DataError, match=r"^photos/box\.jpg: .*only boxes\. Hint: choose an instance"):
        ObjectsAsClasses(Rectangles(("cat", "dog")))[2]

    class Bare(Rectangles):
        def __getitem__(self, index: int) -> Sample:
            return super().__getitem__(index).with_(instances=None)

    with pytest.raises(DataError, match="^both has no objects to make a label map from"):
        ObjectsAsClasses(Bare(("cat", "dog")))[0]


def test_it_is_known_by_what_it_was_made_from_and_can_be_sent_to_other_processes() -> None:
    inner = Rectangles(("cat", "dog"), (RED, GREEN))
    dataset = ObjectsAsClasses(inner)
    assert dataset.fingerprint() == inner.fingerprint()
    assert dataset.fingerprint() != ObjectsAsClasses(Rectangles(("cat", "cow"))).fingerprint()
    sent = pickle.loads(pickle.dumps(dataset))
    assert (sent.classes, sent.palette, sent.ids) == (dataset.classes, dataset.palette, dataset.ids)
    assert sent.fingerprint() == dataset.fingerprint()
    assert sent[0].label_map.equal(dataset[0].label_map)
    assert inner[0].instances is not None
    assert inner[0].instances.labels.tolist() == [0, 1], "what it was made from stays as it was"


def test_more_classes_than_a_label_map_can_hold_are_refused() -> None:
    """255 is void, so with the background there is room for 254 others."""
    assert len(ObjectsAsClasses(Rectangles([f"c{i}" for i in range(254)])).classes) == 255
    assert len(ObjectsAsClasses(Rectangles(["background", *(f"c{i}" for i in range(254))])).classes) == 255
    with pytest.raises(DataError, match="can hold 255 classes, including the background, but there are 256"):
        ObjectsAsClasses(Rectangles([f"c{i}" for i in range(255)]))
