"""The types that data travels in: what they refuse and how they say it, and what they promise of the rest."""

from __future__ import annotations

import copy
import dataclasses
import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco_mask
from torch import Tensor

from toolkit.errors import InvalidDataError
from toolkit.types import VOID, Instances, Masks, Prediction, Prompts, Sample

SIZE = (4, 5)
NAN, INFINITY = math.nan, math.inf


def image(height: int = 4, width: int = 5) -> Tensor:
    return torch.zeros((3, height, width), dtype=torch.uint8)


def masks(count: int = 2, size: tuple[int, int] = SIZE) -> Masks:
    return Masks.from_dense(np.ones((count, *size), dtype=bool))


def instances(**fields: Any) -> Instances:
    """Two objects in an image of ``SIZE``."""
    right: dict[str, Any] = {
        "size": SIZE,
        "boxes_xyxy": torch.tensor([[0.0, 0, 2, 2], [1, 1, 5, 4]]),
        "labels": torch.tensor([0, 3]),
    }
    return Instances(**(right | fields))


def prompts(**fields: Any) -> Prompts:
    """A point, and another with its padding, in an image of ``SIZE``."""
    right: dict[str, Any] = {
        "points_xy": torch.tensor([[[1.0, 1], [2, 2]], [[3, 3], [0, 0]]]),
        "point_labels": torch.tensor([[1, 0], [1, -1]]),
    }
    return Prompts(**(right | fields))


def refused(build: Callable[[], object], *words: str) -> None:
    with pytest.raises(InvalidDataError) as caught:
        build()
    for word in words:
        assert word in str(caught.value)


# What is refused: how it is built -> what the message must say.

BAD_SIZES: list[Any] = [[4, 5], (4,), (4, 5, 3), (0, 5), (4, -1), (4.0, 5), ("4", 5), None, torch.Size([4])]


@pytest.mark.parametrize("size", BAD_SIZES, ids=repr)
def test_a_size_is_height_and_width(size: Any) -> None:
    expected = "must be (height, width) in whole pixels above 0, not " + repr(size)
    refused(lambda: Masks(size), "Masks.size " + expected)
    refused(lambda: Instances.empty(size), "Instances.size " + expected)
    empty = Instances.empty(SIZE)
    refused(lambda: Prediction("a", size, instances=empty), "Prediction 'a'.size " + expected)


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
        "mask code has size [5, 4], but the image has [4, 5]",
    ),
    "too few pixels": (
        lambda: Masks.from_coco([{"size": [4, 5], "counts": [7, 6]}], SIZE),
        "mask code covers 13 pixels, but the image has 20",
    ),
    "a negative run": (
        lambda: Masks.from_coco([{"size": [4, 5], "counts": [25, -10, 5]}], SIZE),
        "mask code has a run length that is negative or no whole number",
    ),
    "half a pixel": (
        lambda: Masks.from_coco([{"size": [4, 5], "counts": [9.5, 10.5]}], SIZE),
        "mask code has a run length that is negative or no whole number",
    ),
    "no run lengths": (
        lambda: Masks.from_coco([{"size": [4, 5], "counts": None}], SIZE),
        "Masks.counts[0] must be bytes, not NoneType None",
    ),
}


@pytest.mark.parametrize(("build", "message"), BAD_MASKS.values(), ids=BAD_MASKS)
def test_bad_masks(build: Callable[[], Masks], message: str) -> None:
    refused(build, message)


