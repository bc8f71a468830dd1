"""What augmentation promises: image, label map, masks and boxes stay on each other, and a seed fixes
everything.
"""

from __future__ import annotations

import pickle
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from toolkit.config import Settings
from toolkit.config.augmentations import Blur, Color, Crop, Elastic, Flip, Resize, Rotate, Scale
from toolkit.data import transforms
from toolkit.data.transforms import AugmentSettings, build_transform, resize_sample
from toolkit.errors import ConfigError, InvalidDataError
from toolkit.types import VOID, Instances, Masks, Prompts, Sample

COLORS = torch.tensor(
    [[20, 30, 40], [250, 40, 40], [40, 250, 40], [40, 40, 250]], dtype=torch.uint8
)  # background, three objects

GEOMETRIC = [
    Flip(p=1),
    Flip(p=1, direction="vertical"),
    Rotate(p=1, degrees=30),
    Scale(min=0.5, max=0.5),
    Scale(min=0.4, max=2.5),
    Scale(min=0.4, max=2.5, keep_size=True),
    Resize(long_side=90),
    Resize(short_side=33),
    Resize(size=(71, 50)),
    Crop(size=(40, 50)),
    Crop(size=(100, 30)),
    Crop(size=(100, 130)),
    Elastic(p=1),
]
PHOTOMETRIC = [Color(), Color(brightness=0, contrast=0, saturation=0, hue=0.5), Blur(p=1)]
ALL = GEOMETRIC + PHOTOMETRIC


def name_of(step: Settings) -> str:
    return " ".join(str(value) for value in step.model_dump().values())


def scene(height: int = 64, width: int = 90, **changes: Any) -> Sample:
    """Three rectangles in three colors, with everything known about them."""
    ids = torch.zeros(height, width, dtype=torch.uint8)
    ids[8:30, 10:40] = 1
    ids[20:60, 50:80] = 2
    ids[40:56, 5:30] = 3
    masks = Masks.from_dense(torch.stack([ids == k for k in (1, 2, 3)]))
    instances = Instances(
        (height, width),
        masks.boxes_xyxy(),
        torch.tensor([1, 2, 3]),
        masks,
        is_crowd=torch.tensor([False, True, False]),
    )
    fields = {
        "image": COLORS[ids.int()].permute(2, 0, 1).contiguous(),
        "label_map": ids,
        "instances": instances,
    } | changes
    return Sample("scene", **fields)


def empty(size: tuple[int, int]) -> Sample:
    label_map = torch.zeros(size, dtype=torch.uint8)
    return Sample(
        "empty",
        torch.full((3, *size), 7, dtype=torch.uint8),
        label_map,
        Instances.empty(size, with_masks=True),
    )


def assert_consistent(sample: Sample) -> None:
    """Masks, labels, boxes and the label map say the same of every pixel."""
    assert sample.instances is not None
    assert sample.instances.masks is not None
    assert sample.label_map is not None
    dense = sample.instances.masks.dense()
    for mask, label, box in zip(
        dense, sample.instances.labels.tolist(), sample.instances.boxes_xyxy, strict=True
    ):
        assert torch.equal(mask, sample.label_map == label)
        ys, xs = mask.nonzero().unbind(1)
        assert box.tolist() == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
    missing = {1, 2, 3} - set(sample.instances.labels.tolist())
    assert not any((sample.label_map == label).any() for label in missing)


@pytest.mark.parametrize("step", GEOMETRIC, ids=name_of)
def test_objects_stay_on_their_pixels(step: Settings) -> None:
    checked = 0
    for seed in range(10):
        moved = build_transform([step])(scene(), seed)
        assert_consistent(moved)
        assert moved.instances is not None
        assert moved.instances.masks is not None
        for mask, label in zip(moved.instances.masks.dense(), moved.instances.labels.tolist(), strict=True):
            inner = cv2.erode(mask.numpy().astype(np.uint8), np.ones((5, 5), np.uint8), borderValue=0).astype(
                bool
            )
            if inner.any():
                off = (moved.image[:, inner].int() - COLORS[label][:, None].int()).abs().max()
                assert off <= 12, f"an object of class {label} is {off} away from its color"
                checked += 1
        outside = cv2.erode(
            (moved.label_map == 0).numpy().astype(np.uint8), np.ones((5, 5), np.uint8), borderValue=0
        ).astype(bool)
        if outside.any():
            assert (moved.image[:, outside].int() - COLORS[0][:, None].int()).abs().max() <= 12
    assert checked >= 5


