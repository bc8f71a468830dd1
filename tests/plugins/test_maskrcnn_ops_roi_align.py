"""RoIAlign by gather against torchvision's operator, forward and backward."""

from __future__ import annotations

import pytest
import toolkit.plugins.maskrcnn.ops.roi_align as module
import torch
import torchvision
from toolkit.plugins.maskrcnn.ops.roi_align import roi_align
from torch import Tensor

STRIDES = (4, 8, 16, 32)
SIZE = (96, 160)


def features(
    dtype: torch.dtype = torch.float32, channels: int = 6, *, channels_last: bool = True
) -> list[Tensor]:
    torch.manual_seed(0)
    order = torch.channels_last if channels_last else torch.contiguous_format
    return [
        torch.randn(2, channels, SIZE[0] // s, SIZE[1] // s).to(dtype, memory_format=order).requires_grad_()
        for s in STRIDES
    ]


def random_boxes(count: int, seed: int) -> Tensor:
    """Boxes of every size; many reach out of the image, some lie outside it, are points, lines or inside
    out.
    """
    generator = torch.Generator().manual_seed(seed)
    center = torch.rand(count, 2, generator=generator) * torch.tensor([SIZE[1], SIZE[0]]) * 1.6 - 30
    size = torch.exp(torch.rand(count, 2, generator=generator) * 8 - 2)
    boxes = torch.cat([center - size / 2, center + size / 2], dim=1)
    odd = torch.rand(count, generator=generator)
    boxes = torch.where(odd[:, None] < 0.2, boxes.round(), boxes)
    boxes[(odd > 0.2) & (odd < 0.25), 2:] = boxes[(odd > 0.2) & (odd < 0.25), :2]
    boxes[(odd > 0.25) & (odd < 0.3), 3] = boxes[(odd > 0.25) & (odd < 0.3), 1]
    boxes[(odd > 0.3) & (odd < 0.35)] = boxes[(odd > 0.3) & (odd < 0.35)][:, [2, 3, 0, 1]]
    return boxes


def rois_and_levels(boxes: Tensor, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Each box in an image and on a level drawn at random: far from the level that suits it, too."""
    generator = torch.Generator().manual_seed(seed)
    image, level = (torch.randint(0, n, (len(boxes),), generator=generator) for n in (2, len(STRIDES)))
    return torch.cat([image[:, None].float(), boxes], dim=1), level


def reference(maps: list[Tensor], rois: Tensor, levels: Tensor, output_size: int) -> Tensor:
    pooled = maps[0].new_zeros(len(rois), maps[0].shape[1], output_size, output_size)
    for i, (level, stride) in enumerate(zip(maps, STRIDES, strict=True)):
        here = torch.nonzero(levels == i).squeeze(1)
        pooled[here] = torchvision.ops.roi_align(
            level.contiguous(), rois[here], output_size, 1 / stride, 0, True
        )
    return pooled


@pytest.mark.parametrize("output_size", [1, 7, 14])
@pytest.mark.parametrize("seed", range(4))
def test_the_same_as_torchvision(seed: int, output_size: int) -> None:
    rois, levels = rois_and_levels(random_boxes(60, seed), seed)
    ours, theirs = features(channels_last=seed % 2 == 0), features()
    pooled, expected = (
        roi_align(ours, rois, levels, STRIDES, output_size),
        reference(theirs, rois, levels, output_size),
    )
    torch.testing.assert_close(pooled, expected, rtol=0, atol=1e-5)
    weights = torch.randn(pooled.shape, generator=torch.Generator().manual_seed(seed))
    for mine, other in zip(
        torch.autograd.grad((pooled * weights).sum(), ours),
        torch.autograd.grad((expected * weights).sum(), theirs),
        strict=True,
    ):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-5)


def test_boxes_far_larger_than_the_map_take_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = torch.tensor(
        [[-4e3, -3e3, 5e3, 4e3], [0.0, 0, SIZE[1], SIZE[0]], [-2e4, 10, 2e4, 11], [10, -1e5, 12, 50]]
    )
    rois, _ = rois_and_levels(boxes)
    levels = torch.zeros(4, dtype=torch.int64)
    largest = 0
    plain = module._sums

    def watched(*arguments: object) -> object:
        nonlocal largest
        for sums in plain(*arguments):  # type: ignore[arg-type]
            largest = max(largest, sums.weights.numel())
            yield sums

    monkeypatch.setattr(module, "_sums", watched)
    torch.testing.assert_close(
        roi_align(features(), rois, levels, STRIDES, 7),
        reference(features(), rois, levels, 7),
        rtol=0,
        atol=2e-5,
    )
    assert largest <= 49 * (SIZE[0] // 4) * (SIZE[1] // 4)


def test_many_regions_are_gathered_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    rois, levels = rois_and_levels(random_boxes(80, 5))
    whole, parts = features(), features()
    expected = roi_align(whole, rois, levels, STRIDES, 7)
    gradients = torch.autograd.grad(expected.square().sum(), whole)
    monkeypatch.setattr(module, "_MAX_TERMS", 2000)
    pooled = roi_align(parts, rois, levels, STRIDES, 7)
    assert torch.equal(pooled, expected)
    for mine, other in zip(torch.autograd.grad(pooled.square().sum(), parts), gradients, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-5)


def test_no_regions() -> None:
    maps = features()
    pooled = roi_align(maps, torch.zeros(0, 5), torch.zeros(0, dtype=torch.int64), STRIDES, 7)
    assert pooled.shape == (0, 6, 7, 7)
    assert all(not gradient.any() for gradient in torch.autograd.grad(pooled.sum(), maps))


def test_bfloat16_is_as_near_as_its_rounding_allows() -> None:
    rois, levels = rois_and_levels(random_boxes(100, 9))
    maps, twins = (
        features(torch.bfloat16, 16),
        [level.detach().float().requires_grad_() for level in features(torch.bfloat16, 16)],
    )
    pooled, expected = roi_align(maps, rois, levels, STRIDES, 7), reference(twins, rois, levels, 7)
    assert pooled.dtype == torch.bfloat16
    assert (pooled.float() - expected).abs().max() < 2**-6 * maps[0].abs().max()
    gradients, others = torch.autograd.grad(pooled.sum(), maps), torch.autograd.grad(expected.sum(), twins)
    for mine, other in zip(gradients, others, strict=True):
        assert mine.dtype == torch.bfloat16
        assert (mine.float() - other).abs().max() < 2**-5 * other.abs().max()


def test_only_the_features_that_need_a_gradient_need_not_all() -> None:
    maps = features()
    frozen = [maps[0].detach(), *maps[1:]]
    rois, levels = rois_and_levels(random_boxes(40, 2))
    pooled = roi_align(frozen, rois, levels, STRIDES, 7)
    gradients = torch.autograd.grad(pooled.sum(), frozen[1:])
    assert all(gradient.any() for gradient in gradients)
