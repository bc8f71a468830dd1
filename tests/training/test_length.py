"""How long a run is, and how large its batches are, where its settings do not say so."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import yaml

from toolkit import registry
from toolkit.config import RunSettings, resolve
from toolkit.data.generated import GeneratedSamples
from toolkit.training.length import (
    own_batch_size,
    usual_batch_size,
    usual_steps,
    with_batch_size,
    with_length,
)
from toolkit.training.loop import train


@pytest.mark.parametrize(
    ("images", "batch_size", "steps"),
    [
        (1, 8, 500),  # never fewer than 4,000 images
        (25, 8, 500),
        (80, 8, 500),
        (81, 8, 507),  # 50 passes
        (276, 8, 1725),
        (320, 8, 2000),
        (321, 8, 2000),  # no more than 16,000 images
        (4000, 8, 2000),
        (4001, 8, 2001),  # but 4 passes
        (118_287, 16, 29_572),
        (61, 2, 2000),
    ],
)
def test_the_rule(images: int, batch_size: int, steps: int) -> None:
    assert usual_steps(images, batch_size) == steps


def settings(tiny: str, *words: str) -> RunSettings:
    return resolve(plugin=tiny, data=tiny, overrides=words)


def test_the_rule_holds_where_nothing_is_said(tiny: str) -> None:
    open_length = settings(tiny, "train.steps=null")
    assert (open_length.train.steps, open_length.train.epochs) == (None, None)
    assert with_length(open_length, 276).train.steps == 3450, "batches of 4"


def test_what_is_said_stays(tiny: str) -> None:
    for words in (["train.steps=7"], ["train.epochs=2"]):
        said = settings(tiny, *words)
        assert with_length(said, 276) is said


@pytest.mark.parametrize(
    ("images", "size", "most", "parts", "expected"),
    [
        (100, (480, 640), 8, 1, 8),
        (32, (480, 640), 8, 1, 8),
        (31, (480, 640), 8, 1, 4),  # four steps per epoch
        (25, (480, 640), 8, 1, 4),
        (15, (480, 640), 8, 1, 2),
        (1, (480, 640), 8, 1, 2),  # batch norm needs two
        (10_000, (600, 800), 8, 1, 8),  # more than the plugin's is never chosen
        (10_000, (768, 1024), 8, 1, 4),
        (10_000, (3000, 4000), 8, 1, 2),
        (10_000, (3000, 4000), 2, 1, 2),
        (3, (64, 64), 1, 1, 1),
        (10_000, (64, 64), 12, 1, 12),
        (10_000, (1200, 1200), 12, 1, 3),  # and 1 would be too few
        (10_000, (480, 640), 2, 4, 4),  # one image for each of four devices
        (25, (480, 640), 8, 3, 6),
    ],
)
def test_the_rule_for_batches(
    images: int, size: tuple[int, int], most: int, parts: int, expected: int
) -> None:
    assert usual_batch_size(images, math.prod(size), most, parts) == expected


def test_a_batch_size_that_is_given_stays(tiny: str) -> None:
    given = settings(tiny, "train.batch_size=6")
    plugin = registry.named(registry.plugins(), tiny)
    assert with_batch_size(given, GeneratedSamples(("a", "b"), [(8, 8)] * 2), plugin) == (given, "")


@pytest.mark.parametrize(
    ("plugin", "own"), [("unet", 8), ("deeplabv3", 8), ("deeplabv3plus", 8), ("maskrcnn", 2)]
)
def test_without_a_recipe_the_data_decide_and_the_learning_rate_follows(plugin: str, own: int) -> None:
    data = "masks" if plugin != "maskrcnn" else "coco"
    manifest = registry.plugins().get(plugin)
    assert own_batch_size(manifest) == own
    open_size = resolve(plugin=plugin, data=data)
    assert (open_size.train.batch_size, open_size.train.lr_batch_size) == (None, own)
    few = GeneratedSamples(("background", "disc"), [(24, 32), (64, 48)] * 5)
    chosen, sentence = with_batch_size(open_size, few, manifest)
    assert chosen.train.batch_size == 2
    assert chosen.train.scaled_lr() == pytest.approx(open_size.train.lr * 2 / own)
    assert sentence.startswith("Batch size 2 chosen for 10 training images of 48 × 64 pixels")
    said = resolve(plugin=plugin, data=data, overrides=["train.lr=0.5"])
    assert with_batch_size(said, few, manifest)[0].train.scaled_lr() == 0.5, "what is said is taken as it is"
    assert resolve(plugin=plugin, data=data, overrides=["batch_size=16"]).train.scaled_lr() == pytest.approx(
        open_size.train.lr * 16 / own
    )


def test_the_size_after_augmentation_counts(tiny: str) -> None:
    plugin = registry.plugins().get("unet")
    large = GeneratedSamples(("background", "disc"), [(1200, 1600)] * 100, objects=0)
    words = ["augment=[{name: crop, size: [256, 256]}]"]
    assert with_batch_size(resolve(plugin="unet", data="masks"), large, plugin)[0].train.batch_size == 2
    cropped = resolve(plugin="unet", data="masks", overrides=words)
    assert with_batch_size(cropped, large, plugin)[0].train.batch_size == 8


def test_a_run_records_what_was_chosen_and_is_resumed_with_it(tiny: str, tmp_path: Path) -> None:
    words = ["train.batch_size=null", "train.device=cpu", "data.options.count=9"]
    train(settings(tiny, *words, "train.steps=2"), tmp_path / "run")
    kept = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert kept["train"]["batch_size"] == 2
    result = train(settings(tiny, *words, "train.steps=3"), tmp_path / "run", resume=True)
    assert result.steps == 3
