"""What the generated dataset promises: the same bits every time, and labels that agree with each other."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
import torch

from toolkit import registry
from toolkit.data.dataset import Dataset, open_dataset
from toolkit.errors import ConfigError, UsageError


def shapes(split: str = "train", **options: Any) -> Dataset:
    return open_dataset(registry.datasets().get("shapes"), None, split, options)


def test_the_same_bits_every_time() -> None:
    """Pinned, so that figures of different days and machines are about the same images."""
    digest = hashlib.sha256()
    for split in ("train", "val", "test"):
        dataset = shapes(split)
        for index in (5, 0):
            sample = dataset[index]
            digest.update(sample.image.numpy().tobytes() + sample.label_map.numpy().tobytes())
    assert digest.hexdigest()[:16] == "187231a60a7a508d"


def test_splits_seeds_and_indexes_differ() -> None:
    pictures = {
        shapes(split, seed=seed)[i].image.numpy().tobytes()
        for split in ("train", "val", "test")
        for seed in (0, 1)
        for i in (0, 1)
    }
    assert len(pictures) == 12


def test_labels_agree_with_each_other() -> None:
    dataset = shapes(train=60, empty_fraction=0.2, max_shapes=8)
    assert dataset.classes[0] == "background"
    seen, overlaps = set(), 0
    for sample in (dataset[i] for i in range(60)):
        masks = sample.instances.masks.dense()
        assert int(masks.sum(0).max() if len(masks) else 0) <= 1, "visible parts do not overlap"
        drawn = torch.zeros_like(sample.label_map)
        for mask, label, box in zip(
            masks, sample.instances.labels.tolist(), sample.instances.boxes_xyxy, strict=True
        ):
            assert label > 0, "no instance is background"
            drawn[mask] = label
            ys, xs = mask.nonzero().unbind(1)
            assert box.tolist() == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
            seen.add(label)
        assert torch.equal(drawn, sample.label_map)
        boxes = sample.instances.boxes_xyxy
        overlaps += sum(
            bool((torch.maximum(a[:2], b[:2]) < torch.minimum(a[2:], b[2:])).all())
            for i, a in enumerate(boxes)
            for b in boxes[:i]
        )
    assert seen == {1, 2, 3, 4, 5}
    assert overlaps > 10


def test_rings_have_holes() -> None:
    dataset = shapes(noise=0, max_shapes=1)
    rings = [s for s in (dataset[i] for i in range(60)) if 4 in s.instances.labels.tolist()]
    assert len(rings) >= 5
    for sample in rings:
        x0, y0, x1, y1 = sample.instances.boxes_xyxy[0].int().tolist()
        if x1 - x0 == y1 - y0 and x0 > 0 and y0 > 0:  # wholly inside the image
            assert sample.label_map[(y0 + y1) // 2, (x0 + x1) // 2] == 0


def test_some_images_are_empty() -> None:
    half = shapes(train=100, empty_fraction=0.5)
    empty = [i for i in range(100) if len(half[i].instances) == 0]
    assert 30 <= len(empty) <= 70
    assert (half[empty[0]].label_map == 0).all()
    assert half[empty[0]].instances.masks is not None
    assert all(len(shapes(empty_fraction=0)[i].instances) for i in range(40))
    assert not any(len(shapes(empty_fraction=1)[i].instances) for i in range(10))


def test_noise_is_noise() -> None:
    clean, noisy = shapes(noise=0)[3], shapes(noise=0.5)[3]
    assert torch.equal(clean.label_map, noisy.label_map)
    difference = (clean.image.int() - noisy.image.int()).abs()
    assert difference.max() <= 50
    assert difference.float().mean() > 15


@pytest.mark.parametrize("size", [32, 200])
def test_other_sizes(size: int) -> None:
    sample = shapes(size=size, max_shapes=20)[1]
    assert sample.size == (size, size)
    assert len(sample.instances) > 0


def test_length_indexes_and_faults() -> None:
    dataset = shapes("val", val=7)
    assert len(dataset) == len(dataset.ids) == 7
    assert torch.equal(dataset[-1].image, dataset[6].image)
    with pytest.raises(IndexError):
        dataset[7]
    with pytest.raises(UsageError, match=r"no split 'dev'. Expected one of: train, val, test"):
        shapes("dev")
    with pytest.raises(ConfigError, match="did you mean 'noise'"):
        shapes(noize=1)
