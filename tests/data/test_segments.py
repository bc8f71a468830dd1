"""Objects become segments of the whole image, and segments move with it."""

from __future__ import annotations

import pytest
import torch

from toolkit import registry
from toolkit.config.augmentations import Crop, Flip
from toolkit.data.dataset import Dataset, open_dataset, open_for_task
from toolkit.data.generated import GeneratedSamples
from toolkit.data.segments import AsPanoptic, ThingClasses, examples, thing_classes_of, things_as_segments
from toolkit.data.transforms import build_transform, resize_sample
from toolkit.errors import DataError
from toolkit.types import VOID, Instances, Masks, PanopticMap, Sample, Segment


class Listed(Dataset):
    """Given samples."""

    def __init__(self, classes: tuple[str, ...], *samples: Sample) -> None:
        self.classes, self.ids, self._samples = classes, [sample.id for sample in samples], samples

    def __getitem__(self, index: int) -> Sample:
        return self._samples[index]


class Knowing(Listed, ThingClasses):
    thing_classes = ("cup",)


def sample(*masks: list[list[int]], labels: list[int], label_map: list[list[int]] | None = None) -> Sample:
    dense = torch.tensor(masks, dtype=torch.uint8).reshape(len(masks), 2, 3)
    found = Masks.from_dense(dense)
    instances = Instances((2, 3), found.boxes_xyxy(), torch.tensor(labels, dtype=torch.int64), found)
    known = None if label_map is None else torch.tensor(label_map, dtype=torch.uint8)
    return Sample("a", torch.zeros((3, 2, 3), dtype=torch.uint8), known, instances)


def test_the_small_one_is_on_top_and_the_rest_is_background() -> None:
    small, large = [[0, 1, 0], [0, 0, 0]], [[1, 1, 0], [1, 1, 0]]
    dataset = AsPanoptic(Listed(("cup", "box"), sample(small, large, labels=[0, 1])))
    assert dataset.classes == ("background", "cup", "box")
    assert dataset.thing_classes == {"cup", "box"}
    found = dataset[0]
    panoptic = found.extras["panoptic"]
    assert panoptic.numbers.tolist() == [[2, 1, 3], [2, 2, 3]]
    assert panoptic.segments == (Segment(1, True), Segment(2, True), Segment(0, False))
    assert found.label_map is not None
    assert found.label_map.tolist() == [[2, 1, 0], [2, 2, 0]]
    assert found.instances is not None
    assert found.instances.labels.tolist() == [1, 2]


def test_a_label_map_gives_the_stuff_and_leaves_void() -> None:
    given = sample([[1, 0, 0], [0, 0, 0]], labels=[1], label_map=[[1, 0, VOID], [1, 2, 2]])
    dataset = AsPanoptic(Knowing(("sky", "cup", "sand"), given))
    panoptic = dataset[0].extras["panoptic"]
    # a background is added in front; the cup without an object is void
    assert panoptic.segments == (Segment(2, True), Segment(1, False), Segment(3, False))
    assert panoptic.numbers.tolist() == [[1, 2, 0], [0, 3, 3]]
    label_map = dataset[0].label_map
    assert label_map is not None
    assert label_map.tolist() == [[2, 1, VOID], [2, 3, 3]]


def test_crowds_lie_below_and_what_is_hidden_is_left_out() -> None:
    one, other = [[1, 1, 1], [1, 0, 0]], [[1, 1, 0], [0, 0, 0]]
    objects = sample(other, one, one, labels=[0, 0, 1]).instances
    assert objects is not None
    crowd = Instances(
        objects.size,
        objects.boxes_xyxy,
        objects.labels,
        objects.masks,
        is_crowd=torch.tensor([True, False, False]),
    )
    panoptic = things_as_segments(crowd)
    assert [segment.label for segment in panoptic.segments] == [1], "equal ones: the later is on top"
    assert panoptic.numbers.tolist() == [[1, 1, 1], [1, 0, 0]]


def test_without_objects_or_masks_it_says_so() -> None:
    bare = Sample("b", torch.zeros((3, 2, 3), dtype=torch.uint8))
    with pytest.raises(DataError, match="b has no objects to make segments from. Hint"):
        AsPanoptic(Listed(("cup",), bare))[0]
    boxes = Instances((2, 3), torch.tensor([[0.0, 0, 1, 1]]), torch.zeros(1, dtype=torch.int64))
    with pytest.raises(DataError, match="segments need masks, but its 1 objects have only boxes. Hint"):
        AsPanoptic(Listed(("cup",), bare.with_(instances=boxes)))[0]
    with pytest.raises(DataError, match="255 classes"):
        AsPanoptic(Listed(tuple(map(str, range(255)))))
    empty = AsPanoptic(Listed(("cup",), bare.with_(instances=Instances.empty((2, 3)))))[0]
    assert empty.extras["panoptic"].segments == (Segment(0, False),)


def test_the_generated_shapes_become_panoptic() -> None:
    manifest = registry.datasets().get("shapes")
    options = {"size": 48, "val": 3}
    plain = open_dataset(manifest, None, "val", options)
    dataset, note = open_for_task(manifest, registry.tasks().get("panoptic"), None, "val", options)
    assert (
        note
        == "Objects become things; the rest of the label map, or background if there is none, becomes stuff."
    )
    assert dataset.fingerprint() == plain.fingerprint()
    assert thing_classes_of(dataset) == {"circle", "triangle", "square", "ring", "star"}
    for index in range(3):
        given, found = plain[index], dataset[index]
        panoptic = found.extras["panoptic"]
        assert torch.equal(panoptic.label_map(), given.label_map)
        assert given.instances is not None
        assert sorted(panoptic.things().masks.counts) == sorted(given.instances.masks.counts)  # type: ignore[union-attr]


def test_examples_are_generated_samples() -> None:
    classes = ("background", "disc", "box")
    made = examples(classes, [(24, 32)], objects=2)
    (plain,) = [GeneratedSamples(classes, [(24, 32)], objects=2)[0]]
    assert torch.equal(made[0].image, plain.image)
    assert torch.equal(made[0].get("panoptic").label_map(), plain.label_map)
    (alone,) = examples(("cup",), [(24, 32)], objects=2)
    assert {segment.label for segment in alone.get("panoptic").segments} == {0}, "no class is added"


def test_segments_move_with_the_image() -> None:
    numbers = torch.tensor([[1, 1, 2], [0, 0, 2]], dtype=torch.int32)
    panoptic = PanopticMap(numbers, (Segment(0, False), Segment(1, True, is_crowd=True)))
    given = Sample("a", torch.zeros((3, 2, 3), dtype=torch.uint8), extras={"panoptic": panoptic})
    flipped = build_transform([Flip(p=1.0)])(given, 0).extras["panoptic"]
    assert flipped.numbers.tolist() == [[2, 1, 1], [2, 0, 0]]
    assert flipped.segments == panoptic.segments
    larger = resize_sample(given, (4, 6)).extras["panoptic"]
    assert larger.areas().tolist() == [8, 8]
    framed = build_transform([Crop(size=(9, 9))])(given, 3).extras["panoptic"]
    assert framed.areas().tolist() == [2, 2], "what is around is void"
    left = [build_transform([Crop(size=(1, 1))])(given, seed).extras["panoptic"] for seed in range(12)]
    assert {len(each.segments) for each in left} == {0, 1}, "what leaves the image is dropped"
