"""Images and logits in other sizes."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from toolkit.models.resizing import enlarged, groups_by_size, in_grid, multiple, pad, shrunk, upsampled
from toolkit.types import Sample


@pytest.mark.parametrize(
    ("size", "divisor", "expected"),
    [((1, 1), 1, (1, 1)), ((1, 33), 32, (32, 64)), ((64, 32), 32, (64, 32)), ((7, 9), 3, (9, 9))],
)
def test_the_next_multiples(size: tuple[int, int], divisor: int, expected: tuple[int, int]) -> None:
    assert multiple(size, divisor) == expected


def test_what_is_enlarged_stands_at_the_upper_left() -> None:
    images = torch.rand(2, 3, 4, 5)
    larger = enlarged(images, (6, 9))
    assert larger.shape == (2, 3, 6, 9)
    assert torch.equal(larger[:, :, :4, :5], images)
    assert larger.sum() == pytest.approx(float(images.sum()), rel=1e-5)
    assert enlarged(images, (4, 5)) is images


@pytest.mark.parametrize("padding", ["replicate", "reflect"])
@pytest.mark.parametrize("size", [(1, 1), (3, 4), (2, 9)])
def test_padding_reaches_beyond_the_image_itself(padding: str, size: tuple[int, int]) -> None:
    images = torch.rand(1, 1, *size)
    padded = pad(images, (2, 7), (0, 5), padding)  # type: ignore[arg-type]
    assert padded.shape == (1, 1, size[0] + 9, size[1] + 5)
    for y in range(padded.shape[2]):
        for x in range(padded.shape[3]):
            at = [_inside(y - 2, size[0], padding), _inside(x, size[1], padding)]
            assert padded[0, 0, y, x] == images[0, 0, at[0], at[1]]


def _inside(place: int, length: int, padding: str) -> int:
    """Step by step, turning around at the ends."""
    if padding == "replicate" or length == 1:
        return min(max(place, 0), length - 1)
    while not 0 <= place < length:
        place = -place if place < 0 else 2 * (length - 1) - place
    return place


def test_logits_in_the_grid_of_an_image_that_was_shrunk_and_padded() -> None:
    raw = torch.rand(2, 3, 4, 6)
    grid = in_grid(raw, (8, 12), (7, 10), (21, 30))
    covering = F.interpolate(raw, (8, 12), mode="bilinear", align_corners=False)[:, :, :7, :10]
    torch.testing.assert_close(grid, F.interpolate(covering, (21, 30), mode="bilinear", align_corners=False))
    assert upsampled(raw, (4, 6)) is raw


def test_images_are_shrunk_with_antialiasing() -> None:
    stripes = torch.zeros(1, 1, 16, 16)
    stripes[..., ::2] = 1
    assert (shrunk(stripes, (16, 4)) - 0.5).abs().max() < 0.1, "rather than some of the stripes"
    assert shrunk(stripes, (16, 16)) is stripes


def test_images_of_one_size_stand_together() -> None:
    sizes = [(2, 3), (4, 1), (2, 3), (3, 2)]
    samples = [Sample(str(i), torch.full((3, *size), i, dtype=torch.uint8)) for i, size in enumerate(sizes)]
    groups = list(groups_by_size(samples))
    assert [positions for positions, _ in groups] == [[0, 2], [1], [3]]
    for positions, images in groups:
        assert [int(image[0, 0, 0]) for image in images] == positions
        assert images.shape[2:] == sizes[positions[0]]
    assert list(groups_by_size([])) == []
