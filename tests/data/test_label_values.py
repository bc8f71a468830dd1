from __future__ import annotations

import pytest
import torch

from toolkit.data.label_values import LabelValues
from toolkit.errors import DataError, InvalidDataError
from toolkit.types import VOID


def test_values_in_are_values_out() -> None:
    """What a reader decodes by a table is encoded back, whatever value void has."""
    tables = {
        "0 is void": ({0: VOID, 1: 0, 2: 1, 3: 2}, 0),
        "the last is void": ({0: 0, 1: 1, 2: 2, 3: VOID}, 3),
        "indexes": ({0: 0, 1: 1, 2: 2, 255: VOID}, 255),
    }
    files = torch.randint(0, 4, (9, 7), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    for name, (table, void) in tables.items():
        stored = torch.where(files == 3, 255, files).to(torch.uint8) if name == "indexes" else files
        lookup = torch.zeros(256, dtype=torch.uint8)
        for value, index in table.items():
            lookup[value] = index
        values = LabelValues.of_table(table, 3)
        assert values is not None
        assert values.void == void
        assert values.encode(lookup[stored.int()]).equal(stored), name
        assert values.are_indexes == (name == "indexes")
        assert LabelValues.from_dict(values.to_dict()) == values


def test_of_several_values_for_void_the_given_one_is_written() -> None:
    table = {0: VOID, 1: 0, 255: VOID}
    assert LabelValues.of_table(table, 1) == LabelValues((1,), 0)
    assert LabelValues.of_table(table, 1, 255) == LabelValues((1,), 255)


def test_a_class_without_a_value_cannot_be_written() -> None:
    assert LabelValues.of_table({0: 0, 1: 2}, 3) is None


def test_void_without_a_value_is_an_error_and_never_another_class() -> None:
    values = LabelValues((0, 255), None)
    assert values.encode(torch.tensor([[0, 1]], dtype=torch.uint8)).tolist() == [[0, 255]]
    with pytest.raises(DataError, match="pixels without a class cannot be written"):
        values.encode(torch.tensor([[0, VOID]], dtype=torch.uint8))


def test_colors_follow_their_classes() -> None:
    palette = LabelValues((2, 1), 0).palette([(9, 9, 9), (8, 8, 8)])
    assert len(palette) == 256
    assert palette[2] == (9, 9, 9)
    assert palette[1] == (8, 8, 8)
    assert palette[0] == (224, 224, 192), "as void is shown everywhere"


@pytest.mark.parametrize(
    ("classes", "void", "fault"), [((0, 256), 255, "256 is out of range"), ((0, 1), 1, "1 stands for two")]
)
def test_values_must_fit_and_differ(classes: tuple[int, ...], void: int, fault: str) -> None:
    with pytest.raises(InvalidDataError, match=fault):
        LabelValues(classes, void)
