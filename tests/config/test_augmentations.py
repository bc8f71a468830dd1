"""The settings of augmentations: which one a name stands for, and what is out of range."""

from __future__ import annotations

import pytest

from toolkit.config import Settings, validate
from toolkit.config.augmentations import (
    Augmentation,
    AugmentSettings,
    Blur,
    Color,
    Crop,
    Elastic,
    Flip,
    Resize,
    Rotate,
    Scale,
)
from toolkit.errors import ConfigError


class Recipe(Settings):
    augment: tuple[AugmentSettings, ...]


def read(*steps: object) -> tuple[Settings, ...]:
    recipe: Recipe = validate(Recipe, {"augment": list(steps)}, source="recipe")
    return recipe.augment


def test_a_name_stands_for_its_class_with_its_defaults() -> None:
    needs = {"crop": {"size": [8, 9]}, "resize": {"short_side": 5}}
    for cls in (Flip, Rotate, Scale, Resize, Crop, Elastic, Color, Blur):
        name = cls.__name__.lower()
        (step,) = read({"name": name, **needs.get(name, {})})
        assert type(step) is cls
        assert read(step.model_dump(mode="json")) == (step,), "and comes back from YAML"


def test_the_order_is_kept() -> None:
    steps = read({"name": "blur"}, {"name": "flip", "direction": "vertical"}, {"name": "blur"})
    assert steps == (Blur(), Flip(direction="vertical"), Blur())


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (
            {"name": "mirror"},
            "augment.0: unknown name 'mirror'; expected one of: flip, rotate, scale, resize",
        ),
        ({"p": 0.5}, "augment.0: unable to extract tag using discriminator 'name'"),
        ("flip", "augment.0: "),
        ({"name": "flip", "p": 1.5}, "augment.0.flip.p: expected 1 or less, not 1.5"),
        ({"name": "flip", "p": -0.1}, "augment.0.flip.p: expected 0 or more"),
        ({"name": "flip", "direction": "both"}, "augment.0.flip.direction: expected 'horizontal' or"),
        (
            {"name": "flip", "degrees": 3},
            "augment.0.flip.degrees: unknown key; expected one of: direction, keypoint_pairs, name, p",
        ),
        ({"name": "rotate", "degrees": 0}, "rotate.degrees: expected a number above 0"),
        ({"name": "rotate", "degrees": 181}, "rotate.degrees: expected 180 or less"),
        ({"name": "scale", "min": 0}, "scale.min: expected a number above 0"),
        ({"name": "scale", "min": 3}, "augment.0.scale: min 3.0 is above max 2.0"),
        ({"name": "resize"}, "augment.0.resize: give one of long_side, short_side and size, not none"),
        (
            {"name": "resize", "long_side": 9, "size": [3, 4]},
            "augment.0.resize: give one of long_side, short_side and size, not long_side and size",
        ),
        ({"name": "resize", "long_side": 0}, "resize.long_side: expected 1 or more"),
        ({"name": "crop"}, "augment.0.crop.size: missing"),
        ({"name": "crop", "size": 64}, "augment.0.crop.size: expected a list, such as [a, b], not 64"),
        ({"name": "crop", "size": [64]}, "augment.0.crop.size.1: missing"),
        ({"name": "crop", "size": [64, 0]}, "crop.size.1: expected 1 or more, not 0"),
        ({"name": "elastic", "spacing": 3}, "elastic.spacing: expected 4 or more"),
        ({"name": "elastic", "amplitude": 0}, "elastic.amplitude: expected a number above 0"),
        ({"name": "color", "hue": 0.6}, "color.hue: expected 0.5 or less, not 0.6"),
        ({"name": "color", "contrast": 1.1}, "color.contrast: expected 1 or less"),
        ({"name": "blur", "max_sigma": 0.1}, "blur.max_sigma: expected a number above 0.1, not 0.1"),
        ({"name": "blur", "max_sigma": 21}, "blur.max_sigma: expected 20 or less"),
    ],
    ids=str,
)
def test_what_is_wrong_is_named_with_its_place_in_the_list(step: object, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(step)
    assert message in str(caught.value)


def test_a_scale_may_be_fixed() -> None:
    assert read({"name": "scale", "min": 2.0, "max": 2.0}) == (Scale(min=2, max=2),)


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (Flip(), "flip"),
        (Flip(direction="vertical"), "vertical flip"),
        (Rotate(degrees=15), "rotate up to 15°"),
        (Scale(min=0.5, max=2), "scale 0.5 to 2"),
        (Resize(size=(30, 40)), "resize to 30 × 40"),
        (Resize(long_side=320), "resize the long side to 320"),
        (Resize(short_side=200), "resize the short side to 200"),
        (Crop(size=(112, 160)), "crop 112 × 160"),
        (Elastic(), "elastic"),
        (Color(), "color"),
        (Blur(), "blur"),
    ],
)
def test_each_says_what_it_does(step: Augmentation, words: str) -> None:
    assert step.in_words() == words
