"""Settings before they are typed: reading YAML, parsing words, nesting dotted keys, laying over."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from toolkit.config.tree import merge, nest, parse_overrides, read_yaml
from toolkit.errors import ConfigError


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