BOX = torch.tensor([[0.0, 0, 2, 2], [1, 1, 5, 4]])
BAD_INSTANCES: dict[str, tuple[dict[str, Any], str]] = {
    "boxes in a list": (
        {"boxes_xyxy": [[0.0, 0, 2, 2]]},
        "boxes_xyxy must be a tensor of float32 [any, 4], not list [[0.0, 0, 2, 2]]",
    ),
    "boxes of NumPy": (
        {"boxes_xyxy": BOX.numpy()},
        "boxes_xyxy must be a tensor of float32 [any, 4], not a NumPy array of float32 [2, 4]",
    ),
    "no boxes": ({"boxes_xyxy": None}, "boxes_xyxy must be a tensor of float32 [any, 4], not NoneType None"),
    "double boxes": (
        {"boxes_xyxy": BOX.double()},
        "must be a tensor of float32 [any, 4], not float64 [2, 4]",
    ),
    "whole boxes": ({"boxes_xyxy": BOX.long()}, "must be a tensor of float32 [any, 4], not int64 [2, 4]"),
    "one box": ({"boxes_xyxy": BOX[0]}, "boxes_xyxy must be a tensor of float32 [any, 4], not float32 [4]"),
    "boxes of five": ({"boxes_xyxy": torch.zeros(2, 5)}, "float32 [any, 4], not float32 [2, 5]"),
    "NaN in a box": ({"boxes_xyxy": BOX * NAN}, "boxes_xyxy has NaN or infinite values"),
    "an infinite box": ({"boxes_xyxy": BOX + torch.tensor([0, 0, 0, INFINITY])}, "NaN or infinite values"),
    "x, y, width, height": (
        {"boxes_xyxy": torch.tensor([[0.0, 0, 2, 2], [3, 1, 2, 3]])},
        "boxes_xyxy[1] has x1 < x0 or y1 < y0: [3.0, 1.0, 2.0, 3.0]",
    ),
    "upside down": (
        {"boxes_xyxy": torch.tensor([[0.0, 3, 2, 2], [1, 1, 5, 4]])},
        "boxes_xyxy[0] has x1 < x0 or y1 < y0: [0.0, 3.0, 2.0, 2.0]",
    ),
    "labels in a list": ({"labels": [0, 3]}, "labels must be a tensor of int64 [2], not list [0, 3]"),
    "labels of uint8": (
        {"labels": torch.tensor([0, 3], dtype=torch.uint8)},
        "labels must be a tensor of int64 [2], not uint8 [2]",
    ),
    "labels of int32": ({"labels": torch.tensor([0, 3]).int()}, "int64 [2], not int32 [2]"),
    "labels of floats": ({"labels": torch.tensor([0.0, 3])}, "int64 [2], not float32 [2]"),
    "too few labels": ({"labels": torch.tensor([0])}, "labels must be a tensor of int64 [2], not int64 [1]"),
    "labels in a column": ({"labels": torch.tensor([[0], [3]])}, "int64 [2], not int64 [2, 1]"),
    "a label below 0": ({"labels": torch.tensor([0, -1])}, "labels must be 0 or more, not -1"),
    "dense masks": (
        {"masks": torch.ones(2, 4, 5, dtype=torch.bool)},
        "masks must be Masks or None, not bool [2, 4, 5]",
    ),
    "too few masks": ({"masks": masks(1)}, "masks must be 2 masks of (4, 5), not 1 of (4, 5)"),
    "masks of another size": ({"masks": masks(2, (5, 4))}, "must be 2 masks of (4, 5), not 2 of (5, 4)"),
    "double scores": ({"scores": torch.ones(2).double()}, "a tensor of float32 [2], not float64 [2]"),
    "scores in a list": ({"scores": [0.5, 1]}, "scores must be a tensor of float32 [2], not list [0.5, 1]"),
    "too many scores": ({"scores": torch.ones(3)}, "a tensor of float32 [2], not float32 [3]"),
    "NaN as score": ({"scores": torch.tensor([0.5, NAN])}, "scores has NaN or infinite values"),
    "an infinite score": ({"scores": torch.tensor([0.5, INFINITY])}, "scores has NaN or infinite values"),
    "keypoints without visibility": (
        {"keypoints": torch.zeros(2, 7, 2)},
        "keypoints must be a tensor of float32 [2, any, 3], not float32 [2, 7, 2]",
    ),
    "flat keypoints": ({"keypoints": torch.zeros(2, 21)}, "float32 [2, any, 3], not float32 [2, 21]"),
    "double keypoints": ({"keypoints": torch.zeros(2, 7, 3).double()}, "[2, any, 3], not float64 [2, 7, 3]"),
    "NaN as keypoint": ({"keypoints": torch.full((2, 7, 3), NAN)}, "keypoints has NaN or infinite values"),
    "crowds as numbers": (
        {"is_crowd": torch.tensor([0, 1], dtype=torch.uint8)},
        "is_crowd must be a tensor of bool [2], not uint8 [2]",
    ),
    "too few crowds": ({"is_crowd": torch.tensor([True])}, "a tensor of bool [2], not bool [1]"),
    "areas of float32": ({"areas": torch.ones(2)}, "areas must be a tensor of float64 [2], not float32 [2]"),
    "too few areas": ({"areas": torch.ones(1).double()}, "a tensor of float64 [2], not float64 [1]"),
    "an area below 0": ({"areas": torch.tensor([1.0, -1]).double()}, "areas must be 0 or more"),
    "NaN as area": ({"areas": torch.tensor([1, NAN]).double()}, "areas must be 0 or more, and neither NaN"),
}


