"""One rule for keys: a full one always works, a bare one where exactly one section has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.config import Settings, resolve
from toolkit.config.keys import all_keys, candidates, for_sections, in_full, is_full
from toolkit.errors import ConfigError, UsageError


class Inner(Settings):
    points: int = 3
    """How many."""


class Net(Settings):
    width: int = 3
    """How wide."""
    size: int = 3
    """How large."""
    inner: Inner = Inner()
    """More."""


class Photos(Settings):
    void: int = 0
    """Which."""
    size: int = 3
    """How large."""


SECTIONS = (("model", Net), ("data.options", Photos))


def test_full_keys_name_their_section() -> None:
    full = ("weights", "train.lr", "model.inner.points", "data.options.void", "evaluators", "plugin")
    assert all(map(is_full, full))
    assert not any(map(is_full, ("lr", "inner.points", "modelx.a", "trainer")))


def test_bare_keys_get_the_section_that_has_them() -> None:
    given = {"width": 1, "inner.points": 2, "void": 3, "model.size": 4, "weights": "none"}
    assert in_full(given, SECTIONS) == {
        "model.width": 1,
        "model.inner.points": 2,
        "data.options.void": 3,
        "model.size": 4,
        "weights": "none",
    }
    assert candidates("size", SECTIONS) == ["model.size", "data.options.size"]
    assert in_full({"size": 1, "other": 2}, SECTIONS) == {"size": 1, "other": 2}, "left for the message"


def test_all_keys() -> None:
    expected = {"model.width", "model.size", "model.inner.points", "data.options.void", "data.options.size"}
    assert set(all_keys(SECTIONS)) == expected


def test_settings_of_some_sections_nested() -> None:
    assert for_sections({}, SECTIONS) == {}
    assert for_sections({"width": 1, "data.options.void": 2}, SECTIONS) == {
        "model": {"width": 1},
        "data": {"options": {"void": 2}},
    }
    assert for_sections({"data": {"options": {"void": 2}}}, SECTIONS) == {"data": {"options": {"void": 2}}}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"widht": 1}, "widht: unknown key; did you mean 'model.width'?"),
        ({"points": 1}, "points: unknown key; did you mean 'model.inner.points'?"),
        ({"size": 1}, "size: unknown key; did you mean 'model.size' or 'data.options.size'?"),
        ({"train.lr": 1}, "settings of train have no effect here. Hint: use model.… or data.options.…"),
        ({"data.dir": "a"}, "settings of data.dir have no effect here"),
        ({"width": 1, "model.width": 2}, "model.width is given twice, as 1 and as 2"),
    ],
)
def test_what_no_section_or_several_have_is_an_error(given: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        for_sections(given, SECTIONS)
    assert message in str(caught.value)


def test_all_faults_come_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        for_sections({"widht": 1, "train.lr": 1, "viod": 1}, SECTIONS)
    assert len(str(caught.value).splitlines()) == 3


# --- in the settings of a run


def test_bare_keys_of_a_run(tiny: str) -> None:
    words = ["lr=0.5", "width=7", "count=3", "iou.void=false_positive", "in_memory=true", "weights=none"]
    settings = resolve(plugin=tiny, data=tiny, overrides=words)
    full = [
        "train.lr=0.5",
        "model.width=7",
        "data.options.count=3",
        "evaluators.iou.void=false_positive",
        "data.in_memory=true",
    ]
    assert settings.model_dump() == resolve(plugin=tiny, data=tiny, overrides=full).model_dump()


def test_bare_steps_and_epochs_replace_each_other(tiny: str) -> None:
    train = resolve(plugin=tiny, data=tiny, overrides=["epochs=2"]).train
    assert (train.steps, train.epochs) == (None, 2)


def test_a_bare_lr_is_for_the_batch_in_force() -> None:
    recipe = {"plugin": "unet", "data": "msrc"}
    bare = resolve(**recipe, overrides=["lr=0.5", "batch_size=2"])
    assert bare.train.scaled_lr() == 0.5


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("lrr=0.1", "lrr: unknown key; did you mean 'train.lr'?"),
        ("data.count=3", "data.count: unknown key; did you mean 'data.options.count'?"),
        ("model.lr=0.1", "model.lr: unknown key; did you mean 'train.lr'?"),
        ("train.width=3", "train.width: unknown key; did you mean 'model.width'?"),
        ("zzzzzz=1", "zzzzzz: unknown key; expected one of: "),
    ],
)
def test_wrong_keys_of_a_run_get_the_full_one(tiny: str, word: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(plugin=tiny, data=tiny, overrides=[word])
    assert message in str(caught.value)


def test_plugin_and_data_may_be_named_among_the_settings(tiny: str) -> None:
    expected = resolve(plugin=tiny, data=tiny).model_dump()
    assert resolve(overrides=[f"plugin={tiny}", f"data={tiny}"]).model_dump() == expected
    assert resolve(plugin=tiny, overrides=[f"data.name={tiny}"]).model_dump() == expected
    with pytest.raises(UsageError, match="contradict each other"):
        resolve(plugin=tiny, data=tiny, overrides=["plugin=unet"])


def test_mappings_are_left_as_they_were(tiny: str) -> None:
    given = {"train": {"steps": 3}, "train.lr": 0.5}
    resolve(plugin=tiny, data=tiny, overrides=given)
    assert given == {"train": {"steps": 3}, "train.lr": 0.5}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("plugin: 5", "plugin: expected text, not 5"),
        ("plugin: [unet]", r"plugin: expected text, not \['unet'\]"),
        ("plugin: unet\ndata: 5", "data: expected keys and values, as in data: {key: value}, not 5"),
        ("plugin: unet\ndata: {name: [shapes]}", "data.name: expected text"),
        ("plugin: unet\ndata: {name: shapes, options: [1]}", "data.options: expected keys and values"),
        ("plugin: unet\ndata: {name: shapes}\nmodel: []\nevaluators: [iou]", "has 2 errors:"),
        ("plugin: unet\ndata: {name: shapes}\nevaluators: {iou: 5}", "evaluators.iou: expected keys"),
        ("plugin: unet\ndata: {name: shapes}\nevaluators: {5: {}}", "evaluators: expected names, not 5"),
        ("plugin: unet\ndata: {name: shapes}\ntrain: 7", "train: expected keys and values"),
        ("plugin: unet\ndata: {name: shapes}\nweights: 5", "weights: expected text"),
        ("5: 1", "has the key 5; expected text"),
        ("? [a]\n: 1", "a list is in the place of a key"),
    ],
)
def test_sections_of_another_shape_are_faults_with_the_file(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "odd.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        resolve(config=path)
    assert str(path) in str(caught.value)
    assert "Hint: " in str(caught.value)


ODD_WORDS = ("model=5", "model=[1]", "evaluators=[iou]", "evaluators.iou=5", "data.options=3", "data.name=5")


@pytest.mark.parametrize("word", ODD_WORDS)
def test_sections_of_another_shape_among_the_words(word: str) -> None:
    with pytest.raises(ConfigError):
        resolve(plugin="unet", data="shapes", overrides=[word])
