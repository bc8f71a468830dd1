"""What a pickle mentions is read; nothing of it runs."""

from __future__ import annotations

import io
import json
import pickle
from pathlib import Path

import pytest

from toolkit.runtime import pickle_words as module
from toolkit.runtime.pickle_words import pickle_words


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_words_of_a_pickle(protocol: int) -> None:
    content = {"kept": [Path("a"), Path("b"), json.JSONDecodeError], "again": json.JSONDecodeError}
    words = pickle_words(io.BytesIO(pickle.dumps(content, protocol=protocol)))
    assert {"kept", "again"} <= words.texts
    assert any(one.endswith("JSONDecodeError") and one.startswith("json.") for one in words.classes)
    assert any(one.endswith("Path") for one in words.classes)


def test_several_pickles_in_a_row_are_read_up_to_the_first_damage() -> None:
    data = pickle.dumps("first") + pickle.dumps(["second"]) + b"\xff\xff" + pickle.dumps("lost")
    assert pickle_words(io.BytesIO(data)).texts == {"first", "second"}
    assert not pickle_words(io.BytesIO(b"")).texts


def test_a_pickle_without_end_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_OPCODES", 50)
    words = pickle_words(io.BytesIO(pickle.dumps([f"word {i}" for i in range(500)]) + pickle.dumps("next")))
    assert 10 < len(words.texts) < 60
    assert "next" not in words.texts
