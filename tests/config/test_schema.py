"""The settings of a run: what contradicts itself, and the learning rate that follows the batch."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.config import TrainSettings, resolve


def test_learning_rate_of_a_recipe_follows_the_batch_size(tiny: str) -> None:
    def lr(*words: str) -> float:
        return resolve(plugin=tiny, data=tiny, overrides=words).train.scaled_lr()

    assert lr() == pytest.approx(0.01)
    assert lr("train.batch_size=8") == pytest.approx(0.02)
    assert lr("train.batch_size=16", "train.lr_scaling=sqrt") == pytest.approx(0.02)
    assert lr("train.batch_size=8", "train.lr_scaling=none") == pytest.approx(0.01)
    assert lr("train.batch_size=8", "train.lr=0.5") == pytest.approx(0.5), (
        "a rate given by hand is for the batch in force"
    )


def test_scaled_rate_survives_saving(tiny: str, tmp_path: Path) -> None:
    settings = resolve(plugin=tiny, data=tiny, overrides=["train.batch_size=8"])
    (tmp_path / "config.yaml").write_text(settings.to_yaml())
    assert resolve(config=tmp_path / "config.yaml").train.scaled_lr() == pytest.approx(0.02)


def test_epochs_on_the_command_line_replace_the_steps_of_a_recipe(tiny: str) -> None:
    train = resolve(plugin=tiny, data=tiny, overrides=["train.epochs=2"]).train
    assert (train.steps, train.epochs) == (None, 2)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"steps": 1, "epochs": 1}, "either steps or epochs, not both"),
        ({"steps": 9, "milestones": (3,)}, "schedule=multistep"),
        (
            {"steps": 9, "milestones": (5, 3), "schedule": "multistep"},
            "milestones must be in ascending order",
        ),
        ({"steps": 9, "batch_size": 6, "devices": 4}, "nearest values are 4 and 8"),
        ({"steps": 9, "batch_size": 1, "devices": 3}, "the smallest value is 3"),
    ],
)
def test_settings_that_contradict_each_other(values: dict[str, object], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        TrainSettings.model_validate(values)
