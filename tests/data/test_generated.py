"""Generated samples: the same every time, and every kind of label says the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from toolkit.data.generated import GeneratedSamples, generate
from toolkit.testing.dataset_checks import digest
from toolkit.types import BACKGROUND, VOID

SIZES = [(40, 56), (33, 24), (64, 64), (20, 90)]


@pytest.mark.parametrize("classes", [(BACKGROUND, "disc", "box"), ("disc", "box"), ("thing",), (BACKGROUND,)])
@pytest.mark.parametrize("objects", [0, 1, 3, 6])
def test_label_maps_masks_and_boxes_agree(classes: tuple[str, ...], objects: int) -> None:
    ground = 0 if classes[0] == BACKGROUND and len(classes) > 1 else VOID
    for sample, size in zip(generate(classes, SIZES, objects=objects), SIZES, strict=True):
        assert sample.size == size
        assert sample.instances is not None
        assert sample.label_map is not None
        assert sample.instances.masks is not None
        dense, labels = sample.instances.masks.dense(), sample.instances.labels
        assert len(labels) <= objects
        assert torch.equal(sample.instances.boxes_xyxy, sample.instances.masks.boxes_xyxy())
        assert bool((dense.sum(0) <= 1).all()), "no pixel is of two objects"
        assert bool((sample.instances.masks.areas() > 0).all()), "an object that is hidden is none"
        painted = torch.full(size, ground, dtype=torch.uint8)
        for mask, label in zip(dense, labels.tolist(), strict=True):
            assert classes[label] != BACKGROUND or classes == (BACKGROUND,)
            painted[mask] = label
        assert torch.equal(sample.label_map, painted)


def test_objects_are_told_from_the_ground_by_their_brightness() -> None:
    for sample in generate(("disc", "box"), SIZES):
        assert sample.label_map is not None
        on = sample.label_map != VOID
        brightest = sample.image.amax(0)
        assert brightest[on].float().mean() > brightest[~on].float().mean() + 50


def test_the_same_every_time_and_in_any_order() -> None:
    dataset = GeneratedSamples(("disc", "box"), SIZES, seed=3)
    assert len(dataset) == len(SIZES) == len(set(dataset.ids))
    backward = [dataset[index] for index in reversed(range(len(dataset)))][::-1]
    for one, other in zip(generate(("disc", "box"), SIZES, seed=3), backward, strict=True):
        assert digest(one) == digest(other)
        assert torch.equal(one.image, other.image)


def test_another_seed_gives_other_images_and_other_ids() -> None:
    one, other = generate(("disc",), [(48, 48)], seed=0)[0], generate(("disc",), [(48, 48)], seed=1)[0]
    assert one.id != other.id
    assert (one.image != other.image).float().mean() > 0.5


def test_every_class_is_seen_and_night_differs_from_dusk() -> None:
    samples = generate((BACKGROUND, "a", "b"), [(64, 64)] * 20, objects=2)
    seen = {
        int(value)
        for sample in samples
        if sample.label_map is not None
        for value in sample.label_map.unique()
    }
    assert seen == {0, 1, 2}
    grounds = [float(np.median(sample.image[:, sample.label_map == 0])) for sample in samples]  # type: ignore[index]
    assert max(grounds[::2]) < min(grounds[1::2])