@pytest.mark.parametrize(("fields", "message"), BAD_INSTANCES.values(), ids=BAD_INSTANCES)
def test_bad_instances(fields: dict[str, Any], message: str) -> None:
    refused(lambda: instances(**fields), "Instances.", message)


def test_every_field_of_instances_is_refused_somewhere() -> None:
    fields = {field.name for field in dataclasses.fields(Instances)}
    assert {name for wrong, _ in BAD_INSTANCES.values() for name in wrong} == fields - {"size"}


def test_long_values_are_cut_short_in_messages() -> None:
    with pytest.raises(InvalidDataError, match=r"not list \[0, 0, 0.*…$") as caught:
        instances(labels=[0] * 10_000)
    assert len(str(caught.value)) < 200


POINTS = torch.tensor([[[1.0, 1], [2, 2]], [[3, 3], [0, 0]]])
BAD_PROMPTS: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": (
        {"points_xy": None, "point_labels": None},
        "Prompts needs points_xy with point_labels, or boxes_xyxy, or both; it got neither",
    ),
    "labels alone": (
        {"points_xy": None, "boxes_xyxy": BOX},
        "Prompts.point_labels is given without points_xy",
    ),
    "points without labels": (
        {"point_labels": None},
        "Prompts.point_labels must be a tensor of int64 [2, 2], not NoneType None",
    ),
    "points in a list": (
        {"points_xy": [[[1, 1]]]},
        "Prompts.points_xy must be a tensor of float32 [any, any, 2], not list [[[1, 1]]]",
    ),
    "points of whole numbers": (
        {"points_xy": POINTS.long()},
        "Prompts.points_xy must be a tensor of float32 [2, any, 2], not int64 [2, 2, 2]",
    ),
    "a point for each object": (
        {"points_xy": POINTS[:, 0]},
        "Prompts.points_xy must be a tensor of float32 [2, any, 2], not float32 [2, 2]",
    ),
    "a number": ({"points_xy": torch.tensor(3.0)}, "points_xy must be a tensor of float32 [any, any, 2]"),
    "labels of floats": (
        {"point_labels": torch.ones(2, 2)},
        "Prompts.point_labels must be a tensor of int64 [2, 2], not float32 [2, 2]",
    ),
    "truth values as labels": (
        {"point_labels": torch.ones(2, 2, dtype=torch.bool)},
        "Prompts.point_labels must be a tensor of int64 [2, 2], not bool [2, 2]",
    ),
    "too few labels": ({"point_labels": torch.ones(2, 1).long()}, "int64 [2, 2], not int64 [2, 1]"),
    "a label of SAM's boxes": (
        {"point_labels": torch.tensor([[1, 0], [2, 3]])},
        "Prompts.point_labels must be 1 (on the object), 0 (off it) or -1 (padding), not 2",
    ),
    "a label below the padding": ({"point_labels": torch.tensor([[1, 0], [-2, 1]])}, "(padding), not -2"),
    "NaN as point": ({"points_xy": POINTS * NAN}, "Prompts.points_xy has NaN or infinite values"),
    "an infinite point": ({"points_xy": POINTS + INFINITY}, "Prompts.points_xy has NaN or infinite values"),
    "double boxes": ({"boxes_xyxy": BOX.double()}, "must be a tensor of float32 [2, 4], not float64 [2, 4]"),
    "too few boxes": ({"boxes_xyxy": BOX[:1]}, "Prompts.boxes_xyxy must be a tensor of float32 [2, 4]"),
    "NaN in a box": ({"boxes_xyxy": BOX * NAN}, "Prompts.boxes_xyxy has NaN or infinite values"),
    "a box from right to left": (
        {"boxes_xyxy": torch.tensor([[0.0, 0, 2, 2], [3, 1, 2, 3]])},
        "Prompts.boxes_xyxy[1] has x1 < x0 or y1 < y0: [3.0, 1.0, 2.0, 3.0]",
    ),
    "classes by name": (
        {"labels": ["cat", "dog"]},
        "Prompts.labels must be a tensor of int64 [2], not list ['cat', 'dog']",
    ),
    "too many classes": ({"labels": torch.zeros(3).long()}, "a tensor of int64 [2], not int64 [3]"),
    "a class below 0": ({"labels": torch.tensor([0, -1])}, "Prompts.labels must be 0 or more, not -1"),
}


