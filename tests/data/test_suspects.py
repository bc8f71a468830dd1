"""What is told as a note: it may be right."""

from __future__ import annotations

import torch
from look_cases import as_noise, look, scene

from toolkit.data.checks import SplitReport
from toolkit.data.object_checks import ObjectFinding
from toolkit.data.set_checks import copies
from toolkit.data.suspects import suspects


def report(count: int, classes: tuple[str, ...] = ("a", "b"), first: int = 0) -> SplitReport:
    """A split of different images with many examples of each class."""
    made = SplitReport(classes, count, ids=[f"{first + i}" for i in range(count)])
    made.looks = {i: look(scene(first + i)) for i in range(count)}
    made.instances = torch.full((len(classes),), 50)
    return made


def told(**reports: SplitReport) -> list[tuple[str, str]]:
    return list(suspects(reports, copies(reports)))


def test_nothing_looks_wrong() -> None:
    assert told() == []
    assert told(train=report(5), val=report(5, first=9)) == []
    assert told(train=SplitReport(("a",), 0)) == []


def test_labels_of_another_task_are_not_counted() -> None:
    """Neither objects nor label maps, and no sample says that it has none: these labels are not known
    here.
    """
    train = report(20)
    train.instances = torch.zeros(2, dtype=torch.int64)
    assert told(train=train) == []
    train.without_instances = 20
    assert told(train=train)[0][1].startswith("classes with fewer than 10 training examples: 2 (a: 0; b")


def test_copies_within_a_split() -> None:
    train = report(8)
    for i in range(1, 8):
        train.looks[i] = train.looks[0]
    assert told(train=train) == [
        (
            "train",
            "images that are nearly the same as others of the split: 7"
            " (1 (0); 2 (0); 3 (0); 4 (0); 5 (0) and 2 more)",
        )
    ]


def test_objects_are_counted_by_kind() -> None:
    val = report(3, first=9)
    val.objects = [
        (0, ObjectFinding(4, "tiny", "")),
        (2, ObjectFinding(0, "empty", "")),
        (1, ObjectFinding(7, "box", "")),
    ]
    assert told(train=report(3), val=val) == [
        ("val", "objects that cover no pixels: 1 (11, object 0)"),
        ("val", "objects with fewer than 16 square pixels: 1 (9, object 4)"),
    ]


def test_classes_with_few_or_no_examples() -> None:
    train, val = report(12), report(3, first=20)
    train.instances, val.instances = torch.tensor([9, 10]), torch.tensor([0, 1])
    assert told(train=train, val=val) == [
        ("train", "classes with fewer than 10 training examples: 1 (a: 9)"),
        ("val", "classes without examples here, which are not evaluated: 1 (a)"),
    ]
    # label maps are counted where there are no objects, and not where there are few in all
    train.instances, train.images = torch.zeros(2, dtype=torch.int64), torch.tensor([12, 3])
    assert told(train=train) == [("train", "classes with fewer than 10 training examples: 1 (b: 3)")]
    small = report(4)
    small.instances, small.images = torch.zeros(2, dtype=torch.int64), torch.tensor([4, 3])
    assert told(train=small) == []


def test_images_far_from_the_rest() -> None:
    train = report(30)
    train.looks[7] = look(as_noise(1))
    [(split, text)] = told(train=train)
    assert split == "train"
    assert text.startswith("images that are far from the rest: 1 (7 is sharper or noisier: sharpness")
