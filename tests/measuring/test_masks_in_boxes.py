"""Masks inside their boxes, against slices of dense ones."""

from __future__ import annotations

import numpy as np
import pytest

from toolkit.measuring.masks import cropped_masks
from toolkit.types import Masks


@pytest.mark.parametrize("seed", range(5))
def test_as_slices_of_dense_masks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    height, width = (int(side) for side in rng.integers(1, 40, 2))
    dense = rng.random((6, height, width)) < rng.uniform(0, 0.5, 6)[:, None, None]
    dense[0], dense[1] = True, False
    for mask, (found, (x0, y0, x1, y1)) in zip(dense, cropped_masks(Masks.from_dense(dense)), strict=True):
        assert found.dtype == np.uint8
        assert np.array_equal(found, mask[y0:y1, x0:x1])
        assert found.sum() == mask.sum()
        if mask.any():
            assert found[0].any()
            assert found[-1].any()
            assert found[:, 0].any()
            assert found[:, -1].any()


def test_no_masks() -> None:
    assert list(cropped_masks(Masks((4, 5)))) == []