@pytest.mark.parametrize(("fields", "message"), BAD_PROMPTS.values(), ids=BAD_PROMPTS)
def test_bad_prompts(fields: dict[str, Any], message: str) -> None:
    refused(lambda: prompts(**fields), message)


def test_boxes_alone_must_be_a_tensor() -> None:
    refused(
        lambda: Prompts(boxes_xyxy=7), "Prompts.boxes_xyxy must be a tensor of float32 [any, 4], not int 7"
    )  # type: ignore[arg-type]


BAD_SAMPLES: dict[str, tuple[dict[str, Any], str]] = {
    "a number as id": ({"id": 7}, "Sample 7: id must be str, not int"),
    "an image of NumPy": (
        {"image": np.zeros((3, 4, 5), np.uint8)},
        "Sample 'a'.image must be a tensor of uint8 [3, any, any], not a NumPy array of uint8 [3, 4, 5]",
    ),
    "an image of floats": ({"image": image() / 255}, "uint8 [3, any, any], not float32 [3, 4, 5]"),
    "channels last": ({"image": image().permute(1, 2, 0)}, "uint8 [3, any, any], not uint8 [4, 5, 3]"),
    "a batch": ({"image": image()[None]}, "uint8 [3, any, any], not uint8 [1, 3, 4, 5]"),
    "gray": ({"image": image()[:1]}, "uint8 [3, any, any], not uint8 [1, 4, 5]"),
    "no pixels": ({"image": image(0, 5)}, "Sample 'a'.image has no pixels: uint8 [3, 0, 5]"),
    "a label map of int64": (
        {"label_map": torch.zeros(4, 5).long()},
        "Sample 'a'.label_map must be a tensor of uint8 [4, 5], not int64 [4, 5]",
    ),
    "a turned label map": (
        {"label_map": torch.zeros((5, 4), dtype=torch.uint8)},
        "Sample 'a'.label_map must be a tensor of uint8 [4, 5], not uint8 [5, 4]",
    ),
    "one-hot labels": (
        {"label_map": torch.zeros((2, 4, 5), dtype=torch.uint8)},
        "label_map must be a tensor of uint8 [4, 5], not uint8 [2, 4, 5]",
    ),
    "a list of objects": ({"instances": []}, "Sample 'a'.instances must be Instances or None, not list []"),
    "objects of another image": (
        {"instances": Instances.empty((5, 4))},
        "Sample 'a'.instances are of an image of (5, 4), but the image has (4, 5)",
    ),
    "a box as prompt": (
        {"prompts": BOX},
        "Sample 'a'.prompts must be Prompts or None, not float32 [2, 4]",
    ),
}


@pytest.mark.parametrize(("fields", "message"), BAD_SAMPLES.values(), ids=BAD_SAMPLES)
def test_bad_samples(fields: dict[str, Any], message: str) -> None:
    refused(lambda: Sample(**({"id": "a", "image": image()} | fields)), message)
    if "id" not in fields:
        refused(lambda: Sample("a", image()).with_(**fields), message)  # checked again


