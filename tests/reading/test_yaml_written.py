"""Numbers, lists and mappings know how they were written."""

from __future__ import annotations

from toolkit.errors import ConfigError
from toolkit.reading.yaml_text import parse_yaml
from toolkit.reading.yaml_written import as_written, forget_text


def test_numbers_and_lists_know_how_they_were_written() -> None:
    tree = parse_yaml("a: 007\nb: [no, ~, 1e3, {c: 1_0}]\nd: {e: 010}\n", "x.yaml", ConfigError).written
    assert tree == {"a": 7, "b": ["no", None, 1000.0, {"c": "1_0"}], "d": {"e": 10}}
    assert as_written(tree["a"]) == "007"
    assert as_written(tree["b"]) == ["no", "~", "1e3", {"c": "1_0"}]
    assert as_written(tree["d"]) == {"e": "010"}
    plain = forget_text(tree)
    assert plain == tree
    assert type(plain["a"]) is int
    assert type(plain["b"]) is list
    assert type(plain["b"][2]) is float
