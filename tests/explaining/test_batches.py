"""Batches become smaller when memory runs out; scores are checked."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from toolkit.errors import InvalidDataError, ToolkitError
from toolkit.explaining.batches import Batches, batch_size
from toolkit.explaining.drise import DriseOptions, drise

FULL = [
    RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried …"),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    MemoryError(),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
]


def limited(most: int, error: Exception, sizes: list[int]):
    def score(images: Tensor) -> Tensor:
        sizes.append(len(images))
        if len(images) > most:
            raise error
        return images.float().mean(dim=(1, 2, 3))

    return score


@pytest.mark.parametrize("error", FULL, ids=str)
def test_a_batch_that_does_not_fit_is_halved(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    sizes: list[int] = []
    image = torch.randint(0, 256, (3, 20, 20), dtype=torch.uint8)
    options = DriseOptions(masks=50, stable=None, batch_size=16)
    found = drise(limited(5, error, sizes), image, options)
    assert sizes[:3] == [16, 8, 4]
    assert {*sizes[2:]} <= {4, 2}
    assert sum(sizes[2:]) == 50
    assert "Not enough memory for 16 images at a time; continuing with 8" in caplog.text
    fits = drise(limited(99, error, []), image, options)
    torch.testing.assert_close(found.map, fits.map)


@pytest.mark.parametrize("error", FULL, ids=str)
def test_one_image_that_does_not_fit_is_an_error_that_says_what_to_do(error: Exception) -> None:
    with pytest.raises(ToolkitError, match=r"one image at a time: .+\. Hint: shrink the photo"):
        Batches(limited(0, error, []), 4).run(range(9), lambda numbers: torch.zeros(len(numbers), 3, 4, 4))


def test_other_errors_are_not_hidden() -> None:
    with pytest.raises(RuntimeError, match="shapes"):
        Batches(limited(0, RuntimeError("wrong shapes"), []), 4).run(
            range(9), lambda numbers: torch.zeros(len(numbers), 3, 4, 4)
        )


def test_scores_are_counted_and_checked() -> None:
    def images_of(numbers):
        return torch.zeros(len(numbers), 3, 4, 4)

    batches = Batches(lambda images: torch.arange(len(images)).float(), 4)
    assert batches.run(range(6), images_of).tolist() == [0, 1, 2, 3, 0, 1]
    assert batches.run([], images_of).tolist() == []
    assert batches.calls == 6
    with pytest.raises(InvalidDataError, match=r"one number per image, \[4\], not float32 \[4, 1\]"):
        Batches(lambda images: torch.zeros(len(images), 1), 4).run(range(6), images_of)
    with pytest.raises(InvalidDataError, match="NaN or infinite"):
        Batches(lambda images: torch.full((len(images),), torch.nan), 4).run(range(6), images_of)


def test_large_photos_come_in_small_batches() -> None:
    assert batch_size(16, (480, 640)) == 13
    assert batch_size(16, (3000, 4000)) == 1
    assert batch_size(16, (64, 64)) == 16


def test_batches_of_windows_stay_small() -> None:
    assert batch_size(16, (384, 384), 128 * 160) == 400_000 // (128 * 160)
    assert batch_size(2, (384, 384), 128 * 160) == 2 * 384 * 384 // (128 * 160)
    assert batch_size(64, (384, 384), 128 * 160) == 64
    assert batch_size(16, (3000, 4000), 2000 * 2500) == 1
    assert batch_size(16, (4, 4), 1) == 256
