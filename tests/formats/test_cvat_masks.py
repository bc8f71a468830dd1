"""CVAT's run lengths against a loop over pixels, and against its SDK."""

from __future__ import annotations

import numpy as np
import pytest
from cvat_sdk.masks import decode_mask, encode_mask
from hypothesis import given
from hypothesis.extra.numpy import array_shapes, arrays

from toolkit.errors import DataError
from toolkit.formats.cvat_masks import decode_cvat_mask, encode_cvat_mask
from toolkit.types import Masks

MASKS = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=20))


@given(MASKS)
def test_the_same_as_cvats_sdk(mask: np.ndarray) -> None:
    if not mask.any():
        return
    height, width = mask.shape
    ys, xs = np.nonzero(mask)
    left, top, right, bottom = int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1
    lengths = encode_cvat_mask(mask[top:bottom, left:right])
    theirs = encode_mask(mask)
    assert [*lengths, left, top, right - 1, bottom - 1] == theirs
    code = decode_cvat_mask(lengths, (left, top), (right - left, bottom - top), (height, width), "a")
    assert code == Masks.from_dense(mask[None]).counts[0]
    assert (
        Masks((height, width), (code,)).dense()[0].numpy()
        == decode_mask(theirs, image_width=width, image_height=height)
    ).all()


@given(MASKS)
def test_the_same_as_a_loop(mask: np.ndarray) -> None:
    lengths, value = [0], False
    for pixel in mask.ravel().tolist():
        if pixel != value:
            lengths.append(0)
            value = pixel
        lengths[-1] += 1
    assert encode_cvat_mask(mask) == lengths


def test_the_example_in_cvats_documentation() -> None:
    lengths = [3, 5, 7, 7, 5, 9, 3, 11, 2, 11, 2, 12, 1, 12, 1, 26, 1, 12, 1, 12, 2, 11, 3, 9, 5, 7, 7, 5, 3]
    code = decode_cvat_mask(lengths, (707, 888), (13, 15), (1200, 1600), "a")
    masks = Masks((1200, 1600), (code,))
    assert masks.boxes_xyxy().tolist() == [[707, 888, 720, 903]]
    assert masks.areas().tolist() == [sum(lengths[1::2])]


@pytest.mark.parametrize(
    ("lengths", "corner", "extent", "message"),
    [
        ([2, 2], (9, 0), (2, 2), "2 x 2 pixels at 9, 0 extends beyond the image of 10 x 8"),
        ([2, 2], (-1, 0), (2, 2), "extends beyond"),
        ([0], (0, 0), (0, 2), "extends beyond"),
        ([2, 1], (0, 0), (2, 2), "do not cover the 2 x 2 pixels"),
        ([5, -1], (0, 0), (2, 2), "do not cover"),
        ([10**30], (0, 0), (2, 2), "do not cover"),
        ([2, 2], (0, 0), (10**9, 10**9), "extends beyond"),
    ],
)
def test_what_does_not_fit(
    lengths: list[int], corner: tuple[int, int], extent: tuple[int, int], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        decode_cvat_mask(lengths, corner, extent, (8, 10), "a.xml: image 'a'")
