"""Masks: what is refused and how it is said, coding and decoding, and picking some of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco_mask
from types_cases import SIZE, masks, refused

from toolkit.types import Masks

BAD_MASKS: dict[str, tuple[Callable[[], Masks], str]] = {
    "a list of counts": (lambda: Masks(SIZE, [b"x"]), "Masks.counts must be a tuple of bytes, not list"),  # type: ignore[arg-type]
    "one code alone": (lambda: Masks(SIZE, b"x"), "Masks.counts must be a tuple of bytes, not bytes"),  # type: ignore[arg-type]
    "text": (lambda: Masks(SIZE, (b"x", "y")), "Masks.counts[1] must be bytes, not str 'y'"),  # type: ignore[arg-type]
    "one dense mask": (
        lambda: Masks.from_dense(np.ones((4, 5), np.uint8)),
        "masks must be [N, H, W], not a NumPy array of uint8 [4, 5]",
    ),
    "a dense tensor with channels": (
        lambda: Masks.from_dense(torch.ones(2, 1, 4, 5)),
        "masks must be [N, H, W], not a NumPy array of float32 [2, 1, 4, 5]",
    ),
    "dense masks without pixels": (
        lambda: Masks.from_dense(np.ones((2, 0, 5))),
        "Masks.size must be (height, width) in whole pixels above 0, not (0, 5)",
    ),
    "an object without polygons": (
        lambda: Masks.from_polygons([[[0, 0, 4, 0, 4, 4]], []], SIZE),
        "object 1 has no polygon",
    ),
    "two points": (
        lambda: Masks.from_polygons([[[0, 0, 4, 4]]], SIZE),
        "a polygon of object 0 has 4 numbers; expected x0, y0, x1, y1, … of 3 points or more",
    ),
    "half a point": (
        lambda: Masks.from_polygons([[[0, 0, 4, 0, 4, 4, 1]]], SIZE),
        "a polygon of object 0 has 7 numbers",
    ),
    "a code of another image": (
        lambda: Masks.from_coco([{"size": [5, 4], "counts": [20]}], SIZE),
        "mask code has size list [5, 4], but the image has [4, 5]",
    ),
    "too few pixels": (
        lambda: Masks.from_coco([{"size": [4, 5], "counts": [7, 6]}], SIZE),
        "mask code: the run lengths cover 13 pixels, but the image has 20",
    ),
    "a negative run": (
        lambda: Masks.from_coco([{"size": [4, 5], "counts": [25, -10, 5]}], SIZE),
        "mask code: the run lengths have a length that is not a whole number from 0 to 20",
    ),
    "half a pixel": (
        lambda: Masks.from_coco([{"size": [4, 5], "counts": [9.5, 10.5]}], SIZE),
        "mask code: the run lengths have a length that is not a whole number",
    ),
    "no run lengths": (
        lambda: Masks.from_coco([{"size": [4, 5], "counts": None}], SIZE),
        "mask code: the run lengths are NoneType None; expected text or a list of numbers",
    ),
}


@pytest.mark.parametrize(("build", "message"), BAD_MASKS.values(), ids=BAD_MASKS)
def test_bad_masks(build: Callable[[], Masks], message: str) -> None:
    refused(build, message)


dense_masks = arrays(bool, array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=7))
"""Any: with holes, in several parts, empty, full."""


@given(dense_masks)
def test_dense_masks_come_back(dense: np.ndarray) -> None:
    coded = Masks.from_dense(dense)
    assert (len(coded), coded.size) == (len(dense), dense.shape[1:])
    decoded = coded.dense()
    assert decoded.dtype == torch.bool
    assert decoded.is_contiguous()
    assert np.array_equal(decoded.numpy(), dense)
    assert Masks.from_dense(decoded) == coded, "tensors are taken as arrays are"
    assert Masks.from_dense(dense * np.float32(-0.5)) == coded, "anything but 0 is foreground"


@given(dense_masks)
def test_areas_and_boxes_are_those_of_a_naive_loop(dense: np.ndarray) -> None:
    coded = Masks.from_dense(dense)
    areas, boxes = [], []
    for mask in dense:
        pixels = [(x, y) for y in range(mask.shape[0]) for x in range(mask.shape[1]) if mask[y, x]]
        columns, rows = [x for x, _ in pixels], [y for _, y in pixels]
        areas.append(len(pixels))
        boxes.append([min(columns), min(rows), max(columns) + 1, max(rows) + 1] if pixels else [0] * 4)
    assert (coded.areas().dtype, coded.boxes_xyxy().dtype) == (torch.int64, torch.float32)
    assert coded.areas().tolist() == areas
    assert coded.boxes_xyxy().tolist() == boxes


def test_a_ring_in_two_parts() -> None:
    dense = torch.zeros(2, 7, 9, dtype=torch.bool)
    dense[0, 1:6, 1:6] = True
    dense[0, 2:5, 2:5] = False  # a hole
    dense[0, 6, 8] = True  # and another part
    coded = Masks.from_dense(dense)
    assert torch.equal(coded.dense(), dense)
    assert coded.areas().tolist() == [17, 0]
    assert coded.boxes_xyxy().tolist() == [[1, 1, 9, 7], [0, 0, 0, 0]]


def test_more_masks_than_pycocotools_measures_at_once() -> None:
    dense = torch.zeros(600, 3, 4, dtype=torch.bool)
    dense.view(600, 12)[torch.arange(12) < (torch.arange(600) % 13)[:, None]] = True
    assert Masks.from_dense(dense).areas().tolist() == [n % 13 for n in range(600)]


def test_no_masks() -> None:
    for none in (Masks(SIZE), Masks.from_dense(np.zeros((0, *SIZE))), Masks.from_coco([], SIZE)):
        assert none == Masks.from_polygons([], SIZE)
        assert len(none) == 0
        assert none.to_coco() == []
        assert (none.dense().shape, none.dense().dtype) == ((0, *SIZE), torch.bool)
        assert (none.areas().shape, none.areas().dtype) == ((0,), torch.int64)
        assert (none.boxes_xyxy().shape, none.boxes_xyxy().dtype) == ((0, 4), torch.float32)
        assert none[:] == none[[]] == none


def run_lengths(mask: np.ndarray) -> list[int]:
    """COCO's uncompressed code, counted one pixel after the other: column by column, background first."""
    lengths, inside = [0], False
    for pixel in mask.T.flatten().tolist():
        if pixel != inside:
            lengths.append(0)
            inside = pixel
        lengths[-1] += 1
    return lengths