BAD_PREDICTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "a number as id": (
        {"sample_id": 7, "instances": Instances.empty(SIZE)},
        "Prediction 7: sample_id must be str, not int",
    ),
    "nothing": (
        {},
        "Prediction 'a' has neither a label_map nor instances; an image without objects has empty Instances",
    ),
    "logits": (
        {"label_map": torch.zeros(3, 4, 5)},
        "Prediction 'a'.label_map must be a tensor of uint8 [4, 5], not float32 [3, 4, 5]",
    ),
    "a label map of the network's size": (
        {"label_map": torch.zeros((2, 3), dtype=torch.uint8)},
        "Prediction 'a'.label_map must be a tensor of uint8 [4, 5], not uint8 [2, 3]",
    ),
    "a dictionary": (
        {"instances": {"boxes": BOX}},
        "Prediction 'a'.instances must be Instances or None, not dict",
    ),
    "objects of another image": (
        {"instances": Instances.empty((5, 4))},
        "Prediction 'a'.instances are of an image of (5, 4), not (4, 5)",
    ),
}


@pytest.mark.parametrize(("fields", "message"), BAD_PREDICTIONS.values(), ids=BAD_PREDICTIONS)
def test_bad_predictions(fields: dict[str, Any], message: str) -> None:
    refused(lambda: Prediction(**({"sample_id": "a", "size": SIZE} | fields)), message)


# What is accepted, though it looks odd, for there are models and files that give it.


def test_what_is_accepted() -> None:
    outside = torch.tensor([[-30.0, -2, 9, 80], [2, 2, 2, 2]])
    found = instances(
        boxes_xyxy=outside,  # of a detector that does not clip; and a box without an area
        scores=torch.tensor([97.5, -3]),  # of other software, which counts in percent or in logits
        keypoints=torch.full((2, 0, 3), -1.0),
        areas=torch.tensor([0, 1e9]).double(),
    )
    assert torch.equal(found.boxes_xyxy, outside)
    assert len(Prompts(torch.zeros(3, 0, 2), torch.zeros(3, 0, dtype=torch.int64))) == 3
    padded = torch.tensor([[[1.0, 1], [NAN, INFINITY]], [[3, 3], [-9, -9]]])
    assert len(prompts(points_xy=padded, point_labels=torch.tensor([[1, -1], [0, -1]]))) == 2
    assert Sample("", image(1, 1), torch.full((1, 1), VOID, dtype=torch.uint8)).size == (1, 1)
    nothing = Prompts(boxes_xyxy=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.int64))
    assert len(nothing) == 0
    assert Sample("a", image(), prompts=nothing).prompts is nothing


# Masks

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


# Picking out

INDEXES: dict[str, tuple[Any, list[int]]] = {
    "everything": (slice(None), [0, 1, 2, 3]),
    "a slice": (slice(1, 3), [1, 2]),
    "a step backward": (slice(None, None, -1), [3, 2, 1, 0]),
    "a slice beyond the end": (slice(2, 99), [2, 3]),
    "a list": ([2, 0], [2, 0]),
    "a tuple": ((3,), [3]),
    "the same twice": ([1, 1], [1, 1]),
    "from the end": ([-1, -4], [3, 0]),
    "nothing": ([], []),
    "truth values": ([True, False, False, True], [0, 3]),
    "all false": ([False] * 4, []),
    "a tensor": (torch.tensor([3, 1]), [3, 1]),
    "a tensor of int32": (torch.tensor([3, 1], dtype=torch.int32), [3, 1]),
    "a bool tensor": (torch.tensor([False, True, True, False]), [1, 2]),
    "an empty tensor": (torch.tensor([]), []),
    "NumPy": (np.array([0, 2]), [0, 2]),
    "a bool array": (np.array([True, False, True, False]), [0, 2]),
    "an array of uint8": (np.array([3, 0], np.uint8), [3, 0]),
}


