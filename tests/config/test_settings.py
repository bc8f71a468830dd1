"""Settings classes: every fault at once, with the nearest names; and a sentence for every setting."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import pytest
from manifest_cases import manifest
from pydantic import Field, ValidationError, field_validator

from toolkit.config import Settings, resolve, settings_class, validate
from toolkit.config.settings import with_fields
from toolkit.config.tree import parse_overrides
from toolkit.errors import ConfigError, UsageError
from toolkit.reading.yaml_text import dump_yaml, parse_yaml


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
    assert "6 errors" in message
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


def test_classes_made_for_a_run_keep_sentences_and_are_not_searched_for_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The search for source code, where there is none, takes seconds with all that torch has loaded."""

    def searches(*given: Any) -> None:
        raise AssertionError("looks at every module that is loaded")

    monkeypatch.setattr("inspect.getmodule", searches)
    cls = with_fields("Wider", Disc, {"height": (int, 3)})
    assert cls.model_fields["radius"].description == "In pixels."
    assert list(cls.model_fields) == ["name", "radius", "height"]
    assert (cls(height=2).height, cls().radius) == (2, 1.0)
    with pytest.raises(ConfigError, match="heihgt: unknown key; did you mean 'height'"):
        validate(cls, {"heihgt": 1}, source="a test")


class Disc(Settings):
    name: Literal["disc"] = "disc"
    """Always `disc`."""
    radius: float = Field(1.0, gt=0)
    """In pixels."""


class Box(Settings):
    name: Literal["box"] = "box"
    """Always `box`."""
    width: int = 3
    """In pixels,
    from side to
    side.
    """


class Head(Settings):
    channels: int = 8
    """How many there are."""
    norm: Literal["batch", "none"] = "batch"
    """Which."""


class Net(Settings):
    depth: int
    """Must be given."""
    head: Head = Head()
    """What it ends in."""
    extra: Head | None = None
    """Another end."""
    shapes: tuple[Annotated[Disc | Box, Field(discriminator="name")], ...] = ()
    """What it looks for."""
    heads: dict[str, Head] = {}  # noqa: RUF012, pydantic copies it
    """More ends, by name."""

    @field_validator("depth")
    @classmethod
    def _even(cls, depth: int) -> int:
        if depth % 2:
            raise ValueError("Depth must be even")
        return depth


FAULTS: dict[str, tuple[dict[str, object], str]] = {
    "a typing error": ({"depth": 2, "haed": {}}, "haed: unknown key; did you mean 'head'?"),
    "a key like no other": (
        {"depth": 2, "zzz": 1},
        "zzz: unknown key; expected one of: depth, extra, head, heads, shapes",
    ),
    "inside": ({"depth": 2, "head": {"chanels": 3}}, "head.chanels: unknown key; did you mean 'channels'?"),
    "inside of what may be absent": (
        {"depth": 2, "extra": {"nrm": "none"}},
        "extra.nrm: unknown key; did you mean 'norm'?",
    ),
    "inside of a mapping": (
        {"depth": 2, "heads": {"left": {"chanels": 3}}},
        "heads.left.chanels: unknown key; did you mean 'channels'?",
    ),
    "one of several kinds": (
        {"depth": 2, "shapes": [{"name": "box"}, {"name": "disc", "radios": 2}]},
        "shapes.1.disc.radios: unknown key; did you mean 'radius'?",
    ),
    "a key of another kind": (
        {"depth": 2, "shapes": [{"name": "box", "radius": 2}]},
        "shapes.0.box.radius: unknown key; expected one of: name, width",
    ),
    "a kind that there is not": (
        {"depth": 2, "shapes": [{"name": "star"}]},
        "shapes.0: unknown name 'star'; expected one of: disc, box",
    ),
    "something missing": ({}, "depth: missing"),
    "a text for a number": ({"depth": "deep"}, "depth: expected a whole number"),
    "its value": ({"depth": "deep"}, ", not 'deep'"),
    "a choice": (
        {"depth": 2, "head": {"norm": "group"}},
        "head.norm: expected 'batch' or 'none', not 'group'",
    ),
    "out of range": (
        {"depth": 2, "shapes": [{"name": "disc", "radius": 0}]},
        "shapes.0.disc.radius: expected a number above 0, not 0",
    ),
    "a check of its own": ({"depth": 3}, "depth: depth must be even, not 3"),
    "a value for a section": (
        {"depth": 2, "head": 3},
        "head: expected keys and values, such as {key: value}",
    ),
}


