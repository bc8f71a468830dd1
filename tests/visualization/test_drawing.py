"""Overlays: what is drawn, where, and what is left alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from drawing_cases import CLASSES, PALETTE, gray, objects

from toolkit.data.images import read_image
from toolkit.errors import OutputError, UsageError
from toolkit.types import VOID, Instances, Prediction, Sample
from toolkit.visualization import drawing
from toolkit.visualization.drawing import BLEND, confident, fit_jpeg, overlay, write_picture
from toolkit.visualization.palettes import default_palette
from toolkit.visualization.sheets import contact_sheet


def test_label_maps_tint_their_pixels_and_leave_void_alone() -> None:
    image = gray()
    label_map = torch.zeros((80, 120), dtype=torch.uint8)
    label_map[20:60, 30:90] = 1
    label_map[:, 110:] = VOID
    picture = overlay(image, Prediction("a", (80, 120), label_map=label_map), CLASSES, PALETTE)
    assert picture.shape == (80, 120, 3)
    assert picture.dtype == np.uint8
    tinted = np.round((1 - BLEND) * 100 + BLEND * np.array(PALETTE[1]))
    np.testing.assert_allclose(picture[40, 60], tinted, atol=1)
    assert picture[40, 30].tolist() == list(PALETTE[1])  # the outline has the full color
    assert picture[40, 115].tolist() == [100, 100, 100]
    assert (image == 100).all()


def test_objects_below_a_score_are_left_out() -> None:
    left, right = np.zeros((80, 120), bool), np.zeros((80, 120), bool)
    left[10:70, 5:50], right[10:70, 70:110] = True, True
    both = objects((80, 120), left, right, labels=[1, 2])  # with scores of 0.9 and 0.5
    for threshold, count in ((0.0, 2), (0.5, 2), (0.51, 1), (0.95, 0)):
        picture = overlay(gray(), confident(both, threshold), CLASSES, PALETTE)
        assert [picture[40, 30].tolist() != [100] * 3, picture[40, 90].tolist() != [100] * 3] == [
            count > 0,
            count > 1,
        ]


def test_instances_tint_their_masks_with_holes_and_get_boxes_and_names() -> None:
    mask = np.zeros((80, 120), bool)
    mask[30:70, 20:80] = True
    mask[40:60, 40:60] = False  # a hole
    picture = overlay(gray(), objects((80, 120), mask, labels=[1]), CLASSES, PALETTE)
    tinted = np.round((1 - BLEND) * 100 + BLEND * np.array(PALETTE[1]))
    np.testing.assert_allclose(picture[35, 60], tinted, atol=1)
    assert picture[50, 50].tolist() == [100, 100, 100]
    assert picture[69, 50].tolist() == list(PALETTE[1])  # the box's lower edge
    assert picture[75, 100].tolist() == [100, 100, 100]
    name = picture[18:30, 20:60]
    assert (name == np.array(PALETTE[1])).all(
        axis=2
    ).mean() > 0.3  # the name stands on a patch of its color …
    assert (name.min(axis=2) > 150).any()  # … in white


def test_boxes_alone_unknown_labels_and_no_objects() -> None:
    size = (80, 120)
    boxes = torch.tensor([[10.0, 20.0, 50.0, 60.0], [-5.0, -5.0, 500.0, 500.0]])
    instances = Instances(size, boxes, torch.tensor([1, 999]), scores=torch.tensor([0.5, 0.6]))
    drawn = overlay(gray(), Prediction("a", size, instances=instances), CLASSES, PALETTE)
    assert drawn[59, 30].tolist() == list(PALETTE[1])
    empty = overlay(
        gray(),
        Prediction("a", size, instances=Instances.empty(size, with_masks=True, with_scores=True)),
        CLASSES,
        PALETTE,
    )
    assert (empty == 100).all()


def test_truth_is_drawn_like_a_prediction() -> None:
    label_map = torch.ones((80, 120), dtype=torch.uint8)
    truth = overlay(gray(), Sample("a", gray(), label_map=label_map), CLASSES, PALETTE)
    np.testing.assert_array_equal(
        truth, overlay(gray(), Prediction("a", (80, 120), label_map=label_map), CLASSES, PALETTE)
    )


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (2000, 10), (7, 5)])
def test_odd_sizes(size: tuple[int, int], tmp_path: Path) -> None:
    image = gray(*size)
    full = objects(size, np.ones(size, bool), labels=[2])
    assert overlay(image, full, CLASSES, PALETTE).shape == (*size, 3)
    label_map = Prediction("a", size, label_map=torch.full(size, 2, dtype=torch.uint8))
    assert overlay(image, label_map, CLASSES, PALETTE).shape == (*size, 3)
    contact_sheet(
        [(image, None, full), (image, label_map, label_map)],
        tmp_path / "s.png",
        classes=CLASSES,
        palette=PALETTE,
    )


def test_many_objects_in_a_large_image_need_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    import pycocotools.mask as coco_mask

    decoded = []
    decode = coco_mask.decode
    monkeypatch.setattr(coco_mask, "decode", lambda codes: decoded.append(codes) or decode(codes))
    size = (300, 400)
    masks = [np.zeros(size, bool) for _ in range(40)]
    for i, mask in enumerate(masks):
        mask[i : i + 20, i : i + 20] = True
    overlay(gray(*size), objects(size, *masks, labels=[1] * 40), CLASSES, PALETTE)
    assert len(decoded) == 40
    assert all(isinstance(code, dict) for code in decoded)  # one by one


def test_a_large_picture_is_drawn_from_runs_to_the_same_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    size = (90, 130)
    random = np.random.default_rng(0)
    masks = [np.zeros(size, bool) for _ in range(6)]
    for i, mask in enumerate(masks[:5]):
        mask[i * 9 : i * 9 + 40, i * 20 : i * 20 + 30] = random.random((40, 30)) < 0.7
    masks[0][-1, -1] = masks[0][0, 0] = True
    found = objects(size, *masks, labels=[1, 2, 1, 2, 1, 1])
    usual = overlay(gray(*size), found, CLASSES, PALETTE)
    monkeypatch.setattr(drawing, "_LARGE", 0)
    assert np.array_equal(overlay(gray(*size), found, CLASSES, PALETTE), usual)


def test_more_classes_than_a_label_map_could_have() -> None:
    palette = default_palette(1203, first=1)
    assert len(set(palette)) == 1203
    mask = np.zeros((80, 120), bool)
    mask[30:70, 20:80] = True
    picture = overlay(gray(), objects((80, 120), mask, labels=[1000]), [str(i) for i in range(1203)], palette)
    assert picture[69, 50].tolist() == list(palette[1000])


def test_faults_of_the_caller(tmp_path: Path) -> None:
    prediction = Prediction("a", (80, 120), label_map=torch.zeros((80, 120), dtype=torch.uint8))
    with pytest.raises(UsageError, match="needs rows and a title for each or none; it got 0 rows"):
        contact_sheet([], tmp_path / "s.png", classes=CLASSES, palette=PALETTE)
    with pytest.raises(UsageError, match="1 rows and 2 titles"):
        contact_sheet(
            [(gray(), None, prediction)],
            tmp_path / "s.png",
            classes=CLASSES,
            palette=PALETTE,
            titles=["a", "b"],
        )
    with pytest.raises(UsageError, match=r"a picture must end in \.jpg.*not '\.gif'"):
        write_picture(tmp_path / "s.gif", np.zeros((2, 2, 3), np.uint8))
    assert not list(tmp_path.iterdir())


def test_write_picture_is_rgb_and_refuses_what_jpeg_cannot_hold(tmp_path: Path) -> None:
    picture = np.zeros((8, 8, 3), np.uint8)
    picture[..., 0] = 200
    for suffix in (".png", ".jpg", ".webp", ".bmp"):
        write_picture(tmp_path / f"p{suffix}", picture)
        red = read_image(tmp_path / f"p{suffix}")[:, 4, 4].tolist()
        assert red[0] > 190
        assert max(red[1:]) < 12
    with pytest.raises(
        OutputError,
        match=(
            r"wide\.jpg cannot be written: a \.jpg of 70000 x 1 pixels cannot be encoded .*Hint: use \.png"
        ),
    ):
        write_picture(tmp_path / "wide.jpg", np.zeros((1, 70_000, 3), np.uint8))


@pytest.mark.parametrize(
    ("size", "fitted"),
    [((3, 65_500), (3, 65_500)), ((1, 131_000), (1, 65_500)), ((70_000, 2), (65_500, 1)), ((2, 2), (2, 2))],
)
def test_a_picture_fits_into_a_jpeg(size: tuple[int, int], fitted: tuple[int, int], tmp_path: Path) -> None:
    picture = fit_jpeg(np.full((*size, 3), 7, np.uint8))
    assert picture.shape == (*fitted, 3)
    assert (picture == 7).all()
    write_picture(tmp_path / "a.jpg", picture)
