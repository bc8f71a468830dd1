"""What values of label images become, against a loop over pixels."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from toolkit.errors import DataError
from toolkit.formats.value_table import ValueTable

FILES = Path("labels/a.png"), Path("classes.csv")


@pytest.mark.parametrize(
    ("indexes", "void"),
    [({7: 0, 3: 1, 9: 1}, [0]), ({255: 2, 0: 0}, []), ({1: 4}, [255, 8]), ({5: 0}, [5])],
)
def test_classes_and_void(indexes: dict[int, int], void: list[int]) -> None:
    known = sorted({*indexes, *void, 255})
    values = torch.tensor([known, known[::-1]], dtype=torch.uint8)
    found = ValueTable(indexes, void).translated(values, *FILES)
    assert found.dtype == torch.uint8
    assert found.tolist() == [[indexes.get(int(value), 255) for value in row] for row in values]


def test_a_value_that_stands_for_nothing_is_named() -> None:
    values = torch.tensor([[7, 7], [7, 12]], dtype=torch.uint8)
    with pytest.raises(
        DataError, match=r"labels/a\.png has the value 12, which is not a class of classes\.csv\. Hint: "
    ):
        ValueTable({7: 0}, []).translated(values, *FILES)
