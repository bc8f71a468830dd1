"""Masks as CVAT's SDK decodes them, and images of any mode as RGB."""

from __future__ import annotations

import numpy as np
import pytest
from cvat_sdk.masks import decode_mask
from PIL import Image
from support.annotated import blobs

from toolkit.annotate.cvat_values import mask_points, readable
from toolkit.annotate.shapes import region_of
from toolkit.types import Masks


def test_masks_of_the_sdk() -> None:
    for mask in blobs((30, 40)):
        shape = region_of(Masks.from_dense(mask[None]), "cat", None)
        assert shape is not None
        assert (decode_mask(mask_points(shape), image_width=40, image_height=30) == mask).all()


@pytest.mark.parametrize(
    ("values", "becomes"), [([0, 100, 255], [0, 100, 255]), ([0, 500, 1000], [0, 128, 255])]
)
def test_images_without_a_fixed_range(values: list[int], becomes: list[int]) -> None:
    for mode, kind in (("I;16", np.uint16), ("I", np.int32), ("F", np.float32)):
        image = Image.fromarray(np.array([values], kind))
        assert image.mode == mode
        found = readable(image)
        assert isinstance(found, Image.Image)
        assert np.asarray(found)[0, :, 1].tolist() == becomes
    assert readable(Image.new("L", (3, 2))).mode == "L"  # type: ignore[union-attr]