@pytest.mark.parametrize("step", PHOTOMETRIC, ids=name_of)
def test_colors_change_and_labels_do_not(step: Settings) -> None:
    before = scene()
    after = build_transform([step])(before, 0)
    assert not torch.equal(before.image, after.image)
    assert after.label_map is before.label_map
    assert after.instances is before.instances


def test_flips_and_crops_equal_slicing() -> None:
    before = scene()
    mirrored = build_transform([Flip(p=1)])(before, 0)
    assert torch.equal(mirrored.image, before.image.flip(-1))
    assert torch.equal(mirrored.label_map, before.label_map.flip(-1))
    assert mirrored.instances.boxes_xyxy[0].tolist() == [50, 8, 80, 30]
    upside_down = build_transform([Flip(p=1, direction="vertical")])(before, 0)
    assert torch.equal(upside_down.image, before.image.flip(-2))

    marked = before.with_(
        image=torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 64, 90), dtype=np.uint8))
    )
    offsets = set()
    for seed in range(20):
        cropped = build_transform([Crop(size=(50, 70))])(marked, seed)
        top, left = next(
            (top, left)
            for top in range(15)
            for left in range(21)
            if torch.equal(marked.image[:, top : top + 50, left : left + 70], cropped.image)
        )
        assert torch.equal(cropped.label_map, marked.label_map[top : top + 50, left : left + 70])
        offsets.add((top, left))
    assert len(offsets) > 10


@pytest.mark.parametrize("factor", [3, 1 / 3])
def test_resized_masks_lie_centered_on_the_resized_image(factor: float) -> None:
    """By less than a tenth of a pixel; the usual "nearest" is off by up to half of the factor."""
    image = torch.zeros(3, 90, 90, dtype=torch.uint8)
    image[:, 30:60, 21:69] = 255
    ids = (image[0] > 0).to(torch.uint8)
    size = round(90 * factor)
    resized = resize_sample(Sample("x", image, ids), (size, size))
    assert resized.size == (size, size)

    def center(weights: torch.Tensor) -> list[float]:
        weights = weights.double()
        return [float((weights.sum(1 - axis) * torch.arange(size)).sum() / weights.sum()) for axis in (0, 1)]

    assert center(resized.label_map) == pytest.approx(center(resized.image[0]), abs=0.1)


def test_resized_labels_equal_the_formula_of_nearest_exact() -> None:
    values = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (37, 53), dtype=np.uint8))
    sample = Sample("x", torch.zeros(3, 37, 53, dtype=torch.uint8), values)
    for height, width in ((11, 90), (37, 20), (100, 53), (1, 1)):
        got = resize_sample(sample, (height, width)).label_map
        rows = ((torch.arange(height) + 0.5) * 37 / height).floor().long()
        columns = ((torch.arange(width) + 0.5) * 53 / width).floor().long()
        assert torch.equal(got, values[rows][:, columns])


def test_resize_keeps_the_shape_and_scale_stays_in_its_range() -> None:
    before = scene()
    assert build_transform([Resize(long_side=45)])(before, 0).size == (32, 45)
    assert build_transform([Resize(short_side=128)])(before, 0).size == (128, 180)
    assert resize_sample(before, before.size) is before
    widths = [build_transform([Scale(min=0.5, max=2)])(before, seed).size[1] for seed in range(60)]
    assert min(widths) >= 45
    assert max(widths) <= 180
    assert max(widths) - min(widths) > 90


