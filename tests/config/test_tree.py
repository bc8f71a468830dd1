"""Settings before they are typed: reading YAML, parsing words, nesting dotted keys, laying over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from toolkit.config.tree import as_tree, flat_items, merge, nest, parse_overrides, read_yaml
from toolkit.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("train: [", "not valid YAML"),
        ("- a\n- b\n", "must contain keys and values"),
        ("train: {lr: 1, lr: 2}\n", "'lr' occurs twice"),
    ],
)
def test_broken_yaml_is_named_with_its_file(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=expected) as caught:
        read_yaml(path)
    assert "broken.yaml" in str(caught.value)


def test_absent_config_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.yaml does not exist; it should contain settings"):
        read_yaml(tmp_path / "absent.yaml")


def test_words_must_be_key_value() -> None:
    assert parse_overrides(["a.b=1", "a.c=x=y", "d="]) == {"a": {"b": 1, "c": "x=y"}, "d": ""}
    with pytest.raises(ConfigError, match="expected key=value"):
        parse_overrides(["train.steps"])
    with pytest.raises(ConfigError, match="not valid YAML"):
        parse_overrides(["a=[1,"])
    with pytest.raises(ConfigError, match="both a value and its own keys"):
        nest({"a": 1, "a.b": 2})


def test_flat_items_are_what_nests_to_the_same() -> None:
    tree = {"train": {"steps": 1, "inner": {"a": [1]}}, "weights": "none"}
    flat = dict(flat_items(tree))
    assert flat == {"train.steps": 1, "train.inner.a": [1], "weights": "none"}
    assert nest(flat) == tree


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


def test_a_file_without_a_word_holds_no_settings(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("# nothing yet\n")
    assert read_yaml(tmp_path / "empty.yaml") == {}


def test_a_key_given_twice_is_found_at_any_depth_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "deep.yaml"
    path.write_text("data:\n  options:\n    - size: 1\n      size: 2\n")
    with pytest.raises(
        ConfigError, match=r"deep\.yaml, line 4, column 7: the key 'size' occurs twice"
    ) as caught:
        read_yaml(path)
    assert "line 4" in str(caught.value)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"a: \xe4\n"])
def test_what_is_not_utf_8_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "latin.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=r"latin\.yaml.* UTF-8; it should contain settings"):
        read_yaml(tmp_path / "latin.yaml")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a folder, not a file"):
        read_yaml(tmp_path)


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("k=3", 3),
        ("k=0.5", 0.5),
        ("k=true", True),
        ("k=null", None),
        ("k=", ""),
        ("k=a=b", "a=b"),
        ("k=[1, {b: 2}]", [1, {"b": 2}]),
        ("k='3'", "3"),
    ],
)
def test_values_are_read_as_yaml(word: str, value: object) -> None:
    assert parse_overrides([word]) == {"k": value}


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("steps", "expected key=value, such as train.steps=100, not 'steps'"),
        ("=3", "expected key=value, such as train.steps=100, not '=3'"),
        ("a={b: 1, b: 2}", "'a={b: 1, b: 2}', line 1, column 8: the key 'b' occurs twice"),
        ("a=}", "'a=}', line 1, column 1 is not valid YAML"),
    ],
)
def test_words_that_are_no_settings_are_repeated_in_the_message(word: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_overrides(["train.lr=1", word])
    assert message in str(caught.value)


@given(st.dictionaries(st.lists(st.sampled_from("abc"), min_size=3, max_size=3).map(".".join), st.integers()))
def test_nesting_puts_every_value_where_its_key_says(flat: dict[str, int]) -> None:
    tree = nest(flat)
    for key, value in flat.items():
        first, second, third = key.split(".")
        assert tree[first][second][third] == value
    assert sum(len(inner) for outer in tree.values() for inner in outer.values()) == len(flat)


def test_a_key_below_a_value_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^a\.b\.c: 'b' has both a value and its own keys$"):
        nest({"a.b": 1, "a.b.c": 2})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"a.b": 1, "a": 2}, r"^a: 'a' has both"),
        ({"a": None, "a.b": 1}, r"^a\.b: 'a' has both"),
        ({"a": {"b": 1}, "a.b.c": 2}, r"^a\.b\.c: 'b' has both"),
        ({"a.b.c": 2, "a": {"b": 1}}, r"^a: 'b' has both"),
        ({"x": 1, "a.b": {"c": 1}, "a": {"b": {"c": {"d": 3}}}}, r"^a: 'c' has both"),
    ],
)
@pytest.mark.parametrize("nests", [nest, as_tree])
def test_nothing_is_covered_by_what_comes_later(nests: Any, given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        nests(given)


def test_nesting_leaves_alone_what_it_was_given() -> None:
    given = {"a": {"b": {"c": 1}}, "a.b.d": 2, "a.b.c": 3}
    assert nest(given) == {"a": {"b": {"c": 3, "d": 2}}}
    assert given["a"] == {"b": {"c": 1}}


@given(trees, trees, trees)
def test_laying_over_can_be_done_in_any_grouping(one: dict, two: dict, three: dict) -> None:
    assert merge(merge(one, two), three) == merge(one, merge(two, three)) or _turns_into_a_value(
        one, two, three
    )
    assert merge(one, {}) == merge({}, one) == one


def _turns_into_a_value(one: dict, two: dict, three: dict) -> bool:
    """Whether a section becomes a value in the second and a section again in the third; the value then covers
    what the first has there.
    """
    return any(
        (isinstance(one[key], dict) and not isinstance(two[key], dict) and isinstance(three[key], dict))
        or (
            isinstance(one[key], dict)
            and isinstance(two[key], dict)
            and isinstance(three[key], dict)
            and _turns_into_a_value(one[key], two[key], three[key])
        )
        for key in one.keys() & two.keys() & three.keys()
    )


def test_what_was_laid_over_can_be_changed_without_the_original() -> None:
    over = {"model": {"encoder": {"depth": 5}}}
    merged = merge({}, over)
    merged["model"]["encoder"]["depth"] = 3
    assert over == {"model": {"encoder": {"depth": 5}}}


def test_laying_over_knows_no_key() -> None:
    """The rule that steps and epochs replace each other is one of the section train, see test_recipes.py."""
    assert merge({"steps": 3, "model": {"epochs": 1}}, {"epochs": 2}) == {
        "steps": 3,
        "model": {"epochs": 1},
        "epochs": 2,
    }


def test_dotted_keys_and_nested_dictionaries_add_up() -> None:
    given = {"train.steps": 2, "train": {"lr": 1, "lr_factors": {"a.b": 3}}, "weights": "none"}
    want = {"train": {"steps": 2, "lr": 1, "lr_factors": {"a.b": 3}}, "weights": "none"}
    assert as_tree(given) == want
    assert as_tree(dict(reversed(given.items()))) == want
    assert as_tree(["train.steps=2"]) == as_tree({"train": {"steps": 2}}) == {"train": {"steps": 2}}
    assert given["train"] == {"lr": 1, "lr_factors": {"a.b": 3}}, "what was handed in stays as it was"
    with pytest.raises(ConfigError, match="'train' has both a value and its own keys"):
        as_tree({"train": 1, "train.steps": 2})
