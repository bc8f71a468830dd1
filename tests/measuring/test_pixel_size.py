"""Sizes of pixels as people write them."""

from __future__ import annotations

import pytest

from toolkit.errors import UsageError
from toolkit.measuring.pixel_size import PixelSize


@pytest.mark.parametrize(
    ("text", "side", "unit"),
    [
        ("0.02mm", 0.02, "mm"),
        (" 3 um ", 3, "um"),
        ("1e-3 m", 0.001, "m"),
        ("5µm", 5, "um"),
        ("2.5in", 2.5, "in"),
    ],
)
def test_a_size_and_its_unit(text: str, side: float, unit: str) -> None:
    assert PixelSize.parse(text) == PixelSize(side, unit)


@pytest.mark.parametrize(
    "text", ["", "mm", "0mm", "-1mm", "1e999mm", "1 furlong", "0.02mm 3um", "1..2mm", "nan mm"]
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(
        UsageError, match="is not a pixel size: expected a number above 0 and one of nm, um, mm"
    ):
        PixelSize.parse(text)


def test_a_number_alone_has_no_unit() -> None:
    with pytest.raises(UsageError, match=r"'0.02' has no unit\. Hint: add one of"):
        PixelSize.parse("0.02")
