"""Images and what is known about them at another size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from toolkit.data.images import read_image
from toolkit.types import Instances, Masks, PanopticMap, Prediction, Prompts, Sample, Segment
from toolkit.visualization.drawing import overlay
from toolkit.visualization.scaling import scale_image, scale_labeled
from toolkit.visualization.sheets import contact_sheet

SIZE = (30, 40)


def objects(rng: np.random.Generator) -> Instances:
    masks = Masks.from_dense(rng.uniform(size=(3, *SIZE)) < [[[0.5]], [[0.05]], [[0.0]]])
    return Instances(
        SIZE,
        torch.tensor([[0.0, 0.0, 40.0, 30.0], [4.0, 3.0, 20.0, 9.0], [0.0, 0.0, 0.0, 0.0]]),
        torch.tensor([0, 1, 1]),
        masks,
        torch.tensor([0.9, 0.8, 0.7]),
        keypoints=torch.tensor([[[4.0, 3.0, 2.0]]]).repeat(3, 1, 1),
        areas=torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64),
    )


def nearest(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The pixel under the middle of each new one, in sizes where no middle lies between two pixels."""
    rows = [(2 * y + 1) * pixels.shape[0] // (2 * size[0]) for y in range(size[0])]
    columns = [(2 * x + 1) * pixels.shape[1] // (2 * size[1]) for x in range(size[1])]
    return pixels[rows][:, columns]


@pytest.mark.parametrize("size", [(30, 40), (90, 120), (10, 8), (1, 1), (38, 56)], ids=str)
def test_label_maps_and_masks_take_the_nearest_pixel_and_boxes_follow(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    label_map = torch.from_numpy(rng.integers(0, 256, SIZE, dtype=np.uint8))
    instances = objects(rng)
    scaled = scale_labeled(Prediction("a", SIZE, label_map, instances), size)
    assert isinstance(scaled, Prediction)
    assert scaled.size == size
    assert scaled.label_map is not None
    np.testing.assert_array_equal(scaled.label_map.numpy(), nearest(label_map.numpy(), size))
    found = scaled.instances
    assert found is not None
    assert found.masks is not None
    assert instances.masks is not None
    for before, after in zip(instances.masks.dense(), found.masks.dense(), strict=True):
        np.testing.assert_array_equal(after.numpy(), nearest(before.numpy(), size))
    by_y, by_x = size[0] / 30, size[1] / 40
    torch.testing.assert_close(found.boxes_xyxy[1], torch.tensor([4 * by_x, 3 * by_y, 20 * by_x, 9 * by_y]))
    assert found.keypoints is not None
    torch.testing.assert_close(found.keypoints[0, 0], torch.tensor([4 * by_x, 3 * by_y, 2.0]))
    assert found.scores is instances.scores
    assert found.labels is instances.labels


def test_samples_take_their_image_along() -> None:
    rng = np.random.default_rng(0)
    image = torch.from_numpy(rng.integers(0, 256, (3, *SIZE), dtype=np.uint8))
    sample = Sample("a", image, instances=objects(rng), prompts=Prompts(boxes_xyxy=torch.zeros((1, 4))))
    scaled = scale_labeled(sample, (15, 20))
    assert isinstance(scaled, Sample)
    assert scaled.size == (15, 20)
    assert scaled.prompts is None
    means = image.reshape(3, 15, 2, 20, 2).float().mean(dim=(2, 4))
    torch.testing.assert_close(scaled.image.float(), means, atol=0.51, rtol=0)
    larger = scale_image(image, (90, 120))
    assert larger.dtype == torch.uint8
    torch.testing.assert_close(larger[:, 1::3, 1::3], image)  # the middles of the old pixels


@pytest.mark.parametrize("size", [(32, 32), (60, 100), (500, 700)], ids=str)
def test_sheets_draw_at_the_size_at_which_they_show(size: tuple[int, int], tmp_path: Path) -> None:
    boxes = torch.tensor([[0.05, 0.1, 0.5, 0.5], [0.7, 0.6, 1.0, 1.0]]) * torch.tensor([size[1], size[0]] * 2)
    instances = Instances(size, boxes, torch.tensor([0, 1]), scores=torch.tensor([0.9, 0.72]))
    prediction = Prediction("a", size, instances=instances)
    image = torch.full((3, *size), 100, dtype=torch.uint8)
    names, palette = ("circle", "star"), [(200, 30, 30), (30, 90, 200)]
    contact_sheet([(image, None, prediction)], tmp_path / "s.png", classes=names, palette=palette, cell=200)
    sheet = read_image(tmp_path / "s.png").permute(1, 2, 0).numpy()
    shown = (round(200 * min(1, size[0] / size[1])), 200)
    gray = torch.full((3, *shown), 100, dtype=torch.uint8)
    want = overlay(gray, scale_labeled(prediction, shown), names, palette, letter_height=10)
    top = sheet.shape[0]
    cells = [
        y
        for y in range(top - shown[0])
        if np.array_equal(sheet[y : y + shown[0], 5 + 205 : 5 + 205 + 200], want)
    ]
    assert len(cells) == 1


def test_segments_are_resized_and_those_that_vanish_are_dropped() -> None:
    numbers = torch.zeros((8, 8), dtype=torch.int32)
    numbers[:4], numbers[7, 7] = 1, 2
    segments = PanopticMap(numbers, (Segment(0, False), Segment(1, True)))
    image = torch.zeros((3, 8, 8), dtype=torch.uint8)
    small = scale_labeled(Sample("a", image, extras={"panoptic": segments, "note": 3}), (2, 2))
    assert small.extras["panoptic"].numbers.tolist() == [[1, 1], [0, 0]]
    assert small.extras["panoptic"].segments == (Segment(0, False),)
    assert small.extras["note"] == 3
    large = scale_labeled(Prediction("a", (8, 8), extras={"panoptic": segments}), (16, 16))
    assert large.extras["panoptic"].areas().tolist() == [128, 4]
