"""What a user is told who predicts with other windows than the training validated with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from toolkit.checkpoints import CheckpointManifest
from toolkit.evaluation.validated_windows import other_windows
from toolkit.models.sliding_window import Tiling

RUN = Path("runs/slides")


def manifest(**train: Any) -> CheckpointManifest:
    return CheckpointManifest("unet", "semantic", ("ground", "disc"), config={"train": train})


@pytest.mark.parametrize(
    ("train", "tiling"),
    [
        ({}, Tiling(512)),
        ({"eval_window": None, "eval_overlap": 0.5}, Tiling(512)),
        ({"eval_window": 512, "eval_overlap": 0.25}, Tiling(512)),
        ({"eval_window": 512}, Tiling(512)),
        ({"eval_window": "wide", "eval_overlap": "no"}, None),
    ],
)
def test_nothing_is_said_of_the_same_windows_or_of_none(train: dict[str, Any], tiling: Tiling | None) -> None:
    assert other_windows(manifest(**train), tiling, RUN) == ""


def test_nothing_is_said_of_checkpoints_without_settings() -> None:
    assert other_windows(CheckpointManifest("unet", "semantic", ("a",)), Tiling(512), RUN) == ""


def test_others_are_named_with_the_options_that_are_the_same() -> None:
    trained = manifest(eval_window=512, eval_overlap=0.5)
    assert other_windows(trained, None, RUN) == (
        "runs/slides was validated in windows of 512 pixels that overlap by 0.5 while it trained, and now"
        " predicts whole images unless they are very large. Hint: --window 512 --overlap 0.5 predicts as then"
    )
    assert "now predicts in windows of 512 pixels that overlap by 0.25." in other_windows(
        trained, Tiling(512), RUN
    )