def test_outside_is_black_and_void_and_every_label_value_survives() -> None:
    values = torch.arange(256, dtype=torch.uint8).reshape(16, 16)
    sample = Sample("x", torch.full((3, 16, 16), 9, dtype=torch.uint8), values)
    framed = build_transform([Crop(size=(40, 50))])(sample, 5)
    inside = framed.image[0] == 9
    assert int(inside.sum()) == 256
    assert torch.equal(framed.label_map[inside], values.flatten())
    assert (framed.label_map[~inside] == VOID).all()
    assert (framed.image[:, ~inside] == 0).all()
    turned = build_transform([Rotate(p=1, degrees=45)])(
        sample.with_(label_map=torch.zeros(16, 16, dtype=torch.uint8)), 1
    )
    assert turned.label_map[0, 0] == VOID
    assert set(turned.label_map.flatten().tolist()) == {0, VOID}


@pytest.mark.parametrize("step", ALL, ids=name_of)
def test_same_seed_same_result_and_the_global_state_is_left_alone(step: Settings) -> None:
    augment = build_transform([step])
    elsewhere = pickle.loads(pickle.dumps(augment))  # as a loader's worker process gets it
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = augment(scene(), 7)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    again = elsewhere(scene(), 7)
    assert torch.equal(first.image, again.image)
    assert torch.equal(first.label_map, again.label_map)
    assert first.instances.masks == again.instances.masks


@pytest.mark.parametrize(
    "step", [s for s in ALL if s.name not in ("resize",) and "0.5 0.5" not in name_of(s)], ids=name_of
)
def test_other_seeds_give_other_results(step: Settings) -> None:
    augment = build_transform([step, Color()])
    results = {augment(scene(), seed).image.numpy().tobytes() for seed in range(4)}
    assert len(results) == 4


def test_chance_of_application() -> None:
    before = scene()
    flipped = sum(
        not torch.equal(build_transform([Flip(p=0.3)])(before, seed).image, before.image)
        for seed in range(400)
    )
    assert 85 <= flipped <= 155  # 120 expected; beyond this in one of 10,000 cases
    for step in (Flip(p=0), Rotate(p=0), Elastic(p=0), Color(p=0), Blur(p=0)):
        assert torch.equal(build_transform([step])(before, 0).image, before.image)


@pytest.mark.parametrize("step", ALL, ids=name_of)
@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1)])
def test_images_without_objects_and_of_one_pixel(step: Settings, size: tuple[int, int]) -> None:
    for seed in range(3):
        moved = build_transform([step])(empty(size), seed)
        assert len(moved.instances) == 0
        assert moved.instances.masks is not None
        assert set(moved.label_map.flatten().tolist()) <= {0, VOID}


@pytest.mark.parametrize("step", ALL, ids=name_of)
def test_what_a_sample_does_not_have_it_does_not_get(step: Settings) -> None:
    only_labels = build_transform([step])(scene(instances=None), 0)
    assert only_labels.instances is None
    assert only_labels.label_map is not None
    only_instances = build_transform([step])(scene(label_map=None), 0)
    assert only_instances.label_map is None
    assert only_instances.instances is not None


def test_instances_that_leave_are_dropped_with_every_field() -> None:
    seen = set()
    for seed in range(60):
        cropped = build_transform([Crop(size=(12, 12))])(scene(), seed)
        assert_consistent(cropped)
        assert cropped.instances.is_crowd.tolist() == [
            label == 2 for label in cropped.instances.labels.tolist()
        ]
        seen.add(tuple(cropped.instances.labels.tolist()))
    assert () in seen
    assert len(seen) >= 4


def test_boxes_without_masks_move_too() -> None:
    before = scene()
    boxes_only = Instances(before.size, before.instances.boxes_xyxy, before.instances.labels)
    for step in (Flip(p=1), Resize(size=(128, 180)), Crop(size=(40, 50)), Crop(size=(100, 130))):
        for seed in range(5):
            got = build_transform([step])(before.with_(instances=boxes_only), seed).instances
            expected = build_transform([step])(before, seed).instances
            assert torch.equal(got.boxes_xyxy, expected.boxes_xyxy)
            assert torch.equal(got.labels, expected.labels)


