"""Runs that are killed at a change to their folder: none is unusable, and all end with the weights of
one that was never killed, bit for bit.

The suite tries a few changes of the smallest plugin; ``make kill`` tries all, for every family.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from support.kills import THOROUGH, changes_of, killed_at, points, to_the_end
from support.small_settings import MODELS

from toolkit.config import RunSettings, resolve
from toolkit.config.tree import merge
from toolkit.errors import UsageError
from toolkit.training.folder import CONFIG_FILE
from toolkit.training.loop import train
from toolkit.training.state import load_state

HARD: dict[str, Any] = {
    "steps": 5,
    "batch_size": 4,
    "accumulate": 2,
    "ema": 0.8,
    "eval_every": 2,
    "checkpoint_every": 3,
    "log_every": 1,
    "warmup_steps": 1,
    "workers": 0,
    "device": "cpu",
}
FREEZE = {
    "tiny": "net.0",
    "unet": "encoder",
    "deeplabv3": "backbone",
    "maskrcnn": "backbone",
    "sam2": "network.sam_mask_decoder",
}
FAMILIES = [*FREEZE] if THOROUGH else ["tiny"]


def settings(family: str, tiny: str, folder: Path) -> RunSettings:
    hard = {"train": HARD | {"freeze": [FREEZE[family]], "unfreeze_at": 2}}
    if family == "tiny":
        return resolve(plugin=tiny, data=tiny, overrides=hard)
    case = MODELS[family]
    own: dict[str, Any] = {"model": dict(case.settings), "weights": "none", "augment": []}
    own["data"] = {"options": {"size": 48, "train": 8, "val": 3}}
    if family == "sam2":
        own["model"] = merge(own["model"], {"cache": {"enabled": True, "folder": str(folder / "cache")}})
    return resolve(plugin=family, data="shapes", overrides=merge(own, hard))


def start_or_resume(chosen: RunSettings, run: Path) -> None:
    """What somebody does who finds the run stopped: go on with it, or begin where there is none."""
    try:
        train(chosen, run, resume=(run / CONFIG_FILE).is_file())
    except UsageError:
        if (run / CONFIG_FILE).is_file():
            raise
        train(chosen, run)


def same(one: Path, other: Path) -> None:
    for name in ("last.safetensors", "best.safetensors"):
        expected, found = load_file(one / name), load_file(other / name)
        assert expected.keys() == found.keys()
        assert not [key for key, value in expected.items() if not torch.equal(value, found[key])], name
    assert load_state(one)[0] == load_state(other)[0]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_kill_at_any_change_loses_nothing(
    family: str, tiny: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    chosen = settings(family, tiny, tmp_path)
    whole, run = tmp_path / "whole", tmp_path / "run"
    count, kills = changes_of(whole, lambda: train(chosen, whole)), 0
    assert count > 20
    for point in points(count, few=5):
        shutil.rmtree(run, ignore_errors=True)
        assert killed_at(point, run, lambda: train(chosen, run)), f"{point} of {count}"
        # and once more while it goes on, at another place
        kills += 1 + killed_at(1 + point * 7 % 23, run, lambda: start_or_resume(chosen, run))
        to_the_end(lambda: start_or_resume(chosen, run))
        same(whole, run)
        left = {path.name for path in run.iterdir()}
        assert not any(name.endswith(".part") for name in left), f"{point} of {count}: {left}"
    record_property("kills", kills)
