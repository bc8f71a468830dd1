"""A key that stands twice in an object is noticed, wherever it stands and however the text is laid out."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from toolkit.errors import DataError
from toolkit.reading import json_keys
from toolkit.reading.json_keys import repeated_key
from toolkit.reading.json_text import load_json, parse_json


def parse(text: str) -> Any:
    return parse_json(text, "a.json", "words", DataError)


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "a": 2}',
        '{"a":1,"b":2,"a":1}',
        '[{"id": 1}, {"id": 2, "score": 0.1, "score": 0.9}]',
        '{"x": {"y": [{"a": 1}, {"a": 1, "a": [1, 2]}]}}',
        '{"x": [1, {"a": 1, "a": 2}]}',
        '{"x": [[1, 2], [{"a" : 1, "a" : 2}]]}',
        '{"a"\n:\t1, "a"\r\n:2}',
        '{"a": "said \\": no", "a": 2}',
        '{"\\u0061": 1, "a": 2}',
        '{"": 1, "": 2}',
    ],
)
def test_a_key_that_stands_twice(text: str) -> None:
    with pytest.raises(
        DataError, match=r"a.json: an object has the key .* twice, with .* and .*Hint: remove"
    ):
        parse(text)


@pytest.mark.parametrize(
    "value",
    [
        {},
        [],
        None,
        '": ":',
        {"a": '":', "b": " : ", "c: ": {"a": [{"a": 1}, {"a": 2}]}},
        [1, {"a": [2, [{"b": 3}]]}, "x :"],
        {"a:": 1, "a": 2, "a ": 3},
    ],
)
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": "), (" , ", " : "), ("\n,", "\n:\n")])
def test_all_other_text_is_read(value: Any, separators: tuple[str, str]) -> None:
    assert parse(json.dumps(value, separators=separators)) == value


def test_parts_of_a_large_text_are_looked_at_together(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(3)
    entries = [{"id": i, "bbox": [rng.random() for _ in range(rng.randrange(3))]} for i in range(60)]
    data = json.dumps(entries).encode()
    expected = json_keys._written_keys(data)
    assert expected == 120
    for size in (1, 2, 7, 64):
        monkeypatch.setattr(json_keys, "_CHUNK", size)
        assert json_keys._written_keys(data) == expected


def test_what_is_written_once_is_not_parsed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("parsed again")

    monkeypatch.setattr(json, "loads", never)
    data = b'{"images": [{"id": 1, "size": [1, 2]}], "annotations": [{"segmentation": [[1.5, 2]]}]}'
    assert repeated_key(data, parse_json(data, "x", "words", DataError)) == ""


def test_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"categories": [], "categories": [1]}')
    with pytest.raises(
        DataError, match=r"a.json: an object has the key 'categories' twice, with \[\] and \[1\]"
    ):
        load_json(tmp_path / "a.json", "annotations", DataError)
