"""What the check of a dataset promises about datasets by anyone, also faulty ones."""

from __future__ import annotations

import torch

from toolkit.data.checks import check_split
from toolkit.data.dataset import Dataset
from toolkit.data.faults import fault
from toolkit.data.suspects import suspects
from toolkit.errors import DataError
from toolkit.types import VOID, Instances, Sample


class Faulty(Dataset):
    """One sample for each thing that can go wrong."""

    classes = ("a", "b")
    ids = ("good", "unreadable", "bug", "label beyond", "instance beyond", "no labels", "good")

    def __getitem__(self, index: int) -> Sample:
        image = torch.zeros(3, 2, 3 + index, dtype=torch.uint8)
        label_map = torch.zeros(2, 3 + index, dtype=torch.uint8)
        label_map[0, :2] = torch.tensor([1, VOID])
        name = self.ids[index]
        if name == "unreadable":
            raise DataError("x.png cannot be read")
        if name == "bug":
            raise KeyError("oops")
        if name == "label beyond":
            label_map[1, 1] = 5
        if name == "instance beyond":
            boxes = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
            return Sample(name, image, instances=Instances((2, 3 + index), boxes, torch.tensor([2])))
        if name == "no labels":
            return Sample(name, image, instances=Instances.empty((2, 3 + index)))
        return Sample(name, image, label_map)


def test_every_fault_is_reported_and_the_rest_is_counted() -> None:
    steps: list[int] = []
    report = check_split(Faulty(), lambda: steps.append(1))
    assert report.faults == [
        "the id 'good' occurs twice",
        "x.png cannot be read",
        "bug: the reader failed with KeyError: 'oops'",
        "label beyond: label map has class 5, but there are only 2 classes",
        "instance beyond: an instance has class 2, but there are only 2 classes",
    ]
    assert len(steps) == report.samples == 7
    assert report.pixels.tolist() == [6 + 18 - 4, 2]
    assert report.void_pixels == 2
    assert report.images.tolist() == [2, 2]
    assert report.instances.tolist() == [0, 0]
    assert report.without_instances == 1
    assert report.sizes == {(2, 3): 1, (2, 8): 1, (2, 9): 1}
    assert sorted(report.unusable) == [1, 2, 3, 4]
    assert report.unusable[1] == "x.png cannot be read"
    assert sorted(report.looks) == [0, 5, 6]


class Crowded(Dataset):
    """An image with an object and two crowd regions, and one with a crowd region alone."""

    classes = ("a", "b")
    ids = ("both", "crowd")

    def __getitem__(self, index: int) -> Sample:
        labels, crowds = ([0, 1, 1], [False, True, True]) if index == 0 else ([0], [True])
        boxes = torch.tensor([[0.0, 0.0, 1.0, 1.0]]).repeat(len(labels), 1)
        objects = Instances((4, 4), boxes, torch.tensor(labels), is_crowd=torch.tensor(crowds))
        return Sample(self.ids[index], torch.zeros(3, 4, 4, dtype=torch.uint8), instances=objects)


def test_crowds_are_not_counted_as_objects() -> None:
    report = check_split(Crowded())
    assert report.faults == []
    assert report.instances.tolist() == [1, 0]
    assert report.crowds == 3
    assert report.without_instances == 1


class SeveralAtOnce(Dataset):
    """A sample in which all is wrong, and ids that occur more than twice."""

    classes = ("a", "b")
    ids = ("bad", "same", "same", "same")

    def __getitem__(self, index: int) -> Sample:
        image, label_map = torch.zeros(3, 2, 4, dtype=torch.uint8), torch.zeros(2, 4, dtype=torch.uint8)
        if self.ids[index] != "bad":
            return Sample("same", image, label_map)
        fault(DataError("object 3 has no area"))
        fault(DataError("object 5 has no area"))
        label_map[0] = torch.tensor([0, 7, 9, 255])
        boxes = torch.tensor([[0.0, 0.0, 1.0, 1.0]]).repeat(3, 1)
        objects = Instances((2, 4), boxes, torch.tensor([2, 0, 4]))
        return Sample("bad", image, label_map, objects)


def test_all_faults_of_a_sample_are_told_each_once() -> None:
    only = "but there are only 2 classes"
    report = check_split(SeveralAtOnce())
    assert report.faults == [
        "the id 'same' occurs 3 times",
        "object 3 has no area",
        "object 5 has no area",
        f"bad: label map has classes 7, 9, {only}",
        f"bad: an instance has class 2, {only}",
        f"bad: an instance has class 4, {only}",
    ]
    assert report.sizes == {(2, 4): 3}


class Classified(Dataset):
    """Images with a class each: three of a, one of b."""

    classes = ("a", "b")
    ids = ("1", "2", "3", "4")

    def __getitem__(self, index: int) -> Sample:
        truth = torch.tensor([0.0, 1.0] if index == 3 else [1.0, 0.0])
        image = torch.zeros(3, 4, 4, dtype=torch.uint8)
        return Sample(self.ids[index], image, extras={"of_image": truth})


def test_classes_of_images_are_counted() -> None:
    report = check_split(Classified())
    assert not report.faults
    assert report.images_of.tolist() == [3, 1]
    assert int(report.images.sum()) == int(report.instances.sum()) == 0
    report.samples = 100  # of few images in all, few examples are expected
    (few,) = [text for _, text in suspects({"train": report}, []) if "training examples" in text]
    assert "a: 3; b: 1" in few
