"""How long a run is that does not say so itself."""

from __future__ import annotations

import pytest

from toolkit.config import RunSettings, resolve
from toolkit.training.length import usual_steps, with_length


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
