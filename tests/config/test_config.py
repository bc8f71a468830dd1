"""Settings: what is accepted, what is refused, and how it is said."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from toolkit.config import RunSettings, Settings, TrainSettings, recipe_folder, resolve
from toolkit.config.tree import merge, nest, parse_overrides, read_yaml
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


def test_unknown_names_suggest_and_list() -> None:
    with pytest.raises(UnknownNameError, match=r"no plugin is called 'unett'\. Did you mean 'unet'\?"):
        resolve(plugin="unett", data="shapes")
    with pytest.raises(UnknownNameError, match="no dataset is called 'shpes'"):
        resolve(plugin="unet", data="shpes")


def test_missing_names_say_which_flag_to_add(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--plugin NAME"):
        resolve(data="shapes")
    with pytest.raises(UsageError, match="--data NAME"):
        resolve(plugin="unet")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("train: [", "not valid YAML"),
        ("- a\n- b\n", "must hold keys and values"),
        ("train: {lr: 1, lr: 2}\n", "'lr' stands here twice"),
    ],
)
def test_broken_yaml_is_named_with_its_file(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=expected) as caught:
        read_yaml(path)
    assert "broken.yaml" in str(caught.value)


def test_absent_config_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.yaml cannot be read"):
        read_yaml(tmp_path / "absent.yaml")


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
        ({}, "either steps or epochs, not neither"),
        ({"steps": 9, "milestones": (3,)}, "schedule=multistep"),
        ({"steps": 9, "milestones": (5, 3), "schedule": "multistep"}, "milestones must rise"),
        ({"steps": 9, "batch_size": 6, "devices": 4}, "nearest that do are 4 and 8"),
        ({"steps": 9, "batch_size": 1, "devices": 3}, "the least that does is 3"),
    ],
)
def test_settings_that_contradict_each_other(values: dict[str, object], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        TrainSettings.model_validate(values)


def test_words_must_be_key_value() -> None:
    assert parse_overrides(["a.b=1", "a.c=x=y", "d="]) == {"a": {"b": 1, "c": "x=y"}, "d": ""}
    with pytest.raises(ConfigError, match="expected key=value"):
        parse_overrides(["train.steps"])
    with pytest.raises(ConfigError, match="not valid YAML"):
        parse_overrides(["a=[1,"])
    with pytest.raises(ConfigError, match="a value and keys at once"):
        nest({"a": 1, "a.b": 2})


trees = st.recursive(
    st.integers() | st.text(),
    lambda inner: st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=3),
    max_leaves=8,
).filter(lambda tree: isinstance(tree, dict))


@given(trees, trees)
def test_merge_lets_the_later_win_and_changes_neither(base: dict, over: dict) -> None:
    before = (yaml.safe_dump(base), yaml.safe_dump(over))
    merged = merge(base, over)
    assert (yaml.safe_dump(base), yaml.safe_dump(over)) == before
    assert set(merged) == set(base) | set(over)
    for key, value in over.items():
        if not (isinstance(value, dict) and isinstance(base.get(key), dict)):
            assert merged[key] == value


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
