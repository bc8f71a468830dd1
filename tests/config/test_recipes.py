"""Recipes, files and words on the command line become the settings of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from toolkit.config import RunSettings, recipe_folder, resolve
from toolkit.errors import ConfigError, UnknownNameError, UsageError


def test_defaults_of_the_plugin_recipe_and_command_line_in_that_order(tiny: str, tmp_path: Path) -> None:
    assert resolve(plugin=tiny, data=tiny).train.steps == 20
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("train: {steps: 30, lr: 0.5}\n")
    settings = resolve(plugin=tiny, data=tiny, config=recipe, overrides=["train.steps=40"])
    assert (settings.train.steps, settings.train.lr, settings.train.batch_size) == (40, 0.5, 4)


def test_resolved_settings_run_again_as_they_are(tiny: str, tmp_path: Path) -> None:
    settings = resolve(
        plugin=tiny,
        data=tiny,
        overrides=["model.width=7", "train.lr=1e-3", "data.options.count=3", "augment=[{name: flip}]"],
    )
    saved = tmp_path / "config.yaml"
    saved.write_text(settings.to_yaml())
    again = resolve(config=saved)
    assert again.model_dump() == settings.model_dump()
    assert again.to_yaml() == settings.to_yaml()


def test_unknown_names_suggest_and_list() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown plugin 'unett'\. Did you mean 'unet'\?"):
        resolve(plugin="unett", data="shapes")
    with pytest.raises(UnknownNameError, match="unknown dataset 'shpes'"):
        resolve(plugin="unet", data="shpes")


def test_missing_names_say_which_flag_to_add(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--plugin NAME"):
        resolve(data="shapes")
    with pytest.raises(UsageError, match="--data NAME"):
        resolve(plugin="unet")


def _recipes() -> list[Path]:
    return sorted(recipe_folder().glob("*.yaml"))


def test_there_are_recipes() -> None:
    assert len(_recipes()) >= 1


@pytest.mark.parametrize("path", _recipes(), ids=lambda path: path.stem)
def test_every_recipe_fits_its_plugin_and_dataset(path: Path) -> None:
    settings = resolve(config=path)
    pair = f"{settings.plugin}-{settings.data.name}"
    assert path.stem == pair or path.stem.startswith(f"{pair}-")  # the latter are for --config
    assert isinstance(settings, RunSettings)


@pytest.mark.parametrize(
    ("base", "over", "expected"),
    [
        ({"steps": 3}, {"epochs": 2}, (None, 2)),
        ({"epochs": 2}, {"steps": 3}, (3, None)),
        ({"steps": 3, "lr": 1}, {"lr": 2}, (3, None)),
    ],
    ids=str,
)
def test_steps_and_epochs_replace_each_other(
    base: dict[str, Any], over: dict[str, Any], expected: tuple[int | None, int | None], tmp_path: Path
) -> None:
    config = tmp_path / "recipe.yaml"
    config.write_text(yaml.safe_dump({"plugin": "unet", "data": {"name": "shapes"}, "train": base}))
    train = resolve(config=config, overrides={"train": over}).train
    assert (train.steps, train.epochs) == expected
    with pytest.raises(ConfigError, match="give either steps or epochs, not both"):
        resolve(config=config, overrides={"train": {"steps": 4, "epochs": 2}})


def test_steps_and_epochs_of_a_plugin_are_its_own(tmp_path: Path) -> None:
    """``model.epochs`` has nothing to do with ``train.steps``."""
    file = tmp_path / "scheduled.py"
    file.write_text(
        "from toolkit import PluginManifest, Settings\n"
        'class S(Settings):\n    epochs: int = 1\n    """E."""\n    steps: int = 2\n    """S."""\n'
        "PLUGIN = PluginManifest(name='scheduled', summary='s', task='semantic', build=':b', settings=':S',\n"
        "    defaults={'model': {'epochs': 7}, 'train': {'epochs': 3}})\n"
    )
    settings = resolve(plugin=str(file), data="shapes", overrides=["model.steps=5", "train.steps=9"])
    assert settings.model.model_dump() == {"epochs": 7, "steps": 5}
    assert (settings.train.steps, settings.train.epochs) == (9, None)
