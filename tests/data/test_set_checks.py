"""What is wrong between the splits of a dataset."""

from __future__ import annotations

from look_cases import look, scene

from toolkit.data.checks import SplitReport
from toolkit.data.set_checks import (
    Copy,
    between_splits,
    copies,
    faults_between,
    have_the_same_photos,
    notes_between,
)


def report(*photos: str, classes: tuple[str, ...] = ("a", "b"), prefix: str = "") -> SplitReport:
    made = SplitReport(classes, len(photos))
    for photo in photos:
        made.photos.setdefault(photo.encode(), []).append(f"{prefix}{photo}")
    return made


def test_nothing_wrong() -> None:
    assert list(faults_between({})) == []
    assert list(faults_between({"train": report("1", "2")})) == []
    splits = {"train": report("1", "2"), "val": report("3"), "test": report()}
    assert list(faults_between(splits)) == list(notes_between(splits)) == []


def test_classes_in_another_order() -> None:
    splits = {"train": report("1"), "val": report("2", classes=("b", "a"))}
    [(split, fault)] = faults_between(splits)
    assert split == "val"
    assert fault.startswith(
        "its classes are in a different order than those of train: b, a; not a, b. Hint: "
    )


def test_other_classes() -> None:
    splits = {"train": report("1"), "val": report("2", classes=("a", "c")), "test": report(classes=("a",))}
    faults = dict(faults_between(splits))
    assert "its classes differ from those of train: it lacks b and also has c" in faults["val"]
    assert "it lacks b. Hint" in faults["test"]


def test_a_photo_in_two_splits() -> None:
    splits = {
        "train": report("1", "2", "3"),
        "val": report("9", "2", prefix="copy of "),
        "test": report("3", "4", "1"),
    }
    faults = list(faults_between(splits))
    assert [split for split, _ in faults] == ["val", "test"]
    assert "1 photo is also in train, so the splits are not independent: copy of 2 (train: 2)" in faults[0][1]
    assert "2 photos are also in train" in faults[1][1]
    assert ": 3, 1. Hint" in faults[1][1]


def test_many_photos_are_counted_and_the_first_named() -> None:
    photos = [str(number) for number in range(9)]
    [(_, fault)] = faults_between({"train": report(*photos, "x"), "val": report(*photos)})
    assert "9 photos are also in train" in fault
    assert ": 0, 1, 2, 3, 4 and 4 more. Hint" in fault


def test_the_very_same_photos_are_a_note() -> None:
    """As in sets of a few photos that only show how things work."""
    splits = {"train": report("1", "2"), "val": report("2", "1")}
    assert have_the_same_photos(*splits.values())
    assert list(faults_between(splits)) == []
    assert [split for split, _ in notes_between(splits)] == ["val"]
    assert not have_the_same_photos(report(), report())


def test_photos_that_nobody_may_move_are_notes() -> None:
    splits = {"train": report("1", "2"), "val": report("2", "3"), "trainval": report("1", "2", "3")}
    assert list(faults_between(splits, fixed_splits=True)) == []
    notes = list(notes_between(splits, fixed_splits=True))
    assert [name for name, _ in notes] == ["val", "trainval", "trainval"]
    assert notes[0][1] == "1 photo is also in train, so the splits are not independent: 2"
    assert "2 photos are also in val" in notes[2][1]
    assert len(list(faults_between(splits))) == 3


def looking(first: int, *ids: str) -> SplitReport:
    """Samples that look different."""
    made = SplitReport(("a", "b"), len(ids), ids=ids)
    made.looks = {i: look(scene(first + i)) for i in range(len(ids))}
    return made


def test_images_that_are_nearly_those_of_another_split() -> None:
    splits = {"train": looking(0, "a", "b"), "val": looking(10, "c", "d"), "test": looking(20, "e")}
    assert copies(splits) == []
    splits["val"].looks[1] = splits["test"].looks[0] = splits["train"].looks[0]
    found = copies(splits)
    assert found == [Copy("val", 1, "train", 0), Copy("test", 0, "train", 0)]
    faults = dict(faults_between(splits, found=found))
    assert faults["val"] == (
        "1 image is nearly the same as one of train, so the splits are not independent: d (train: a). Hint:"
        " leave each image in one split"
    )
    assert faults.keys() == {"val", "test"}
    assert list(faults_between(splits, fixed_splits=True, found=found)) == []
    assert [split for split, _ in notes_between(splits, fixed_splits=True, found=found)] == ["val", "test"]


def test_the_same_file_in_two_splits_is_told_once() -> None:
    splits = {"train": looking(0, "a", "b"), "val": looking(0, "c", "x")}
    splits["val"].looks[1] = look(scene(5))
    splits["train"].photos, splits["val"].photos = {b"1": ["a"], b"2": ["b"]}, {b"1": ["c"], b"3": ["x"]}
    found = copies(splits)
    assert found == [Copy("val", 0, "train", 0)]
    assert list(between_splits(splits, found)) == []
    assert len(list(faults_between(splits, found=found))) == 1
