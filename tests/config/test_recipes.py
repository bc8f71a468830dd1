"""Recipes, files and words on the command line become the settings of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from toolkit import registry
from toolkit.config import RunSettings, recipe_folder, resolve
from toolkit.config.recipes import find_config
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


def test_settings_of_the_same_words_are_equal_and_of_others_are_not(tiny: str) -> None:
    one, two, other = (resolve(plugin=tiny, data=tiny, overrides=[f"train.lr={rate}"]) for rate in (1, 1, 2))
    assert one == two
    assert one != other
    assert type(one) is type(two), "made once, since making a class takes longest"


def test_a_plugin_whose_file_has_changed_has_the_settings_that_are_there_now(
    tiny: str, tmp_path: Path
) -> None:
    file = tmp_path / "mine.py"
    text = Path(tiny).read_text()
    file.write_text(text)
    assert resolve(plugin=str(file), data=str(file)).model.width == 4
    registry.clear()
    file.write_text(text.replace("width: int = 4", "width: int = 5"))
    assert resolve(plugin=str(file), data=str(file)).model.width == 5


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


# --- what --config means


def test_a_recipe_by_its_name_a_file_and_the_folder_of_a_run(tmp_path: Path) -> None:
    recipe = recipe_folder() / "unet-shapes.yaml"
    for name in ("unet-shapes", "unet-shapes.yaml", "configs/unet-shapes.yaml", recipe, str(recipe)):
        assert find_config(name).resolve() == recipe, name
    (tmp_path / "config.yaml").touch()
    assert find_config(tmp_path) == tmp_path / "config.yaml"
    assert find_config(tmp_path / "config.yaml") == tmp_path / "config.yaml"
    by_name = resolve(config="maskrcnn-balloon-scratch").model_dump()
    assert by_name == resolve(config=recipe_folder() / "maskrcnn-balloon-scratch.yaml").model_dump()


def test_a_file_here_is_meant_before_a_recipe_and_a_folder_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "unet-msrc").mkdir()
    assert find_config("unet-msrc") == recipe_folder() / "unet-msrc.yaml"
    (tmp_path / "unet-shapes").touch()
    assert find_config("unet-shapes") == Path("unet-shapes")


@pytest.mark.parametrize(
    "name", ["unet-mrsc", "unet-mrsc.yaml", "configs/unet-mrsc.yaml", "elsewhere/unet-mrsc.yaml"]
)
def test_what_there_is_not_gets_the_nearest(name: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        find_config(name)
    message = str(caught.value)
    assert f"--config {name}: there is no file or recipe of that name" in message
    assert "Did you mean 'unet-msrc'" in message
    assert "sam2-labpics-toy" in message


def test_a_recipe_elsewhere_is_not_meant_by_a_path() -> None:
    with pytest.raises(UnknownNameError):
        find_config("mine/unet-msrc.yaml")


BUILT_IN = [("unet", "masks"), ("deeplabv3", "masks"), ("deeplabv3plus", "masks"), ("maskrcnn", "coco")]


@pytest.mark.parametrize(("plugin", "data"), BUILT_IN)
def test_without_a_recipe_a_run_starts_from_published_weights_and_augments(plugin: str, data: str) -> None:
    settings = resolve(plugin=plugin, data=data)
    assert settings.weights == "auto"
    names = [each.name for each in settings.augment]
    assert names == (["flip", "scale"] if plugin == "maskrcnn" else ["flip", "scale", "color"])
    assert all(each.keep_size for each in settings.augment if each.name == "scale"), "the memory stays"
    assert (settings.train.steps, settings.train.epochs) == (None, None), "the number of images decides"


def test_prompts_are_learned_from_mirrored_images_and_official_weights() -> None:
    settings = resolve(plugin="sam2", data="coco")
    assert (settings.weights, [each.name for each in settings.augment]) == ("official", ["flip"])


def test_a_file_of_settings_gets_nothing_that_is_not_in_it(tmp_path: Path) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text("plugin: unet\ndata: {name: masks}\n")
    settings = resolve(config=config)
    assert (settings.weights, settings.augment) == ("none", ())


def test_the_command_line_has_the_last_word_about_what_is_recommended() -> None:
    settings = resolve(plugin="unet", data="masks", overrides=["augment=[]", "weights=none", "train.steps=9"])
    assert (settings.weights, settings.augment, settings.train.steps) == ("none", (), 9)


def test_augmentation_can_be_asked_for_by_auto_everywhere(tiny: str, tmp_path: Path) -> None:
    assert resolve(plugin=tiny, data=tiny).augment == (), "a plugin of one's own gets what it says"
    chosen = resolve(plugin=tiny, data=tiny, overrides=["augment=auto"])
    assert [each.name for each in chosen.augment] == ["flip", "scale", "color"]
    (tmp_path / "config.yaml").write_text(chosen.to_yaml())
    assert "auto" not in chosen.to_yaml().partition("train:")[0]
    assert resolve(config=tmp_path / "config.yaml").to_yaml() == chosen.to_yaml()
