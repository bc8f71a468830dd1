"""Run lengths and polygons are looked at before code in C gets them; what passes is decoded as by
pycocotools.
"""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from toolkit.errors import InvalidDataError
from toolkit.types import Masks
from toolkit.types.run_lengths import counts_fault, decode_counts, lengths_fault, polygon_fault

SIZE = (6, 9)


def encoded(mask: np.ndarray) -> bytes:
    code: bytes = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"]
    return code


@given(st.integers(0, 2**54 - 1))
def test_codes_of_masks_pass_whatever_they_cover(bits: int) -> None:
    mask = np.array([bits >> i & 1 for i in range(54)], bool).reshape(SIZE)
    assert counts_fault(encoded(mask), SIZE) == ""
    assert int(decode_counts(encoded(mask)).sum()) == 54
    assert (Masks(SIZE, (encoded(mask),)).dense()[0].numpy() == mask).all()


@given(st.binary(max_size=40))
def test_any_bytes_are_refused_or_decoded(code: bytes) -> None:
    if counts_fault(code, SIZE):
        with pytest.raises(InvalidDataError, match="its run lengths"):
            Masks(SIZE, (code,))
    else:
        assert Masks(SIZE, (code,)).dense().shape == (1, *SIZE)


@pytest.mark.parametrize(
    "code",
    [b"", b"n1", b"ppppp", b"`" * 30, encoded(np.ones((6, 10))), encoded(np.ones((6, 8))), b"\xff\xfe"],
)
def test_codes_of_other_sizes_or_cut_off_are_refused(code: bytes) -> None:
    with pytest.raises(
        InvalidDataError, match=r"Masks.counts\[0\] is not of this size: its run lengths (are|cover)"
    ):
        Masks(SIZE, (code,))


@pytest.mark.parametrize("lengths", [[54], [0, 54], [10, 20, 24], [10.0, 44], [0, 0, 54], [*range(10), 9]])
def test_lengths_that_cover_the_image_pass(lengths: list[float]) -> None:
    assert lengths_fault(lengths, SIZE) == ""
    Masks.from_coco([{"size": list(SIZE), "counts": lengths}], SIZE).dense()


@pytest.mark.parametrize(
    "lengths",
    [
        [],
        [55],
        [53],
        [-1, 55],
        [27.5, 26.5],
        [None],
        ["54"],
        [True, 53],
        [10**400],
        [2**32 + 54],
        [math.nan],
        [[54]],
    ],
)
def test_other_lengths_are_refused(lengths: list[Any]) -> None:
    with pytest.raises(InvalidDataError, match="mask code: the run lengths"):
        Masks.from_coco([{"size": list(SIZE), "counts": lengths}], SIZE)


@pytest.mark.parametrize(
    "code", [{}, {"size": None, "counts": [54]}, {"size": [6, 9]}, {"size": [9, 6], "counts": [54]}]
)
def test_what_is_no_code_is_refused(code: dict[str, Any]) -> None:
    with pytest.raises(InvalidDataError, match="mask code"):
        Masks.from_coco([code], SIZE)


@pytest.mark.parametrize(
    "part",
    [
        [1, None, 5, 1, 5, 5],
        [1, math.nan, 5, 1, 5, 5],
        [1, -math.inf, 5, 1, 5, 5],
        [0, 0, 1e8, 0, 1e8, 1e8],
        [0, 0, -3e9, 0, 2, 2],
        [1, "2", 5, 1, 5, 5],
        [1, True, 5, 1, 5, 5],
        [1, 10**400, 5, 1, 5, 5],
        [1, [2], 5, 1, 5, 5],
        [1, 2, 3],
        [],
        None,
        7,
        "text",
        [0, 0, 9e5, 0, 0, 1, 9e5, 1] * 50,
    ],
)
def test_polygons_that_c_must_not_see_are_refused_at_once(part: Any) -> None:
    """They would end the interpreter, or ask for gigabytes."""
    start = time.perf_counter()
    assert polygon_fault(part, SIZE)
    with pytest.raises(InvalidDataError, match="polygon of object 0|object 0 has no polygon"):
        Masks.from_polygons([[part]], SIZE)
    assert time.perf_counter() - start < 10


@given(st.lists(st.floats(-500, 500), min_size=6, max_size=30).filter(lambda part: len(part) % 2 == 0))
def test_other_polygons_are_drawn_as_by_pycocotools(part: list[float]) -> None:
    found = Masks.from_polygons([[part]], SIZE)
    expected = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects([part], *SIZE)))
    assert (found.dense()[0].numpy() == expected).all()


@pytest.mark.parametrize("parts", [None, 5, [], "x"])
def test_an_object_that_is_no_list_of_polygons(parts: Any) -> None:
    with pytest.raises(InvalidDataError, match="object 0"):
        Masks.from_polygons([parts], SIZE)


def test_masks_are_joined_in_order_and_of_one_size() -> None:
    one, two = np.zeros(SIZE), np.ones(SIZE)
    parts = [Masks.from_dense(one[None]), Masks.from_dense(np.stack([two, one]))]
    assert Masks.joined(SIZE, parts).areas().tolist() == [0, 54, 0]
    assert len(Masks.joined(SIZE, [])) == 0
    with pytest.raises(InvalidDataError, match="cannot be combined"):
        Masks.joined((3, 3), parts)
