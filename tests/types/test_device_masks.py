"""Masks decoded and encoded as on a model's device, here the CPU's tensors, are those of pycocotools."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from toolkit.types import Masks
from toolkit.types.device_masks import decode_on, encode_on_device
from toolkit.types.run_lengths import decode_counts, encode_counts

CPU = torch.device("cpu")


def drawn(count: int, height: int, width: int, seed: int, share: float) -> torch.Tensor:
    """Masks with ragged objects; the first two are empty and full."""
    values = np.random.default_rng(seed).random((count, height, width)) < share
    values[:1], values[1:2] = False, True
    return torch.from_numpy(values)


@given(
    count=st.integers(0, 6),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    seed=st.integers(0, 2**32 - 1),
    share=st.sampled_from([0.0, 0.02, 0.5, 0.98, 1.0]),
)
def test_as_pycocotools(count: int, height: int, width: int, seed: int, share: float) -> None:
    dense = drawn(count, height, width, seed, share)
    expected = Masks.from_dense(dense)
    assert encode_on_device(dense) == list(expected.counts)
    assert torch.equal(decode_on(CPU, expected.counts, (height, width)), dense)


def test_large_masks_and_long_runs() -> None:
    dense = torch.zeros(3, 2000, 1500, dtype=torch.bool)
    dense[0, 1999, 1499] = dense[2, 0, 0] = True
    dense[1, 100:1900, 700:1400] = True
    expected = Masks.from_dense(dense)
    assert encode_on_device(dense) == list(expected.counts)
    assert torch.equal(decode_on(CPU, expected.counts, (2000, 1500)), dense)


def test_masks_are_encoded_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toolkit.types.device_masks._MOST_PIXELS", 100)
    dense = drawn(7, 8, 5, 0, 0.4)
    assert encode_on_device(dense) == list(Masks.from_dense(dense).counts)


def test_runs_without_pixels() -> None:
    lengths = [2, 3, 0, 4, 0, 0, 3]
    code = coco_mask.frPyObjects({"size": [4, 3], "counts": lengths}, 4, 3)
    expected = torch.from_numpy(coco_mask.decode(code)).bool()[None]
    assert torch.equal(decode_on(CPU, [code["counts"]], (4, 3)), expected)


@given(st.lists(st.integers(0, 2**40), max_size=30))
def test_lengths_are_written_as_they_are_read(lengths: list[int]) -> None:
    assert decode_counts(encode_counts(np.array([*lengths, 1]))).tolist() == [*lengths, 1]


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=60))
def test_codes_are_those_of_pycocotools(lengths: list[int]) -> None:
    code = coco_mask.frPyObjects({"size": [sum(lengths), 1], "counts": lengths}, sum(lengths), 1)
    assert encode_counts(np.array(lengths)) == code["counts"]
