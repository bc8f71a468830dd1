from __future__ import annotations

import math
import shlex
from pathlib import Path

import pytest

from toolkit.config.tree import parse_words
from toolkit.wording import counted, in_words, list_setting, quoted, some


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (-3, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (3_569, "59 min"),
        (3_571, "1 h"),
        (4_800, "1 h 20 min"),
        (86_399, "1 d"),
        (2 * 86_400 + 3 * 3_600, "2 d 3 h"),
        (math.nan, "?"),
        (math.inf, "?"),
    ],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_numbers_with_their_nouns() -> None:
    assert [counted(n, "step") for n in (0, 1, 2, 1200)] == ["0 steps", "1 step", "2 steps", "1,200 steps"]
    assert counted(2, "process", "processes") == "2 processes"


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("runs/unet-shapes", "runs/unet-shapes"),
        (Path("größe/猫"), "größe/猫"),
        ("my photos/run", "'my photos/run'"),
        ("it's here", "'it'\"'\"'s here'"),
        ("", ""),
    ],
)
def test_paths_in_sentences(path: str | Path, shown: str) -> None:
    assert quoted(path) == shown


@pytest.mark.parametrize(
    ("count", "most", "words"),
    [
        (0, 5, ""),
        (1, 5, "0"),
        (5, 5, "0, 1, 2, 3, 4"),
        (6, 5, "0, 1, 2, 3, 4 and 1 more"),
        (3, 2, "0, 1 and 1 more"),
        (1203, 3, "0, 1, 2 and 1,200 more"),
    ],
)
def test_the_first_of_several_names(count: int, most: int, words: str) -> None:
    assert some(map(str, range(count)), most) == words
    assert some([str(n) for n in range(count)], most, separator="; ") == words.replace(", ", "; ").replace(
        "1;200", "1,200"
    )


@pytest.mark.parametrize(
    ("values", "word"),
    [
        (["cat", "dog"], "'classes=[cat,dog]'"),
        (["1", "é_2-a"], "'classes=[1,é_2-a]'"),
        (["black dog", "a,b", "it's", 'x"]'], None),
        ([], "'classes=[]'"),
    ],
)
def test_settings_that_are_lists_survive_a_shell(values: list[str], word: str | None) -> None:
    found = list_setting("classes", values)
    assert word in (found, None)
    assert [str(value) for value in parse_words(shlex.split(found))["classes"]] == values
