"""Sizes of pixels as people write them."""

from __future__ import annotations

import pytest

from toolkit.errors import UsageError
from toolkit.measuring.pixel_size import KnownSize, PixelSize


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
    assert PixelSize.parse(text) == PixelSize.square(side, unit)


@pytest.mark.parametrize(
    "text",
    ["", "mm", "0mm", "-1mm", "1e999mm", "1 furlong", "0.02mm 3um", "1..2mm", "nan mm", "1x0mm", "1xmm"],
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(
        UsageError, match="is not a pixel size: expected a number above 0 and one of nm, um, mm"
    ):
        PixelSize.parse(text)


def test_a_number_alone_has_no_unit() -> None:
    with pytest.raises(
        UsageError, match=r"'0.02' has no unit; expected one of nm, um, .*\. Hint: write 0\.02mm"
    ):
        PixelSize.parse("0.02")


@pytest.mark.parametrize(
    "text", ["0.5x0.25um", "0.5 x 0.25 um", "0.5um x 0.25um", "0.5µm×0.25µm", " 0.5X.25 um "]
)
def test_width_and_height(text: str) -> None:
    size = PixelSize.parse(text)
    assert size == PixelSize(0.5, 0.25, "um")
    assert not size.is_square
    assert size.area == 0.125
    assert str(size) == "0.5 x 0.25 um"


def test_two_units() -> None:
    with pytest.raises(UsageError, match=r"has two units, mm and um\. Hint: write width and height in one"):
        PixelSize.parse("0.5um x 0.25mm")


@pytest.mark.parametrize(
    ("unit", "width"), [("um", 500), ("mm", 0.5), ("in", 0.5 / 25.4), ("ft", 0.5 / 304.8)]
)
def test_in_another_unit(unit: str, width: float) -> None:
    size = PixelSize(0.5, 0.25, "mm").to(unit)
    assert (size.width, size.height) == (pytest.approx(width, rel=1e-12), pytest.approx(width / 2, rel=1e-12))
    assert size.unit == unit
    assert KnownSize(PixelSize(0.5, 0.25, "mm"), "option").to(unit) == KnownSize(size, "option")
