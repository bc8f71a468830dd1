"""The setting of a scale: each of its spellings, what is refused, and that a run's settings keep it."""

from __future__ import annotations

from typing import Any

import pytest

from toolkit import registry
from toolkit.config import ImageSettings, Scale, resolve, settings_class
from toolkit.config.recipes import as_tree
from toolkit.config.scale import scale_of
from toolkit.errors import ConfigError

P1_99, MIN_MAX = Scale(percentiles=(1, 99)), Scale(percentiles=(0, 100))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("scale=min-max", MIN_MAX),
        ("scale={percentiles: [1, 99]}", P1_99),
        ("scale.percentiles=[1,99]", P1_99),
        ("scale.range=[0,4095]", Scale(range=(0, 4095))),
        ("scale={range: [-0.5, 1.5], bit_depth: float}", Scale(range=(-0.5, 1.5), bit_depth="float")),
        ("scale=", None),
        ("scale=null", None),
    ],
)
def test_spellings_on_the_command_line(words: str, expected: Scale | None) -> None:
    settings = resolve(plugin="unet", data="masks", overrides=as_tree([f"data.options.{words}"]))
    assert getattr(settings.data.options, "scale", None) == expected
    assert scale_of(settings.model_dump(mode="json")) == expected


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("percentile", "write min-max, .*, not 'percentile'"),
        ([0, 4095], "write min-max, {percentiles"),
        ({}, "not neither"),
        ({"percentiles": [1, 99], "range": [0, 1]}, "not percentiles and range"),
        ({"range": [5, 5]}, "the first of range must be below the second, not 5 and 5"),
        ({"percentiles": [1, 101]}, "expected 100 or less, not 101"),
        ({"range": [0, float("inf")]}, "finite"),
        ({"range": [0, 1], "bit_depth": "12-bit"}, "bit_depth"),
    ],
)
def test_what_makes_no_sense_is_refused(value: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve(plugin="unet", data="masks", overrides={"data": {"options": {"scale": value}}})


def test_every_dataset_of_image_files_has_a_scale() -> None:
    without = {"cifar10", "mnist", "shapes"}  # no image files
    for manifest in registry.datasets():
        assert issubclass(settings_class(manifest), ImageSettings) == (manifest.name not in without)


def test_in_words() -> None:
    assert P1_99.in_words() == "percentiles 1 to 99 of each image"
    assert MIN_MAX.in_words() == "the smallest to the largest value of each image"
    assert Scale(range=(0, 4095)).in_words() == "0 to 4095"