@pytest.mark.parametrize(("index", "picked"), INDEXES.values(), ids=INDEXES)
def test_what_is_picked_out(index: Any, picked: list[int]) -> None:
    coded = Masks.from_dense(np.eye(4, dtype=bool)[:, None])
    some = coded[index]
    assert some.size == coded.size
    assert some.counts == tuple(coded.counts[i] for i in picked)
    four = Instances((1, 4), coded.boxes_xyxy(), torch.arange(4), coded)
    assert four[index].labels.tolist() == picked
    assert four[index].masks == some


@pytest.mark.parametrize(
    ("index", "found"),
    [
        (1, "int 1"),
        (torch.tensor(1), "int64 []"),
        (np.array([[0, 1]]), "a NumPy array of int64 [1, 2]"),
        (torch.tensor([0.9, 0.1]), "float32 [2]"),  # scores, where a comparison of scores was meant
        ([0.9, 0.1], "list [0.9, 0.1]"),
        (["a"], "list ['a']"),
        (None, "NoneType None"),
    ],
    ids=str,
)
def test_what_cannot_be_picked(index: Any, found: str) -> None:
    message = f"must be a slice, or positions or truth values in a list or array [N], not {found}"
    refused(lambda: masks()[index], message)
    refused(lambda: instances()[index], message)


def test_positions_beyond_the_end_are_index_errors() -> None:
    for wrong in ([2], [-3], [True], [True, False, True]):
        with pytest.raises(IndexError):
            instances()[wrong]
        with pytest.raises(IndexError):
            masks()[wrong]


@st.composite
def any_instances(draw: st.DrawFn) -> Instances:
    """Up to six objects with any of the optional fields, no two of them alike."""
    n, size = draw(st.integers(0, 6)), (7, 8)
    corners = torch.arange(n)[:, None].float()
    optional: dict[str, Any] = {
        "masks": Masks.from_dense(np.arange(56).reshape(1, *size) <= np.arange(n).reshape(-1, 1, 1)),
        "scores": torch.linspace(0, 1, n),
        "keypoints": torch.arange(n * 6).reshape(n, 2, 3).float(),
        "is_crowd": torch.arange(n) % 2 == 1,
        "areas": torch.arange(n).double() + 0.5,
    }
    kept = draw(st.sets(st.sampled_from(sorted(optional))))
    fields = {name: value for name, value in optional.items() if name in kept}
    return Instances(
        size, torch.cat([corners, corners + 1, corners + 2, corners + 3], 1), torch.arange(n), **fields
    )


@given(any_instances(), st.data())
def test_picking_filters_every_field_at_once(everything: Instances, data: st.DataObject) -> None:
    n = len(everything)
    kinds = [st.lists(st.booleans(), min_size=n, max_size=n)]
    if n:
        kinds.append(st.lists(st.integers(-n, n - 1), max_size=9))  # type: ignore[arg-type]
    index = data.draw(st.one_of(kinds))
    flags = bool(index) and isinstance(index[0], bool)
    picked = [i for i, kept in enumerate(index) if kept] if flags else [i % n for i in index]
    some = everything[torch.tensor(index, dtype=torch.bool if flags else torch.int64)]
    assert len(some) == len(picked)
    assert some.size == everything.size
    for field in dataclasses.fields(Instances):
        before, after = getattr(everything, field.name), getattr(some, field.name)
        if field.name == "size" or before is None:
            assert after == before
        elif isinstance(before, Masks):
            assert after.counts == tuple(before.counts[i] for i in picked)
        else:
            assert after.dtype == before.dtype
            assert after.tolist() == [before[i].tolist() for i in picked]


@pytest.mark.parametrize("with_masks", [False, True])
@pytest.mark.parametrize("with_scores", [False, True])
def test_no_objects(with_masks: bool, with_scores: bool) -> None:
    none = Instances.empty(SIZE, with_masks=with_masks, with_scores=with_scores)
    assert len(none) == 0
    assert (none.masks is None, none.scores is None) == (not with_masks, not with_scores)
    for index in (slice(None), [], torch.zeros(0, dtype=torch.bool), torch.zeros(0)):
        assert len(none[index]) == 0
        assert none[index].masks == none.masks
    assert Sample("a", image(), instances=none).instances is none


