"""Categories as classes: in the order of their ids, without one that only groups the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from toolkit.errors import DataError
from toolkit.formats.coco_categories import Categories, categories_of

FILE = Path("x.json")


def categories(*records: tuple[Any, ...], used: tuple[Any, ...] = ()) -> Categories:
    by_id = {
        key: {"id": key, "name": name} | ({"supercategory": above[0]} if above else {})
        for key, name, *above in records
    }
    return categories_of(by_id, used, FILE)


def test_classes_are_in_the_order_of_the_ids() -> None:
    found = categories((90, "dog "), (3, "cat"), (0, "cow"))
    assert found.classes == ("cow", "cat", "dog")
    assert tuple(found.records) == (0, 3, 90)
    assert found.group is None
    assert found.keypoint_names == ()


def test_a_category_that_only_groups_the_others_is_no_class() -> None:
    found = categories((0, "pots", "none"), (1, "pot", "pots"), (2, "pan", "pots"), used=(1,))
    assert found.classes == ("pot", "pan")
    assert found.group == "pots"
    same = categories((0, "pot", "none"), (1, "pot", "pot"), used=(1,))
    assert (same.classes, tuple(same.records)) == (("pot",), (1,))


@pytest.mark.parametrize(
    ("records", "used"),
    [
        (((0, "pots", "none"), (1, "pot", "pots")), (0, 1)),
        (((0, "pots", "none"), (1, "pot", "none")), (1,)),
        (((1, "person", "person"), (2, "bus", "vehicle")), (2,)),
        (((1, "animal", "living"), (2, "cat", "animal")), (2,)),
    ],
)
def test_a_category_that_may_be_a_class_stays(records: tuple[Any, ...], used: tuple[Any, ...]) -> None:
    """With annotations of its own, without others in it, or itself a part of something."""
    found = categories(*records, used=used)
    assert len(found.classes) == 2
    assert found.group is None


def test_two_of_one_name() -> None:
    with pytest.raises(DataError) as caught:
        categories((1, "cup"), (2, "can"), (7, " cup"))
    assert "two categories called 'cup', with the ids 1 and 7. Hint: rename one of them" in str(caught.value)
    assert "give the annotations of 7 the category_id 1, and remove the category 7" in str(caught.value)


def test_ids_and_names_that_are_none() -> None:
    with pytest.raises(DataError, match="both numbers and text as category ids"):
        categories((1, "cup"), ("2", "can"))
    with pytest.raises(DataError, match="category 1 has an empty class name"):
        categories((1, " "))


def test_keypoints_are_those_of_the_category_with_the_most() -> None:
    by_id = {
        1: {"name": "cat", "keypoints": ["nose"]},
        2: {"name": "dog", "keypoints": ["nose", "tail"]},
        3: {"name": "cow", "keypoints": None},
        4: {"name": "hen", "keypoints": []},
        5: {"name": "fly"},
    }
    assert categories_of(by_id, (), FILE).keypoint_names == ("nose", "tail")