@pytest.mark.parametrize(("tree", "message"), FAULTS.values(), ids=FAULTS)
def test_each_fault_says_where_it_is_and_what_was_found(tree: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        validate(Net, tree, source="net.yaml")
    head, *faults = str(caught.value).splitlines()
    assert head == "net.yaml: 1 error"
    assert len(faults) == 1
    assert message in faults[0]


def test_what_is_right_comes_as_an_object() -> None:
    net = validate(Net, {"depth": "4", "shapes": [{"name": "disc", "radius": 2}]}, source="net.yaml")
    assert net == Net(depth=4, shapes=(Disc(radius=2),))


def test_settings_are_frozen_and_their_sentences_are_one_line() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Head().channels = 3  # type: ignore[misc]
    assert Box.model_fields["width"].description == "In pixels, from side to side."


def test_defaults_are_checked_as_well() -> None:
    class Wrong(Settings):
        size: int = Field(0, gt=0)

    with pytest.raises(ConfigError, match="size: expected a number above 0, not 0"):
        validate(Wrong, {}, source="defaults")


def test_a_manifest_names_a_class_of_settings() -> None:
    assert settings_class(manifest()) is Settings, "nothing to set"
    reference = "toolkit.config.schema:TrainSettings"
    assert settings_class(manifest(settings=reference)).__name__ == "TrainSettings"
    with pytest.raises(
        UsageError,
        match=r"plugin 'net': json:dumps must be a subclass of toolkit\.config\.Settings, not <function",
    ):
        settings_class(manifest(settings="json:dumps"))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["augment=[{name: colour}]"], "augment.0: unknown name 'colour'; it is spelled 'color'"),
        (["augment=[{name: bluur}]"], "augment.0: unknown name 'bluur'; did you mean 'blur'?"),
        (
            ["augment=[{name: xyzzy}]"],
            "augment.0: unknown name 'xyzzy'; expected one of: flip, rotate, scale",
        ),
        (["train.stepps=3"], "train.stepps: unknown key; did you mean 'steps'?"),
    ],
)
def test_wrong_names_get_the_right_one(words: list[str], expected: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(expected)):
        resolve(plugin="unet", data="shapes", overrides=words)


def test_british_spellings_of_keys_get_the_american_ones() -> None:
    class Painted(Settings):
        color: str = ""
        """Of it."""
        normalize: bool = False
        """Whether."""

    with pytest.raises(ConfigError) as caught:
        validate(Painted, {"colour": "red", "normalise": True}, source="here")
    assert "colour: unknown key; it is spelled 'color'" in str(caught.value)
    assert "normalise: unknown key; it is spelled 'normalize'" in str(caught.value)


class Named(Settings):
    """Settings that are text, or hold some."""

    classes: tuple[str, ...] = ()
    values: dict[int, str] = {}  # noqa: RUF012 - pydantic copies it
    factors: dict[str, float] = {}  # noqa: RUF012
    name: str | None = None
    either: int | str = 0
    number: float = 0.0
    pair: tuple[int, str] | None = None
    anything: Any = None


class Outer(Settings):
    inner: Named = Named()
    several: tuple[Named, ...] = ()


def from_yaml(text: str, cls: type[Settings] = Named) -> Any:
    return validate(cls, parse_yaml(text, "x.yaml", ConfigError).written, source="x.yaml")


def test_names_in_yaml_are_text_as_it_is_written() -> None:
    names = "[no, 02146, 1_0, 1e3, null, ~, 2001-12-14, true, 0x1F, '5', yes]"
    expected = ("no", "02146", "1_0", "1e3", "null", "~", "2001-12-14", "true", "0x1F", "5", "yes")
    assert from_yaml(f"classes: {names}").classes == expected
    assert from_yaml(f"inner: {{classes: {names}}}", Outer).inner.classes == expected
    assert from_yaml(f"several: [{{classes: {names}}}]", Outer).several[0].classes == expected
    assert validate(Named, parse_overrides([f"classes={names}"]), source="words").classes == expected


def test_other_places_for_text_and_numbers() -> None:
    found = from_yaml(
        "values: {0: no, 1: 007}\nfactors: {1: 0.5, 010: 2}\nname: 1e3\neither: 007\nnumber: 1e-3\n"
        "pair: [7, x]\nanything: {a: [007, 1.50], b: 1}\n"
    )
    assert found.values == {0: "no", 1: "007"}
    assert found.factors == {"1": 0.5, "010": 2.0}
    assert found.name == "1e3"
    assert found.either == 7
    assert found.number == 0.001
    assert found.pair == (7, "x")
    assert found.anything == {"a": [7, 1.5], "b": 1}
    assert {type(each) for each in (found.either, *found.anything["a"])} == {int, float}
    assert type(found.anything["a"]) is list
    assert from_yaml("name: null").name is None
    assert from_yaml("name: ''").name == ""


@pytest.mark.parametrize(
    "text", ["name: true", "name: [a]", "classes: no", "classes: [a, [b]]", "values: {0: ~}"]
)
def test_what_is_no_text_stays_a_fault(text: str) -> None:
    with pytest.raises(ConfigError, match="x.yaml: 1 error"):
        from_yaml(text)


def test_names_survive_the_settings_file_of_a_run() -> None:
    first = from_yaml("classes: [no, 007, 1e3, null, 0o17]\nname: 1e3")
    text = dump_yaml(first.model_dump(mode="json"))
    assert from_yaml(text) == first