# Frozen, and replaced as a whole


@pytest.mark.parametrize(
    "value",
    [masks(), instances(), prompts(), Sample("a", image()), Prediction("a", SIZE, instances=instances())],
    ids=lambda value: type(value).__name__,
)
def test_fields_cannot_be_set_and_copies_are_of_the_same_kind(value: Any) -> None:
    for field in dataclasses.fields(value):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, field.name, None)
    with pytest.raises(dataclasses.FrozenInstanceError):
        value.something_else = 1
    for again in (copy.deepcopy(value), pickle.loads(pickle.dumps(value))):
        assert type(again) is type(value)
        assert_same(again, value)


def assert_same(one: Any, other: Any) -> None:
    """All fields hold the same, at any depth."""
    for field in dataclasses.fields(one):
        ours, theirs = getattr(one, field.name), getattr(other, field.name)
        if dataclasses.is_dataclass(ours):
            assert_same(ours, theirs)
        elif isinstance(ours, Tensor):
            assert ours.equal(theirs)
            assert ours.dtype == theirs.dtype
        else:
            assert ours == theirs


def test_reprs_are_lines_that_say_what_is_there() -> None:
    coded = Masks.from_dense(np.ones((300, 40, 50), bool))
    many = Instances((40, 50), coded.boxes_xyxy(), torch.zeros(300).long(), coded, torch.ones(300))
    assert repr(coded) == "Masks(40x50, 300)"
    assert repr(many) == "Instances(40x50, 300, boxes, masks, scores)"
    assert repr(Instances.empty(SIZE)) == "Instances(4x5, 0, boxes)"
    labels = torch.zeros(SIZE, dtype=torch.uint8)
    assert repr(Sample("a/b", image())) == "Sample('a/b', 4x5)"
    assert repr(Sample("a", image(), labels, instances())) == "Sample('a', 4x5, label_map, 2 instances)"
    assert repr(Prediction("a", (40, 50), instances=many)) == "Prediction('a', 40x50, 300 instances)"
    one = instances()[[0]]
    assert repr(Prediction("a", SIZE, labels, one)) == "Prediction('a', 4x5, label_map, 1 instance)"
    assert repr(Prediction("a", SIZE, extras={"depth": 1})) == "Prediction('a', 4x5, depth)"


def test_masks_are_equal_by_size_and_pixels() -> None:
    assert masks() == masks()
    assert hash(masks()) == hash(masks())
    assert masks() != masks(1)
    assert Masks((4, 5)) != Masks((5, 4))
    assert masks(1, (4, 5)).counts == masks(1, (5, 4)).counts, "the codes alone do not tell"
    assert masks(1, (4, 5)) != masks(1, (5, 4))


def test_a_sample_with_other_fields() -> None:
    before = Sample("a", image(), torch.zeros(SIZE, dtype=torch.uint8), instances(), prompts(), "a.jpg")
    after = before.with_(id="b", instances=None)
    assert (after.id, after.instances) == ("b", None)
    assert (before.id, before.instances is None) == ("a", False), "the first stays as it was"
    for name in ("image", "label_map", "prompts", "path"):
        assert getattr(after, name) is getattr(before, name)
    assert after.size == SIZE
    assert all(type(side) is int for side in after.size)
    with pytest.raises(TypeError, match="label"):
        before.with_(labels=None)
    refused(lambda: before.with_(image=image(5, 4)), "Sample 'a'.label_map must be a tensor of uint8 [5, 4]")


def test_prompts_count_objects_and_not_points() -> None:
    assert len(prompts()) == 2
    assert len(prompts(points_xy=torch.zeros(2, 9, 2), point_labels=torch.ones(2, 9).long())) == 2
    assert len(Prompts(boxes_xyxy=BOX[[0, 1, 1]])) == 3
    assert len(prompts(boxes_xyxy=BOX, labels=torch.tensor([0, 9]))) == 2
