"""Settings classes: every fault at once, with the nearest names; and a sentence for every setting."""

from __future__ import annotations

import pytest

from toolkit.config import Settings, resolve
from toolkit.errors import ConfigError


def test_all_faults_are_reported_at_once_with_the_nearest_names(tiny: str) -> None:
    words = [
        "train.stpes=3",
        "model.widht=2",
        "train.lr=-1",
        "color=red",
        "data.options.cuont=3",
        "augment=[{name: flip, chance: 1}]",
    ]
    with pytest.raises(ConfigError) as caught:
        resolve(plugin=tiny, data=tiny, overrides=words)
    message = str(caught.value)
    assert "6 faults" in message
    for expected in (
        "train.stpes: unknown key; did you mean 'steps'",
        "did you mean 'width'",
        "train.lr: ",
        "-1",
        "color: unknown key",
        "'count'",
    ):
        assert expected in message


def _settings_classes(cls: type[Settings]) -> list[type[Settings]]:
    return [cls, *(leaf for sub in cls.__subclasses__() for leaf in _settings_classes(sub))]


def test_every_setting_says_what_it_does() -> None:
    resolve(plugin="unet", data="shapes")  # imports the settings of plugins, datasets and augmentations
    checked = 0
    for cls in _settings_classes(Settings):
        if cls.__module__.startswith("toolkit.") and not cls.__qualname__.startswith("Evaluators"):
            for name, field in cls.model_fields.items():
                assert field.description or name in (
                    "name",
                    "model",
                    "options",
                    "augment",
                    "data",
                    "evaluators",
                    "iou",
                ), f"{cls.__qualname__}.{name}"
                checked += 1
    assert checked > 40