def test_a_box_around_a_turned_or_warped_object_holds_it() -> None:
    before = scene()
    boxes_only = Instances(before.size, before.instances.boxes_xyxy, before.instances.labels)
    for seed in range(5):
        box = build_transform([Rotate(p=1)])(before.with_(instances=boxes_only), seed).instances.boxes_xyxy
        tight = build_transform([Rotate(p=1)])(before, seed).instances.boxes_xyxy
        assert (box[:, :2] <= tight[:, :2] + 1.5).all()
        assert (box[:, 2:] >= tight[:, 2:] - 1.5).all()


def test_prompts_are_refused_rather_than_left_behind() -> None:
    prompts = Prompts(boxes_xyxy=torch.tensor([[1.0, 2.0, 3.0, 4.0]]))
    with_prompts = scene(prompts=prompts)
    assert build_transform([Color()])(with_prompts, 0).prompts is prompts
    with pytest.raises(InvalidDataError, match="draw the prompts after augmenting"):
        build_transform([Flip(p=1)])(with_prompts, 0)


def test_masks_in_parts_equal_masks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = [Rotate(p=1), Scale(), Crop(size=(50, 50))]
    whole = build_transform(steps)(scene(), 4)
    monkeypatch.setattr(transforms, "_CHUNK_PIXELS", 1)
    assert build_transform(steps)(scene(), 4).instances.masks == whole.instances.masks


def test_no_steps_change_nothing() -> None:
    before = scene()
    after = build_transform([])(before, 0)
    assert torch.equal(after.image, before.image)
    assert after.instances is before.instances


@settings(max_examples=40, deadline=None)
@given(
    steps=st.lists(st.sampled_from(ALL), max_size=4),
    seed=st.integers(0, 2**32),
    size=st.tuples(st.integers(60, 80), st.integers(80, 100)),
)
def test_any_list_of_steps_keeps_everything_together(
    steps: list[Settings], seed: int, size: tuple[int, int]
) -> None:
    assert_consistent(build_transform(steps)(scene(*size), seed))


@pytest.mark.parametrize(
    ("given_settings", "message"),
    [
        ({"name": "flop"}, "flop"),
        ({"name": "flip", "probability": 1}, "probability"),
        ({"name": "flip", "p": 1.5}, "less than or equal to 1"),
        ({"name": "crop"}, "size"),
        ({"name": "crop", "size": [0, 5]}, "greater than or equal to 1"),
        ({"name": "scale", "min": 2, "max": 1}, "min 2.0 is above max 1.0"),
        ({"name": "resize"}, "give one of long_side, short_side and size, not none"),
        ({"name": "resize", "long_side": 5, "size": [1, 2]}, "long_side and size"),
        ({"name": "color", "hue": 0.7}, "less than or equal to 0.5"),
    ],
)
def test_wrong_settings_are_explained(given_settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TypeAdapter(AugmentSettings).validate_python(given_settings)


def test_settings_come_from_a_recipe() -> None:
    from toolkit.config import validate

    class Recipe(Settings):
        augment: tuple[AugmentSettings, ...] = ()

    recipe = validate(
        Recipe, {"augment": [{"name": "flip", "p": 0.1}, {"name": "crop", "size": [8, 9]}]}, source="recipe"
    )
    assert recipe.augment == (Flip(p=0.1), Crop(size=(8, 9)))
    with pytest.raises(ConfigError, match="recipe: 2 errors"):
        validate(Recipe, {"augment": [{"name": "flip", "q": 0.1}, {"name": "mosaic"}]}, source="recipe")


@pytest.mark.parametrize("factor", [0.3, 1.0, 2.0])
def test_scaling_can_keep_the_size(factor: float) -> None:
    """A smaller image lies in a frame that is void; of a larger one there is a part."""
    sample = scene()
    scaled = build_transform([Scale(min=factor, max=factor, keep_size=True)])(sample, 3)
    assert scaled.size == sample.size
    assert scaled.label_map is not None
    known = float((scaled.label_map != VOID).float().mean())
    assert known == pytest.approx(min(1.0, factor**2), abs=0.02)