@given(dense_masks)
def test_coco_codes_of_each_kind_are_the_same_mask(dense: np.ndarray) -> None:
    size = (dense.shape[1], dense.shape[2])
    coded = Masks.from_dense(dense)
    as_bytes = coded.to_coco()
    assert all(code["size"] == list(size) for code in as_bytes)
    as_text = [{**code, "counts": code["counts"].decode()} for code in as_bytes]
    as_lengths = [{"size": list(size), "counts": run_lengths(mask)} for mask in dense]
    for codes in (as_bytes, as_text, as_lengths):
        assert Masks.from_coco(codes, size) == coded
    assert np.array_equal(coco_mask.decode(as_bytes).transpose(2, 0, 1), dense)


@given(st.integers(0, 3), st.integers(0, 3), st.integers(1, 4), st.integers(1, 4))
def test_polygons_are_filled_and_their_parts_united(x: int, y: int, width: int, height: int) -> None:
    size = (9, 10)
    right, bottom = x + width, y + height
    rectangle = [x, y, right, y, right, bottom, x, bottom]
    corner = [8, 7, 10, 7, 10, 9, 8, 9]
    coded = Masks.from_polygons([[rectangle], [rectangle, corner], [rectangle, rectangle]], size)
    expected = torch.zeros(9, 10, dtype=torch.bool)
    expected[y:bottom, x:right] = True
    both = expected.clone()
    both[7:9, 8:10] = True
    assert torch.equal(coded.dense(), torch.stack([expected, both, expected]))


def test_masks_are_equal_by_size_and_pixels() -> None:
    assert masks() == masks()
    assert hash(masks()) == hash(masks())
    assert masks() != masks(1)
    assert Masks((4, 5)) != Masks((5, 4))
    assert masks(1, (4, 5)).counts == masks(1, (5, 4)).counts, "the codes alone do not tell"
    assert masks(1, (4, 5)) != masks(1, (5, 4))
