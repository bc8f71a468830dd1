"""Resizing without torch is torch's: of images in 8 bits to the last bit, of numbers up to rounding."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from toolkit.models import resizing_program
from toolkit.models.resizing import shrunk, upsampled

SIZES = [
    ((97, 131), (40, 54)),
    ((33, 1000), (1, 30)),
    ((50, 60), (49, 60)),
    ((300, 20), (299, 7)),
    ((3, 3), (2, 2)),
]


@pytest.mark.parametrize(("size", "smaller"), SIZES)
def test_images_are_downscaled_as_by_torch(size: tuple[int, int], smaller: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (1, 3, *size), dtype=torch.uint8, generator=generator)
    found = resizing_program.shrunk(image[0].permute(1, 2, 0).numpy(), smaller)
    assert np.array_equal(found, shrunk(image, smaller)[0].permute(1, 2, 0).numpy())


@pytest.mark.parametrize("size", [(20, 28), (33, 12), (5, 7), (2, 3), (5, 70), (1, 1)])
def test_logits_are_interpolated_as_by_torch(size: tuple[int, int]) -> None:
    logits = torch.randn((1, 1, 5, 7), generator=torch.Generator().manual_seed(0))
    found = resizing_program.bilinear(logits[0, 0].numpy(), size)
    assert np.abs(found - upsampled(logits, size)[0, 0].numpy()).max() < 2e-6


@pytest.mark.parametrize(
    ("size", "other"), [*SIZES, ((5, 9), (20, 31)), ((1, 1), (4, 4)), ((28, 28), (28, 28))]
)
def test_images_in_floating_point_are_resized_as_by_torch(
    size: tuple[int, int], other: tuple[int, int]
) -> None:
    image = torch.rand((1, 3, *size), generator=torch.Generator().manual_seed(0)) * 255
    found = resizing_program.resized(image[0].permute(1, 2, 0).numpy(), other)
    assert np.abs(found - shrunk(image, other)[0].permute(1, 2, 0).numpy()).max() < 0.01
