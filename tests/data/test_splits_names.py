"""The names by which a split goes."""

from __future__ import annotations

import pytest

from toolkit.data.splits import is_of_other_split, names_of, of_no_split, split_of, the_one
from toolkit.errors import DataError


def test_names() -> None:
    assert names_of("val") == ("val", "valid", "validation")
    assert names_of("train_aug") == ("train_aug",)
    assert split_of("VALID") == "val"
    assert split_of("evaluation") is None
    assert of_no_split(["train", "holdout", "valid", "a"]) == ["holdout", "a"]


@pytest.mark.parametrize(
    ("name", "split", "other"),
    [
        ("train2017", "val", True),
        ("instances_valid", "val", False),
        ("photos", "val", False),
        ("latest", "train", False),
        ("train-val", "val", False),
        ("Testing", "train", True),
    ],
)
def test_what_is_named_after_another_split(name: str, split: str, other: bool) -> None:
    assert is_of_other_split(name, split) is other


def test_one_of_several_names() -> None:
    assert the_one({"valid": 3, "train": 4}, "val", "x", "") == 3
    assert the_one({"train": 4}, "val", "x", "") is None
    with pytest.raises(DataError, match="x has both val and validation for the split 'val'. Hint: join them"):
        the_one({"validation": 1, "val": 2}, "val", "x", "join them")
