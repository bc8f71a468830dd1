"""Label statistics of a split: they are those of a naive count, and cost no more than they may."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from toolkit.data.dataset import Dataset
from toolkit.data.generated import GeneratedSamples
from toolkit.data.label_counts import NAMED, LabelCounts, count_labels
from toolkit.errors import DataError
from toolkit.types import VOID, Instances, Sample

SIZES = [(24, 32), (40, 20), (16, 16), (33, 47), (8, 64)]


class Listed(Dataset):
    """Samples of a list; one that is None cannot be read."""

    def __init__(self, samples: list[Sample | None], classes: tuple[str, ...]) -> None:
        self.samples, self.classes = samples, classes
        self.ids = [str(i) for i in range(len(samples))]

    def __getitem__(self, index: int) -> Sample:
        sample = self.samples[index]
        if sample is None:
            raise DataError(f"{index} is damaged")
        return sample


def labeled(*, pixels: list[int] | None = None, objects: list[int] | None = None, crowds: int = 0) -> Sample:
    """A sample of so many pixels of each value, and objects of each class, of which the first are crowds."""
    size = (1, len(pixels)) if pixels else (4, 4)
    instances = None
    if objects is not None:
        crowd = torch.arange(len(objects)) < crowds
        boxes = torch.tensor([[0.0, 0.0, 1.0, 1.0]]).repeat(len(objects), 1)
        instances = Instances(size, boxes, torch.tensor(objects, dtype=torch.int64), is_crowd=crowd)
    label_map = None if pixels is None else torch.tensor([pixels], dtype=torch.uint8)
    return Sample("a", torch.zeros((3, *size), dtype=torch.uint8), label_map, instances)


@pytest.mark.parametrize("classes", [("background", "disc", "box"), ("disc", "box", "star")])
def test_the_counts_are_those_of_a_loop(classes: tuple[str, ...]) -> None:
    dataset = GeneratedSamples(classes, SIZES, objects=4, seed=3)
    counts = count_labels(dataset)
    pixels, objects, images = Counter[int](), Counter[int](), Counter[int]()
    for i in range(len(dataset)):
        sample = dataset[i]
        assert sample.label_map is not None
        assert sample.instances is not None
        in_image = sample.label_map.flatten().tolist()
        pixels.update(in_image)
        objects.update(sample.instances.labels.tolist())
        images.update({*in_image, *sample.instances.labels.tolist()} - {VOID})
    assert counts.pixels is not None
    assert counts.objects is not None
    assert counts.pixels.tolist() == [pixels[i] for i in range(3)]
    assert counts.objects.tolist() == [objects[i] for i in range(3)]
    assert counts.images_with.tolist() == [images[i] for i in range(3)]
    assert counts.void_pixels == pixels[VOID]
    assert (counts.counted, counts.images, counts.unreadable) == (5, 5, 0)


def test_only_the_fields_that_are_asked_for_are_counted() -> None:
    dataset = GeneratedSamples(("background", "disc"), SIZES)
    assert count_labels(dataset, fields=["instances"]).pixels is None
    assert count_labels(dataset, fields=["label_map"]).objects is None
    assert "background" in count_labels(dataset, fields=["instances"]).missing, "which is no object"


def test_crowds_and_labels_of_no_class_are_left_out() -> None:
    counts = count_labels(Listed([labeled(objects=[0, 1, 1, 7], crowds=2)], ("cat", "dog")))
    assert counts.objects is not None
    assert counts.objects.tolist() == [0, 1]
    assert counts.missing == ["cat"]


def test_images_without_labels_and_those_that_cannot_be_read() -> None:
    counts = count_labels(Listed([None, labeled(objects=[]), None, labeled(objects=[1])], ("cat", "dog")))
    assert (counts.counted, counts.unreadable) == (2, 2)
    assert counts.to_dict()["images_unreadable"] == 2
    assert counts.line() == "objects: dog 1 (from 2 of 4 images)"
    assert count_labels(Listed([labeled(objects=[])], ("cat",))).line() == "no objects"
    for empty in (Listed([], ("cat",)), Listed([None], ("cat",)), Listed([labeled()], ("cat",))):
        assert count_labels(empty).line() == ""


def test_a_large_split_is_counted_in_part_and_says_so() -> None:
    times = iter(range(100))
    dataset = GeneratedSamples(("background", "disc"), [(8, 8)] * 50)
    counts = count_labels(dataset, seconds=7, clock=lambda: float(next(times)))
    assert (counts.counted, counts.images) == (7, 50)
    assert counts.line().endswith(" (from 7 of 50 images)")
    times = iter(range(100))
    again = count_labels(dataset, seconds=7, clock=lambda: float(next(times)))
    assert again.to_dict() == counts.to_dict(), "the same random part each time"
    assert count_labels(dataset, seconds=0).counted == 1


def test_the_line_names_the_most_frequent_classes_with_their_shares() -> None:
    assert count_labels(Listed([labeled(pixels=[0, 1, 1, 255])], ("sky", "cow", "sea"))).line() == (
        "pixels: cow 50.0%, sky 25.0%, void 25.0%"
    )
    names = tuple(f"class {i}" for i in range(NAMED + 4))
    everything = labeled(objects=[i for i in range(len(names)) for _ in range(i + 1)])
    line = count_labels(Listed([everything], names)).line()
    assert line.startswith(f"objects: class {NAMED + 3} {NAMED + 4}, ")
    assert line.endswith(", 4 more classes")
    assert f"class {NAMED + 3 - NAMED} " not in line


def test_the_figures_are_plain_values() -> None:
    counts = LabelCounts(("sky", "cow"), images=3)
    counts.add(labeled(pixels=[0, 0, 255], objects=[1]))
    assert counts.to_dict() == {
        "images": 3,
        "images_counted": 1,
        "void_pixels": 1,
        "classes": {
            "sky": {"pixels": 2, "objects": 0, "images": 1},
            "cow": {"pixels": 0, "objects": 1, "images": 1},
        },
    }


def test_classes_of_images_are_counted() -> None:
    def of(*probabilities: float) -> Sample:
        return Sample(
            "a",
            torch.zeros((3, 2, 2), dtype=torch.uint8),
            extras={"of_image": torch.tensor(probabilities, dtype=torch.float32)},
        )

    listed = Listed([of(0, 1), of(0.2, 0.8), of(1, 0), of(1, 0, 0), labeled()], ("cat", "dog"))
    counts = count_labels(listed)
    assert counts.images_of is not None
    assert counts.images_of.tolist() == counts.images_with.tolist() == [1, 2]
    assert counts.line() == "images: dog 2, cat 1"
    assert counts.to_dict()["classes"] == {"cat": {"images": 1}, "dog": {"images": 2}}
    assert count_labels(listed, fields=["instances"]).images_of is None
    assert count_labels(Listed([labeled()], ("cat", "dog"))).images_of is None
